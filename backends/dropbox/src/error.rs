//! What Dropbox's answers mean.

use std::time::Duration;

use backup_backend_http::{Failure, HttpResponse};
use backup_backend_oauth::OAuthError;
use backup_core::storage::error::RetryAdvice;
use backup_core::{ObjectKey, StorageError, StorageErrorKind, StorageOperation};
use serde_json::Value;

/// A wait that Dropbox asks for is taken for no longer than this: a client can come back and ask again.
const MAX_WAIT: Duration = Duration::from_secs(600);

/// Unions within unions are no deeper than this.
const MAX_DEPTH: usize = 8;

/// A failed call, with what it means.
#[derive(Debug, Clone)]
pub(crate) struct DropboxFailure {
    pub(crate) kind: StorageErrorKind,
    /// The tags of the error from outside in, such as `path`, `conflict`, `file`.
    pub(crate) tags: Vec<String>,
    /// Where a session stands, when it was told another place.
    pub(crate) correct_offset: Option<u64>,
    /// The session that holds the data of an upload that failed.
    pub(crate) session_id: Option<String>,
    cause: Box<Cause>,
    wait: Option<Duration>,
}

#[derive(Debug, Clone)]
enum Cause {
    Http(Failure),
    Token(OAuthError),
}

impl DropboxFailure {
    fn of(kind: StorageErrorKind, cause: Cause) -> Self {
        Self { kind, tags: Vec::new(), correct_offset: None, session_id: None, cause: Box::new(cause), wait: None }
    }

    /// A call without an answer.
    pub(crate) fn from_failure(failure: Failure) -> Self {
        Self::of(failure.kind(), Cause::Http(failure))
    }

    /// A call that could not be made for want of a token.
    pub(crate) fn from_token(error: OAuthError) -> Self {
        Self::of(error.kind(), Cause::Token(error))
    }

    /// An answer that is not what was asked for.
    pub(crate) fn wrong(kind: StorageErrorKind, what: impl Into<String>) -> Self {
        Self::of(kind, Cause::Http(Failure::WrongAnswer(what.into())))
    }

    /// What an answer says that is an error.
    pub(crate) fn answered(response: &HttpResponse) -> Self {
        let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let error = &body["error"];
        // Throttling has its reason in a field of its own.
        let union = if error[".tag"].is_string() { error } else { &error["reason"] };
        let (tags, innermost) = tags(union);
        let plain = String::from_utf8_lossy(&response.body);
        let message = if body.is_object() { "" } else { &*plain };
        let status = response.status.as_u16();
        let failure = Failure::status(status, &response.headers, &tags.join("/"), message);
        let kind = kind_of(status, &tags, &failure);
        let wait = match &failure {
            Failure::Status { retry_after, .. } => {
                retry_after.or(error["retry_after"].as_u64().map(Duration::from_secs))
            }
            _ => None,
        };
        let wait = wait.map(|wait| wait.min(MAX_WAIT));
        let session_id = error["upload_session_id"].as_str().map(str::to_owned);
        let correct_offset = innermost["correct_offset"].as_u64();
        Self { tags, correct_offset, session_id, wait, ..Self::of(kind, Cause::Http(failure)) }
    }

    /// Whether the error has this member somewhere.
    pub(crate) fn is(&self, tag: &str) -> bool {
        self.tags.iter().any(|known| known == tag)
    }

    /// Whether the access token was refused.
    pub(crate) fn is_of_token(&self) -> bool {
        matches!(*self.cause, Cause::Http(Failure::Status { status: 401, .. })) && !self.is("missing_scope")
    }

    /// Whether the server may have got some of what was sent, or failed with it.
    pub(crate) fn is_cut(&self) -> bool {
        matches!(&*self.cause, Cause::Http(Failure::NoAnswer { .. } | Failure::Status { status: 500..=599, .. }))
    }

    /// The storage error for it.
    pub(crate) fn into_error(self, operation: StorageOperation, key: Option<&ObjectKey>) -> StorageError {
        let error = match *self.cause {
            Cause::Http(failure) => {
                let error = failure.into_error(self.kind, operation);
                match (error.retry(), self.wait) {
                    (RetryAdvice::After(told), Some(wait)) => error.with_retry(RetryAdvice::After(told.max(wait))),
                    _ => error,
                }
            }
            Cause::Token(error) => error.into_error(operation),
        };
        match key {
            Some(key) => error.with_key(key),
            None => error,
        }
    }

    /// The storage error of a put that can't have taken effect: there is nothing to look at.
    pub(crate) fn into_error_without_effect(self, key: &ObjectKey) -> StorageError {
        let wait = self.wait.unwrap_or_default();
        let error = self.into_error(StorageOperation::Put, Some(key));
        match error.retry() {
            RetryAdvice::Verify => error.with_retry(RetryAdvice::After(wait)),
            _ => error,
        }
    }
}

/// The tags of a union from outside in, and the innermost one.
fn tags(mut union: &Value) -> (Vec<String>, &Value) {
    let mut tags = Vec::new();
    while let Some(tag) = union[".tag"].as_str().filter(|_| tags.len() < MAX_DEPTH) {
        tags.push(tag.to_owned());
        let inner = union.get(tag).or_else(|| union.get("reason"));
        match inner.filter(|inner| inner[".tag"].is_string()) {
            Some(inner) => union = inner,
            None => break,
        }
    }
    (tags, union)
}

