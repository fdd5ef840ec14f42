//! What Dropbox alone can do wrong, and ways in which it may differ from one day to the next.

use serde_json::Value;

use super::answer::Failure;
use super::errors::{WriteError, tag, tagged};

/// Trouble for one request. Added with [`Effect::Vendor`](crate::Effect::Vendor); statuses, cuts and stalls are effects of every emulator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// 429 `too_many_requests`; nothing is done.
    TooManyRequests {
        /// When to come back.
        retry_after_s: u64,
    },
    /// A write meets another write in the namespace; nothing is done.
    TooManyWriteOperations(Contention),
    /// Of a batch, the first entry and then every so manieth meets another write.
    FailEntries {
        /// Every entry with 1, every other one with 2, and so on.
        every: usize,
    },
    /// 503; nothing is done.
    Unavailable,
    /// An append keeps only the first bytes of its data and is answered with 500.
    PersistPart {
        /// Bytes that are kept.
        bytes: usize,
    },
    /// The upload session that the request names is forgotten first.
    LoseSession,
    /// The cursor of the request is no good any more.
    ResetCursor,
    /// The checksums in the answer are wrong.
    WrongHash,
    /// The access token of the request ends now.
    ExpireToken,
    /// What the user allowed ends now.
    RevokeToken,
    /// A write finds no room.
    NoSpace,
}

/// How a write hears of another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contention {
    /// As 429.
    Status {
        /// When to come back.
        retry_after_s: u64,
    },
    /// As 409, in the function's own union where it has such a member, and else in that of the path.
    Operation,
    /// As 409, in the union of the path.
    Path,
}

/// What the vendor leaves open.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Behaviour {
    /// How often a job is `in_progress` before it is done. It is done no earlier than somebody asks.
    pub job_polls: u32,
    /// Small batches are done at once instead of as a job.
    pub jobs_at_once: bool,
    /// No page of a listing is longer than this.
    pub page_entries: Option<usize>,
    /// Every other page of a listing is empty, though there is more.
    pub empty_pages: bool,
    /// An append to a closed session hears `closed` even where the offset is wrong, too.
    pub closed_before_offset: bool,
    /// A session whose file is written is `closed` and not `not_found`.
    pub finished_is_closed: bool,
    /// 429 is plain text with `Retry-After` instead of JSON.
    pub rate_limit_as_text: bool,
    /// UTF-8 in the header `Dropbox-API-Arg` is understood, though the vendor asks to escape it. Reports differ on what the real one does.
    pub takes_raw_headers: bool,
    /// What arrived of an append that was cut is kept.
    pub keeps_cut_appends: bool,
    /// Writes meet other ones, until this is off again.
    pub contention: Option<Contention>,
    /// Which writes do so: all with 1, every other one with 2, and so on.
    pub contention_every: u64,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            job_polls: 1,
            jobs_at_once: false,
            page_entries: None,
            empty_pages: false,
            closed_before_offset: false,
            finished_is_closed: false,
            rate_limit_as_text: false,
            takes_raw_headers: false,
            keeps_cut_appends: false,
            contention: None,
            contention_every: 1,
        }
    }
}

impl Contention {
    /// The error of a function, called without its version.
    pub(super) fn failure(self, function: &str) -> Failure {
        let busy = || tag("too_many_write_operations");
        let own = self == Self::Operation;
        Failure::Endpoint(match (self, function) {
            (Self::Status { retry_after_s }, _) => {
                return Failure::RateLimit { reason: "too_many_write_operations", retry_after_s };
            }
            (_, "files/delete" | "files/upload_session/finish") if own => busy(),
            (_, "files/delete" | "files/restore") => tagged("path_write", busy()),
            (_, "files/move" | "files/copy") => tagged("to", busy()),
            _ => tagged("path", busy()),
        })
    }
}

/// The error of an upload whose data is kept in a session.
pub(super) fn upload_failed(reason: WriteError, session_id: &str) -> Value {
    serde_json::json!({ ".tag": "path", "reason": Value::from(reason), "upload_session_id": session_id })
}

/// Makes every checksum in an answer a wrong one.
pub(super) fn falsify_hashes(answer: &mut Value) {
    match answer {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(hash) if name == "content_hash" => {
                        let other = if hash.starts_with('0') { "1" } else { "0" };
                        hash.replace_range(..1, other);
                    }
                    inner => falsify_hashes(inner),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(falsify_hashes),
        _ => {}
    }
}
