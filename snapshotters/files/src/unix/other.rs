//! What stands in on Unix systems other than Linux.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use backup_core::EntryKind;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::target::Naming;

/// Whether a path can be resolved without links in one call.
pub(super) const RESOLVES: bool = false;

/// Opens a directory only to go on from it.
pub(super) const PASS_THROUGH: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW);

/// Leaves access times alone, which can't be asked for here.
pub(super) const NO_ACCESS_TIME: OFlags = OFlags::empty();

/// Opens a path of several components without following any link.
pub(super) fn open_resolved(_from: BorrowedFd<'_>, _path: &[u8], _flags: OFlags) -> Result<OwnedFd, Errno> {
    Err(Errno::NOSYS)
}

/// Memory for listing; the system's library has its own.
#[derive(Debug)]
pub(super) struct ListBuffer;

impl ListBuffer {
    pub(super) fn new() -> Self {
        Self
    }
}

/// Hands on every name in a directory that has not been listed before, `.` and `..` among them.
pub(super) fn list(
    directory: BorrowedFd<'_>,
    _buffer: &mut ListBuffer,
    mut each: impl FnMut(&[u8], FileType),
) -> io::Result<()> {
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        each(entry.file_name().to_bytes(), entry.file_type());
    }
    Ok(())
}

/// The permission bits that new files don't get; not to be had without changing them.
pub(super) fn creation_mask() -> Option<u32> {
    None
}

/// Whether this process may change owners, counts as every file's owner, and is not bound by permission bits.
pub(super) fn rights() -> [bool; 3] {
    [rustix::process::geteuid().is_root(); 3]
}

/// No path leads to a descriptor here.
pub(super) fn path_of(_descriptor: BorrowedFd<'_>, _name: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
    Err(Errno::OPNOTSUPP)
}

/// Sets the permission bits of a name in a directory, which must not be a link.
pub(super) fn set_mode(directory: BorrowedFd<'_>, name: &[u8], mode: Mode) -> Result<(), Errno> {
    rustix::fs::chmodat(directory, name, mode, AtFlags::SYMLINK_NOFOLLOW)
}

/// Every file has a name from the beginning here.
pub(super) fn create_unnamed(_directory: BorrowedFd<'_>, _mode: Mode) -> Result<OwnedFd, Errno> {
    Err(Errno::OPNOTSUPP)
}

/// There are no files without a name.
pub(super) fn name_file(
    _naming: Naming,
    _file: BorrowedFd<'_>,
    _directory: BorrowedFd<'_>,
    _name: &[u8],
) -> Result<(), Errno> {
    Err(Errno::OPNOTSUPP)
}

/// Makes all that was written durable, on every file system.
pub(super) fn sync_file_system(_directory: BorrowedFd<'_>) -> Result<(), Errno> {
    rustix::fs::sync();
    Ok(())
}

/// The system begins when it likes.
pub(super) fn begin_write_out(_file: BorrowedFd<'_>) {}

/// Makes a pipe, socket or device; not built here.
pub(super) fn make_node(
    _directory: BorrowedFd<'_>,
    _name: &[u8],
    _kind: EntryKind,
    _mode: Mode,
    _number: (u32, u32),
) -> Result<(), Errno> {
    Err(Errno::OPNOTSUPP)
}
