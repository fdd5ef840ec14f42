//! From what the operating system says to what callers act on.

use std::io;
use std::time::Duration;

use backup_core::{ObjectKey, RetryAdvice, StorageError, StorageErrorKind, StorageOperation};

use crate::platform;

/// How long to wait for file handles or memory to come back.
const EXHAUSTED_WAIT: Duration = Duration::from_millis(100);

/// The storage error for a failed system call.
pub(crate) fn from_io(error: io::Error, operation: StorageOperation, key: Option<&ObjectKey>) -> StorageError {
    let (kind, detail) = classify(&error);
    let mut failed = StorageError::new(kind, operation).with_retry(RetryAdvice::Never);
    if kind == StorageErrorKind::Unavailable {
        failed = failed.with_retry(RetryAdvice::After(EXHAUSTED_WAIT));
    }
    if let Some(detail) = detail {
        failed = failed.with_detail(detail);
    }
    if let Some(key) = key {
        failed = failed.with_key(key);
    }
    failed.with_source(error)
}

fn classify(error: &io::Error) -> (StorageErrorKind, Option<&'static str>) {
    use io::ErrorKind as E;
    if platform::is_symlink(error) {
        let detail = "a symbolic link stands in the way; the store follows none, use a bind mount instead";
        return (StorageErrorKind::Config, Some(detail));
    }
    if platform::is_exhausted(error) {
        return (StorageErrorKind::Unavailable, Some("out of file handles or memory"));
    }
    match error.kind() {
        E::NotFound => (StorageErrorKind::NotFound, None),
        E::PermissionDenied => (StorageErrorKind::PermissionDenied, None),
        E::ReadOnlyFilesystem => (StorageErrorKind::PermissionDenied, Some("the file system is read-only")),
        E::StorageFull => (StorageErrorKind::QuotaExceeded, Some("the file system is full")),
        E::QuotaExceeded => (StorageErrorKind::QuotaExceeded, Some("the user's disk quota is used up")),
        E::FileTooLarge => (StorageErrorKind::TooLarge, None),
        E::InvalidFilename => (StorageErrorKind::Config, Some("the file system doesn't take names this long")),
        E::NotADirectory | E::IsADirectory | E::DirectoryNotEmpty => {
            (StorageErrorKind::Other, Some("an object can't lie below another object"))
        }
        E::Unsupported => {
            let detail = "the file system has neither hard links nor a rename that never replaces";
            (StorageErrorKind::Unsupported, Some(detail))
        }
        E::Interrupted => (StorageErrorKind::Cancelled, None),
        E::TimedOut
        | E::HostUnreachable
        | E::NetworkUnreachable
        | E::NetworkDown
        | E::NotConnected
        | E::ConnectionReset
        | E::ConnectionAborted
        | E::ConnectionRefused
        | E::StaleNetworkFileHandle => (StorageErrorKind::Unavailable, None),
        _ => (StorageErrorKind::Other, None),
    }
}

/// Whether an error says that there is no such object: nothing there, or another object where a directory would be.
pub(crate) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn errors_of_the_system_get_the_kind_that_callers_act_on() {
        use rustix::io::Errno;
        let cases = [
            (Errno::NOSPC, StorageErrorKind::QuotaExceeded),
            (Errno::DQUOT, StorageErrorKind::QuotaExceeded),
            (Errno::ACCESS, StorageErrorKind::PermissionDenied),
            (Errno::PERM, StorageErrorKind::PermissionDenied),
            (Errno::ROFS, StorageErrorKind::PermissionDenied),
            (Errno::FBIG, StorageErrorKind::TooLarge),
            (Errno::STALE, StorageErrorKind::Unavailable),
            (Errno::NOTDIR, StorageErrorKind::Other),
            (Errno::IO, StorageErrorKind::Other),
        ];
        for (errno, kind) in cases {
            let error = from_io(errno.into(), StorageOperation::Put, None);
            assert_eq!(error.kind(), kind, "{errno:?}");
            let again = matches!(error.retry(), RetryAdvice::After(_));
            assert_eq!(again, kind == StorageErrorKind::Unavailable, "{errno:?}");
        }
    }
}
