//! Going through the directories: for listings and for the sweep of stray temporary files.

use std::io;
use std::ops::ControlFlow;
use std::time::Duration;

use backup_core::{KeyPrefix, ObjectKey, ObjectMeta, StorageOperation, StorageResult};

use crate::error::{from_io, is_absent};
use crate::platform::{Dir, FileFacts, FileKind};
use crate::store::{Store, TEMPORARY_PREFIX};

/// Hands every object under a prefix to `found`, in order within each directory; blocks.
///
/// Holds the names of one directory, and the paths of the directories still to be seen, in memory.
pub(crate) fn objects(
    store: &Store,
    prefix: &KeyPrefix,
    mut found: impl FnMut(ObjectMeta) -> ControlFlow<()>,
) -> StorageResult<()> {
    let failed = |error| from_io(error, StorageOperation::List, None);
    let mut dirs = vec![prefix.as_str().to_owned()];
    while let Some(path) = dirs.pop() {
        let Some(dir) = open(store, &path).map_err(failed)? else { continue };
        for (name, kind) in sorted_names(&dir).map_err(failed)? {
            let Ok(key) = ObjectKey::new(format!("{path}{name}")) else { continue };
            let Some(facts) = facts(&dir, &name, kind).map_err(failed)? else { continue };
            match facts.kind {
                FileKind::File => {
                    let stored_at = Some(facts.modified);
                    let meta = ObjectMeta { key, size_bytes: facts.size_bytes, stored_at };
                    if found(meta).is_break() {
                        return Ok(());
                    }
                }
                FileKind::Directory => dirs.push(format!("{path}{name}/")),
                // What lies behind it may be half of the repository: leaving it out would be a short listing.
                FileKind::Symlink => return Err(symlink(&key)),
                FileKind::Special | FileKind::Unknown => {}
            }
        }
    }
    Ok(())
}

/// Removes temporary files that were last written to longer than `age` ago, and directories in which nothing is left, and
/// says how many files; blocks.
pub(crate) fn sweep(store: &Store, age: Duration) -> StorageResult<u64> {
    let failed = |error| from_io(error, StorageOperation::Extension, None);
    if !store.has_root().map_err(failed)? {
        return Ok(0);
    }
    let oldest_kept = file_system_time(store).map_err(failed)?.saturating_sub(age);
    let mut removed = 0;
    let mut dirs = vec![String::new()];
    while let Some(path) = dirs.pop() {
        let Some(dir) = open(store, &path).map_err(failed)? else { continue };
        let mut left = 0_usize;
        for (name, kind) in dir.names().map_err(failed)? {
            // The system lists a directory and the one above it among its names.
            left += usize::from(name != "." && name != "..");
            if name.starts_with(TEMPORARY_PREFIX) {
                let Some(found) = facts(&dir, &name, FileKind::Unknown).map_err(failed)? else { continue };
                if found.kind == FileKind::File && found.modified < oldest_kept {
                    left -= 1;
                    match dir.remove(&name) {
                        Ok(()) => removed += 1,
                        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                        Err(error) => return Err(failed(error)),
                    }
                }
            } else if is_directory(&dir, &name, kind).map_err(failed)?
                && ObjectKey::new(format!("{path}{name}")).is_ok()
            {
                dirs.push(format!("{path}{name}/"));
            }
        }
        if left == 0 && !path.is_empty() {
            remove_empty(store, path.trim_end_matches('/'));
        }
    }
    Ok(removed)
}

/// Removes a directory unless something is in it by now; whoever needs it makes it again.
fn remove_empty(store: &Store, path: &str) {
    let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
    // What can't be removed is no worse than before.
    let _ = store.dir(parent).and_then(|dir| dir.remove_dir(name));
}

/// Whether a name is a directory's; asks the system only where the listing doesn't tell.
fn is_directory(dir: &Dir, name: &str, kind: FileKind) -> io::Result<bool> {
    match kind {
        FileKind::Unknown => Ok(facts(dir, name, kind)?.is_some_and(|facts| facts.kind == FileKind::Directory)),
        known => Ok(known == FileKind::Directory),
    }
}

/// A directory, `None` when there is none (any more).
fn open(store: &Store, path: &str) -> io::Result<Option<Dir>> {
    if !store.has_root()? {
        return Ok(None);
    }
    match store.dir(path.trim_end_matches('/')) {
        Ok(dir) => Ok(Some(dir)),
        // The root itself doesn't go away in good order: an empty listing would say that nothing was ever stored.
        Err(error) if is_absent(&error) && !path.is_empty() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The names of a directory in order, each once: some file systems show a file twice that is replaced meanwhile.
fn sorted_names(dir: &Dir) -> io::Result<Vec<(String, FileKind)>> {
    let mut names = dir.names()?;
    names.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    names.dedup_by(|(a, _), (b, _)| a == b);
    Ok(names)
}

/// The facts about a file, `None` when it is gone by now; asks the system only where the kind alone doesn't do.
fn facts(dir: &Dir, name: &str, kind: FileKind) -> io::Result<Option<FileFacts>> {
    match kind {
        FileKind::Directory | FileKind::Symlink | FileKind::Special => {
            Ok(Some(FileFacts { kind, size_bytes: 0, modified: backup_core::Timestamp::EPOCH }))
        }
        FileKind::File | FileKind::Unknown => match dir.facts(name) {
            Ok(facts) => Ok(Some(facts)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        },
    }
}

fn symlink(key: &ObjectKey) -> backup_core::StorageError {
    backup_core::StorageError::new(backup_core::StorageErrorKind::Config, StorageOperation::List)
        .with_key(key)
        .with_detail("a symbolic link in the store; the store follows none, remove it or use a bind mount instead")
}

/// The time by the file system's own clock, which on a network is not ours.
fn file_system_time(store: &Store) -> io::Result<backup_core::Timestamp> {
    let dir = store.dir("")?;
    let name = store.temporary_name();
    drop(dir.create(&name)?);
    let facts = dir.facts(&name);
    dir.remove(&name)?;
    Ok(facts?.modified)
}
