//! Directories that let their owner write for as long as a restore lasts.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};

use crate::unix::dir_cache::{DirCache, split};
use crate::unix::{stat, system};

/// The permission bits that existing directories had and that nothing else brings back: those of directories that the restore only
/// passes through. There are as many as the target has that their owner can't write and that are not finished yet.
#[derive(Debug, Default)]
pub(super) struct Eased(Mutex<BTreeMap<Vec<u8>, u32>>);

impl Eased {
    /// Remembers what a directory had; what it had first counts.
    pub(super) fn remember(&self, path: &[u8], mode: u32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(path.to_vec()).or_insert(mode);
    }

    /// Forgets a directory that got its bits from the backup.
    pub(super) fn forget(&self, path: &[u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(path);
    }

    /// Gives all that are left their bits back, the deepest first, and forgets them. Returns the first that failed.
    pub(super) fn put_back(&self, dirs: &DirCache) -> Result<(), (Vec<u8>, io::Error)> {
        let eased = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let mut first = Ok(());
        for (path, mode) in eased.into_iter().rev() {
            let (parent, name) = split(&path);
            let put = dirs.get(parent).and_then(|dir| Ok(system::set_mode(dir.as_fd(), name, stat::mode_of(mode))?));
            match put {
                Err(error) if error.kind() != io::ErrorKind::NotFound => first = first.and(Err((path, error))),
                // One that is gone needs nothing.
                Ok(()) | Err(_) => {}
            }
        }
        first
    }
}
