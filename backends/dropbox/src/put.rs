//! Writing objects: at once, or piece by piece.

use backup_core::{
    ObjectKey, PutBody, PutMode, PutOptions, StorageError, StorageErrorKind, StorageOperation, StorageResult,
};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::api::Api;
use crate::content_hash::digests;
use crate::error::DropboxFailure;
use crate::path::Root;
use crate::session::{Session, Unfinished};

/// Objects of more bytes than this go through a session. A request of this size is repeated whole when it is cut, which costs no more
/// than a session's extra requests do.
const AT_ONCE_BYTES: u64 = 16 << 20;

/// What goes up in one request of a session: whole blocks of the checksum.
const CHUNK_BYTES: u64 = 16 << 20;

/// The largest object that a session takes.
pub(crate) const MAX_OBJECT_BYTES: u64 = (1 << 41) - (1 << 22);

/// How often a session is gone on with that makes no way.
const MAX_STUCK: u32 = 4;

/// One put.
struct Upload<'a> {
    api: &'a Api,
    key: &'a ObjectKey,
    body: &'a PutBody,
    content_hash: String,
    /// Where to and how, as Dropbox calls it.
    commit: Value,
}

/// A failed request, and whether it can have stored the object.
struct Failed {
    failure: DropboxFailure,
    is_commit: bool,
}

fn before(failure: DropboxFailure) -> Failed {
    Failed { failure, is_commit: false }
}

pub(crate) async fn put(
    api: &Api,
    root: &Root,
    unfinished: &Unfinished,
    key: &ObjectKey,
    body: &PutBody,
    options: &PutOptions,
) -> StorageResult<()> {
    let error = |kind| StorageError::new(kind, StorageOperation::Put).with_key(key);
    if body.len_bytes() > MAX_OBJECT_BYTES {
        return Err(error(StorageErrorKind::TooLarge));
    }
    let digests = digests(body.pieces(), options.sha256.is_some()).await;
    let digests = digests.map_err(|stopped| error(StorageErrorKind::Cancelled).with_source(stopped))?;
    // From here on Dropbox's own checksum, made of the same bytes, vouches for them.
    if digests.sha256 != options.sha256 {
        return Err(error(StorageErrorKind::Integrity).with_detail("the body is not the one of this SHA-256"));
    }
    let if_absent = options.mode == PutMode::IfAbsent;
    let commit = json!({
        "path": root.path(key.as_str()),
        "mode": if if_absent { "add" } else { "overwrite" },
        "autorename": false,
        "mute": true,
        // Equal bytes are a conflict, too.
        "strict_conflict": if_absent,
    });
    let upload = Upload { api, key, body, content_hash: digests.content_hash, commit };
    let stored = match upload.run(unfinished).await {
        Ok(stored) => stored,
        Err(Failed { failure, is_commit: false }) => return Err(failure.into_error_without_effect(key)),
        Err(Failed { mut failure, .. }) => {
            // Only a create-only put can be told that.
            if failure.kind == StorageErrorKind::AlreadyExists && !if_absent {
                failure.kind = StorageErrorKind::Other;
            }
            return Err(failure.into_error(StorageOperation::Put, Some(key)));
        }
    };
    if stored["content_hash"] == *upload.content_hash && stored["size"] == body.len_bytes() {
        return Ok(());
    }
    if if_absent && let Some(rev) = stored["rev"].as_str() {
        // Best effort: a repetition must find the key free. Only what was just stored can be of that revision.
        let argument = json!({ "path": upload.commit["path"], "parent_rev": rev });
        let _ = api.rpc("files/delete_v2", &argument).await;
    }
    Err(error(StorageErrorKind::Integrity).with_detail("Dropbox has stored other bytes than were sent"))
}

