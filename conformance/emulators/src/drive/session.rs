//! Resumable uploads: sessions that take a file in chunks.

use std::time::Duration;

use bytes::BytesMut;
use serde_json::Value;

use super::about::MAX_UPLOAD_BYTES;
use super::account::Caller;
use super::fields::Selection;
use super::knobs::DriveFault;
use super::metadata::Metadata;
use super::operation::{Action, Call};
use super::refusal::Refusal;
use super::state::{Corpus, State};
use super::upload::{json_body, purpose};
use crate::message::{Reply, Request};

/// Chunks are multiples of this, but for the last one.
const CHUNK_BYTES: usize = 256 << 10;

/// How long a session waits for the next chunk.
const LIFE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Sessions that are remembered. When there are more, those that are done or expired are forgotten.
const MAX_REMEMBERED: usize = 1_000;

/// An upload that is not done, or was done lately.
#[derive(Debug)]
pub(super) struct Session {
    caller: Caller,
    call: Call,
    metadata: Metadata,
    selection: Selection,
    /// The length that was told at the beginning.
    declared_bytes: Option<usize>,
    received: BytesMut,
    expires_ms: u64,
    /// What was made of it.
    done: Option<Value>,
}

/// What a chunk's `Content-Range` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chunk {
    /// Nothing is sent; how much has arrived?
    Query { total: Option<usize> },
    /// These bytes are sent.
    Bytes { first: usize, len: usize, total: Option<usize> },
}

impl Chunk {
    /// Reads `bytes 0-9/10`, `bytes 0-9/*`, `bytes */10` and `bytes */*`.
    fn parse(header: &str) -> Option<Self> {
        let (span, total) = header.strip_prefix("bytes ")?.split_once('/')?;
        let total = if total == "*" { None } else { Some(total.parse().ok()?) };
        if span == "*" {
            return Some(Self::Query { total });
        }
        let (first, last) = span.split_once('-')?;
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        let len = last.checked_sub(first)?.checked_add(1)?;
        if total.is_some_and(|total| last >= total) { None } else { Some(Self::Bytes { first, len, total }) }
    }
}

impl State {
    /// Begins a session and tells its address.
    pub(super) fn begin_session(
        &mut self,
        caller: &Caller,
        call: Call,
        selection: Selection,
        request: &Request,
    ) -> Result<Reply, Refusal> {
        let mut metadata = Metadata::parse(json_body(request)?, purpose(&call))?;
        let said = request.header("x-upload-content-length").map(str::parse);
        let declared_bytes =
            said.transpose().map_err(|_| Refusal::malformed("X-Upload-Content-Length is no number"))?;
        if declared_bytes.is_some_and(|bytes: usize| bytes as u64 > MAX_UPLOAD_BYTES) {
            return Err(Refusal::new(400, "uploadTooLarge", "The file is too large."));
        }
        // What can't work is refused at once, as far as it is known by now.
        let (corpus, old_bytes) = if call.operation.action == Action::FilesCreate {
            self.check_create(caller, &call, &metadata)?;
            if let Some(mime) = request.header("x-upload-content-type") {
                metadata.default_mime(mime);
            }
            let parent = self.folder(caller, metadata.parent()?.unwrap_or("root"), call.knows_drives())?;
            (parent.corpus.clone(), 0)
        } else {
            let node = self.seen(caller, call.id(), call.knows_drives())?;
            (node.corpus.clone(), node.size_bytes())
        };
        self.check_declared(&corpus, declared_bytes, old_bytes)?;

        let id = self.opaque("session");
        // The address names the host that this client used.
        let place = format!("https://{}{}?{}&upload_id={id}", request.authority, request.path, request.query);
        let life_ms = u64::try_from(LIFE.as_millis()).expect("a week");
        let session = Session {
            caller: caller.clone(),
            call,
            metadata,
            selection,
            declared_bytes,
            received: BytesMut::new(),
            expires_ms: self.clock.now_ms() + life_ms,
            done: None,
        };
        if self.sessions.len() >= MAX_REMEMBERED {
            let now_ms = self.clock.now_ms();
            self.sessions.retain(|_, session| !session.is_done() && now_ms < session.expires_ms);
        }
        self.sessions.insert(id.clone(), session);
        Ok(Reply::new(200).header("location", &place).header("x-guploader-uploadid", &id))
    }

    fn check_declared(&self, corpus: &Corpus, declared: Option<usize>, old_bytes: u64) -> Result<(), Refusal> {
        self.check_room(corpus, declared.map_or(0, |bytes| bytes as u64), old_bytes)
    }