fn kind_of(status: u16, tags: &[String], failure: &Failure) -> StorageErrorKind {
    let last_known = tags.iter().rev().find_map(|tag| kind_of_tag(tag));
    match status {
        // Only functions' own errors are about objects.
        409 => last_known.unwrap_or(StorageErrorKind::Other),
        401 if tags.iter().any(|tag| tag == "missing_scope") => StorageErrorKind::PermissionDenied,
        401 | 403 | 429 | 500..=599 => failure.kind(),
        408 => StorageErrorKind::Timeout,
        // Of an object that is missing Dropbox speaks with 409: this is somebody else.
        404 | 410 => StorageErrorKind::Unavailable,
        416 => StorageErrorKind::RangeNotSatisfiable,
        // Whatever the server dislikes, it says nothing about what is stored.
        _ => StorageErrorKind::Config,
    }
}

/// What a member means; `None` leaves it to the one around it.
fn kind_of_tag(tag: &str) -> Option<StorageErrorKind> {
    Some(match tag {
        "too_many_write_operations" | "too_many_requests" => StorageErrorKind::RateLimited,
        "insufficient_space" | "insufficient_quota" => StorageErrorKind::QuotaExceeded,
        "not_found" | "not_file" | "not_folder" => StorageErrorKind::NotFound,
        "file" => StorageErrorKind::AlreadyExists,
        // Something else is where a folder or a file has to be: it is no object of this key.
        "folder" | "file_ancestor" => StorageErrorKind::Other,
        "no_write_permission"
        | "no_permission"
        | "team_folder"
        | "access_restricted"
        | "restricted_content"
        | "operation_suppressed" => StorageErrorKind::PermissionDenied,
        "content_hash_mismatch" => StorageErrorKind::Integrity,
        "payload_too_large" | "too_large" => StorageErrorKind::TooLarge,
        "locked" | "path_locked" => StorageErrorKind::Locked,
        "unsupported_content_type" | "unsupported_file" | "unsupported_extension" => StorageErrorKind::Unsupported,
        "internal_error" => StorageErrorKind::Unavailable,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, body: &str) -> DropboxFailure {
        let status = http::StatusCode::from_u16(status).unwrap();
        let headers = http::HeaderMap::new();
        DropboxFailure::answered(&HttpResponse { status, headers, body: body.to_owned().into() })
    }

    #[test]
    fn unions_say_what_happened() {
        let of = |body: &str| answered(409, &format!(r#"{{"error_summary":"x/","error":{body}}}"#));
        let lost = of(r#"{".tag":"path","path":{".tag":"not_found"}}"#);
        assert_eq!((lost.kind, lost.tags.join("/")), (StorageErrorKind::NotFound, "path/not_found".to_owned()));
        let taken =
            r#"{".tag":"path","reason":{".tag":"conflict","conflict":{".tag":"file"}},"upload_session_id":"u1"}"#;
        assert_eq!(of(taken).kind, StorageErrorKind::AlreadyExists);
        assert_eq!(of(taken).session_id.as_deref(), Some("u1"));
        let below = r#"{".tag":"path","reason":{".tag":"conflict","conflict":{".tag":"file_ancestor"}},"upload_session_id":"u1"}"#;
        assert_eq!(of(below).kind, StorageErrorKind::Other);
        let offset = r#"{".tag":"lookup_failed","lookup_failed":{".tag":"incorrect_offset","correct_offset":7}}"#;
        assert_eq!(of(offset).correct_offset, Some(7));
        assert_eq!(of(r#"{".tag":"incorrect_offset","correct_offset":8}"#).correct_offset, Some(8));
        let busy = r#"{".tag":"path_write","path_write":{".tag":"too_many_write_operations"}}"#;
        assert_eq!(of(busy).kind, StorageErrorKind::RateLimited);
        assert_eq!(of(r#"{".tag":"something_new"}"#).kind, StorageErrorKind::Other);
    }

    #[test]
    fn throttling_tells_how_long() {
        let body = r#"{"error_summary":"x/","error":{"reason":{".tag":"too_many_requests"},"retry_after":9}}"#;
        let error = answered(429, body).into_error(StorageOperation::List, None);
        assert_eq!(error.kind(), StorageErrorKind::RateLimited);
        assert_eq!(error.retry(), RetryAdvice::After(Duration::from_secs(9)));
        assert!(error.to_string().contains("too_many_requests"), "{error}");
    }

    #[test]
    fn only_dropbox_itself_says_that_an_object_is_missing() {
        assert_eq!(answered(404, "<html>no such page").kind, StorageErrorKind::Unavailable);
        assert_eq!(answered(409, "<html>a portal").kind, StorageErrorKind::Other);
        assert_eq!(answered(400, "no").kind, StorageErrorKind::Config);
        let scope = r#"{"error":{".tag":"missing_scope","required_scope":"files.content.write"}}"#;
        assert_eq!(answered(401, scope).kind, StorageErrorKind::PermissionDenied);
        assert!(!answered(401, scope).is_of_token());
        assert!(answered(401, r#"{"error":{".tag":"expired_access_token"}}"#).is_of_token());
    }
}
