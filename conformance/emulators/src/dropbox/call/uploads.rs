//! Uploads: whole files and sessions.

use serde_json::{Value, json};

use super::super::answer::Success;
use super::super::commit::{Commit, Mode};
use super::super::content::{Content, content_hash, len_bytes};
use super::super::errors::{WriteError, tag, tagged};
use super::super::faults::{Contention, Fault, upload_failed};
use super::super::metadata::{of_node, untagged};
use super::super::sessions::{Cursor, FinishError};
use super::super::shape::parse_time;
use super::{Call, Failure, Outcome, text};

/// The most data in one request.
const PAYLOAD_BYTES: usize = 150 << 20;

impl<'a> Call<'a> {
    pub(super) fn upload(&mut self) -> Outcome {
        self.check_payload()?;
        let content = Content::new(self.data.clone());
        let written = match self.contention() {
            Some(contention @ Contention::Status { .. }) => return Err(contention.failure("files/upload")),
            Some(_) => Err(WriteError::TooManyWriteOperations),
            None => self.commit(self.argument, content),
        };
        match written {
            Ok(metadata) => Ok(Success::Json(metadata)),
            Err(reason) => {
                // The data isn't lost: a session holds it, with which the commit can be tried again.
                let session_id = self.account.sessions.begin(self.app_key, false, self.now_ms);
                let cursor = self.at(&session_id, 0);
                let kept = self.account.sessions.append(cursor, self.data, false, false);
                kept.map_err(Value::from)?;
                Err(upload_failed(reason, &session_id).into())
            }
        }
    }

    pub(super) fn start_session(&mut self) -> Outcome {
        let close = self.argument["close"] == true;
        let is_concurrent = is_concurrent(self.argument);
        if is_concurrent && !self.data.is_empty() {
            return Err(tag("concurrent_session_data_not_allowed").into());
        }
        if is_concurrent && close {
            return Err(tag("concurrent_session_close_not_allowed").into());
        }
        self.check_payload()?;
        let session_id = self.account.sessions.begin(self.app_key, is_concurrent, self.now_ms);
        if !is_concurrent {
            let cursor = self.at(&session_id, 0);
            let kept = self.account.sessions.append(cursor, self.data, close, false);
            kept.map_err(Value::from)?;
        }
        Ok(Success::Json(json!({ "session_id": session_id })))
    }

    pub(super) fn start_sessions(&mut self) -> Outcome {
        let is_concurrent = is_concurrent(self.argument);
        let count = self.argument["num_sessions"].as_u64().unwrap_or_default();
        let begin = |_| self.account.sessions.begin(self.app_key, is_concurrent, self.now_ms);
        let ids: Vec<_> = (0..count).map(begin).collect();
        Ok(Success::Json(json!({ "session_ids": ids })))
    }

    pub(super) fn append(&mut self) -> Outcome {
        let (session_id, offset) = cursor_of(&self.argument["cursor"]);
        self.lose_session(session_id);
        let close = self.argument["close"] == true;
        let closed_first = self.account.behaviour.closed_before_offset;
        let cursor = self.at(session_id, offset);
        if let Some(Fault::PersistPart { bytes }) = self.fault {
            let part = self.data.slice(..bytes.min(self.data.len()));
            let kept = self.account.sessions.append(cursor, &part, false, closed_first);
            kept.map_err(Value::from)?;
            return Err(Failure::Server(500));
        }
        self.check_payload()?;
        let cursor = self.at(session_id, offset);
        let kept = self.account.sessions.append(cursor, self.data, close, closed_first);
        kept.map_err(Value::from)?;
        Ok(Success::Json(Value::Null))
    }

    pub(super) fn append_batch(&mut self) -> Outcome {
        self.check_payload()?;
        let entries = self.argument["entries"].as_array().cloned().unwrap_or_default();
        let lengths = entries.iter().map(|entry| entry["length"].as_u64().unwrap_or_default());
        if lengths.fold(0, u64::saturating_add) != len_bytes(self.data) {
            return Err(tag("length_mismatch").into());
        }
        let mut rest = self.data.clone();
        let closed_first = self.account.behaviour.closed_before_offset;
        let mut results = Vec::new();
        for entry in &entries {
            let length = entry["length"].as_u64().and_then(|length| length.try_into().ok()).unwrap_or_default();
            let data = rest.split_to(length);
            let (session_id, offset) = cursor_of(&entry["cursor"]);
            let cursor = self.at(session_id, offset);
            let kept = self.account.sessions.append(cursor, &data, entry["close"] == true, closed_first);
            results.push(match kept {
                Ok(()) => tag("success"),
                Err(error) => tagged("failure", error),
            });
        }
        Ok(Success::Json(json!({ "entries": results })))
    }

