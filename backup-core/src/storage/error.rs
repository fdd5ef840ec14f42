//! How a store says that something went wrong, and what can be done about it.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use crate::key::ObjectKey;

/// The result of a storage operation.
pub type StorageResult<T> = Result<T, StorageError>;

/// What went wrong, in terms that callers act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StorageErrorKind {
    /// There is no such object.
    NotFound,
    /// The key is taken and the put was create-only.
    AlreadyExists,
    /// The credentials don't allow it.
    PermissionDenied,
    /// The credentials are missing, expired or revoked; a person must act.
    Unauthenticated,
    /// The server is not the one that was pinned.
    HostKeyMismatch,
    /// The store asks to slow down.
    RateLimited,
    /// The store can't be reached or fails on its own side.
    Unavailable,
    /// No progress for too long.
    Timeout,
    /// There is no room left.
    QuotaExceeded,
    /// The object is larger than the store takes.
    TooLarge,
    /// The range does not lie within the object.
    RangeNotSatisfiable,
    /// What arrived is not what was sent.
    Integrity,
    /// Retention forbids the change.
    Locked,
    /// The object is in cold storage and must be warmed up first.
    NeedsWarmup,
    /// The store's configuration is wrong.
    Config,
    /// The store can't do this at all.
    Unsupported,
    /// The caller stopped it.
    Cancelled,
    /// Anything else.
    Other,
}

/// Which operation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StorageOperation {
    /// Opening the store.
    Connect,
    /// Writing an object.
    Put,
    /// Reading an object.
    Get,
    /// Asking about an object.
    Stat,
    /// Listing objects.
    List,
    /// Removing an object.
    Delete,
    /// Asking for room.
    Quota,
    /// Finding out what the store can do.
    Probe,
    /// Anything of an extension: locks, uploads, warm-up.
    Extension,
}

/// Whether doing it again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAdvice {
    /// The same request will fail again.
    Never,
    /// The same request may succeed, not before the given time has passed.
    After(Duration),
    /// It may succeed once the credentials are refreshed.
    Reauth,
    /// It is not known whether it took effect: look before doing it again.
    Verify,
}

/// A failed storage operation.
///
/// `Display` names what failed without secrets; the cause is in [`source`](StdError::source).
///
/// ```
/// use backup_core::{StorageError, StorageErrorKind, StorageOperation};
///
/// let error = StorageError::new(StorageErrorKind::NotFound, StorageOperation::Get);
/// assert_eq!(error.kind(), StorageErrorKind::NotFound);
/// assert_eq!(error.to_string(), "cannot read object: not found");
/// ```
pub struct StorageError(Box<Inner>);

struct Inner {
    kind: StorageErrorKind,
    operation: StorageOperation,
    key: Option<ObjectKey>,
    retry: RetryAdvice,
    detail: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl StorageError {
    /// An error of a kind in an operation, with the retry advice usual for the kind.
    pub fn new(kind: StorageErrorKind, operation: StorageOperation) -> Self {
        let retry = match kind {
            StorageErrorKind::RateLimited | StorageErrorKind::Unavailable | StorageErrorKind::Timeout => {
                RetryAdvice::After(Duration::ZERO)
            }
            StorageErrorKind::Integrity => RetryAdvice::After(Duration::ZERO),
            StorageErrorKind::NotFound
            | StorageErrorKind::AlreadyExists
            | StorageErrorKind::PermissionDenied
            | StorageErrorKind::Unauthenticated
            | StorageErrorKind::HostKeyMismatch
            | StorageErrorKind::QuotaExceeded
            | StorageErrorKind::TooLarge
            | StorageErrorKind::RangeNotSatisfiable
            | StorageErrorKind::Locked
            | StorageErrorKind::NeedsWarmup
            | StorageErrorKind::Config
            | StorageErrorKind::Unsupported
            | StorageErrorKind::Cancelled
            | StorageErrorKind::Other => RetryAdvice::Never,
        };
        Self(Box::new(Inner { kind, operation, key: None, retry, detail: None, source: None }))
    }

    /// The same error about an object.
    #[must_use]
    pub fn with_key(mut self, key: &ObjectKey) -> Self {
        self.0.key = Some(key.clone());
        self
    }

    /// The same error with other retry advice.
    #[must_use]
    pub fn with_retry(mut self, retry: RetryAdvice) -> Self {
        self.0.retry = retry;
        self
    }

    /// The same error with a short text that holds no secret.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// The same error with its cause, which must not hold a secret.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> StorageErrorKind {
        self.0.kind
    }

    /// In which operation.
    pub fn operation(&self) -> StorageOperation {
        self.0.operation
    }

    /// About which object.
    pub fn key(&self) -> Option<&ObjectKey> {
        self.0.key.as_ref()
    }

    /// Whether doing it again can help.
    pub fn retry(&self) -> RetryAdvice {
        self.0.retry
    }

    /// The short text given with the error.
    pub fn detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }
}

impl StorageErrorKind {
    /// The kind in words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not found",
            Self::AlreadyExists => "already exists",
            Self::PermissionDenied => "permission denied",
            Self::Unauthenticated => "credentials missing, expired or revoked",
            Self::HostKeyMismatch => "the server's key is not the known one",
            Self::RateLimited => "the store asks to slow down",
            Self::Unavailable => "the store is unavailable",
            Self::Timeout => "no progress for too long",
            Self::QuotaExceeded => "no space left",
            Self::TooLarge => "larger than the store takes",
            Self::RangeNotSatisfiable => "the range does not lie within the object",
            Self::Integrity => "what arrived is not what was sent",
            Self::Locked => "retention forbids it",
            Self::NeedsWarmup => "in cold storage",
            Self::Config => "wrong configuration",
            Self::Unsupported => "the store can't do this",
            Self::Cancelled => "cancelled",
            Self::Other => "failed",
        }
    }
}

impl StorageOperation {
    fn verb(self) -> &'static str {
        match self {
            Self::Connect => "open the store",
            Self::Put => "write",
            Self::Get => "read",
            Self::Stat => "look up",
            Self::List => "list",
            Self::Delete => "delete",
            Self::Quota => "ask for room",
            Self::Probe => "probe",
            Self::Extension => "handle",
        }
    }
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}", self.0.operation.verb())?;
        match (&self.0.key, self.0.operation) {
            (Some(key), _) => write!(f, " `{key}`")?,
            (None, StorageOperation::Connect | StorageOperation::Quota) => {}
            (None, StorageOperation::List) => f.write_str(" objects")?,
            (None, _) => f.write_str(" object")?,
        }
        write!(f, ": {}", self.0.kind.as_str())?;
        if let Some(detail) = &self.0.detail {
            write!(f, " ({detail})")?;
        }
        Ok(())
    }
}

impl fmt::Debug for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StorageError")
            .field("kind", &self.0.kind)
            .field("operation", &self.0.operation)
            .field("key", &self.0.key)
            .field("retry", &self.0.retry)
            .field("detail", &self.0.detail)
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for StorageError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
