//! Writing an object so that it is never seen half and never lost once it was acknowledged.
//!
//! Order of calls: temporary file in the directory of the object, all bytes, flush of the file, publication under the
//! object's name, flush of the directory. A flush that fails is the end: after it the system may have dropped the bytes
//! and will report success for the next one.

use std::fs::File;
use std::io;

use backup_core::{CancelToken, ObjectKey, PutBody, PutMode, RetryAdvice, StorageError, StorageResult};
use backup_core::{StorageErrorKind, StorageOperation};
use bytes::Bytes;

use crate::error::from_io;
use crate::platform::{self, Dir, FileKind};
use crate::store::Store;

/// How often a put starts again because an empty directory that it needs or that is in its way was changed by another
/// client; each round means that the other one made progress.
const MAX_ROUNDS: u32 = 8;

/// How many taken names for a temporary file are passed over before giving up; names are random, so one is much.
const MAX_TAKEN_NAMES: u32 = 8;

/// Stores an object; blocks.
pub(crate) fn put(
    store: &Store,
    key: &ObjectKey,
    body: &PutBody,
    mode: PutMode,
    cancel: &CancelToken,
) -> StorageResult<()> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => root_is_gone(error, key),
        _ => from_io(error, StorageOperation::Put, Some(key)),
    };
    let (parent, name) = split(key);
    for _ in 0..MAX_ROUNDS {
        let dir = store.dir_for_writing(parent).map_err(failed)?;
        if mode == PutMode::IfAbsent && dir.facts(name).is_ok_and(|facts| facts.kind == FileKind::File) {
            return Err(already_exists(&dir, key));
        }
        let temporary = match Temporary::create(store, &dir) {
            // Another client found the directory empty and removed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            created => created.map_err(failed)?,
        };
        temporary.fill(body.pieces(), key, cancel)?;
        match temporary.publish(name, mode) {
            Ok(()) => return dir.sync().map_err(|error| not_flushed(error, key)),
            Err(error) => match Obstacle::of(&dir, name, &error) {
                Obstacle::Object => return Err(already_exists(&dir, key)),
                Obstacle::EmptyDirectory => {}
                Obstacle::Swept => return Err(swept(key)),
                Obstacle::Other => return Err(failed(error)),
            },
        }
    }
    let detail = "other clients keep changing the directory";
    Err(StorageError::new(StorageErrorKind::Unavailable, StorageOperation::Put).with_key(key).with_detail(detail))
}

/// A key's directory and the name in it.
pub(crate) fn split(key: &ObjectKey) -> (&str, &str) {
    key.as_str().rsplit_once('/').unwrap_or(("", key.as_str()))
}

/// A file under a name that no listing shows; removed unless it is published.
struct Temporary<'a> {
    dir: &'a Dir,
    name: String,
    file: Option<File>,
}

impl<'a> Temporary<'a> {
    fn create(store: &Store, dir: &'a Dir) -> io::Result<Self> {
        let mut taken = 0;
        loop {
            let name = store.temporary_name();
            match dir.create(&name) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && taken < MAX_TAKEN_NAMES => taken += 1,
                created => return created.map(|file| Self { dir, name, file: Some(file) }),
            }
        }
    }

    /// Writes and flushes the bytes and closes the file.
    fn fill(&self, pieces: &[Bytes], key: &ObjectKey, cancel: &CancelToken) -> StorageResult<()> {
        let go_on = || !cancel.is_cancelled();
        let Some(file) = &self.file else { return Ok(()) };
        platform::write_pieces(file, pieces, go_on)
            .map_err(|error| from_io(error, StorageOperation::Put, Some(key)))?;
        if !go_on() {
            return Err(StorageError::new(StorageErrorKind::Cancelled, StorageOperation::Put).with_key(key));
        }
        file.sync_all().map_err(|error| not_flushed(error, key))
    }

    /// Gives the file its final name; after an error the name holds what it held before.
    fn publish(mut self, name: &str, mode: PutMode) -> io::Result<()> {
        // Windows renames no open file.
        self.file = None;
        match mode {
            PutMode::Overwrite => {
                self.dir.rename_over(&self.name, name)?;
                self.forget();
            }
            PutMode::IfAbsent => match self.dir.link(&self.name, name) {
                // The second name goes when `self` is dropped.
                Ok(()) => {}
                Err(error) if platform::cannot_link(&error) => {
                    self.dir.rename_new(&self.name, name).map_err(|error| match error.kind() {
                        io::ErrorKind::InvalidInput => io::ErrorKind::Unsupported.into(),
                        _ => error,
                    })?;
                    self.forget();
                }
                // Over NFS the reply to a link that was made may be lost and the repetition fail.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    if !platform::is_linked_twice(self.dir, &self.name) {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            },
        }
        Ok(())
    }

    fn forget(&mut self) {
        self.name.clear();
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        self.file = None;
        if !self.name.is_empty() {
            // What can't be removed now is swept later.
            let _ = self.dir.remove(&self.name);
        }
    }
}

/// Why a name couldn't be taken.
enum Obstacle {
    /// An object has it.
    Object,
    /// A directory without anything in it had it; now it is gone.
    EmptyDirectory,
    /// The temporary file was taken for a stray one and removed.
    Swept,
    /// Something else; the error says what.
    Other,
}

impl Obstacle {
    fn of(dir: &Dir, name: &str, error: &io::Error) -> Self {
        match (error.kind(), dir.facts(name).map(|facts| facts.kind)) {
            (_, Ok(FileKind::Directory)) if dir.remove_dir(name).is_ok() => Self::EmptyDirectory,
            (io::ErrorKind::AlreadyExists, Ok(FileKind::File)) => Self::Object,
            // Whoever had the name has just removed the object or directory.
            (io::ErrorKind::AlreadyExists, Err(_)) => Self::EmptyDirectory,
            (io::ErrorKind::NotFound, _) => Self::Swept,
            _ => Self::Other,
        }
    }
}

/// The error for a taken key, once the object there is as durable as one stored here would be: its writer may not have
/// come to flush the directory yet, and our caller will rely on the object.
fn already_exists(dir: &Dir, key: &ObjectKey) -> StorageError {
    match dir.sync() {
        Ok(()) => StorageError::new(StorageErrorKind::AlreadyExists, StorageOperation::Put).with_key(key),
        Err(error) => not_flushed(error, key),
    }
}

fn not_flushed(error: io::Error, key: &ObjectKey) -> StorageError {
    from_io(error, StorageOperation::Put, Some(key))
        .with_retry(RetryAdvice::Never)
        .with_detail("flushing to disk failed")
}

/// Directories below the root are made where they are missing; so what is missing is the root.
fn root_is_gone(error: io::Error, key: &ObjectKey) -> StorageError {
    StorageError::new(StorageErrorKind::Unavailable, StorageOperation::Put)
        .with_key(key)
        .with_retry(RetryAdvice::Never)
        .with_detail("the directory of the store was removed")
        .with_source(error)
}

fn swept(key: &ObjectKey) -> StorageError {
    StorageError::new(StorageErrorKind::Unavailable, StorageOperation::Put)
        .with_key(key)
        .with_detail("the unfinished upload was swept away as too old")
}
