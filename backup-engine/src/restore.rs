//! Bringing a snapshot's entries back.
//!
//! One thread walks the tree, makes directories, decides about conflicts and plans windows of files; workers fetch each
//! block that a window needs once, verify every blob and write it to all files that want it. A file appears under its
//! name only when it is whole. What is damaged costs the files that need it, each named in the report; the rest is restored.

mod decide;
mod outcome;
mod plan;
mod run;
mod write;

use std::sync::Arc;
use std::time::Duration;

use backup_core::{
    CancelToken, ConflictResolver, EntryError, EntryKind, EntryPath, Monitor, Resolution, RestoreTarget, SourceError,
};

use crate::error::RepositoryError;
use crate::repository::Repository;
use crate::snapshots::Snapshot;

/// Decides about single entries: the path in the snapshot and its kind.
pub type EntryMatcher = Arc<dyn Fn(&EntryPath, EntryKind) -> bool + Send + Sync>;

/// What part of a snapshot is meant.
#[derive(Clone, Default)]
pub struct Selection {
    /// Entries, each with everything below it; none means everything.
    pub include: Vec<EntryPath>,
    /// Of those, only what this accepts; directories are made where something below them is accepted.
    pub matcher: Option<EntryMatcher>,
}

impl std::fmt::Debug for Selection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Selection").field("include", &self.include).field("matcher", &self.matcher.is_some()).finish()
    }
}

/// How a snapshot is to be restored.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RestoreOptions {
    /// What part of it.
    pub selection: Selection,
    /// Leading components taken off every path; entries that have no more than these are left out.
    pub strip: usize,
    /// Whether only a report is made.
    pub dry_run: bool,
    /// Whether entries of restored directories that the snapshot doesn't have are removed.
    ///
    /// Only in directories of which the snapshot has everything that was in them: not in those that lead to what is restored, not
    /// where something was excluded, and with `strip` only where one folder is selected that nothing else can be merged with.
    pub delete_extra: bool,
    /// Whether the content of existing files of the right size and time is compared too.
    pub verify_existing: bool,
    /// Whether damage that is met is recorded, so that the next `create` stores again what is lost of it.
    pub record: bool,
    /// Threads that decode and write.
    pub workers: usize,
}

impl RestoreOptions {
    /// Whether all that is restored has the same leading components taken off.
    fn has_one_place(&self) -> bool {
        let stripped =
            |path: &EntryPath| -> Vec<Vec<u8>> { path.components().take(self.strip).map(<[u8]>::to_vec).collect() };
        let mut places = self.selection.include.iter().map(stripped);
        self.strip == 0
            || places.next().is_some_and(|first| first.len() == self.strip && places.all(|place| place == first))
    }
}

impl Default for RestoreOptions {
    /// Everything, as many workers as processors, damage recorded.
    fn default() -> Self {
        Self {
            selection: Selection::default(),
            strip: 0,
            dry_run: false,
            delete_extra: false,
            verify_existing: false,
            record: true,
            workers: std::thread::available_parallelism().map_or(2, usize::from),
        }
    }
}

/// A conflict and how it was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConflictOutcome {
    /// Where.
    pub path: EntryPath,
    /// What was decided.
    pub resolution: Resolution,
    /// Where the backup's entry goes if both are kept: the first name that was free.
    pub beside: Option<EntryPath>,
}

/// What was restored.
#[derive(Debug, Clone, Default)]
pub struct RestoreReport {
    /// Regular files written.
    pub restored_files: u64,
    /// Directories, links and special files made or updated.
    pub restored_others: u64,
    /// Files that were there already as the snapshot has them.
    pub unchanged: u64,
    /// Entries left as they were because a conflict was resolved so.
    pub skipped: u64,
    /// Entries restored beside a local one.
    pub kept_both: u64,
    /// Entries removed because the snapshot doesn't have them, or that would be.
    pub deleted: u64,
    /// Which: the topmost of each; at most [`MAX_LISTED`] of them.
    pub deletions: Vec<EntryPath>,
    /// Bytes of content written.
    pub restored_bytes: u64,
    /// Bytes read from the store.
    pub read_bytes: u64,
    /// Conflicts, in path order; at most [`MAX_LISTED`] of them.
    pub conflicts: Vec<ConflictOutcome>,
    /// What could not be restored, in no particular order; at most [`MAX_LISTED`] of them.
    pub problems: Vec<EntryError>,
    /// How many there were.
    pub problem_count: u64,
    /// Files among them whose content is damaged or missing in the repository.
    pub damaged_files: u64,
    /// Why damage that was met could not be recorded, if it could not.
    pub unrecorded: Option<String>,
    /// How long it took.
    pub duration: Duration,
}

/// How many conflicts and problems a report lists; the counts go on.
pub const MAX_LISTED: usize = 10_000;

/// Why a restore did not end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The target can't take entries.
    #[error(transparent)]
    Target(#[from] SourceError),
    /// The repository could not be read.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// What the snapshot lacks can't be removed: it lacks things that could not be read.
    #[error("the snapshot lacks {0} entries that could not be read, so what it doesn't have may still be wanted")]
    Incomplete(u64),
    /// Directories that `strip` may make one of can't be told apart from extra entries.
    #[error(
        "several folders may become one without their leading folders, and each would remove what is of the others"
    )]
    SeveralPlaces,
    /// Something that was asked for is not in the snapshot.
    #[error("`{0}` is not in the snapshot")]
    NotInSnapshot(EntryPath),
    /// The caller stopped it; every file is as it was or whole.
    #[error("interrupted")]
    Cancelled,
}

impl Repository {
    /// Restores a snapshot, or a part of it, into a target.
    ///
    /// Every blob is verified against its id before it is written. Entries that can't be restored are in the report and don't fail the
    /// run. Blocks are fetched once for each window of some thousand files. The repository is not changed, but for a record of damage that
    /// was met and not known. Dropping the future cancels.
    ///
    /// # Errors
    /// [`RestoreError`]. Files are whole or untouched whenever it ends.
    pub async fn restore(
        &self,
        snapshot: &Snapshot,
        target: Arc<dyn RestoreTarget>,
        resolver: Arc<dyn ConflictResolver>,
        options: RestoreOptions,
        monitor: Arc<dyn Monitor>,
        cancel: CancelToken,
    ) -> Result<RestoreReport, RestoreError> {
        let on_drop = crate::background::CancelOnDrop::new(&cancel);
        let repository = self.clone();
        if options.delete_extra && snapshot.record.problems > 0 {
            return Err(RestoreError::Incomplete(snapshot.record.problems));
        }
        if options.delete_extra && !options.has_one_place() {
            return Err(RestoreError::SeveralPlaces);
        }
        let root = snapshot.record.tree;
        let handle = tokio::runtime::Handle::current();
        let run = tokio::task::spawn_blocking(move || {
            run::run(&repository, &handle, &root, &*target, &*resolver, &options, &*monitor, &cancel)
        });
        let result = run.await.map_err(|_| RepositoryError::WorkerDied)?;
        on_drop.disarm();
        result
    }
}
