//! What went wrong with a request, and what that means for whoever asked.

use std::fmt;
use std::time::Duration;

use backup_core::storage::error::RetryAdvice;
use backup_core::{StorageError, StorageErrorKind, StorageOperation};

/// A server is not believed when it asks for a longer wait than this: a client can come back and ask again.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(600);

/// Of what a server says about an error, so much is kept.
const MAX_MESSAGE_CHARS: usize = 300;

/// How far a request came that got no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Nobody was reached: no name, no connection, no trusted certificate. It had no effect.
    Nobody,
    /// It may have been carried out.
    Unknown,
}

/// A request that failed: an answer that is an error, or no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The server answered.
    Status {
        /// The status.
        status: u16,
        /// The service's own code, `NoSuchKey` for instance; empty where it gave none.
        code: String,
        /// What it says, cut to a line; it is the server's text and shown as such.
        message: String,
        /// Its name for the request, for its operators.
        request_id: Option<String>,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// There was no whole answer.
    NoAnswer {
        /// How far it came.
        reach: Reach,
        /// Why, without the address's query, which may hold a secret.
        why: String,
        /// Whether time ran out.
        timed_out: bool,
    },
    /// The answer is not what was asked for.
    WrongAnswer(String),
}

impl Failure {
    /// An answer that is an error; `code` and `message` are cut to one short line.
    pub fn status(status: u16, headers: &http::HeaderMap, code: &str, message: &str) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        // A date instead of seconds would need a clock; the usual waits of the caller serve as well.
        let retry_after = text("retry-after").and_then(|value| value.trim().parse().ok()).map(Duration::from_secs);
        Self::Status {
            status,
            code: one_line(code),
            message: one_line(message),
            request_id: ["x-amz-request-id", "x-request-id", "x-dropbox-request-id"]
                .iter()
                .find_map(|name| text(name))
                .map(one_line),
            retry_after: retry_after.map(|wait| wait.min(MAX_RETRY_AFTER)),
        }
    }

    /// What a failure means where the service's own codes say nothing more.
    pub fn kind(&self) -> StorageErrorKind {
        match self {
            Self::Status { status, .. } => match status {
                401 => StorageErrorKind::Unauthenticated,
                403 => StorageErrorKind::PermissionDenied,
                404 | 410 => StorageErrorKind::NotFound,
                408 => StorageErrorKind::Timeout,
                412 => StorageErrorKind::AlreadyExists,
                413 => StorageErrorKind::TooLarge,
                416 => StorageErrorKind::RangeNotSatisfiable,
                429 => StorageErrorKind::RateLimited,
                507 => StorageErrorKind::QuotaExceeded,
                500..=599 => StorageErrorKind::Unavailable,
                _ => StorageErrorKind::Other,
            },
            Self::NoAnswer { timed_out: true, .. } => StorageErrorKind::Timeout,
            Self::NoAnswer { .. } => StorageErrorKind::Unavailable,
            Self::WrongAnswer(_) => StorageErrorKind::Integrity,
        }
    }

    /// The storage error for it, with the kind that the service's crate has found.
    ///
    /// A request that may have been carried out asks for a look before it is repeated; one that is to wait says how long.
    pub fn into_error(self, kind: StorageErrorKind, operation: StorageOperation) -> StorageError {
        let error = StorageError::new(kind, operation);
        let advice = match (&self, error.retry()) {
            (_, RetryAdvice::Never) => RetryAdvice::Never,
            // 200 is an answer that began well and ended otherwise.
            (Self::NoAnswer { reach: Reach::Unknown, .. } | Self::Status { status: 200 | 500 | 502 | 504, .. }, _)
                if operation == StorageOperation::Put =>
            {
                RetryAdvice::Verify
            }
            (Self::Status { retry_after: Some(wait), .. }, _) => RetryAdvice::After(*wait),
            (_, advice) => advice,
        };
        error.with_retry(advice).with_detail(self.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status { status, code, message, request_id, .. } => {
                write!(f, "the server answered {status}")?;
                for part in [code, message].into_iter().filter(|part| !part.is_empty()) {
                    write!(f, " {part}")?;
                }
                match request_id {
                    Some(id) => write!(f, ", request {id}"),
                    None => Ok(()),
                }
            }
            Self::NoAnswer { why, .. } => f.write_str(why),
            Self::WrongAnswer(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Failure {}

/// A server's text as one short line without control characters.
fn one_line(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    text.trim().chars().map(plain).take(MAX_MESSAGE_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, headers: &[(&'static str, &'static str)]) -> Failure {
        let headers = headers
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), http::HeaderValue::from_static(value)));
        Failure::status(status, &headers.collect(), "SlowDown", "please\nreduce")
    }

    #[test]
    fn server_that_asks_for_time_gets_it_within_reason() {
        let advice = |wait| {
            let failure = answered(503, &[("retry-after", wait)]);
            failure.clone().into_error(failure.kind(), StorageOperation::Put).retry()
        };
        assert_eq!(advice("7"), RetryAdvice::After(Duration::from_secs(7)));
        assert_eq!(advice("999999"), RetryAdvice::After(MAX_RETRY_AFTER));
        // No time that this understands: whoever retries waits as it does anyhow.
        assert_eq!(advice("soon"), RetryAdvice::After(Duration::ZERO));
        assert_eq!(
            answered(404, &[("retry-after", "7")])
                .into_error(StorageErrorKind::NotFound, StorageOperation::Get)
                .retry(),
            RetryAdvice::Never
        );
    }

    #[test]
    fn put_that_may_have_been_carried_out_asks_for_a_look() {
        let lost = |reach| Failure::NoAnswer { reach, why: "cut".to_owned(), timed_out: false };
        let advice = |failure: Failure, operation| failure.clone().into_error(failure.kind(), operation).retry();
        assert_eq!(advice(lost(Reach::Unknown), StorageOperation::Put), RetryAdvice::Verify);
        assert_eq!(advice(answered(500, &[("retry-after", "7")]), StorageOperation::Put), RetryAdvice::Verify);
        assert_eq!(advice(lost(Reach::Nobody), StorageOperation::Put), RetryAdvice::After(Duration::ZERO));
        assert_eq!(advice(lost(Reach::Unknown), StorageOperation::Get), RetryAdvice::After(Duration::ZERO));
    }

    #[test]
    fn what_a_server_says_is_one_short_line() {
        let long = Failure::status(400, &http::HeaderMap::new(), "", &"x\n".repeat(5000)).to_string();
        assert!(long.len() < 400 && !long.contains('\n'), "{long}");
        assert_eq!(
            answered(503, &[("x-amz-request-id", "R1")]).to_string(),
            "the server answered 503 SlowDown please reduce, request R1"
        );
    }
}