impl Upload<'_> {
    /// Stores the object and gives what Dropbox tells of it.
    async fn run(&self, unfinished: &Unfinished) -> Result<Value, Failed> {
        let mut session = unfinished.take(self.key, &self.content_hash);
        if session.is_none() && self.body.len_bytes() <= AT_ONCE_BYTES {
            return self.at_once(unfinished).await;
        }
        let mut is_second = false;
        loop {
            let failed = match self.go_on(&mut session).await {
                Ok(stored) => return Ok(stored),
                Err(failed) => failed,
            };
            let is_lost = failed.failure.is("closed")
                || (failed.failure.kind == StorageErrorKind::NotFound && !failed.failure.is("path"));
            if !is_lost {
                let is_known = !(failed.is_commit && failed.failure.is_cut());
                if let Some(session) = session
                    && is_known
                    && is_passing(failed.failure.kind)
                {
                    unfinished.keep(self.key, &self.content_hash, session);
                }
                return Err(failed);
            }
            if is_second {
                let what = "Dropbox loses what is sent to it";
                return Err(before(DropboxFailure::wrong(StorageErrorKind::Unavailable, what)));
            }
            is_second = true;
            session = None;
        }
    }

    async fn at_once(&self, unfinished: &Unfinished) -> Result<Value, Failed> {
        let mut argument = self.commit.clone();
        argument["content_hash"] = self.content_hash.as_str().into();
        let sent = self.api.upload("files/upload", &argument, self.body.pieces()).await;
        sent.map_err(|failure| {
            // Dropbox has the bytes and could not give them their name: they need not be sent again.
            if let Some(id) = failure.session_id.clone().filter(|_| is_passing(failure.kind)) {
                let session = Session { id, offset_bytes: self.body.len_bytes() };
                unfinished.keep(self.key, &self.content_hash, session);
            }
            Failed { failure, is_commit: true }
        })
    }

    /// Sends what a session has not got, and stores it.
    async fn go_on(&self, session: &mut Option<Session>) -> Result<Value, Failed> {
        let (len_bytes, mut stuck) = (self.body.len_bytes(), 0);
        let mut at = match session.take() {
            Some(session) => session,
            None => self.begin().await.map_err(before)?,
        };
        loop {
            *session = Some(at.clone());
            let cursor = json!({ "session_id": at.id, "offset": at.offset_bytes });
            let is_commit = at.offset_bytes == len_bytes;
            let answer = if is_commit {
                let argument = json!({ "cursor": cursor, "commit": self.commit });
                match self.api.upload("files/upload_session/finish", &argument, &[]).await {
                    Ok(stored) => return Ok(stored),
                    Err(failure) => Err(failure),
                }
            } else {
                self.append(&cursor, at.offset_bytes).await
            };
            let there = at.offset_bytes;
            match answer {
                Ok(end_bytes) => at.offset_bytes = end_bytes,
                Err(failure) => match failure.correct_offset {
                    // What was sent last has arrived, in part or whole, though its answer has not.
                    Some(offset_bytes) if offset_bytes <= len_bytes && stuck < MAX_STUCK => {
                        at.offset_bytes = offset_bytes;
                    }
                    // Asking again tells what has arrived.
                    None if !is_commit && failure.is_cut() && stuck < MAX_STUCK => {}
                    _ => return Err(Failed { failure, is_commit }),
                },
            }
            stuck = if at.offset_bytes > there { 0 } else { stuck + 1 };
        }
    }

    async fn begin(&self) -> Result<Session, DropboxFailure> {
        let begun = self.api.upload("files/upload_session/start", &json!({ "close": false }), &[]).await?;
        let id = begun["session_id"].as_str().map(str::to_owned);
        let id = id.ok_or_else(|| crate::api::strange("the answer names no session"))?;
        Ok(Session { id, offset_bytes: 0 })
    }

    /// Sends one piece, and tells where it ends.
    async fn append(&self, cursor: &Value, from_bytes: u64) -> Result<u64, DropboxFailure> {
        let to_bytes = self.body.len_bytes().min(from_bytes + CHUNK_BYTES);
        let chunk = slice(self.body.pieces(), from_bytes, to_bytes);
        let digests = digests(&chunk, false).await;
        let digests =
            digests.map_err(|_| DropboxFailure::wrong(StorageErrorKind::Cancelled, "the runtime is shutting down"))?;
        let argument = json!({ "cursor": cursor, "close": false, "content_hash": digests.content_hash });
        self.api.upload("files/upload_session/append_v2", &argument, &chunk).await?;
        Ok(to_bytes)
    }
}

/// Whether the same put may succeed later.
fn is_passing(kind: StorageErrorKind) -> bool {
    matches!(kind, StorageErrorKind::RateLimited | StorageErrorKind::Unavailable | StorageErrorKind::Timeout)
}

/// The bytes from one place to another, without a copy.
fn slice(pieces: &[Bytes], from_bytes: u64, to_bytes: u64) -> Vec<Bytes> {
    let (mut at, mut slices) = (0, Vec::new());
    for piece in pieces {
        let end = at + piece.len() as u64;
        let (from, to) = (from_bytes.clamp(at, end) - at, to_bytes.clamp(at, end) - at);
        let inside = |offset: u64| usize::try_from(offset).expect("it lies within a piece in memory");
        if from < to {
            slices.push(piece.slice(inside(from)..inside(to)));
        }
        at = end;
    }
    slices
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_the_bytes_between_two_places() {
        let pieces: Vec<Bytes> = ["abc", "", "d", "efgh"].map(Bytes::from).into();
        for from in 0..=8 {
            for to in from..=8 {
                let wanted = &b"abcdefgh"[from..to];
                assert_eq!(slice(&pieces, from as u64, to as u64).concat(), wanted, "{from} to {to}");
            }
        }
    }
}
