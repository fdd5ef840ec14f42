//! Writing an object so that it is never seen half.
//!
//! Order of requests: a temporary file in the directory of the object, all bytes, flush, close, then its own name. No request
//! is sent whose meaning depends on one that is not answered yet. The protocol flushes no directories, so the bytes
//! survive a power loss and the name perhaps not.

use std::collections::VecDeque;
use std::sync::Arc;

use backup_core::storage::error::RetryAdvice;
use backup_core::{ObjectKey, PutBody, PutMode, StorageError, StorageErrorKind, StorageOperation, StorageResult};
use bytes::{Bytes, BytesMut};

use crate::client::Client;
use crate::connection::Connection;
use crate::failure::{Failed, done};
use crate::file::{Temporary, file_at_or_above, look, order};
use crate::room::is_full;
use crate::wire::{FileKind, Request, Status};

/// Writes that are under way for one object: with 255 KiB each, enough for a line of 1 Gbit/s and 30 ms.
const MAX_WRITES: usize = 16;

/// How often a put starts again because a directory that it needs or that is in its way was changed by another client;
/// each round means that the other one made progress.
const MAX_ROUNDS: u32 = 8;

const PUT: StorageOperation = StorageOperation::Put;

/// Stores an object. `temporary` is a name that nobody else uses.
pub(crate) async fn put(
    connection: &Connection,
    key: &ObjectKey,
    body: &PutBody,
    mode: PutMode,
    temporary: impl Fn() -> String,
) -> StorageResult<()> {
    let client = &connection.client;
    let path = format!("{}/{key}", connection.root);
    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    for _ in 0..MAX_ROUNDS {
        let Some(mut file) = create(connection, parent, &temporary, key).await? else { continue };
        if let Err(failed) = fill(connection, &mut file, body).await {
            // Before the question about room: what was written takes some.
            file.remove();
            return Err(not_written(connection, failed, body, key).await);
        }
        match publish(connection, &mut file, &path, mode, format!("{parent}/{}", temporary())).await {
            Ok(()) => return Ok(()),
            Err(failed) if failed.code().is_none() => return Err(failed.into_doubt(PUT, key)),
            Err(failed) if failed.code() == Some(Status::ALREADY_EXISTS) && mode == PutMode::IfAbsent => {
                return Err(StorageError::new(StorageErrorKind::AlreadyExists, PUT).with_key(key));
            }
            Err(failed) => match obstacle(client, &path).await {
                Obstacle::Object if mode == PutMode::IfAbsent => {
                    return Err(StorageError::new(StorageErrorKind::AlreadyExists, PUT).with_key(key));
                }
                // An empty directory of objects that were deleted.
                Obstacle::Directory if order(client, Request::rmdir(&path)).await.is_ok() => {}
                Obstacle::Directory => return Err(in_the_way(key)),
                Obstacle::Nothing if failed.is_no_such_file() => {
                    let swept = "the unfinished upload was swept away as too old, or its directory was removed";
                    let gone = StorageError::new(StorageErrorKind::Unavailable, PUT);
                    return Err(gone.with_key(key).with_detail(swept));
                }
                Obstacle::Nothing if mode == PutMode::IfAbsent => return Err(knows_no_links(&failed, key)),
                Obstacle::Object | Obstacle::Nothing => return Err(failed.into_error(PUT, Some(key))),
            },
        }
    }
    let detail = "other clients keep changing the directory";
    Err(StorageError::new(StorageErrorKind::Unavailable, PUT).with_key(key).with_detail(detail))
}

/// Makes the temporary file, and the directories above it where they are missing; `None` when somebody removed them
/// again in between.
async fn create(
    connection: &Connection,
    parent: &str,
    temporary: impl Fn() -> String,
    key: &ObjectKey,
) -> StorageResult<Option<Temporary>> {
    let client = &connection.client;
    let create = async || Temporary::create(client, format!("{parent}/{}", temporary())).await;
    match create().await {
        Ok(file) => return Ok(Some(file)),
        Err(failed) if failed.is_no_such_file() => {}
        Err(failed) => return Err(not_created(connection, failed, parent, key).await),
    }
    let made = make_directories(client, parent).await;
    if let Some(file) = file_at_or_above(client, &connection.root, parent).await {
        return Err(blocked(&file, key));
    }
    made.map_err(|failed| {
        let kind = match failed.kind() {
            StorageErrorKind::NotFound => StorageErrorKind::PermissionDenied,
            kind => kind,
        };
        let detail = format!("the directory `{parent}` can't be made: {failed}");
        StorageError::new(kind, PUT).with_key(key).with_detail(detail)
    })?;
    match create().await {
        Ok(file) => Ok(Some(file)),
        Err(failed) if failed.is_no_such_file() => Ok(None),
        Err(failed) => Err(not_created(connection, failed, parent, key).await),
    }
}

fn blocked(file: &str, key: &ObjectKey) -> StorageError {
    StorageError::new(StorageErrorKind::Other, PUT).with_key(key).with_detail(format!("`{file}` is a file"))
}

