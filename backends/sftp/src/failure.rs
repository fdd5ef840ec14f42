//! What a request's failure means for whoever asked.

use backup_core::storage::error::RetryAdvice;
use backup_core::{ObjectKey, StorageError, StorageErrorKind, StorageOperation};

use crate::wire::{Malformed, Reply, Status};

/// A request that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failed {
    /// The server answered that it failed.
    #[error("the server answered {}", described(.0))]
    Status(Status),
    /// The connection ended; it may have been carried out.
    #[error("{0}")]
    Lost(String),
    /// The server does not offer SFTP.
    #[error("the server does not offer SFTP to this user")]
    NoSftp,
    /// The answer is none to this request.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

fn described(status: &Status) -> String {
    let code = match status.code {
        Status::NO_SUCH_FILE => "no such file",
        Status::PERMISSION_DENIED => "permission denied",
        Status::FAILURE => "failure",
        Status::BAD_MESSAGE => "bad message",
        Status::UNSUPPORTED => "unsupported",
        code => return format!("status {code} {}", status.message),
    };
    // Most say the same in their words.
    match status.message.to_lowercase().contains(code) || status.message.is_empty() {
        true => code.to_owned(),
        false => format!("{code}: {}", status.message),
    }
}

impl Failed {
    /// The status that the server answered, if it did.
    pub(crate) fn code(&self) -> Option<u32> {
        match self {
            Self::Status(status) => Some(status.code),
            Self::Lost(_) | Self::NoSftp | Self::Malformed(_) => None,
        }
    }

    pub(crate) fn is_no_such_file(&self) -> bool {
        matches!(self.code(), Some(Status::NO_SUCH_FILE | Status::NO_SUCH_PATH))
    }

    pub(crate) fn kind(&self) -> StorageErrorKind {
        match self {
            Self::Status(status) => match status.code {
                Status::NO_SUCH_FILE | Status::NO_SUCH_PATH => StorageErrorKind::NotFound,
                Status::PERMISSION_DENIED | Status::WRITE_PROTECTED => StorageErrorKind::PermissionDenied,
                Status::NO_SPACE | Status::QUOTA_EXCEEDED => StorageErrorKind::QuotaExceeded,
                Status::UNSUPPORTED => StorageErrorKind::Unsupported,
                Status::BAD_MESSAGE => StorageErrorKind::Other,
                // The one word for whatever else a file system can answer: it may pass.
                _ => StorageErrorKind::Unavailable,
            },
            Self::NoSftp => StorageErrorKind::Config,
            Self::Lost(_) | Self::Malformed(_) => StorageErrorKind::Unavailable,
        }
    }

    /// The storage error for it.
    pub(crate) fn into_error(self, operation: StorageOperation, key: Option<&ObjectKey>) -> StorageError {
        let error = StorageError::new(self.kind(), operation).with_detail(self.to_string());
        match key {
            Some(key) => error.with_key(key),
            None => error,
        }
    }

    /// The storage error for a request that may have been carried out although it failed.
    pub(crate) fn into_doubt(self, operation: StorageOperation, key: &ObjectKey) -> StorageError {
        let is_unknown = self.code().is_none();
        let error = self.into_error(operation, Some(key));
        if is_unknown { error.with_retry(RetryAdvice::Verify) } else { error }
    }
}

/// Demands the status that says that all is well.
pub(crate) fn done(reply: Reply) -> Result<(), Failed> {
    match reply {
        Reply::Status(status) if status.code == Status::OK => Ok(()),
        other => Err(unexpected(other)),
    }
}

/// What an answer of the wrong kind means.
pub(crate) fn unexpected(reply: Reply) -> Failed {
    match reply {
        Reply::Status(status) if status.code != Status::OK => Failed::Status(status),
        _ => Malformed("an answer to another question").into(),
    }
}
