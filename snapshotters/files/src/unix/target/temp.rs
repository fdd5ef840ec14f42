//! Temporary names, and what a killed restore left under them.
//!
//! Whoever writes a temporary file holds a lock on it, which ends with the process, however it ends. So a restore can
//! tell what another one left behind from what another one is writing.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, FileType, FlockOperation, OFlags, flock, statat, unlinkat};
use rustix::io::Errno;

use crate::unix::beneath::open_child;
use crate::unix::listing::{Hint, Names};
use crate::unix::system::ListBuffer;

/// What temporary names begin with; long enough that no other program uses it by chance.
const PREFIX: &[u8] = b".backup-restore-";

/// Sixteen hexadecimal digits follow.
const DIGITS: usize = 16;

/// How often another name is tried when one is taken: names are random, so a second time is already rare.
pub(super) const ATTEMPTS: usize = 16;

/// Makes names that nobody can foresee.
#[derive(Debug)]
pub(super) struct TempNames {
    keyed: RandomState,
    next: AtomicU64,
}

impl TempNames {
    pub(super) fn new() -> Self {
        Self { keyed: RandomState::new(), next: AtomicU64::new(0) }
    }

    pub(super) fn fresh(&self) -> Vec<u8> {
        let number = self.keyed.hash_one(self.next.fetch_add(1, Ordering::Relaxed));
        [PREFIX, format!("{number:0DIGITS$x}").as_bytes()].concat()
    }
}

/// Whether a name is one of ours.
pub(super) fn is_temp(name: &[u8]) -> bool {
    name.strip_prefix(PREFIX).is_some_and(|rest| {
        rest.len() == DIGITS && rest.iter().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte))
    })
}

/// Marks a file as being written; `false` when a sweep was faster and is about to remove it.
pub(super) fn claim(file: &OwnedFd) -> bool {
    // Where there are no locks, no sweep dares to remove anything.
    !matches!(flock(file, FlockOperation::NonBlockingLockExclusive), Err(Errno::WOULDBLOCK))
}

/// Removes what nobody is writing any more.
pub(super) fn sweep(directory: BorrowedFd<'_>) -> io::Result<()> {
    // A descriptor of its own, since the position in a listing belongs to the descriptor.
    let listed = match open_child(directory, b".", OFlags::DIRECTORY) {
        // What may be written to but not read can't be swept.
        Err(Errno::ACCESS) => return Ok(()),
        other => other?,
    };
    let names = Names::list(listed.as_fd(), &mut ListBuffer::new())?;
    for (name, _) in names.iter().filter(|&(name, hint)| hint != Hint::Directory && is_temp(name)) {
        if is_stray(directory, name) {
            // Failing leaves a stray file and hurts nothing else.
            let _ = unlinkat(directory, name, AtFlags::empty());
        }
    }
    Ok(())
}

fn is_stray(directory: BorrowedFd<'_>, name: &[u8]) -> bool {
    let Ok(stat) = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) else { return false };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {
            let file = open_child(directory, name, OFlags::NONBLOCK | OFlags::NOCTTY);
            file.is_ok_and(|file| flock(file, FlockOperation::NonBlockingLockExclusive).is_ok())
        }
        FileType::Directory => false,
        // These stand under a temporary name only between two calls.
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_recognised_and_differ() {
        let names = TempNames::new();
        let (a, b) = (names.fresh(), names.fresh());
        assert_ne!(a, b);
        assert!(is_temp(&a) && is_temp(&b));
        for other in [&b".backup-restore-"[..], b".backup-restore-0123", b".backup-restore-0123456789abcdeG", b"x"] {
            assert!(!is_temp(other));
        }
        assert_ne!(TempNames::new().fresh(), TempNames::new().fresh(), "not the same in every run");
    }

    #[test]
    fn sweep_removes_what_was_left_and_keeps_what_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let names = TempNames::new();
        let path = |name: &[u8]| dir.path().join(std::str::from_utf8(name).unwrap());
        let (stray, live) = (path(&names.fresh()), path(&names.fresh()));
        std::fs::write(&stray, "left").unwrap();
        std::fs::write(dir.path().join(".backup-restore-mine"), "kept").unwrap();
        let writing = OwnedFd::from(std::fs::File::create(&live).unwrap());
        assert!(claim(&writing));
        let opened = std::fs::File::open(dir.path()).unwrap();
        sweep(opened.as_fd()).unwrap();
        assert!(!stray.exists() && live.exists() && dir.path().join(".backup-restore-mine").exists());
        drop(writing);
        sweep(opened.as_fd()).unwrap();
        assert!(!live.exists());
    }
}