/// Makes a directory and the ones above it.
async fn make_directories(client: &Client, path: &str) -> Result<(), Failed> {
    // From the deepest one that can be made downwards.
    let ends: Vec<usize> = path.match_indices('/').map(|(at, _)| at).filter(|at| *at > 0).chain([path.len()]).collect();
    let mut from = ends.len();
    let mut refused = None;
    while from > 0 {
        match order(client, Request::mkdir(&path[..ends[from - 1]])).await {
            Err(failed) if failed.is_no_such_file() => {
                refused = Some(failed);
                from -= 1;
            }
            // One that is there is refused, with no word of its own for it.
            Ok(()) | Err(Failed::Status(_)) => break,
            Err(failed) => return Err(failed),
        }
    }
    if let (0, Some(failed)) = (from, refused) {
        return Err(failed);
    }
    for end in &ends[from..] {
        match order(client, Request::mkdir(&path[..*end])).await {
            Ok(()) => {}
            // Another client made it first, or it can't be made; the next step tells.
            Err(Failed::Status(_)) => {}
            Err(failed) => return Err(failed),
        }
    }
    match look(client, path).await {
        Ok(_) => Ok(()),
        Err(failed) => Err(failed),
    }
}

/// Writes and flushes all bytes and closes the file.
async fn fill(connection: &Connection, file: &mut Temporary, body: &PutBody) -> Result<(), Failed> {
    let Some(open) = file.open.take() else { return Ok(()) };
    let client = Arc::clone(&connection.client);
    let mut writes = VecDeque::with_capacity(MAX_WRITES);
    let mut offset_bytes = 0;
    let filled = async {
        for piece in transfers(body.pieces(), connection.abilities.write_bytes) {
            if writes.len() == MAX_WRITES
                && let Some(oldest) = writes.pop_front()
            {
                done(Box::pin(oldest).await?)?;
            }
            let len = piece.len() as u64;
            writes.push_back(client.send(Request::write(open.handle(), offset_bytes, piece)).await?);
            offset_bytes += len;
        }
        for write in writes {
            done(write.await?)?;
        }
        Ok(())
    };
    if let Err(failed) = filled.await {
        file.open = Some(open);
        return Err(failed);
    }
    // The flush and the close after it are on their way together; both have to succeed.
    let flush = match connection.abilities.fsync {
        true => Some(client.send(Request::fsync(open.handle())).await?),
        false => None,
    };
    let close = open.send_close().await?;
    if let Some(flush) = flush {
        done(flush.await?)?;
    }
    done(close.await?)
}

/// The bytes in amounts that the server takes; small pieces are copied together, large ones are not copied.
fn transfers(pieces: &[Bytes], max_bytes: u32) -> impl Iterator<Item = Bytes> {
    let max = usize::try_from(max_bytes).unwrap_or(usize::MAX);
    let mut pieces = pieces.iter().filter(|piece| !piece.is_empty()).cloned();
    let mut next = pieces.next();
    std::iter::from_fn(move || {
        let mut first = next.take()?;
        if first.len() > max {
            next = Some(first.split_off(max));
            return Some(first);
        }
        next = pieces.next();
        if first.len() == max || next.as_ref().is_none_or(|second| first.len() + second.len() > max) {
            return Some(first);
        }
        let mut together = BytesMut::with_capacity(max);
        together.extend_from_slice(&first);
        while let Some(piece) = next.take() {
            if together.len() + piece.len() > max {
                next = Some(piece);
                break;
            }
            together.extend_from_slice(&piece);
            next = pieces.next();
        }
        Some(together.freeze())
    })
}

/// Gives the file its own name. `aside` is a temporary name for what has it now.
async fn publish(
    connection: &Connection,
    file: &mut Temporary,
    path: &str,
    mode: PutMode,
    aside: String,
) -> Result<(), Failed> {
    let client = &connection.client;
    match mode {
        // Whether it gets a second name or not, the first one goes.
        PutMode::IfAbsent => link(client, &file.path, path).await,
        PutMode::Overwrite if connection.abilities.posix_rename => {
            order(client, Request::posix_rename(&file.path, path)).await?;
            file.forget();
            Ok(())
        }
        PutMode::Overwrite => {
            match order(client, Request::rename(&file.path, path)).await {
                Ok(()) => {}
                Err(failed) if failed.code().is_some() && is_file(client, path).await => {
                    let replacing = replace(Arc::clone(client), file.path.clone(), path.to_owned(), aside);
                    // Begun, it comes to its end: in between nothing has the name. What is left of it has either name.
                    file.forget();
                    let replaced = tokio::spawn(replacing).await;
                    replaced.unwrap_or_else(|_| Err(Failed::Lost("the program ends".to_owned())))?;
                }
                Err(failed) => return Err(failed),
            }
            file.forget();
            Ok(())
        }
    }
}