    /// Takes a chunk, or tells how much has arrived.
    pub(super) fn go_on(&mut self, id: &str, request: &Request, fault: Option<&DriveFault>) -> Result<Reply, Refusal> {
        if fault == Some(&DriveFault::LoseSession) {
            self.sessions.remove(id);
        }
        let session = self.live_session(id)?;
        if let Some(done) = &session.done {
            return Ok(Reply::json(200, done));
        }
        let total = session.take(request, fault)?;
        if total != Some(session.received.len()) {
            let reply = Reply::new(308);
            return Ok(match session.received.len().checked_sub(1) {
                Some(last) => reply.header("range", &format!("bytes=0-{last}")),
                None => reply,
            });
        }
        self.finish(id)
    }

    /// Keeps what arrived of a chunk before its connection was cut, in whole pieces.
    pub(super) fn keep_cut(&mut self, id: &str, request: &Request) {
        let Ok(session) = self.live_session(id) else { return };
        let sent = request.header("content-range").and_then(Chunk::parse);
        if let (Some(Chunk::Bytes { first, .. }), None) = (sent, &session.done) {
            let kept = request.body.len() / CHUNK_BYTES * CHUNK_BYTES;
            session.append(first, &request.body[..kept]);
        }
    }

    fn live_session(&mut self, id: &str) -> Result<&mut Session, Refusal> {
        let now_ms = self.clock.now_ms();
        let status = if self.knobs.lost_sessions_are_410 { 410 } else { 404 };
        let live = self.sessions.get_mut(id).filter(|session| now_ms < session.expires_ms);
        live.ok_or_else(|| Refusal::new(status, "notFound", "The upload session is not there."))
    }

    fn finish(&mut self, id: &str) -> Result<Reply, Refusal> {
        let Some(mut session) = self.sessions.remove(id) else {
            return Err(Refusal::malformed("There is no session."));
        };
        let bytes = std::mem::take(&mut session.received).freeze();
        let made = self.put_content(&session.caller, &session.call, &session.metadata, Some(bytes))?;
        let told = session.selection.apply(made);
        session.done = Some(told.clone());
        self.sessions.insert(id.to_owned(), session);
        Ok(Reply::json(200, &told))
    }
}

impl Session {
    pub(super) fn is_done(&self) -> bool {
        self.done.is_some()
    }

    /// Takes what a request brings and tells the length of the whole, where it is known.
    fn take(&mut self, request: &Request, fault: Option<&DriveFault>) -> Result<Option<usize>, Refusal> {
        let body = &request.body;
        let chunk = match request.header("content-range") {
            None => Chunk::Bytes { first: 0, len: body.len(), total: Some(body.len()) },
            Some(header) => {
                Chunk::parse(header).ok_or_else(|| Refusal::malformed("Failed to parse Content-Range header."))?
            }
        };
        let (Chunk::Query { total } | Chunk::Bytes { total, .. }) = chunk;
        if let (Some(total), Some(declared)) = (total, self.declared_bytes)
            && total != declared
        {
            return Err(Refusal::malformed(format!("{declared} bytes were declared, not {total}.")));
        }
        match chunk {
            Chunk::Query { .. } if !body.is_empty() => {
                return Err(Refusal::malformed("A query of an upload's state has no body."));
            }
            Chunk::Query { .. } => {}
            Chunk::Bytes { len, .. } if len != body.len() => {
                return Err(Refusal::malformed(format!("{len} bytes were announced and {} sent.", body.len())));
            }
            Chunk::Bytes { first, .. } if first > self.received.len() => {
                let message = format!("The next byte is {}, not {first}.", self.received.len());
                return Err(Refusal::malformed(message));
            }
            Chunk::Bytes { first, len, total } => {
                let is_last = total == Some(first + len);
                if !is_last && len % CHUNK_BYTES != 0 {
                    return Err(Refusal::malformed("Chunks other than the last one are multiples of 256 KiB."));
                }
                let kept = match fault {
                    Some(DriveFault::KeepOnly { bytes }) => (bytes / CHUNK_BYTES * CHUNK_BYTES).min(len),
                    _ => len,
                };
                self.append(first, &body[..kept]);
            }
        }
        Ok(total)
    }

    /// Adds what is new of bytes that begin somewhere in what is known or right after it.
    fn append(&mut self, first: usize, bytes: &[u8]) {
        if let Some(known) = self.received.len().checked_sub(first)
            && known < bytes.len()
        {
            self.received.extend_from_slice(&bytes[known..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_read() {
        let bytes = |first, len, total| Some(Chunk::Bytes { first, len, total });
        assert_eq!(Chunk::parse("bytes 0-9/10"), bytes(0, 10, Some(10)));
        assert_eq!(Chunk::parse("bytes 5-9/*"), bytes(5, 5, None));
        assert_eq!(Chunk::parse("bytes */10"), Some(Chunk::Query { total: Some(10) }));
        assert_eq!(Chunk::parse("bytes */*"), Some(Chunk::Query { total: None }));
        for wrong in
            ["", "bytes", "bytes 0-9", "bytes 9-0/10", "bytes 0-10/10", "bytes -1/10", "0-9/10", "bytes 0-a/10"]
        {
            assert_eq!(Chunk::parse(wrong), None, "{wrong}");
        }
    }
}
