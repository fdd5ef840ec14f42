//! A directory that takes entries back.
//!
//! Every path is reached from the target's own descriptor without following a link. New content has no name until it is
//! whole, or, where files must have one or another file is replaced, a temporary name; it takes its place by one call.

mod eased;
mod extra;
mod kept;
mod metadata;
mod remove;
mod special;
mod temp;
mod unnamed;
mod writer;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use backup_core::{
    Entry, EntryError, EntryKind, EntryPath, EntryWriter, OwnerPolicy, ReadAt, RestoreTarget, SourceError,
    TargetOptions,
};
use rustix::fs::{AtFlags, Mode, OFlags, Stat, fstat, mkdirat, openat, readlinkat, statat};
use rustix::io::Errno;

use self::eased::Eased;
use self::kept::Kept;
use self::metadata::{Current, Place, Policy};
use self::temp::TempNames;
pub(super) use self::unnamed::Naming;
use self::unnamed::Unnamed;
use self::writer::FileWriter;
use super::accounts::Accounts;
use super::beneath::{Beneath, open_child};
use super::dir_cache::{Dir, DirCache, READABLE, split};
use super::listing::Names;
use super::privilege::Privilege;
use super::reader::ExistingFile;
use super::stat;
use super::system::{self, ListBuffer};

/// How many file systems a target remembers for being made durable one by one; with more, everything is.
const MAX_FILE_SYSTEMS: usize = 64;

/// Restores below a directory.
#[derive(Debug)]
pub(super) struct FilesTarget {
    dirs: DirCache,
    policy: Policy,
    temps: TempNames,
    unnamed: Unnamed,
    nobody: Accounts,
    kept: Kept,
    eased: Eased,
    /// A directory on each file system that was met, by device.
    file_systems: Mutex<BTreeMap<u64, Vec<u8>>>,
}