/// Gives a file a second name that nothing has. Where the link fails and nothing has the name, it had been deleted in between.
async fn link(client: &Client, from: &str, to: &str) -> Result<(), Failed> {
    let mut round = 0;
    loop {
        round += 1;
        match order(client, Request::hardlink(from, to)).await {
            Err(failed) if failed.code() == Some(Status::FAILURE) && round < MAX_ROUNDS => {
                match look(client, to).await {
                    Err(gone) if gone.is_no_such_file() => {}
                    // Whoever looks again may find it deleted.
                    Ok(found) if found.kind() == FileKind::File => {
                        let message = "the name is taken".to_owned();
                        return Err(Failed::Status(Status { code: Status::ALREADY_EXISTS, message }));
                    }
                    _ => return Err(failed),
                }
            }
            linked => return linked,
        }
    }
}

/// Replaces a file where no request does that at once: the old one is kept until the new one has its name, and gets its own
/// back where that fails.
async fn replace(client: Arc<Client>, new: String, path: String, aside: String) -> Result<(), Failed> {
    order(&client, Request::rename(&path, &aside)).await?;
    match order(&client, Request::rename(&new, &path)).await {
        Ok(()) => {
            client.tell(Request::remove(&aside));
            Ok(())
        }
        Err(failed) => {
            if order(&client, Request::rename(&aside, &path)).await.is_ok() {
                client.tell(Request::remove(&new));
            }
            Err(failed)
        }
    }
}

async fn is_file(client: &Client, path: &str) -> bool {
    look(client, path).await.is_ok_and(|found| matches!(found.kind(), FileKind::File | FileKind::Unknown))
}

/// What has a name that couldn't be taken.
enum Obstacle {
    Object,
    Directory,
    Nothing,
}

async fn obstacle(client: &Client, path: &str) -> Obstacle {
    match look(client, path).await.map(|found| found.kind()) {
        Ok(FileKind::Directory) => Obstacle::Directory,
        Ok(_) => Obstacle::Object,
        Err(_) => Obstacle::Nothing,
    }
}

/// A link that failed although nothing has the name: file systems of other systems have none, with various words for it.
fn knows_no_links(failed: &Failed, key: &ObjectKey) -> StorageError {
    StorageError::new(StorageErrorKind::Unsupported, PUT).with_key(key).with_detail(format!(
        "{failed}; if the file system there has no hard links, say so with `hard_links = false`: create-only puts are made of them"
    ))
}

fn in_the_way(key: &ObjectKey) -> StorageError {
    StorageError::new(StorageErrorKind::Other, PUT)
        .with_key(key)
        .with_detail("a directory with files in it has this name")
}

/// Why a file couldn't be made.
async fn not_created(connection: &Connection, failed: Failed, parent: &str, key: &ObjectKey) -> StorageError {
    let client = &connection.client;
    if failed.code() == Some(Status::FAILURE) {
        if let Some(file) = file_at_or_above(client, &connection.root, parent).await {
            return blocked(&file, key);
        }
        if is_full(connection, 0).await {
            return no_room(key);
        }
    }
    failed.into_error(PUT, Some(key))
}

/// Why the bytes couldn't be written: the protocol has one word for a full disk and for a broken one.
async fn not_written(connection: &Connection, failed: Failed, body: &PutBody, key: &ObjectKey) -> StorageError {
    if failed.code() == Some(Status::FAILURE) {
        if is_full(connection, body.len_bytes()).await {
            return no_room(key);
        }
        let error = failed.into_error(PUT, Some(key));
        let detail = format!("{}; a quota may be used up", error.detail().unwrap_or_default());
        return error.with_retry(RetryAdvice::After(std::time::Duration::ZERO)).with_detail(detail);
    }
    match failed.kind() {
        // The file was swept away while it was written to.
        StorageErrorKind::NotFound => StorageError::new(StorageErrorKind::Unavailable, PUT)
            .with_key(key)
            .with_detail("the unfinished upload was swept away as too old"),
        _ => failed.into_error(PUT, Some(key)),
    }
}

fn no_room(key: &ObjectKey) -> StorageError {
    StorageError::new(StorageErrorKind::QuotaExceeded, PUT).with_key(key).with_detail("the server's disk is full")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(pieces: &[usize], max: u32) -> Vec<usize> {
        let pieces: Vec<Bytes> = pieces.iter().map(|len| Bytes::from(vec![7; *len])).collect();
        let sent: Vec<Bytes> = transfers(&pieces, max).collect();
        assert_eq!(sent.concat(), pieces.concat());
        sent.iter().map(Bytes::len).collect()
    }

    #[test]
    fn bytes_go_in_amounts_that_the_server_takes() {
        assert!(sizes(&[], 10).is_empty());
        assert!(sizes(&[0, 0], 10).is_empty());
        assert_eq!(sizes(&[25], 10), [10, 10, 5]);
        assert_eq!(sizes(&[10, 10], 10), [10, 10]);
        assert_eq!(sizes(&[3, 0, 3, 3, 3], 10), [9, 3]);
        assert_eq!(sizes(&[25, 3, 20], 10), [10, 10, 8, 10, 10]);
        assert_eq!(sizes(&[1; 25], 10), [10, 10, 5]);
    }
}
