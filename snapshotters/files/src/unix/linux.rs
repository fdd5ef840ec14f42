//! What only Linux has.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use backup_core::EntryKind;
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, RawDir, ResolveFlags, chmod, fstat, linkat, makedev, mknodat, openat, openat2,
};
use rustix::io::Errno;
use rustix::thread::{CapabilitySet, capabilities};

use super::target::Naming;

/// Whether a path can be resolved without links in one call.
pub(super) const RESOLVES: bool = true;

/// Opens a directory only to go on from it, which needs no right to read it.
pub(super) const PASS_THROUGH: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW);

/// Leaves access times alone.
pub(super) const NO_ACCESS_TIME: OFlags = OFlags::NOATIME;

/// Room for the names of one call: 100 000 short names in some fifty calls, and no name is longer.
const LIST_BUFFER_BYTES: usize = 64 * 1024;

/// Opens a path of several components without following any link.
pub(super) fn open_resolved(from: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    openat2(from, path, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty(), resolve)
}

/// Memory for listing that is kept between directories.
#[derive(Debug)]
pub(super) struct ListBuffer(Vec<MaybeUninit<u8>>);

impl ListBuffer {
    pub(super) fn new() -> Self {
        Self(vec![MaybeUninit::uninit(); LIST_BUFFER_BYTES])
    }
}

/// Hands on every name in a directory that has not been listed before, `.` and `..` among them.
pub(super) fn list(
    directory: BorrowedFd<'_>,
    buffer: &mut ListBuffer,
    mut each: impl FnMut(&[u8], FileType),
) -> io::Result<()> {
    let mut names = RawDir::new(directory, &mut buffer.0);
    while let Some(entry) = names.next() {
        let entry = entry?;
        each(entry.file_name().to_bytes(), entry.file_type());
    }
    Ok(())
}

/// The permission bits that new files don't get.
pub(super) fn creation_mask() -> Option<u32> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let mask = status.lines().find_map(|line| line.strip_prefix("Umask:"))?;
    u32::from_str_radix(mask.trim(), 8).ok()
}

/// Whether this process may change owners, counts as every file's owner, and is not bound by permission bits.
pub(super) fn rights() -> [bool; 3] {
    let held = capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
    [CapabilitySet::CHOWN, CapabilitySet::FOWNER, CapabilitySet::DAC_OVERRIDE].map(|right| held.contains(right))
}

/// A path that reaches what a descriptor stands for, or a name in the directory it stands for.
///
/// For calls that take no descriptor of the kind at hand. The kernel goes straight to the open directory, so nothing on
/// the way can be swapped; whether the name itself is followed is up to the call.
pub(super) fn path_of(descriptor: BorrowedFd<'_>, name: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
    let mut path = format!("/proc/self/fd/{}", descriptor.as_raw_fd()).into_bytes();
    if let Some(name) = name {
        path.push(b'/');
        path.extend_from_slice(name);
    }
    Ok(path)
}

/// Sets the permission bits of a name in a directory, which must not be a link.
pub(super) fn set_mode(directory: BorrowedFd<'_>, name: &[u8], mode: Mode) -> Result<(), Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let found = openat(directory, name, flags, Mode::empty())?;
    if FileType::from_raw_mode(fstat(&found)?.st_mode) == FileType::Symlink {
        return Err(Errno::LOOP);
    }
    chmod(path_of(found.as_fd(), None)?, mode)
}

/// Makes a file in a directory that has no name there yet.
pub(super) fn create_unnamed(directory: BorrowedFd<'_>, mode: Mode) -> Result<OwnedFd, Errno> {
    openat(directory, c".", OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC, mode)
}

/// Gives a file without a name one that is free.
pub(super) fn name_file(
    naming: Naming,
    file: BorrowedFd<'_>,
    directory: BorrowedFd<'_>,
    name: &[u8],
) -> Result<(), Errno> {
    match naming {
        Naming::Descriptor => linkat(file, c"", directory, name, AtFlags::EMPTY_PATH),
        Naming::Path => linkat(CWD, path_of(file, None)?, directory, name, AtFlags::SYMLINK_FOLLOW),
    }
}

/// Makes all that was written to a file system durable.
pub(super) fn sync_file_system(directory: BorrowedFd<'_>) -> Result<(), Errno> {
    rustix::fs::syncfs(directory)
}

/// Has the system begin to write a file's content to the disk; what is there already leaves the cache.
///
/// The advice says that the content is not needed, and Linux acts on it by starting to write. Nothing depends on it.
pub(super) fn begin_write_out(file: BorrowedFd<'_>) {
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
}

/// Makes a pipe, socket or device.
pub(super) fn make_node(
    directory: BorrowedFd<'_>,
    name: &[u8],
    kind: EntryKind,
    mode: Mode,
    (major, minor): (u32, u32),
) -> Result<(), Errno> {
    let kind = match kind {
        EntryKind::Fifo => FileType::Fifo,
        EntryKind::Socket => FileType::Socket,
        EntryKind::CharDevice => FileType::CharacterDevice,
        EntryKind::BlockDevice => FileType::BlockDevice,
        EntryKind::File | EntryKind::Directory | EntryKind::Symlink => return Err(Errno::INVAL),
    };
    mknodat(directory, name, kind, mode, makedev(major, minor))
}
