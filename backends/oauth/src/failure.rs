//! What went wrong between a program, a person and the service that gives tokens out.

use std::time::Duration;

use backup_backend_http::Failure;
use backup_core::storage::error::RetryAdvice;
use backup_core::{StorageError, StorageErrorKind, StorageOperation};

/// A token that can't be had. It holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct OAuthError {
    kind: StorageErrorKind,
    detail: String,
    wait: Duration,
}

impl OAuthError {
    pub(crate) fn new(kind: StorageErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), wait: Duration::ZERO }
    }

    /// A request for a token that was not answered as it should be.
    pub(crate) fn from_failure(failure: &Failure) -> Self {
        let wait = match failure {
            Failure::Status { retry_after, .. } => retry_after.unwrap_or_default(),
            _ => Duration::ZERO,
        };
        // An answer that can't be understood says nothing about what is stored.
        let kind = match failure.kind() {
            kind @ (StorageErrorKind::RateLimited | StorageErrorKind::Timeout) => kind,
            _ => StorageErrorKind::Unavailable,
        };
        Self { kind, detail: format!("asking for a token: {failure}"), wait }
    }

    /// What it means for whoever wanted the token.
    pub fn kind(&self) -> StorageErrorKind {
        self.kind
    }

    /// The error of the operation that needed the token, which has not begun.
    pub fn into_error(self, operation: StorageOperation) -> StorageError {
        let error = StorageError::new(self.kind, operation);
        let retry = match error.retry() {
            RetryAdvice::After(_) => RetryAdvice::After(self.wait),
            other => other,
        };
        error.with_retry(retry).with_detail(self.detail)
    }
}
