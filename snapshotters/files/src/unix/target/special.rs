//! Links, pipes, sockets and devices.

use std::io;
use std::os::fd::AsFd;

use backup_core::{Entry, EntryError, EntryKind, EntryPath};
use rustix::fs::{AtFlags, linkat, renameat, statat, symlinkat, unlinkat};
use rustix::io::Errno;

use super::metadata::{self, Current, Place};
use super::{FilesTarget, refused, temp};
use crate::unix::dir_cache::{Dir, split};
use crate::unix::{stat, system};

/// Makes something under a name in a directory.
type Make<'a> = dyn Fn(&Dir, &[u8]) -> Result<(), Errno> + 'a;

impl FilesTarget {
    pub(super) fn make_special(&self, entry: &Entry) -> Result<(), EntryError> {
        let failed = |error: io::Error| refused(&entry.path, "cannot create", &error);
        let is_device = matches!(entry.kind, EntryKind::CharDevice | EntryKind::BlockDevice);
        if is_device && !self.policy.privileged_bits {
            return Err(EntryError::other(&entry.path, "cannot create", "devices are not to be restored"));
        }
        self.in_directory_of(&entry.path, |dir, name| self.place(dir, name, &|dir, name| make(dir, name, entry)))
            .map_err(failed)?;
        let (dir, stat) = self.find(&entry.path).map_err(failed)?;
        // Links have no access control lists, and what was just made has nothing else to be removed.
        let xattrs = entry.kind != EntryKind::Symlink;
        let current = Current { xattrs, ..Current::from_stat(&stat) };
        let place = Place::Named(dir.as_fd(), split(entry.path.as_bytes()).1);
        metadata::apply(&place, entry, &current, &self.policy)
    }

    pub(super) fn link(&self, entry: &Entry, existing: &EntryPath) -> io::Result<()> {
        let (source_dir, source) = (self.dirs.parent_of(existing)?, split(existing.as_bytes()).1);
        self.in_directory_of(&entry.path, |dir, name| {
            if is_same_file(&source_dir, source, dir, name) {
                return Ok(());
            }
            self.place(dir, name, &|dir, name| linkat(&source_dir, source, dir, name, AtFlags::empty()))
        })
    }

    /// Makes something under a name, in place of what may stand there.
    fn place(&self, dir: &Dir, name: &[u8], make: &Make<'_>) -> io::Result<()> {
        match make(dir, name) {
            Err(Errno::EXIST) => {}
            other => return Ok(other?),
        }
        for _ in 0..temp::ATTEMPTS {
            let temp = self.temps.fresh();
            match make(dir, &temp) {
                Err(Errno::EXIST) => continue,
                other => other?,
            }
            let renamed = renameat(dir, temp.as_slice(), dir, name);
            if renamed.is_err() {
                // What can't be removed now is swept by the next restore into the directory.
                let _ = unlinkat(dir, temp.as_slice(), AtFlags::empty());
            }
            return match renamed {
                Err(Errno::EXIST | Errno::NOTEMPTY) => Err(io::ErrorKind::IsADirectory.into()),
                other => Ok(other?),
            };
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "no free temporary name was found"))
    }
}

fn is_same_file(a_dir: &Dir, a: &[u8], b_dir: &Dir, b: &[u8]) -> bool {
    let look = |dir: &Dir, name: &[u8]| {
        let stat = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        Some((stat::device(&stat), stat::inode(&stat)))
    };
    look(b_dir, b).is_some_and(|b| look(a_dir, a) == Some(b))
}

fn make(dir: &Dir, name: &[u8], entry: &Entry) -> Result<(), Errno> {
    match entry.kind {
        EntryKind::Symlink => symlinkat(entry.link_target.as_slice(), dir, name),
        EntryKind::Fifo | EntryKind::Socket | EntryKind::CharDevice | EntryKind::BlockDevice => {
            // Not more than its owner until it has its own bits.
            system::make_node(dir.as_fd(), name, entry.kind, stat::mode_of(entry.mode & 0o700), entry.device_number)
        }
        EntryKind::File | EntryKind::Directory => Err(Errno::INVAL),
    }
}
