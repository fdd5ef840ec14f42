//! Unix: everything relative to open directories, with system calls that can't be led astray by symbolic links.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::path::{Component, Path};

use backup_core::{Durability, Timestamp};
use bytes::Bytes;
use rustix::fs::{self as sys, AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::{Errno, retry_on_intr};

use super::{FileFacts, FileKind, Space};

/// The most pieces that one `writev` takes (`IOV_MAX` on Linux and the BSDs).
const MAX_PIECES_PER_WRITE: usize = 1024;

/// Files and directories can both be flushed.
pub(crate) const DURABILITY: Durability = Durability::FileAndName;

/// Whether [`Root::space`] answers.
pub(crate) const TELLS_SPACE: bool = true;

const OPEN_DIR: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
// NONBLOCK: a pipe that somebody put where an object should be must not block us.
const OPEN_FILE: OFlags =
    OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// The directory in which all objects lie.
#[derive(Debug)]
pub(crate) struct Root {
    fd: OwnedFd,
    modes: Modes,
    lookup: Lookup,
}

/// One directory below the root, or the root itself.
#[derive(Debug)]
pub(crate) struct Dir {
    fd: OwnedFd,
    modes: Modes,
}

/// Permissions for what is created: those of the root, so that `chmod` of one directory decides.
#[derive(Debug, Clone, Copy)]
struct Modes {
    file: Mode,
    dir: Mode,
}

/// How paths of several segments are opened without following symbolic links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lookup {
    /// One `openat2` call.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    AtOnce,
    /// One `openat` a segment, for systems, and sandboxes, without `openat2`.
    BySegment,
}

/// Creates a directory with all its parents, durably, readable by its owner alone.
pub(crate) fn make_root(path: &Path) -> io::Result<()> {
    let mut at = sys::open(if path.has_root() { "/" } else { "." }, OPEN_DIR, Mode::empty())?;
    for component in path.components() {
        let name = match component {
            Component::Normal(name) => name,
            Component::ParentDir => "..".as_ref(),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => continue,
        };
        at = match sys::openat(&at, name, OPEN_DIR, Mode::empty()) {
            Err(Errno::NOENT) => {
                made(sys::mkdirat(&at, name, Mode::RWXU))?;
                sync_dir(&at)?;
                sys::openat(&at, name, OPEN_DIR, Mode::empty())?
            }
            opened => opened?,
        };
    }
    Ok(())
}

impl Root {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let fd = sys::open(path, OPEN_DIR, Mode::empty())?;
        let permissions = Mode::from_raw_mode(sys::fstat(&fd)?.st_mode);
        let modes = Modes {
            file: permissions & (Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::WGRP | Mode::ROTH | Mode::WOTH),
            dir: permissions & (Mode::RWXU | Mode::RWXG | Mode::RWXO),
        };
        let lookup = Lookup::supported(&fd);
        Ok(Self { fd, modes, lookup })
    }

    /// Opens a directory by its path below the root; the empty path is the root itself.
    pub(crate) fn dir(&self, relative: &str) -> io::Result<Dir> {
        let path = if relative.is_empty() { "." } else { relative };
        Ok(Dir { fd: self.open_below(path, OPEN_DIR)?, modes: self.modes })
    }

    /// Opens a file for reading by its path below the root.
    pub(crate) fn file(&self, relative: &str) -> io::Result<File> {
        Ok(self.open_below(relative, OPEN_FILE)?.into())
    }

    fn open_below(&self, relative: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        match self.lookup {
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Lookup::AtOnce => {
                retry_on_intr(|| sys::openat2(&self.fd, relative, flags, Mode::empty(), sys::ResolveFlags::NO_SYMLINKS))
            }
            Lookup::BySegment => {
                let mut at = None;
                let mut segments = relative.split('/').peekable();
                while let Some(segment) = segments.next() {
                    let flags = if segments.peek().is_some() { OPEN_DIR } else { flags };
                    let fd = at.as_ref().unwrap_or(&self.fd);
                    let opened = sys::openat(fd, segment, flags | OFlags::NOFOLLOW, Mode::empty());
                    // A link met with O_DIRECTORY and O_NOFOLLOW looks like a file; tell them apart as openat2 does.
                    let opened = opened.map_err(|error| match error {
                        Errno::NOTDIR if is_symlink_at(fd, segment) => Errno::LOOP,
                        other => other,
                    });
                    at = Some(opened?);
                }
                at.ok_or(Errno::NOENT)
            }
        }
    }

    /// What the file system says about its room.
    pub(crate) fn space(&self) -> io::Result<Option<Space>> {
        let stat = sys::fstatvfs(&self.fd)?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Ok(Some(Space {
            used_bytes: bytes(stat.f_blocks.saturating_sub(stat.f_bfree)),
            free_bytes: bytes(stat.f_bavail),
            total_bytes: bytes(stat.f_blocks),
        }))
    }
}

impl Lookup {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn supported(root: &OwnedFd) -> Self {
        match sys::openat2(root, ".", OPEN_DIR, Mode::empty(), sys::ResolveFlags::NO_SYMLINKS) {
            Ok(_) => Self::AtOnce,
            // Linux before 5.6 doesn't know it and some sandboxes forbid it.
            Err(_) => Self::BySegment,
        }
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn supported(_root: &OwnedFd) -> Self {
        Self::BySegment
    }
}

impl Dir {
    /// Makes a directory; one that is there already is as good.
    pub(crate) fn make_dir(&self, name: &str) -> io::Result<()> {
        Ok(made(sys::mkdirat(&self.fd, name, self.modes.dir))?)
    }