impl FilesTarget {
    /// Opens the directory, made with all that leads to it when it isn't there.
    pub(super) fn open(options: &TargetOptions) -> Result<Self, SourceError> {
        let path = options.directory.as_deref().unwrap_or(Path::new("/"));
        let root = open_root(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                SourceError::BadTarget { path: path.display().to_string(), reason: "it is no directory".to_owned() }
            }
            _ => SourceError::Io { action: "open", path: path.display().to_string(), source: error },
        })?;
        let privilege = Privilege::of_this_process();
        let owners = match options.owners {
            OwnerPolicy::IfPrivileged => privilege.may_change_owner,
            OwnerPolicy::Always => true,
            OwnerPolicy::Never => false,
        };
        let policy = Policy { owners, privileged_bits: options.privileged, privilege, mask: system::creation_mask() };
        Ok(Self {
            dirs: DirCache::new(Beneath::new(root), READABLE),
            policy,
            temps: TempNames::new(),
            unnamed: Unnamed::default(),
            nobody: Accounts::default(),
            kept: Kept::below(path, &options.kept),
            eased: Eased::default(),
            file_systems: Mutex::default(),
        })
    }

    /// Does something in the directory an entry is in; once more when that directory turns out to be gone.
    fn in_directory_of<T>(&self, path: &EntryPath, act: impl Fn(&Arc<Dir>, &[u8]) -> io::Result<T>) -> io::Result<T> {
        let (parent, name) = split(path.as_bytes());
        match act(&self.dirs.get(parent)?, name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.dirs.forget(parent);
                act(&self.dirs.get(parent)?, name)
            }
            other => other,
        }
    }

    /// What stands at a path, and the directory it is in.
    fn find(&self, path: &EntryPath) -> io::Result<(Arc<Dir>, Stat)> {
        let dir = self.dirs.parent_of(path)?;
        let stat = statat(&dir, split(path.as_bytes()).1, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok((dir, stat))
    }

    fn make_directory(&self, path: &EntryPath) -> io::Result<bool> {
        let made = self.in_directory_of(path, |dir, name| match mkdirat(dir, name, Mode::RWXU) {
            Err(Errno::EXIST) => Ok(false),
            other => Ok(other.map(|()| true)?),
        })?;
        if !made {
            let (dir, stat) = self.find(path)?;
            if !stat::is_directory(&stat) {
                return Err(io::ErrorKind::NotADirectory.into());
            }
            self.make_usable(&dir, path, &stat)?;
            self.remember_file_system(&stat, path);
            temp::sweep(self.dirs.get(path.as_bytes())?.as_fd())?;
        }
        Ok(made)
    }

    /// Lets its owner write into a directory; its own bits come back when it is finished, or in the end.
    fn make_usable(&self, dir: &Dir, path: &EntryPath, stat: &Stat) -> io::Result<()> {
        const USABLE: u32 = 0o700;
        let bound = !self.policy.privilege.passes_permissions && stat::owner(stat).0 == self.policy.privilege.uid;
        if bound && stat::mode(stat) & USABLE != USABLE {
            let name = split(path.as_bytes()).1;
            system::set_mode(dir.as_fd(), name, stat::mode_of(stat::mode(stat) | USABLE))?;
            self.eased.remember(path.as_bytes(), stat::mode(stat));
        }
        Ok(())
    }

    fn begin_file(&self, dir: &Arc<Dir>, entry: &Entry) -> io::Result<FileWriter> {
        let naming = self.unnamed.naming(dir.as_fd(), &self.temps, &self.policy);
        FileWriter::begin(dir, entry, naming, &self.temps, self.policy)
    }

    fn remember_file_system(&self, stat: &Stat, path: &EntryPath) {
        let mut known = self.file_systems.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() <= MAX_FILE_SYSTEMS {
            known.entry(stat::device(stat)).or_insert_with(|| path.as_bytes().to_vec());
        }
    }

    fn list_extra(&self, directory: &EntryPath, keep: &[Vec<u8>]) -> io::Result<Vec<Vec<u8>>> {
        // A descriptor of its own, since the position in a listing belongs to the descriptor.
        let opened = self.dirs.beneath().open(directory.as_bytes(), READABLE)?;
        let names = Names::list(opened.as_fd(), &mut ListBuffer::new())?;
        let stand = |name: &[u8]| match statat(&opened, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some((stat::device(&stat), stat::inode(&stat)))),
            // A name that the file system can't have stands there no more than one that is missing.
            Err(Errno::NOENT | Errno::NAMETOOLONG | Errno::ILSEQ | Errno::INVAL) => Ok(None),
            Err(errno) => Err(errno.into()),
        };
        let is_kept = |name: &[u8]| self.kept.has(&[directory.as_bytes(), name].join(&b'/'));
        // What is neither to be removed nor asked for takes no part.
        let is_wanted = |name: &[u8]| keep.iter().any(|keep| keep == name);
        let listed = names.iter().map(|(name, _)| name);
        let listed = listed.filter(|name| !temp::is_temp(name) && (!is_kept(name) || is_wanted(name)));
        extra::beyond(listed.collect(), keep, stand)
    }

    fn describe(&self, path: &EntryPath, dir: &Dir, stat: &Stat) -> io::Result<Entry> {
        let mut entry = stat::entry(path.clone(), stat, &self.nobody, None)?;
        if entry.kind == EntryKind::Symlink {
            entry.link_target = readlinkat(dir, split(path.as_bytes()).1, Vec::new())?.into_bytes();
        }
        Ok(entry)
    }

    fn finish_one(&self, path: &EntryPath, entry: &Entry) -> Result<(), EntryError> {
        const ACTION: &str = "cannot finish the directory";
        let failed = |error: io::Error| refused(path, ACTION, &error);
        let dir = self.dirs.get(path.as_bytes()).map_err(failed)?;
        let stat = fstat(&*dir).map_err(|errno| failed(errno.into()))?;
        let outer;
        let place = if dir.is_readable() {
            Place::Open(dir.as_fd())
        } else {
            outer = self.dirs.parent_of(path).map_err(failed)?;
            Place::Named(outer.as_fd(), split(path.as_bytes()).1)
        };
        let result = metadata::apply(&place, entry, &Current::from_stat(&stat), &self.policy);
        self.eased.forget(path.as_bytes());
        self.dirs.forget(path.as_bytes());
        result
    }
}

impl Drop for FilesTarget {
    /// For a restore that ended early.
    fn drop(&mut self) {
        if let Err((path, error)) = self.eased.put_back(&self.dirs) {
            tracing::warn!(path = %String::from_utf8_lossy(&path), %error, "a directory keeps permissions that it was given for the restore");
        }
    }
}

