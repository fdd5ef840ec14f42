//! Windows, and any system with the feature `portable`: the standard library and full paths.
//!
//! The root is made canonical, which on Windows gives a verbatim path: names such as `nul` and paths beyond 260
//! characters are then ordinary. A directory can't be flushed here, so a name's durability is up to the file system.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use backup_core::{Durability, Timestamp};
use bytes::Bytes;

use super::{FileFacts, FileKind, Space};

/// A directory can't be flushed.
pub(crate) const DURABILITY: Durability = Durability::FileOnly;

/// Whether [`Root::space`] answers.
pub(crate) const TELLS_SPACE: bool = false;

/// The directory in which all objects lie.
#[derive(Debug)]
pub(crate) struct Root {
    path: PathBuf,
}

/// One directory below the root, or the root itself.
#[derive(Debug)]
pub(crate) struct Dir {
    path: PathBuf,
}

/// The error for a symbolic link or junction in the way.
#[derive(Debug, thiserror::Error)]
#[error("a symbolic link stands in the way")]
struct SymlinkInTheWay;

/// Creates a directory with all its parents.
pub(crate) fn make_root(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

impl Root {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let path = fs::canonicalize(path)?;
        if !fs::metadata(&path)?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Self { path })
    }

    /// Opens a directory by its path below the root; the empty path is the root itself.
    pub(crate) fn dir(&self, relative: &str) -> io::Result<Dir> {
        let (path, facts) = self.below(relative)?;
        match facts.kind {
            FileKind::Directory => Ok(Dir { path }),
            FileKind::File | FileKind::Symlink | FileKind::Special | FileKind::Unknown => {
                Err(io::ErrorKind::NotADirectory.into())
            }
        }
    }

    /// Opens a file for reading by its path below the root.
    pub(crate) fn file(&self, relative: &str) -> io::Result<File> {
        let (path, facts) = self.below(relative)?;
        match facts.kind {
            FileKind::File => File::open(path),
            FileKind::Directory | FileKind::Symlink | FileKind::Special | FileKind::Unknown => {
                Err(io::ErrorKind::NotFound.into())
            }
        }
    }

    /// Walks down segment by segment so that no link is followed.
    fn below(&self, relative: &str) -> io::Result<(PathBuf, FileFacts)> {
        let mut path = self.path.clone();
        let mut facts = facts_at(&path)?;
        for segment in relative.split('/').filter(|segment| !segment.is_empty()) {
            path.push(segment);
            facts = facts_at(&path)?;
            if facts.kind == FileKind::Symlink {
                return Err(io::Error::other(SymlinkInTheWay));
            }
        }
        Ok((path, facts))
    }

    /// The standard library can't tell how much room there is.
    pub(crate) fn space(&self) -> io::Result<Option<Space>> {
        Ok(None)
    }
}

impl Dir {
    /// Makes a directory; one that is there already is as good.
    pub(crate) fn make_dir(&self, name: &str) -> io::Result<()> {
        match fs::create_dir(self.path.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    /// Removes an empty directory.
    pub(crate) fn remove_dir(&self, name: &str) -> io::Result<()> {
        fs::remove_dir(self.path.join(name))
    }

    /// Creates a file that must not be there yet.
    pub(crate) fn create(&self, name: &str) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).open(self.path.join(name))
    }

    /// What lies under a name, without following a link.
    pub(crate) fn facts(&self, name: &str) -> io::Result<FileFacts> {
        facts_at(&self.path.join(name))
    }

    /// Gives a file a second name, which must not be taken.
    pub(crate) fn link(&self, from: &str, to: &str) -> io::Result<()> {
        fs::hard_link(self.path.join(from), self.path.join(to))
    }

    /// The standard library has no rename that refuses to replace.
    pub(crate) fn rename_new(&self, _from: &str, _to: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Renames a file, replacing what is there.
    pub(crate) fn rename_over(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    /// Removes a file.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    /// There is nothing to flush for a directory here.
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    /// The names in this directory that are Unicode, in the order in which the file system gives them.
    pub(crate) fn names(&self) -> io::Result<Vec<(String, FileKind)>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let kind = kind_of(entry.file_type()?);
            if let Ok(name) = entry.file_name().into_string() {
                names.push((name, kind));
            }
        }
        Ok(names)
    }
}

/// Writes all pieces in order; stops with `Interrupted` once `go_on` says so.
pub(crate) fn write_pieces(mut file: &File, pieces: &[Bytes], go_on: impl Fn() -> bool) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = pieces.iter().filter(|p| !p.is_empty()).map(|p| IoSlice::new(p)).collect();
    let mut rest = slices.as_mut_slice();
    while !rest.is_empty() {
        if !go_on() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        match file.write_vectored(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut rest, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads exactly `len` bytes from an offset on; the file's position moves, so the handle must be this caller's own.
pub(crate) fn read_at(mut file: &File, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = vec![0; len];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Whether an error says that a symbolic link stands in the way.
pub(crate) fn is_symlink(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<SymlinkInTheWay>())
}

/// Whether an error says that this file system can't give a file a second name.
pub(crate) fn cannot_link(error: &io::Error) -> bool {
    // FAT answers ERROR_INVALID_FUNCTION (1), which the standard library doesn't classify.
    error.kind() == io::ErrorKind::Unsupported || error.raw_os_error() == Some(1)
}

/// Whether an error says that the process or the system has run out of something that comes back.
pub(crate) fn is_exhausted(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::OutOfMemory | io::ErrorKind::ResourceBusy | io::ErrorKind::WouldBlock)
}

/// Whether a file has a second name; the standard library can't tell here.
pub(crate) fn is_linked_twice(_dir: &Dir, _name: &str) -> bool {
    false
}

fn kind_of(file_type: fs::FileType) -> FileKind {
    if file_type.is_symlink() {
        FileKind::Symlink
    } else if file_type.is_dir() {
        FileKind::Directory
    } else if file_type.is_file() {
        FileKind::File
    } else {
        FileKind::Special
    }
}

fn facts_at(path: &Path) -> io::Result<FileFacts> {
    let metadata = fs::symlink_metadata(path)?;
    Ok(FileFacts {
        kind: kind_of(metadata.file_type()),
        size_bytes: metadata.len(),
        modified: metadata.modified().map(Timestamp::from).unwrap_or_default(),
    })
}
