//! Directories that were used a moment ago, kept open.
//!
//! Work goes through a tree in order, so nearly every call is for a directory that is open already, and nearly every new
//! one lies in it and is reached by a single name. A directory that is kept is the one that was reached without links
//! when it was opened; forgetting is up to whoever removes or replaces one.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use backup_core::EntryPath;
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::beneath::{Beneath, open_child};
use super::system;

/// How many directories are kept: more than threads that work at a time, few enough for a limit of 64 descriptors.
const KEPT: usize = 16;

/// Opens a directory to list it or to change its metadata.
pub(super) const READABLE: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW);

/// An open directory.
#[derive(Debug)]
pub(super) struct Dir {
    descriptor: OwnedFd,
    readable: bool,
    /// What new files in it are like, once there was one.
    heritage: OnceLock<Heritage>,
}

/// What a file is like that was just made in a directory.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Heritage {
    /// Whom it belongs to.
    pub(super) owner: Option<(u32, u32)>,
    /// Whether it has the permission bits that were asked for, less those the process masks.
    pub(super) modes_hold: bool,
    /// Whether it has extended attributes already, such as an access control list.
    pub(super) xattrs: bool,
}

impl Dir {
    /// Whether it was opened for reading and not only to go on from it.
    pub(super) fn is_readable(&self) -> bool {
        self.readable
    }

    /// What new files in it are like; found out from the first.
    pub(super) fn heritage(&self, look: impl FnOnce() -> Heritage) -> Heritage {
        *self.heritage.get_or_init(look)
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// A directory with its path.
type Kept = (Box<[u8]>, Arc<Dir>);

/// Open directories below a root, the last used first.
#[derive(Debug)]
pub(super) struct DirCache {
    beneath: Beneath,
    flags: OFlags,
    recent: Mutex<Vec<Kept>>,
}

impl DirCache {
    /// Directories that are opened with these flags, or only to go on from them where that isn't allowed.
    pub(super) fn new(beneath: Beneath, flags: OFlags) -> Self {
        Self { beneath, flags, recent: Mutex::default() }
    }

    pub(super) fn beneath(&self) -> &Beneath {
        &self.beneath
    }

    /// The directory an entry is in.
    pub(super) fn parent_of(&self, path: &EntryPath) -> io::Result<Arc<Dir>> {
        self.get(split(path.as_bytes()).0)
    }

    /// A directory; the empty path is the root.
    pub(super) fn get(&self, path: &[u8]) -> io::Result<Arc<Dir>> {
        if let Some(dir) = self.lookup(path) {
            return Ok(dir);
        }
        let (parent, name) = split(path);
        let open = |flags: OFlags| match (path.is_empty(), self.lookup(parent)) {
            (false, Some(parent)) => Ok(open_child(parent.as_fd(), name, flags)?),
            _ => self.beneath.open(path, flags),
        };
        let (descriptor, readable) = match open(self.flags) {
            Err(error) if error.raw_os_error() == Some(Errno::ACCESS.raw_os_error()) => {
                (open(system::PASS_THROUGH)?, false)
            }
            other => (other?, self.flags == READABLE),
        };
        let dir = Arc::new(Dir { descriptor, readable, heritage: OnceLock::new() });
        let mut recent = self.recent();
        recent.insert(0, (path.into(), Arc::clone(&dir)));
        recent.truncate(KEPT);
        Ok(dir)
    }

    /// Forgets a directory and all below it.
    pub(super) fn forget(&self, path: &[u8]) {
        let below = |kept: &[u8]| match kept.strip_prefix(path) {
            Some(rest) => rest.first().is_none_or(|&byte| byte == b'/'),
            None => false,
        };
        self.recent().retain(|(kept, _)| !below(kept));
    }

    fn lookup(&self, path: &[u8]) -> Option<Arc<Dir>> {
        let mut recent = self.recent();
        // The ends differ first: what is kept are neighbours in a tree.
        let index =
            recent.iter().position(|(kept, _)| kept.len() == path.len() && kept.iter().rev().eq(path.iter().rev()))?;
        if let Some(before) = recent.get_mut(..=index) {
            before.rotate_right(1);
        }
        recent.first().map(|(_, dir)| Arc::clone(dir))
    }

    fn recent(&self) -> std::sync::MutexGuard<'_, Vec<Kept>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The directory and the last name of a path.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&[], path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(dir: &std::path::Path) -> DirCache {
        DirCache::new(Beneath::new(std::fs::File::open(dir).unwrap().into()), READABLE)
    }

    #[test]
    fn directory_is_kept_open_and_the_number_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        for index in 0..KEPT + 5 {
            std::fs::create_dir(dir.path().join(format!("d{index}"))).unwrap();
        }
        let cache = cache(dir.path());
        let first = cache.get(b"d0").unwrap();
        assert!(Arc::ptr_eq(&first, &cache.get(b"d0").unwrap()));
        for index in 1..KEPT + 5 {
            cache.get(format!("d{index}").as_bytes()).unwrap();
        }
        assert_eq!(cache.recent().len(), KEPT);
        assert!(!Arc::ptr_eq(&first, &cache.get(b"d0").unwrap()));
    }

    #[test]
    fn forgetting_reaches_down_but_not_sideways() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        std::fs::create_dir_all(dir.path().join("ab")).unwrap();
        let cache = cache(dir.path());
        for path in [&b""[..], b"a", b"a/b", b"ab"] {
            cache.get(path).unwrap();
        }
        cache.forget(b"a");
        let mut left: Vec<Vec<u8>> = cache.recent().iter().map(|(path, _)| path.to_vec()).collect();
        left.sort();
        assert_eq!(left, [b"".to_vec(), b"ab".to_vec()]);
    }
}
