//! What all operations share: the root, the names of temporary files and the making of directories.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{OnceLock, PoisonError, RwLock};

use backup_core::{BackendInfo, Capabilities, StorageError, StorageErrorKind, StorageOperation, StorageResult};

use crate::error::from_io;
use crate::platform::{self, Dir, Root, Space};

/// What the names of temporary files begin with; the dot keeps them out of the key space.
pub(crate) const TEMPORARY_PREFIX: &str = ".tmp-";

/// Requests at once that serve a disk best: enough to keep it busy while one of them waits for a flush.
const SUGGESTED_CONCURRENCY: usize = 4;

/// A store, open or still to be made by the first put.
#[derive(Debug)]
pub(crate) struct Store {
    path: PathBuf,
    root: OnceLock<Root>,
    pub(crate) info: BackendInfo,
    names: Names,
    /// Held for writing while a directory is made and its name flushed, so that nobody acknowledges an object in a
    /// directory whose own name is not durable yet.
    making_dirs: RwLock<()>,
}

/// Names that no other process and no other call of this one uses.
#[derive(Debug)]
struct Names {
    random: u64,
    next: AtomicU64,
}

impl Store {
    /// The store in a directory that may not be there yet.
    pub(crate) fn at(path: &Path) -> StorageResult<Self> {
        let mut capabilities = Capabilities::strict();
        capabilities.quota = platform::TELLS_SPACE;
        capabilities.durability = platform::DURABILITY;
        capabilities.suggested_concurrency = SUGGESTED_CONCURRENCY;
        let random = getrandom::u64().map_err(|error| {
            StorageError::new(StorageErrorKind::Other, StorageOperation::Connect).with_source(error)
        })?;
        let store = Self {
            path: path.to_owned(),
            root: OnceLock::new(),
            info: BackendInfo { kind: "local", location: path.display().to_string(), capabilities },
            names: Names { random, next: AtomicU64::new(0) },
            making_dirs: RwLock::new(()),
        };
        match store.root() {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(store.cannot_connect(error)),
            _ => Ok(store),
        }
    }

    pub(crate) fn open(path: &Path) -> StorageResult<Self> {
        let store = Self::at(path)?;
        match store.root() {
            Err(error) => Err(store.cannot_connect(error)),
            Ok(_) => Ok(store),
        }
    }

    pub(crate) fn create(path: &Path) -> StorageResult<Self> {
        let store = Self::at(path)?;
        match store.root_for_writing() {
            Err(error) => Err(store.cannot_connect(error)),
            Ok(_) => Ok(store),
        }
    }

    fn cannot_connect(&self, error: io::Error) -> StorageError {
        let no_directory = error.kind() == io::ErrorKind::NotADirectory;
        let failed = match no_directory {
            true => StorageError::new(StorageErrorKind::Config, StorageOperation::Connect).with_source(error),
            false => from_io(error, StorageOperation::Connect, None),
        };
        failed.with_detail(format!("`{}`{}", self.path.display(), if no_directory { " is no directory" } else { "" }))
    }

    /// The root; `NotFound` as long as nobody has made it.
    fn root(&self) -> io::Result<&Root> {
        match self.root.get() {
            Some(root) => Ok(root),
            None => {
                let opened = Root::open(&self.path)?;
                // Where two calls open it at once, one of the two handles is as good as the other.
                Ok(self.root.get_or_init(|| opened))
            }
        }
    }

    fn root_for_writing(&self) -> io::Result<&Root> {
        match self.root() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                platform::make_root(&self.path)?;
                self.root()
            }
            opened => opened,
        }
    }

    /// Whether there is, or was when this store was opened, a root at all.
    pub(crate) fn has_root(&self) -> io::Result<bool> {
        match self.root() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Opens a directory by its path below the root; the empty path is the root itself.
    pub(crate) fn dir(&self, relative: &str) -> io::Result<Dir> {
        self.root()?.dir(relative)
    }

    /// Opens a file for reading by its path below the root.
    pub(crate) fn file(&self, relative: &str) -> io::Result<File> {
        self.root()?.file(relative)
    }

    /// What the file system says about its room.
    pub(crate) fn space(&self) -> io::Result<Option<Space>> {
        self.root()?.space()
    }

    pub(crate) fn temporary_name(&self) -> String {
        let number = self.names.next.fetch_add(1, Ordering::Relaxed);
        format!("{TEMPORARY_PREFIX}{:016x}-{number}", self.names.random)
    }

    /// Opens a directory by its path below the root, after making it and the ones above it where they are missing.
    ///
    /// The directories' own names are durable when this returns, as far as this process made them.
    pub(crate) fn dir_for_writing(&self, relative: &str) -> io::Result<Dir> {
        let root = self.root_for_writing()?;
        match root.dir(relative) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.make_dirs(root, relative),
            opened => {
                // Whoever made it may still be flushing its name.
                drop(self.making_dirs.read().unwrap_or_else(PoisonError::into_inner));
                opened
            }
        }
    }

    fn make_dirs(&self, root: &Root, relative: &str) -> io::Result<Dir> {
        let _guard = self.making_dirs.write().unwrap_or_else(PoisonError::into_inner);
        let mut above = root.dir("")?;
        let mut end = 0;
        for segment in relative.split('/') {
            end += segment.len();
            let path = relative.get(..end).unwrap_or(relative);
            above = match root.dir(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    above.make_dir(segment)?;
                    above.sync()?;
                    root.dir(path)?
                }
                opened => opened?,
            };
            end += 1;
        }
        Ok(above)
    }
}
