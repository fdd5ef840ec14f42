//! The contract between the framework and something that can be protected.
//!
//! A [`Snapshotter`] knows one source. [`Snapshotter::begin`] gives a consistent view of it that lists entries in
//! canonical order and reads their content; [`Snapshotter::target`] takes entries back. Both sides block and are called
//! from threads that the engine owns.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::cancel::CancelToken;
use crate::clock::Clock;
use crate::entry::{Entry, EntryPath};

/// A source that can be captured and restored.
pub trait Snapshotter: fmt::Debug + Send + Sync {
    /// What this source is; stored in every snapshot of it.
    fn describe(&self) -> SourceDescription;

    /// Opens a consistent view of the source as it is now.
    ///
    /// # Errors
    /// A [`SourceError`] when nothing at all can be captured, as when every root is missing.
    fn begin(&self, context: &SourceContext<'_>) -> Result<Box<dyn SourceView>, SourceError>;

    /// Opens a place into which entries are restored.
    ///
    /// # Errors
    /// A [`SourceError`] when the place can't take entries, as when it is a file.
    fn target(&self, options: &TargetOptions) -> Result<Box<dyn RestoreTarget>, SourceError>;
}

/// What a source is, as it is stored in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceDescription {
    /// The type as it stands in the configuration: `files`, `sqlite`, ….
    pub kind: String,
    /// The name given in the configuration, if there is one.
    pub name: Option<String>,
    /// The roots as they appear in entry paths, sorted, without duplicates.
    pub roots: Vec<EntryPath>,
}

/// What a source may use while it is captured.
#[derive(Debug, Clone, Copy)]
pub struct SourceContext<'a> {
    /// The clock to tell recent changes by.
    pub clock: &'a dyn Clock,
    /// The flag that asks to stop.
    pub cancel: &'a CancelToken,
    /// Absolute paths that the backup itself writes to: its repository, its cache. A source of files leaves them out with
    /// all that is below them, since a repository that stores itself grows by its own size with each run; a root that is
    /// one of them was asked for by name, and stays. Links are resolved as for roots; a path that isn't there is fine.
    pub left_out: &'a [PathBuf],
}

impl<'a> SourceContext<'a> {
    /// A context that leaves out nothing.
    #[must_use]
    pub fn new(clock: &'a dyn Clock, cancel: &'a CancelToken) -> Self {
        Self { clock, cancel, left_out: &[] }
    }
}

/// A consistent view of a source.
pub trait SourceView: Send + Sync {
    /// All entries in canonical order, ancestors of roots included; called once.
    ///
    /// An entry that can't be examined is an `Err` item; the listing goes on after it. Only what listing gives is
    /// filled; see [`Entry`].
    fn entries(&self) -> Box<dyn Iterator<Item = Result<Entry, EntryError>> + Send + '_>;

    /// Opens a regular file for reading and fills the rest of its entry from the open file.
    ///
    /// Called from several threads at once, each entry at most a few times (again when it changed while it was read).
    ///
    /// # Errors
    /// An [`EntryError`] when it can't be read; the run goes on without it.
    fn open(&self, entry: &mut Entry) -> Result<Box<dyn EntryReader>, EntryError>;

    /// Fills the rest of an entry that is no regular file: link target and extended attributes.
    ///
    /// # Errors
    /// An [`EntryError`] when it can't be read; the run goes on without it.
    fn load(&self, entry: &mut Entry) -> Result<(), EntryError>;

    /// Ends the view and gives back what it held.
    ///
    /// # Errors
    /// A [`SourceError`] when the view turned out not to be consistent.
    fn finish(self: Box<Self>) -> Result<(), SourceError> {
        Ok(())
    }
}