    /// Removes an empty directory.
    pub(crate) fn remove_dir(&self, name: &str) -> io::Result<()> {
        Ok(sys::unlinkat(&self.fd, name, AtFlags::REMOVEDIR)?)
    }

    /// Creates a file that must not be there yet.
    pub(crate) fn create(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(retry_on_intr(|| sys::openat(&self.fd, name, flags, self.modes.file))?.into())
    }

    /// What lies under a name, without following a link.
    pub(crate) fn facts(&self, name: &str) -> io::Result<FileFacts> {
        Ok(facts_of(&sys::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)?))
    }

    /// Gives a file a second name, which must not be taken.
    pub(crate) fn link(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(sys::linkat(&self.fd, from, &self.fd, to, AtFlags::empty())?)
    }

    /// Renames a file to a name that must not be taken.
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    pub(crate) fn rename_new(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(sys::renameat_with(&self.fd, from, &self.fd, to, sys::RenameFlags::NOREPLACE)?)
    }

    /// This system has no rename that refuses to replace.
    #[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
    pub(crate) fn rename_new(&self, _from: &str, _to: &str) -> io::Result<()> {
        Err(Errno::NOTSUP.into())
    }

    /// Renames a file, replacing what is there.
    pub(crate) fn rename_over(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(sys::renameat(&self.fd, from, &self.fd, to)?)
    }

    /// Removes a file.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        Ok(sys::unlinkat(&self.fd, name, AtFlags::empty())?)
    }

    /// Waits until the names in this directory are on disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(sync_dir(&self.fd)?)
    }

    /// The names in this directory that are UTF-8, in the order in which the file system gives them.
    pub(crate) fn names(&self) -> io::Result<Vec<(String, FileKind)>> {
        let mut names = Vec::new();
        for entry in sys::Dir::read_from(&self.fd)? {
            let entry = entry?;
            // A name that isn't UTF-8 is no key.
            if let Ok(name) = entry.file_name().to_str() {
                names.push((name.to_owned(), kind_of(entry.file_type())));
            }
        }
        Ok(names)
    }
}

/// Writes all pieces in order with as few calls as possible; stops with `Interrupted` once `go_on` says so.
pub(crate) fn write_pieces(file: &File, pieces: &[Bytes], go_on: impl Fn() -> bool) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = pieces.iter().filter(|p| !p.is_empty()).map(|p| IoSlice::new(p)).collect();
    let mut rest = slices.as_mut_slice();
    while !rest.is_empty() {
        if !go_on() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let batch = &rest[..rest.len().min(MAX_PIECES_PER_WRITE)];
        let written = retry_on_intr(|| rustix::io::writev(file, batch))?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        IoSlice::advance_slices(&mut rest, written);
    }
    Ok(())
}

/// Reads exactly `len` bytes from an offset on.
pub(crate) fn read_at(file: &File, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        let at = offset + bytes.len() as u64;
        if retry_on_intr(|| rustix::io::pread(file, rustix::buffer::spare_capacity(&mut bytes), at))? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    // The allocator may have given more room than was asked for, and `pread` fills all of it.
    bytes.truncate(len);
    Ok(bytes)
}

/// Whether an error says that a symbolic link stands in the way.
pub(crate) fn is_symlink(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::LOOP)
}

/// Whether an error says that this file system, or this file, can't have a second name.
pub(crate) fn cannot_link(error: &io::Error) -> bool {
    // NOTSUP and OPNOTSUPP are one number on Linux and two elsewhere.
    [Errno::PERM, Errno::NOTSUP, Errno::OPNOTSUPP, Errno::NOSYS, Errno::INVAL, Errno::MLINK]
        .contains(&Errno::from_io_error(error).unwrap_or(Errno::IO))
}

/// Whether an error says that the process or the system has run out of something that comes back.
pub(crate) fn is_exhausted(error: &io::Error) -> bool {
    [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::AGAIN].contains(&Errno::from_io_error(error).unwrap_or(Errno::IO))
}

/// Whether a file has a second name.
pub(crate) fn is_linked_twice(dir: &Dir, name: &str) -> bool {
    sys::statat(&dir.fd, name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| stat.st_nlink > 1)
}

fn made(result: rustix::io::Result<()>) -> rustix::io::Result<()> {
    match result {
        Err(Errno::EXIST) => Ok(()),
        other => other,
    }
}

fn sync_dir(fd: &OwnedFd) -> rustix::io::Result<()> {
    match sys::fsync(fd) {
        // Some file systems (certain FUSE and network ones) have nothing to flush for a directory and say so.
        Err(Errno::INVAL | Errno::NOTSUP | Errno::NOSYS) => Ok(()),
        other => other,
    }
}

fn is_symlink_at(fd: &OwnedFd, name: &str) -> bool {
    sys::statat(fd, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
}

fn kind_of(file_type: FileType) -> FileKind {
    match file_type {
        FileType::RegularFile => FileKind::File,
        FileType::Directory => FileKind::Directory,
        FileType::Symlink => FileKind::Symlink,
        FileType::Unknown => FileKind::Unknown,
        FileType::Fifo | FileType::Socket | FileType::CharacterDevice | FileType::BlockDevice => FileKind::Special,
    }
}

fn facts_of(stat: &Stat) -> FileFacts {
    FileFacts {
        kind: kind_of(FileType::from_raw_mode(stat.st_mode)),
        size_bytes: u64::try_from(stat.st_size).unwrap_or(0),
        modified: Timestamp::new(stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or(0)).unwrap_or_default(),
    }
}
