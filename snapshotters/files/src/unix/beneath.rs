//! Reaching a path below a directory without following any link.
//!
//! Linux resolves a whole path in one call under that rule (`openat2`). Where the call is missing or forbidden, and on
//! other systems, every component is opened by itself. Paths longer than the system takes are cut into stretches.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;

use super::system;

/// The longest path a call takes, its NUL not counted.
pub(super) const MAX_PATH_BYTES: usize = 4095;

/// A directory, and everything below it.
#[derive(Debug)]
pub(super) struct Beneath {
    root: OwnedFd,
    kernel_resolves: AtomicBool,
}

impl Beneath {
    pub(super) fn new(root: OwnedFd) -> Self {
        Self { root, kernel_resolves: AtomicBool::new(system::RESOLVES) }
    }

    /// The same without the kernel's help, as on a system that lacks `openat2`.
    #[cfg(test)]
    pub(super) fn stepwise(root: OwnedFd) -> Self {
        Self { root, kernel_resolves: AtomicBool::new(false) }
    }

    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Opens a path of components that are neither `.` nor `..`; the empty one is the root itself.
    ///
    /// A link anywhere on the way is an error, and so is one at the end unless the flags are for a link.
    pub(super) fn open(&self, path: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
        if path.is_empty() {
            return Ok(openat(&self.root, c".", flags | OFlags::CLOEXEC, Mode::empty())?);
        }
        let mut at: Option<OwnedFd> = None;
        let mut rest = path;
        loop {
            let (stretch, tail) = cut(rest, MAX_PATH_BYTES);
            let from = at.as_ref().map_or(self.root.as_fd(), AsFd::as_fd);
            if tail.is_empty() {
                return self.open_stretch(from, stretch, flags);
            }
            at = Some(self.open_stretch(from, stretch, system::PASS_THROUGH)?);
            rest = tail;
        }
    }

    fn open_stretch(&self, from: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
        if path.contains(&b'/') && self.kernel_resolves.load(Ordering::Relaxed) {
            match system::open_resolved(from, path, flags) {
                // The rule was broken by a name that moved while it was looked at; by single steps it can't be.
                Err(Errno::AGAIN) => {}
                Err(Errno::NOSYS) => self.kernel_resolves.store(false, Ordering::Relaxed),
                // Filters of container runtimes say that instead of `not implemented`; files can say it, too.
                Err(Errno::PERM) => {
                    let opened = open_by_steps(from, path, flags)?;
                    self.kernel_resolves.store(false, Ordering::Relaxed);
                    return Ok(opened);
                }
                other => return Ok(other?),
            }
        }
        open_by_steps(from, path, flags)
    }
}

fn open_by_steps(from: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
    let mut at: Option<OwnedFd> = None;
    let mut rest = path;
    loop {
        let from = at.as_ref().map_or(from, AsFd::as_fd);
        match rest.iter().position(|&byte| byte == b'/') {
            None => return Ok(open_child(from, rest, flags)?),
            Some(slash) => {
                at = Some(open_child(from, &rest[..slash], system::PASS_THROUGH)?);
                rest = &rest[slash + 1..];
            }
        }
    }
}

/// Opens one name in a directory, without following it.
pub(super) fn open_child(directory: BorrowedFd<'_>, name: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    openat(directory, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// Cuts a path after as many whole components as fit, at least one.
fn cut(path: &[u8], limit: usize) -> (&[u8], &[u8]) {
    if path.len() <= limit {
        return (path, &[]);
    }
    let slash = path[..=limit].iter().rposition(|&byte| byte == b'/');
    match slash.or_else(|| path.iter().position(|&byte| byte == b'/')) {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (path, &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn both(dir: &std::path::Path) -> [Beneath; 2] {
        let open = || OwnedFd::from(std::fs::File::open(dir).unwrap());
        [Beneath::new(open()), Beneath::stepwise(open())]
    }

    #[test]
    fn paths_are_cut_between_components() {
        assert_eq!(cut(b"ab/cd/ef", 8), (&b"ab/cd/ef"[..], &b""[..]));
        assert_eq!(cut(b"ab/cd/ef", 7), (&b"ab/cd"[..], &b"ef"[..]));
        assert_eq!(cut(b"ab/cd/ef", 5), (&b"ab/cd"[..], &b"ef"[..]));
        assert_eq!(cut(b"ab/cd/ef", 4), (&b"ab"[..], &b"cd/ef"[..]));
        assert_eq!(cut(b"abcdef/g", 4), (&b"abcdef"[..], &b"g"[..]), "a name that never fits is left to the system");
    }

    #[test]
    fn links_are_refused_on_the_way_and_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("real/sub")).unwrap();
        std::fs::write(dir.path().join("real/sub/file"), "x").unwrap();
        symlink("real", dir.path().join("link")).unwrap();
        symlink("file", dir.path().join("real/sub/last")).unwrap();
        symlink("/", dir.path().join("real/out")).unwrap();
        for beneath in both(dir.path()) {
            let opens = |path: &str| beneath.open(path.as_bytes(), OFlags::RDONLY).is_ok();
            assert!(opens("real/sub/file"));
            assert!(opens(""));
            for bad in ["link/sub/file", "real/sub/last", "real/out/etc", "link", "real/missing"] {
                assert!(!opens(bad), "{bad} with {beneath:?}");
            }
        }
    }

    #[test]
    fn both_ways_of_resolving_open_the_same_file() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        std::fs::write(dir.path().join("a/b/f"), "x").unwrap();
        let inodes = both(dir.path()).map(|beneath| {
            let file = beneath.open(b"a/b/f", OFlags::RDONLY).unwrap();
            rustix::fs::fstat(file).unwrap().st_ino
        });
        assert_eq!(inodes[0], inodes[1]);
    }
}