/// The content of one open file.
pub trait EntryReader: Send {
    /// Reads the next bytes of the data extents (of everything where there are no holes), zero at the end.
    ///
    /// It is asked for a byte more than the entry's size says, to see that the file ends there; what lies beyond is not stored. Only
    /// where that size is zero, a reader gives what there is: some systems say so of files that have content.
    ///
    /// # Errors
    /// Whatever the system says.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Looks whether the file is still what it was when it was opened; called once, after the last read. A file that turned out
    /// to be longer or shorter than its entry says is not.
    ///
    /// # Errors
    /// Whatever the system says.
    fn stability(&mut self) -> io::Result<Stability>;
}

/// Whether a file changed while it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stability {
    /// The bytes are one state of the file.
    Stable,
    /// They may mix two states.
    Changed,
}

/// How a restore is to treat its target.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TargetOptions {
    /// The directory under which entries are restored; `None` restores them where they came from.
    pub directory: Option<PathBuf>,
    /// Whether owners are restored.
    pub owners: OwnerPolicy,
    /// Whether devices, and set-user-id and set-group-id bits, are restored.
    pub privileged: bool,
    /// Absolute paths that a restore never removes, with all that is in them and all that leads to them: the repository itself, if
    /// it happens to lie in the target.
    pub kept: Vec<PathBuf>,
}

impl TargetOptions {
    /// Restore under `directory`, with owners as the privileges allow.
    pub fn under(directory: impl Into<PathBuf>) -> Self {
        Self { directory: Some(directory.into()), ..Self::in_place() }
    }

    /// Restore where the entries came from.
    pub fn in_place() -> Self {
        Self { directory: None, owners: OwnerPolicy::IfPrivileged, privileged: true, kept: Vec::new() }
    }
}

/// Whether owners are restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OwnerPolicy {
    /// By number when the process may change owners, not at all otherwise.
    #[default]
    IfPrivileged,
    /// By number; failing is a problem of the entry.
    Always,
    /// Never.
    Never,
}

/// A place that takes entries back.
///
/// The engine calls it in canonical order for everything but file content: a directory before what is in it, hard links
/// after the file they share, and [`RestoreTarget::finish_directory`] once nothing more comes below it. Content is
/// written through [`EntryWriter`]s from several threads at once. Paths come from a repository that may be hostile: an
/// implementation must never follow a symbolic link or leave its root.
pub trait RestoreTarget: Send + Sync {
    /// What is at a path now, without following a link.
    ///
    /// # Errors
    /// An [`EntryError`] when it can't be examined or lies outside the target.
    fn inspect(&self, path: &EntryPath) -> Result<Option<Entry>, EntryError>;

    /// Makes sure a directory is there; an existing one is kept with what is in it. Returns whether it is new.
    ///
    /// # Errors
    /// An [`EntryError`] when it can't be made or something else is in its place.
    fn create_directory(&self, entry: &Entry) -> Result<bool, EntryError>;

    /// Begins a regular file that will replace whatever stands at the path, all at once, when it is committed.
    ///
    /// # Errors
    /// An [`EntryError`] when it can't be begun.
    fn create_file(&self, entry: &Entry) -> Result<Box<dyn EntryWriter>, EntryError>;

    /// Makes a link, pipe, socket or device, replacing whatever stands at the path.
    ///
    /// # Errors
    /// An [`EntryError`] when it can't be made.
    fn create_special(&self, entry: &Entry) -> Result<(), EntryError>;

    /// Gives a file that was restored before a second name, replacing whatever stands there.
    ///
    /// # Errors
    /// An [`EntryError`] when it can't be linked.
    fn create_hard_link(&self, entry: &Entry, existing: &EntryPath) -> Result<(), EntryError>;

    /// Opens a file that is there now for reading, to take over what it has in common with the backup.
    ///
    /// # Errors
    /// An [`EntryError`] when it can't be opened.
    fn open_existing(&self, path: &EntryPath) -> Result<Box<dyn ReadAt>, EntryError>;

