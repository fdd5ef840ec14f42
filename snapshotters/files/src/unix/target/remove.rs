//! Removing a tree without leaving it.

use std::io;
use std::os::fd::AsFd;

use backup_core::EntryPath;
use rustix::fs::{AtFlags, fstat, statat, unlinkat};
use rustix::io::Errno;

use crate::unix::beneath::Beneath;
use crate::unix::dir_cache::split;
use crate::unix::dir_stack::{DirStack, Use};
use crate::unix::listing::{Hint, Names};
use crate::unix::stat;
use crate::unix::system::{self, ListBuffer};

/// A directory whose content is being removed.
struct Level {
    names: Names,
    next: usize,
}

/// Removes what stands at a path with everything below it, as far as it can; the first failure is the error.
///
/// Never goes into another file system: what is mounted there came later or belongs to somebody else.
pub(super) fn all(beneath: &Beneath, path: &EntryPath) -> Result<(), (EntryPath, io::Error)> {
    let (parent, name) = split(path.as_bytes());
    let failed = |error: io::Error| (path.clone(), error);
    let outer = match beneath.open(parent, system::PASS_THROUGH) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(failed)?,
    };
    let device = stat::device(&fstat(&outer).map_err(|errno| failed(errno.into()))?);
    match unlinkat(&outer, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(errno) => match statat(&outer, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) if stat::is_directory(&found) && stat::device(&found) != device => return Err(failed(mounted())),
            Ok(found) if stat::is_directory(&found) => {}
            _ => return Err(failed(errno.into())),
        },
    }
    empty(beneath, path, device)?;
    match unlinkat(outer.as_fd(), name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(failed(errno.into())),
    }
}

/// Why a directory on another file system stays.
fn mounted() -> io::Error {
    io::Error::new(io::ErrorKind::CrossesDevices, "another file system is mounted there, and what is on it stays")
}

/// Removes everything in a directory, all of which has to be on the same device.
fn empty(beneath: &Beneath, path: &EntryPath, device: u64) -> Result<(), (EntryPath, io::Error)> {
    let at_top = |error: io::Error| (path.clone(), error);
    let mut stack = DirStack::at(beneath, path.as_bytes(), Use::List).map_err(at_top)?;
    let mut buffer = ListBuffer::new();
    let top = Names::list(stack.top().map_err(at_top)?, &mut buffer).map_err(at_top)?;
    let mut levels = vec![Level { names: top, next: 0 }];
    let mut first: Option<(EntryPath, io::Error)> = None;
    while let Some(level) = levels.last_mut() {
        let result = match level.names.get(level.next) {
            Some((name, hint)) => {
                level.next += 1;
                step(&mut stack, name, hint, device, &mut buffer).map(|inner| {
                    levels.extend(inner.map(|names| Level { names, next: 0 }));
                })
            }
            None => {
                levels.pop();
                leave(&mut stack, levels.is_empty())
            }
        };
        if let Err((path, error)) = result
            && first.is_none()
        {
            first = EntryPath::new(path).ok().map(|path| (path, error));
        }
    }
    first.map_or(Ok(()), Err)
}

type Failure = (Vec<u8>, io::Error);

/// Removes one name, or goes into it when it is a directory and returns what is in it.
fn step(
    stack: &mut DirStack<'_>,
    name: &[u8],
    hint: Hint,
    device: u64,
    buffer: &mut ListBuffer,
) -> Result<Option<Names>, Failure> {
    let path = [stack.path(), b"/", name].concat();
    let failed = |error: io::Error| (path.clone(), error);
    if hint != Hint::Directory {
        match unlinkat(stack.top().map_err(failed)?, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => return Ok(None),
            // Systems say one or the other of a directory.
            Err(Errno::ISDIR | Errno::PERM) => {}
            Err(errno) => return Err(failed(errno.into())),
        }
    }
    let opened = stack.push(name, Use::List).map_err(failed)?;
    if stat::device(&opened) != device {
        stack.pop();
        return Err(failed(mounted()));
    }
    let listed = stack.top().and_then(|directory| Names::list(directory, buffer));
    match listed {
        Ok(names) => Ok(Some(names)),
        Err(error) => {
            stack.pop();
            Err(failed(error))
        }
    }
}

/// Removes the directory on top, which is empty by now, unless it is the outermost.
fn leave(stack: &mut DirStack<'_>, outermost: bool) -> Result<(), Failure> {
    let path = stack.path().to_vec();
    stack.pop();
    if outermost {
        return Ok(());
    }
    let failed = |error: io::Error| (path.clone(), error);
    match unlinkat(stack.top().map_err(failed)?, split(&path).1, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(failed(errno.into())),
    }
}
