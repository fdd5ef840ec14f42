//! The files as they are from the beginning of a capture on.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use backup_core::{
    CancelToken, Entry, EntryError, EntryKind, EntryPath, EntryReader, SourceContext, SourceError, SourceView,
};
use rustix::fs::{AtFlags, Mode, OFlags, fstat, openat, readlinkat, statat};
use rustix::io::Errno;

use super::accounts::Accounts;
use super::beneath::{Beneath, open_child};
use super::dir_cache::{DirCache, READABLE, split};
use super::privilege::Privilege;
use super::reader::FileReader;
use super::roots::{self, Roots};
use super::walk::Walk;
use super::xattrs::Bearer;
use super::{extents, stat, system};
use crate::options::FilesOptions;
use crate::racy::Recency;
use crate::selection::Selection;

/// Opens what should be a regular file: should it be a pipe by now, opening must not wait for a writer.
const READ_FILE: OFlags = OFlags::NONBLOCK.union(OFlags::NOCTTY).union(OFlags::NOFOLLOW);

/// A view of some files. Files are not frozen: each is captured in one state, different files in different ones.
#[derive(Debug)]
pub(super) struct FilesView {
    pub(super) options: FilesOptions,
    pub(super) selections: Arc<[Selection]>,
    pub(super) roots: Roots,
    pub(super) left_out: HashSet<Vec<u8>>,
    pub(super) accounts: Accounts,
    pub(super) recency: Recency,
    pub(super) privilege: Privilege,
    pub(super) cancel: CancelToken,
    dirs: DirCache,
    /// Why the listing is not whole.
    failure: Mutex<Option<SourceError>>,
}

impl FilesView {
    pub(super) fn begin(
        options: &FilesOptions,
        selections: &Arc<[Selection]>,
        context: &SourceContext<'_>,
    ) -> Result<Self, SourceError> {
        if context.cancel.is_cancelled() {
            return Err(SourceError::Cancelled);
        }
        let top = openat(rustix::fs::CWD, c"/", READABLE | OFlags::CLOEXEC, Mode::empty())
            .or_else(|_| openat(rustix::fs::CWD, c"/", system::PASS_THROUGH | OFlags::CLOEXEC, Mode::empty()))
            .map_err(|error| SourceError::Io { action: "open", path: "/".to_owned(), source: error.into() })?;
        let view = Self {
            options: options.clone(),
            selections: Arc::clone(selections),
            roots: Roots::resolve(selections),
            left_out: roots::left_out(context.left_out),
            accounts: Accounts::read(),
            recency: Recency::at(context.clock.now()),
            privilege: Privilege::of_this_process(),
            cancel: context.cancel.clone(),
            dirs: DirCache::new(Beneath::new(top), system::PASS_THROUGH),
            failure: Mutex::default(),
        };
        view.refuse_nothing()?;
        Ok(view)
    }

    pub(super) fn beneath(&self) -> &Beneath {
        self.dirs.beneath()
    }

    /// Notes why the listing ended early, for when the view is finished.
    pub(super) fn give_up(&self, error: SourceError) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    /// An error when no root can be looked at; as long as one can, the others are reported as entries.
    fn refuse_nothing(&self) -> Result<(), SourceError> {
        if self.roots.everything().is_some() {
            return Ok(());
        }
        let mut first: Option<(&EntryPath, io::Error)> = None;
        for path in self.roots.paths() {
            match self.stat(path) {
                Ok(_) => return Ok(()),
                Err(error) if first.as_ref().is_none_or(|(_, first)| first.kind() == io::ErrorKind::NotFound) => {
                    first = Some((path, error));
                }
                Err(_) => {}
            }
        }
        match first {
            Some((path, error)) if error.kind() != io::ErrorKind::NotFound => {
                Err(SourceError::Io { action: "look at", path: format!("/{path}"), source: error })
            }
            _ => {
                let names: Vec<String> = self.roots.paths().iter().map(|path| format!("/{path}")).collect();
                Err(SourceError::NotFound(names.join("`, `")))
            }
        }
    }