    pub(super) fn finish_session(&mut self) -> Outcome {
        let (session_id, offset) = cursor_of(&self.argument["cursor"]);
        self.lose_session(session_id);
        self.check_payload()?;
        if let Some(contention) = self.contention() {
            if contention == Contention::Path {
                // The error of a path comes after the data was taken.
                let cursor = self.at(session_id, offset);
                self.account.sessions.complete(cursor, self.data, false).map_err(lookup_failed)?;
            }
            return Err(contention.failure("files/upload_session/finish"));
        }
        Ok(Success::Json(self.finish(session_id, offset, &self.argument["commit"], false)?))
    }

    pub(super) fn finish_at_once(&mut self) -> Outcome {
        let function = "files/upload_session/finish_batch";
        self.check_batch_contention(function)?;
        if self.account.jobs.is_running(function, self.namespace) {
            return Err(Contention::Status { retry_after_s: 1 }.failure(function));
        }
        let results = self.do_job(function, &self.argument["entries"]);
        Ok(Success::Json(json!({ "entries": results })))
    }

    pub(super) fn finish_entry(&mut self, entry: &Value) -> Value {
        let (session_id, offset) = cursor_of(&entry["cursor"]);
        self.lose_session(session_id);
        let has_other_hash = |hash: &str| hash != content_hash(b"");
        if entry["content_hash"].as_str().is_some_and(has_other_hash) {
            return tagged("failure", tag("content_hash_mismatch"));
        }
        match self.finish(session_id, offset, &entry["commit"], true) {
            Ok(mut metadata) => {
                metadata[".tag"] = "success".into();
                metadata
            }
            Err(error) => tagged("failure", error),
        }
    }

    fn finish(&mut self, session_id: &str, offset: u64, commit: &Value, in_batch: bool) -> Result<Value, Value> {
        let none = bytes::Bytes::new();
        let data = if in_batch { &none } else { self.data };
        let cursor = self.at(session_id, offset);
        let content = self.account.sessions.complete(cursor, data, in_batch).map_err(lookup_failed)?;
        let metadata = self.commit(commit, content).map_err(|error| tagged("path", error))?;
        self.account.sessions.finish(session_id);
        Ok(metadata)
    }

    fn commit(&mut self, argument: &Value, content: Content) -> Result<Value, WriteError> {
        let target = self.target(argument, "path")?;
        let place = self.tree().place_to_write(target)?;
        let mode = match text(&argument["mode"], ".tag") {
            "overwrite" => Mode::Overwrite,
            "update" => Mode::Update(text(&argument["mode"], "update").to_owned()),
            _ => Mode::Add,
        };
        let commit = Commit {
            place,
            mode,
            autorename: argument["autorename"] == true,
            client_modified: argument["client_modified"].as_str().and_then(parse_time),
            strict_conflict: argument["strict_conflict"] == true,
        };
        let (free_bytes, now) = (self.free_bytes(), self.now());
        let node = self.tree().commit(&commit, content, free_bytes, now)?;
        Ok(untagged(of_node(node)))
    }

    fn check_payload(&self) -> Result<(), Failure> {
        if self.data.len() > PAYLOAD_BYTES {
            return Err(tag("payload_too_large").into());
        }
        let told = self.argument["content_hash"].as_str();
        if told.is_some_and(|told| told != content_hash(self.data)) {
            return Err(tag("content_hash_mismatch").into());
        }
        Ok(())
    }

    fn lose_session(&mut self, session_id: &str) {
        if self.fault == Some(Fault::LoseSession) {
            self.account.sessions.lose(session_id);
        }
    }

    fn at<'b>(&self, session_id: &'b str, offset: u64) -> Cursor<'b>
    where
        'a: 'b,
    {
        Cursor { session_id, offset, app_key: self.app_key, now_ms: self.now_ms }
    }
}

fn lookup_failed(error: FinishError) -> Value {
    match error {
        FinishError::Lookup(error) => tagged("lookup_failed", error),
        FinishError::ConcurrentDataNotAllowed => tag("concurrent_session_data_not_allowed"),
        FinishError::ConcurrentNotClosed => tag("concurrent_session_not_closed"),
        FinishError::ConcurrentMissingData => tag("concurrent_session_missing_data"),
    }
}

fn is_concurrent(argument: &Value) -> bool {
    argument["session_type"][".tag"] == "concurrent"
}

fn cursor_of(cursor: &Value) -> (&str, u64) {
    (text(cursor, "session_id"), cursor["offset"].as_u64().unwrap_or_default())
}
