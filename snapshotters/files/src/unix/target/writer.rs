//! A file that is being restored.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use backup_core::{Entry, EntryError, EntryWriter};
use rustix::fs::{AtFlags, OFlags, fstat, ftruncate, openat, renameat, unlinkat};
use rustix::io::{Errno, pwrite, retry_on_intr};

use super::metadata::{self, Current, Place, Policy};
use super::refused;
use super::temp::{self, TempNames};
use crate::unix::dir_cache::{Dir, Heritage, split};
use crate::unix::stat;
use crate::unix::xattrs::Bearer;

/// Content under a temporary name, which goes away with this unless it is committed.
#[derive(Debug)]
pub(super) struct FileWriter {
    file: OwnedFd,
    dir: Arc<Dir>,
    temp: Vec<u8>,
    policy: Policy,
    current: Current,
    /// Where the furthest write ended.
    end: AtomicU64,
    committed: bool,
}

impl FileWriter {
    pub(super) fn begin(dir: &Arc<Dir>, entry: &Entry, temps: &TempNames, policy: Policy) -> io::Result<Self> {
        let asked = policy.mode_while_writing(entry);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        for _ in 0..temp::ATTEMPTS {
            let temp = temps.fresh();
            let file = match openat(dir, temp.as_slice(), flags, stat::mode_of(asked)) {
                Err(Errno::EXIST) => continue,
                other => other?,
            };
            if !temp::claim(&file) {
                continue;
            }
            let heritage = dir.heritage(|| look(&file, asked, policy));
            let mode = policy.mask.filter(|_| heritage.modes_hold).map(|mask| asked & !mask);
            let current = Current { owner: heritage.owner, mode, modified: None, xattrs: heritage.xattrs };
            let (dir, end) = (Arc::clone(dir), AtomicU64::new(0));
            return Ok(Self { file, dir, temp, policy, current, end, committed: false });
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "no free temporary name was found"))
    }

    fn place(&mut self, entry: &Entry) -> io::Result<()> {
        match renameat(&self.dir, self.temp.as_slice(), &self.dir, split(entry.path.as_bytes()).1) {
            Ok(()) => {
                self.committed = true;
                Ok(())
            }
            // Some file systems say it that way.
            Err(Errno::EXIST | Errno::NOTEMPTY) => Err(io::ErrorKind::IsADirectory.into()),
            Err(error) => Err(error.into()),
        }
    }
}

/// What the first file in a directory got from it; the next ones will get the same.
fn look(file: &OwnedFd, asked: u32, policy: Policy) -> Heritage {
    let Ok(stat) = fstat(file) else { return Heritage::default() };
    let names = Bearer::Open(file.as_fd()).names();
    Heritage {
        owner: Some(stat::owner(&stat)),
        modes_hold: policy.mask.is_some_and(|mask| stat::mode(&stat) == asked & !mask),
        xattrs: names.map_or(true, |names| names.iter().any(|name| metadata::is_ours_to_remove(name))),
    }
}

impl EntryWriter for FileWriter {
    fn write_at(&self, offset_bytes: u64, bytes: &[u8]) -> io::Result<()> {
        let (mut rest, mut at) = (bytes, offset_bytes);
        while !rest.is_empty() {
            let count = retry_on_intr(|| pwrite(&self.file, rest, at))?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            rest = rest.get(count..).unwrap_or_default();
            at = at.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        }
        self.end.fetch_max(at, Ordering::Relaxed);
        Ok(())
    }

    fn commit(mut self: Box<Self>, entry: &Entry) -> Result<(), EntryError> {
        if *self.end.get_mut() != entry.size_bytes {
            ftruncate(&self.file, entry.size_bytes)
                .map_err(|errno| refused(&entry.path, "cannot set the size of", &errno.into()))?;
        }
        let whole = metadata::apply(&Place::Open(self.file.as_fd()), entry, &self.current, &self.policy);
        self.place(entry).map_err(|error| refused(&entry.path, "cannot put in place", &error))?;
        whole
    }
}

impl Drop for FileWriter {
    fn drop(&mut self) {
        if !self.committed {
            // What can't be removed now is swept by the next restore into the directory.
            let _ = unlinkat(&self.dir, self.temp.as_slice(), AtFlags::empty());
        }
    }
}