    /// Sets the metadata of something that is there with the right content.
    ///
    /// # Errors
    /// An [`EntryError`] for what could not be set.
    fn set_metadata(&self, entry: &Entry) -> Result<(), EntryError>;

    /// Sets a directory's metadata once everything below it is done.
    ///
    /// # Errors
    /// An [`EntryError`] for what could not be set.
    fn finish_directory(&self, entry: &Entry) -> Result<(), EntryError>;

    /// Removes what stands at a path, with everything below it; used for entries that the backup doesn't have, and
    /// only when asked for.
    ///
    /// # Errors
    /// An [`EntryError`] when it can't be removed, or is kept.
    fn remove(&self, path: &EntryPath) -> Result<(), EntryError>;

    /// The names in a directory of the target that are none of `keep`, sorted; without those that [`TargetOptions::kept`] keeps.
    ///
    /// What is named here is removed next. So a target that takes several spellings for one name (in case, in normalization)
    /// compares them as it does itself: a name under which one of `keep` can be reached is not among them.
    ///
    /// # Errors
    /// An [`EntryError`] when it can't be listed, or when it can't be told which name is one of `keep`.
    fn extra_names(&self, directory: &EntryPath, keep: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, EntryError>;

    /// Makes everything durable.
    ///
    /// # Errors
    /// A [`SourceError`] when the system can't promise it.
    fn finish(&self) -> Result<(), SourceError>;
}

/// A file that is being restored; not visible under its name before [`EntryWriter::commit`].
///
/// Dropping it without a commit removes what was written.
pub trait EntryWriter: Send + Sync {
    /// Writes bytes at an offset; called from several threads at once, for stretches that don't overlap.
    ///
    /// # Errors
    /// Whatever the system says.
    fn write_at(&self, offset_bytes: u64, bytes: &[u8]) -> io::Result<()>;

    /// Sets size and metadata and puts the file in its place.
    ///
    /// # Errors
    /// An [`EntryError`] for what could not be done; the old file is then still there, or the new one is whole.
    fn commit(self: Box<Self>, entry: &Entry) -> Result<(), EntryError>;
}

/// Reading at any offset.
pub trait ReadAt: Send + Sync {
    /// Reads at an offset; fewer bytes than asked for only at the end.
    ///
    /// # Errors
    /// Whatever the system says.
    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<usize>;
}

/// What could not be done with one entry. It never stops a run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{action} `{path}`: {cause}")]
pub struct EntryError {
    /// Which entry.
    pub path: EntryPath,
    /// What was tried, as a verb phrase: `cannot read`.
    pub action: &'static str,
    /// The kind of the cause.
    pub kind: io::ErrorKind,
    /// The cause in words.
    pub cause: String,
}

impl EntryError {
    /// An error from what the system said.
    pub fn io(path: &EntryPath, action: &'static str, error: &io::Error) -> Self {
        Self { path: path.clone(), action, kind: error.kind(), cause: error.to_string() }
    }

    /// An error from our own words.
    pub fn other(path: &EntryPath, action: &'static str, cause: impl Into<String>) -> Self {
        Self { path: path.clone(), action, kind: io::ErrorKind::Other, cause: cause.into() }
    }
}

/// Why a whole source can't be captured or restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// Something named in the configuration isn't there.
    #[error("`{0}` does not exist")]
    NotFound(String),
    /// The target can't take entries.
    #[error("`{path}` can't be restored into: {reason}")]
    BadTarget {
        /// The target.
        path: String,
        /// Why.
        reason: String,
    },
    /// The configuration is wrong.
    #[error("wrong source configuration: {0}")]
    Config(String),
    /// This source can't do that.
    #[error("{0} is not supported by this source")]
    Unsupported(&'static str),
    /// The caller stopped it.
    #[error("cancelled")]
    Cancelled,
    /// The system refused.
    #[error("cannot {action} `{path}`")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: String,
        /// What the system said.
        source: io::Error,
    },
}
