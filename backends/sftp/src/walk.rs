//! Going through the directories: for listings and for the sweep of stray temporary files.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use backup_core::{
    KeyPrefix, ObjectKey, ObjectMeta, StorageError, StorageErrorKind, StorageOperation, StorageResult, Timestamp,
};
use futures::stream::{BoxStream, FuturesUnordered, StreamExt};

use crate::client::{Answer, Client};
use crate::connection::Connection;
use crate::failure::{Failed, unexpected};
use crate::file::{Open, Temporary, file_at_or_above, look, order};
use crate::pool::Lease;
use crate::wire::{Attributes, FileKind, Named, Reply, Request, Status};

/// What the names of temporary files begin with, the same as in the local backend: the dot keeps them out of the key space.
pub(crate) const TEMPORARY_PREFIX: &str = ".tmp-";

/// Directories that are read at once: one takes three journeys at least.
const MAX_DIRECTORIES: usize = 8;

/// Requests for names of one directory under way at once.
const MAX_READDIRS: usize = 4;

/// Every object under a prefix.
///
/// Holds the names of as many directories as are read at once, and the paths of those still to be read.
pub(crate) fn objects<'a>(lease: Lease, prefix: &'a KeyPrefix) -> BoxStream<'a, StorageResult<ObjectMeta>> {
    let failed = |failed: Failed| failed.into_error(StorageOperation::List, None);
    let state = Walk::new(lease, vec![prefix.as_str().to_owned()]);
    let directories = futures::stream::unfold(Some(state), move |state| async move {
        let mut walk = state?;
        match walk.next().await {
            None => {
                walk.lease.done();
                None
            }
            Some(Err(error)) => {
                walk.lease.done();
                Some((vec![Err(failed(error))], None))
            }
            Some(Ok((path, names))) => match objects_of(&walk.lease, &path, names, &mut walk.to_read).await {
                Ok(objects) => Some((objects.into_iter().map(Ok).collect(), Some(walk))),
                Err(error) => {
                    walk.lease.done();
                    Some((vec![Err(error)], None))
                }
            },
        }
    });
    directories.map(futures::stream::iter).flatten().boxed()
}

/// The objects among the names of a directory; directories go where they will be read.
async fn objects_of(
    connection: &Connection,
    path: &str,
    names: Vec<Named>,
    to_read: &mut Vec<String>,
) -> StorageResult<Vec<ObjectMeta>> {
    let mut objects = Vec::new();
    for Named { name, attributes } in names {
        let Ok(name) = std::str::from_utf8(&name) else { continue };
        let Ok(key) = ObjectKey::new(format!("{path}{name}")) else { continue };
        let failed = |failed: Failed| failed.into_error(StorageOperation::List, Some(&key));
        let Some(found) = known(connection, &key, attributes).await.map_err(failed)? else { continue };
        match found.kind() {
            FileKind::File => {
                let Some(size_bytes) = found.size_bytes else {
                    let untold = StorageError::new(StorageErrorKind::Other, StorageOperation::List).with_key(&key);
                    return Err(untold.with_detail("the server does not tell how long files are"));
                };
                let stored_at = found.modified_secs.map(|secs| Timestamp::from_secs(i64::from(secs)));
                objects.push(ObjectMeta { key, size_bytes, stored_at });
            }
            FileKind::Directory => to_read.push(format!("{path}{name}/")),
            // What lies behind it may be half of the repository: leaving it out would be a short listing.
            FileKind::Symlink => {
                return Err(StorageError::new(StorageErrorKind::Config, StorageOperation::List)
                    .with_key(&key)
                    .with_detail(
                        "a symbolic link in the store; the store follows none, remove it or use a bind mount instead",
                    ));
            }
            FileKind::Special => {}
            // Left out, it may be half of the repository.
            FileKind::Unknown => {
                let untold = StorageError::new(StorageErrorKind::Config, StorageOperation::List).with_key(&key);
                return Err(untold.with_detail("the server does not tell files from directories"));
            }
        }
    }
    Ok(objects)
}

/// The attributes of a name; asks for those that a listing left out. `None` when it is gone by now.
async fn known(connection: &Connection, key: &ObjectKey, listed: Attributes) -> Result<Option<Attributes>, Failed> {
    if listed.kind() != FileKind::Unknown {
        return Ok(Some(listed));
    }
    match look(&connection.client, &format!("{}/{key}", connection.root)).await {
        Ok(found) => Ok(Some(found)),
        Err(failed) if failed.is_no_such_file() => Ok(None),
        Err(failed) => Err(failed),
    }
}

/// Removes temporary files that were last written to longer than `age` ago, and says how many.
pub(crate) async fn sweep(lease: Lease, age: Duration, temporary: String) -> StorageResult<u64> {
    let mut walk = Walk::new(lease, vec![String::new()]);
    let swept = sweep_all(&mut walk, age, temporary).await;
    walk.lease.done();
    swept.map_err(|failed| failed.into_error(StorageOperation::Extension, None))
}

