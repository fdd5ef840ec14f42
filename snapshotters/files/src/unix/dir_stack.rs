//! The directories from a starting point down to the one that is being worked on.
//!
//! Each is held by a descriptor, but only [`MAX_OPEN`] of them at a time, the deepest; the rest are opened again when
//! the work comes back to them. They are found again by their names from the root and not by `..` from below: a
//! directory that was moved meanwhile has another `..`, and would lead the work out of the tree. By names it is one
//! call for every 4 KiB of path, and device and inode prove that it is the same directory. A directory that has nothing
//! left to do but its last child is not held at all, so a chain of any depth is never opened again.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{OFlags, Stat, fstat};
use rustix::io::Errno;

use super::beneath::{Beneath, open_child};
use super::stat;
use super::system;

/// How many directories are held open at most: deeper than most trees are, and few enough to leave room for readers
/// under a limit of 64 descriptors.
pub(super) const MAX_OPEN: usize = 24;

/// Opens a directory to list it.
pub(super) const LIST: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW);

/// What a directory is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Only to go on from it, which needs no right to read it.
    PassThrough,
    /// To list it.
    List,
    /// To list it without leaving an access time; falls back when that isn't allowed.
    ListQuietly,
}

#[derive(Debug)]
struct Level {
    /// Where its path ends in the whole path.
    path_len: usize,
    used: Use,
    device: u64,
    inode: u64,
    descriptor: Option<OwnedFd>,
}

/// A stack of directories below a root.
#[derive(Debug)]
pub(super) struct DirStack<'a> {
    beneath: &'a Beneath,
    path: Vec<u8>,
    levels: Vec<Level>,
    open: usize,
}

impl<'a> DirStack<'a> {
    /// Begins at a directory; the empty path is the root itself.
    pub(super) fn at(beneath: &'a Beneath, path: &[u8], used: Use) -> io::Result<Self> {
        let descriptor = open_for(used, |flags| beneath.open(path, flags))?;
        let stat = fstat(&descriptor)?;
        let mut stack = Self { beneath, path: path.to_vec(), levels: Vec::new(), open: 0 };
        stack.add(used, &stat, descriptor);
        Ok(stack)
    }

    /// The path of the directory on top.
    pub(super) fn path(&self) -> &[u8] {
        &self.path
    }

    /// The directory on top, opened again where it was let go.
    pub(super) fn top(&mut self) -> io::Result<BorrowedFd<'_>> {
        self.reopen()?;
        let level = self.levels.last().and_then(|level| level.descriptor.as_ref());
        level.map(AsFd::as_fd).ok_or_else(|| io::Error::other("no directory is open"))
    }

    /// Goes into a directory of the one on top and says what it is.
    pub(super) fn push(&mut self, name: &[u8], used: Use) -> io::Result<Stat> {
        let descriptor = match self.open_below(name, used) {
            Err(error) if is_out_of_descriptors(&error) => {
                self.release(1);
                self.open_below(name, used)?
            }
            other => other?,
        };
        let stat = fstat(&descriptor)?;
        if !self.path.is_empty() {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(name);
        self.add(used, &stat, descriptor);
        Ok(stat)
    }

    /// Leaves the directory on top.
    pub(super) fn pop(&mut self) {
        if let Some(level) = self.levels.pop() {
            self.open -= usize::from(level.descriptor.is_some());
        }
        self.path.truncate(self.levels.last().map_or(0, |level| level.path_len));
    }

    /// Lets go of the directory below the one on top, which will not be needed again.
    pub(super) fn release_parent(&mut self) {
        if let Some(index) = self.levels.len().checked_sub(2) {
            self.close(index);
        }
    }

    fn open_below(&mut self, name: &[u8], used: Use) -> io::Result<OwnedFd> {
        let top = self.top()?;
        open_for(used, |flags| Ok(open_child(top, name, flags)?))
    }

    fn reopen(&mut self) -> io::Result<()> {
        let Some(level) = self.levels.last() else { return Ok(()) };
        if level.descriptor.is_some() {
            return Ok(());
        }
        let descriptor = open_for(level.used, |flags| self.beneath.open(&self.path, flags))?;
        let stat = fstat(&descriptor)?;
        if (stat::device(&stat), stat::inode(&stat)) != (level.device, level.inode) {
            return Err(io::Error::other("another directory was put in its place"));
        }
        if let Some(level) = self.levels.last_mut() {
            level.descriptor = Some(descriptor);
            self.open += 1;
        }
        Ok(())
    }

    fn add(&mut self, used: Use, stat: &Stat, descriptor: OwnedFd) {
        if self.open >= MAX_OPEN
            && let Some(shallowest) = self.levels.iter().position(|level| level.descriptor.is_some())
        {
            self.close(shallowest);
        }
        self.levels.push(Level {
            path_len: self.path.len(),
            used,
            device: stat::device(stat),
            inode: stat::inode(stat),
            descriptor: Some(descriptor),
        });
        self.open += 1;
    }

    /// Closes all but some of the deepest.
    fn release(&mut self, keep: usize) {
        for index in 0..self.levels.len().saturating_sub(keep) {
            self.close(index);
        }
    }

    fn close(&mut self, index: usize) {
        if let Some(level) = self.levels.get_mut(index)
            && level.descriptor.take().is_some()
        {
            self.open -= 1;
        }
    }
}

fn open_for(used: Use, open: impl Fn(OFlags) -> io::Result<OwnedFd>) -> io::Result<OwnedFd> {
    match used {
        Use::PassThrough => open(system::PASS_THROUGH),
        Use::List => open(LIST),
        Use::ListQuietly => match open(LIST | system::NO_ACCESS_TIME) {
            Err(error) if error.raw_os_error() == Some(Errno::PERM.raw_os_error()) => open(LIST),
            other => other,
        },
    }
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    [Errno::MFILE, Errno::NFILE].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beneath(dir: &std::path::Path) -> Beneath {
        Beneath::new(std::fs::File::open(dir).unwrap().into())
    }

    #[test]
    fn deep_directories_are_let_go_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let names: Vec<String> = (0..MAX_OPEN * 2).map(|level| format!("d{level}")).collect();
        std::fs::create_dir_all(dir.path().join(names.join("/"))).unwrap();
        let beneath = beneath(dir.path());
        let mut stack = DirStack::at(&beneath, b"", Use::List).unwrap();
        let mut inodes = vec![fstat(stack.top().unwrap()).unwrap().st_ino];
        for name in &names {
            inodes.push(stack.push(name.as_bytes(), Use::ListQuietly).unwrap().st_ino);
            assert!(stack.levels.iter().filter(|level| level.descriptor.is_some()).count() <= MAX_OPEN);
        }
        assert_eq!(stack.path(), names.join("/").as_bytes());
        for inode in inodes.iter().rev() {
            assert_eq!(fstat(stack.top().unwrap()).unwrap().st_ino, *inode);
            stack.pop();
        }
        assert_eq!((stack.levels.len(), stack.open), (0, 0));
    }

    #[test]
    fn another_directory_of_the_same_name_is_not_taken_for_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        let beneath = beneath(dir.path());
        let mut stack = DirStack::at(&beneath, b"", Use::List).unwrap();
        stack.push(b"a", Use::List).unwrap();
        stack.push(b"b", Use::List).unwrap();
        stack.release_parent();
        std::fs::rename(dir.path().join("a"), dir.path().join("moved")).unwrap();
        std::fs::create_dir(dir.path().join("a")).unwrap();
        stack.pop();
        assert!(stack.top().is_err());
    }
}