impl RestoreTarget for FilesTarget {
    /// Extended attributes are not looked at.
    fn inspect(&self, path: &EntryPath) -> Result<Option<Entry>, EntryError> {
        match self.find(path).and_then(|(dir, stat)| self.describe(path, &dir, &stat)) {
            Ok(entry) => Ok(Some(entry)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(refused(path, "cannot look at", &error)),
        }
    }

    /// What a killed restore left in an existing directory under temporary names is removed.
    fn create_directory(&self, entry: &Entry) -> Result<bool, EntryError> {
        self.make_directory(&entry.path).map_err(|error| refused(&entry.path, "cannot make the directory", &error))
    }

    fn create_file(&self, entry: &Entry) -> Result<Box<dyn EntryWriter>, EntryError> {
        match self.in_directory_of(&entry.path, |dir, _| self.begin_file(dir, entry)) {
            Ok(writer) => Ok(Box::new(writer)),
            Err(error) => Err(refused(&entry.path, "cannot create", &error)),
        }
    }

    fn create_special(&self, entry: &Entry) -> Result<(), EntryError> {
        self.make_special(entry)
    }

    fn create_hard_link(&self, entry: &Entry, existing: &EntryPath) -> Result<(), EntryError> {
        self.link(entry, existing).map_err(|error| refused(&entry.path, "cannot create the hard link", &error))
    }

    fn open_existing(&self, path: &EntryPath) -> Result<Box<dyn ReadAt>, EntryError> {
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
        let opened = self.dirs.parent_of(path).and_then(|dir| {
            let file = open_child(dir.as_fd(), split(path.as_bytes()).1, flags)?;
            match stat::kind(&fstat(&file)?) {
                Some(EntryKind::File) => Ok(file),
                _ => Err(io::Error::other("it is no regular file")),
            }
        });
        match opened {
            Ok(file) => Ok(Box::new(ExistingFile(file))),
            Err(error) => Err(refused(path, "cannot open", &error)),
        }
    }

    fn set_metadata(&self, entry: &Entry) -> Result<(), EntryError> {
        let (dir, stat) = self.find(&entry.path).map_err(|error| refused(&entry.path, metadata::ACTION, &error))?;
        if stat::kind(&stat) != Some(entry.kind) {
            return Err(EntryError::other(&entry.path, metadata::ACTION, "something of another kind stands there"));
        }
        let place = Place::Named(dir.as_fd(), split(entry.path.as_bytes()).1);
        metadata::apply(&place, entry, &Current::from_stat(&stat), &self.policy)
    }

    fn finish_directory(&self, entry: &Entry) -> Result<(), EntryError> {
        self.finish_one(&entry.path, entry)
    }

    /// Nothing at the path is fine.
    fn remove(&self, path: &EntryPath) -> Result<(), EntryError> {
        if self.kept.has(path.as_bytes()) {
            return Err(EntryError::other(
                path,
                "cannot remove",
                "what is never removed lies there, such as the repository",
            ));
        }
        self.dirs.forget(path.as_bytes());
        remove::all(self.dirs.beneath(), path).map_err(|(path, error)| refused(&path, "cannot remove", &error))
    }

    /// Temporary names of restores are not among them.
    fn extra_names(&self, directory: &EntryPath, keep: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, EntryError> {
        self.list_extra(directory, keep).map_err(|error| refused(directory, "cannot list", &error))
    }

    /// One call for each file system that was restored into; it waits for everything that is still to be written there.
    fn finish(&self) -> Result<(), SourceError> {
        self.eased.put_back(&self.dirs).map_err(|(path, source)| SourceError::Io {
            action: "put back the permissions of",
            path: String::from_utf8_lossy(&path).into_owned(),
            source,
        })?;
        let failed =
            |error: io::Error| SourceError::Io { action: "sync", path: "the target".to_owned(), source: error };
        let sync = |path: &[u8]| {
            let opened = self.dirs.beneath().open(path, READABLE)?;
            Ok(system::sync_file_system(opened.as_fd())?)
        };
        sync(b"").map_err(failed)?;
        let known = std::mem::take(&mut *self.file_systems.lock().unwrap_or_else(PoisonError::into_inner));
        let top = fstat(self.dirs.beneath().root()).map_err(|errno| failed(errno.into()))?;
        if known.len() > MAX_FILE_SYSTEMS {
            rustix::fs::sync();
            return Ok(());
        }
        for path in known.iter().filter(|&(&device, _)| device != stat::device(&top)).map(|(_, path)| path) {
            sync(path).map_err(failed)?;
        }
        Ok(())
    }
}

fn open_root(path: &Path) -> io::Result<std::os::fd::OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = || openat(rustix::fs::CWD, path.as_os_str().as_bytes(), flags, Mode::empty());
    match open() {
        Err(Errno::NOENT) => {
            std::fs::create_dir_all(path)?;
            Ok(open()?)
        }
        other => Ok(other?),
    }
}

/// An error of an entry, with words for what a person can't know from the system's.
fn refused(path: &EntryPath, action: &'static str, error: &io::Error) -> EntryError {
    let cause = match error.kind() {
        io::ErrorKind::NotADirectory => {
            "something that is no directory stands in the way; links are not followed".into()
        }
        io::ErrorKind::IsADirectory => "a directory stands in its place".into(),
        _ if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
            "a symbolic link stands in the way and is not followed".into()
        }
        _ => error.to_string(),
    };
    EntryError { path: path.clone(), action, kind: error.kind(), cause }
}