    fn stat(&self, path: &EntryPath) -> io::Result<rustix::fs::Stat> {
        let dir = self.dirs.parent_of(path)?;
        Ok(statat(&dir, split(path.as_bytes()).1, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    fn open_file(&self, entry: &Entry) -> io::Result<OwnedFd> {
        let open = |flags| self.beneath().open(entry.path.as_bytes(), flags);
        if self.privilege.may_skip_access_time(entry.uid) {
            match open(READ_FILE | system::NO_ACCESS_TIME) {
                Err(error) if error.raw_os_error() == Some(Errno::PERM.raw_os_error()) => {}
                other => return other,
            }
        }
        open(READ_FILE)
    }

    fn xattrs_of(&self, entry: &Entry) -> io::Result<Vec<backup_core::Xattr>> {
        let (dir, name) = (self.dirs.parent_of(&entry.path)?, split(entry.path.as_bytes()).1);
        match system::path_of(dir.as_fd(), Some(name)) {
            Ok(path) => Bearer::At(path).all(),
            Err(_) if entry.kind == EntryKind::Directory => {
                Bearer::Open(open_child(dir.as_fd(), name, READABLE)?.as_fd()).all()
            }
            // Only directories and files can be asked where descriptors have no path.
            Err(_) => Ok(Vec::new()),
        }
    }
}

impl SourceView for FilesView {
    fn entries(&self) -> Box<dyn Iterator<Item = Result<Entry, EntryError>> + Send + '_> {
        match Walk::begin(self) {
            Ok(walk) => Box::new(walk),
            Err(error) => {
                self.give_up(SourceError::Io { action: "list", path: "/".to_owned(), source: error });
                Box::new(std::iter::empty())
            }
        }
    }

    fn open(&self, entry: &mut Entry) -> Result<Box<dyn EntryReader>, EntryError> {
        let path = entry.path.clone();
        let failed = |action| move |error: io::Error| EntryError::io(&path, action, &error);
        let file = self.open_file(entry).map_err(failed.clone()("cannot open"))?;
        let stat = fstat(&file).map_err(io::Error::from).map_err(failed.clone()("cannot read"))?;
        // What was opened counts: it may be another file than the one that was listed.
        stat::fill(entry, &stat, &self.accounts, Some(self.recency)).map_err(failed.clone()("cannot read"))?;
        if entry.kind != EntryKind::File {
            return Err(EntryError::other(&entry.path, "cannot read", "it is no regular file any more"));
        }
        let xattrs = Bearer::Open(file.as_fd()).all();
        entry.xattrs = xattrs.map_err(failed.clone()("cannot read extended attributes of"))?;
        entry.extents = if stat::may_have_holes(&stat) {
            extents::of(file.as_fd(), entry.size_bytes).map_err(failed("cannot find the holes of"))?
        } else {
            None
        };
        let (opened, extents) = (stat::identity(&stat), entry.extents.as_deref());
        Ok(Box::new(FileReader::new(file, opened, entry.size_bytes, extents)))
    }

    fn load(&self, entry: &mut Entry) -> Result<(), EntryError> {
        if entry.kind == EntryKind::Symlink {
            let target = self
                .dirs
                .parent_of(&entry.path)
                .and_then(|dir| Ok(readlinkat(&dir, split(entry.path.as_bytes()).1, Vec::new())?.into_bytes()));
            entry.link_target = target.map_err(|error| EntryError::io(&entry.path, "cannot read the link", &error))?;
        }
        entry.xattrs = self
            .xattrs_of(entry)
            .map_err(|error| EntryError::io(&entry.path, "cannot read extended attributes of", &error))?;
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), SourceError> {
        match self.failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            None => Ok(()),
            Some(error) => Err(error),
        }
    }
}