async fn sweep_all(walk: &mut Walk, age: Duration, temporary: String) -> Result<u64, Failed> {
    let Some(now) = server_time(&walk.lease, temporary).await? else { return Ok(0) };
    let oldest_kept = i64::from(now).saturating_sub(i64::try_from(age.as_secs()).unwrap_or(i64::MAX));
    let mut removed = 0;
    while let Some(directory) = walk.next().await {
        let (path, names) = directory?;
        for Named { name, attributes } in names {
            let Ok(name) = std::str::from_utf8(&name) else { continue };
            if !name.starts_with(TEMPORARY_PREFIX) {
                if attributes.kind() == FileKind::Directory && ObjectKey::new(format!("{path}{name}")).is_ok() {
                    walk.to_read.push(format!("{path}{name}/"));
                }
                continue;
            }
            let is_old = attributes.modified_secs.is_some_and(|secs| i64::from(secs) < oldest_kept);
            if attributes.kind() == FileKind::File && is_old {
                let whole = format!("{}/{path}{name}", walk.lease.root);
                match order(&walk.lease.client, Request::remove(&whole)).await {
                    Ok(()) => removed += 1,
                    Err(gone) if gone.is_no_such_file() => {}
                    Err(failed) => return Err(failed),
                }
            }
        }
    }
    Ok(removed)
}

/// The time by the server's own clock, as a new file has it; `None` where there is no store yet.
async fn server_time(connection: &Connection, temporary: String) -> Result<Option<u32>, Failed> {
    let path = format!("{}/{temporary}", connection.root);
    let file = match Temporary::create(&connection.client, path).await {
        Ok(file) => file,
        Err(failed) if failed.is_no_such_file() => return Ok(None),
        Err(failed) => return Err(failed),
    };
    let found = look(&connection.client, &file.path).await;
    file.remove();
    Ok(found?.modified_secs)
}

/// Directories that are being read.
struct Walk {
    lease: Lease,
    /// Paths below the root, each with a slash at its end; the root itself is empty.
    to_read: Vec<String>,
    reading: FuturesUnordered<Directory>,
}

type Directory = std::pin::Pin<Box<dyn Future<Output = Result<(String, Vec<Named>), Failed>> + Send>>;

impl Walk {
    fn new(lease: Lease, to_read: Vec<String>) -> Self {
        Self { lease, to_read, reading: FuturesUnordered::new() }
    }

    /// The names of the next directory; those that are not there have none.
    async fn next(&mut self) -> Option<Result<(String, Vec<Named>), Failed>> {
        while self.reading.len() < MAX_DIRECTORIES
            && let Some(path) = self.to_read.pop()
        {
            let (client, root) = (Arc::clone(&self.lease.client), self.lease.root.clone());
            self.reading.push(Box::pin(async move {
                let names = names(&client, &root, &path).await?;
                Ok((path, names))
            }));
        }
        self.reading.next().await
    }
}

/// The names of a directory in order, each once.
async fn names(client: &Arc<Client>, root: &str, path: &str) -> Result<Vec<Named>, Failed> {
    let whole = format!("{root}/{path}");
    let trimmed = match whole.trim_end_matches('/') {
        "" => "/",
        trimmed => trimmed,
    };
    let open = match Open::directory(client, trimmed).await {
        Ok(open) => open,
        Err(failed) if failed.is_no_such_file() => return Ok(Vec::new()),
        // A file in the place of a directory has no word of its own on some servers. Nothing but that makes a failure an empty
        // listing: a disk that fails answers in the same words.
        Err(failed) if failed.code() == Some(Status::FAILURE) && !path.is_empty() => {
            return match file_at_or_above(client, root, trimmed).await {
                Some(_) => Ok(Vec::new()),
                None => Err(failed),
            };
        }
        Err(failed) => return Err(failed),
    };
    let mut found: Vec<Named> = Vec::new();
    let mut under_way: VecDeque<Answer> = VecDeque::with_capacity(MAX_READDIRS);
    let mut is_at_end = false;
    loop {
        while !is_at_end && under_way.len() < MAX_READDIRS {
            under_way.push_back(client.send(Request::readdir(open.handle())).await?);
        }
        let Some(oldest) = under_way.pop_front() else { break };
        match oldest.await? {
            Reply::Names(names) => found.extend(names),
            Reply::Status(status) if status.code == Status::END => is_at_end = true,
            other => return Err(unexpected(other)),
        }
    }
    found.retain(|named| named.name != "." && named.name != "..");
    // Some file systems show a file twice that is replaced meanwhile.
    found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    found.dedup_by(|a, b| a.name == b.name);
    Ok(found)
}
