//! What S3's answers mean.

use std::error::Error;
use std::fmt;

use backup_backend_http::{Failure, HttpResponse};
use backup_core::{ObjectKey, StorageError, StorageErrorKind, StorageOperation};
use serde::Deserialize;

/// A failed request, with what it means.
#[derive(Debug, Clone)]
pub(crate) struct S3Failure {
    pub(crate) kind: StorageErrorKind,
    pub(crate) failure: Failure,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Body {
    code: String,
    message: String,
    region: Option<String>,
}

impl S3Failure {
    /// What an answer says that is an error.
    pub(crate) fn answered(response: &HttpResponse) -> Self {
        let body: Body = quick_xml::de::from_reader(&response.body[..]).unwrap_or_default();
        let status = response.status.as_u16();
        let region = response.headers.get("x-amz-bucket-region").and_then(|value| value.to_str().ok());
        let region = region.map(str::to_owned).or(body.region);
        let message = match (&region, status) {
            _ if body.code == "NoSuchBucket" => "there is no such bucket; make it first".to_owned(),
            (Some(region), 300..=400) => format!("{} (the bucket is in the region `{region}`)", body.message),
            _ => body.message,
        };
        let failure = Failure::status(status, &response.headers, &body.code, &message);
        let kind = kind_of(&body.code).unwrap_or_else(|| match status {
            300..=399 => StorageErrorKind::Config,
            // To a request for the head of an object S3 answers without a body. With one, and without a code of S3, it is not S3 that
            // speaks: a proxy whose server is away knows nothing of objects.
            404 | 410 if !response.body.is_empty() => StorageErrorKind::Unavailable,
            409 => StorageErrorKind::Unavailable,
            501 => StorageErrorKind::Unsupported,
            // Without a body there is no code; who says how long to stay away asks to slow down.
            503 if response.body.is_empty() && response.headers.contains_key("retry-after") => {
                StorageErrorKind::RateLimited
            }
            _ => match failure.kind() {
                // Whatever the server dislikes, it says nothing about what is stored.
                StorageErrorKind::Other => StorageErrorKind::Config,
                kind => kind,
            },
        });
        Self { kind, failure }
    }

    /// A request without an answer.
    pub(crate) fn from_failure(failure: Failure) -> Self {
        Self { kind: failure.kind(), failure }
    }

    /// The storage error for it.
    pub(crate) fn into_error(self, operation: StorageOperation, key: Option<&ObjectKey>) -> StorageError {
        let kind = match (self.kind, operation) {
            // Only a put asks for a condition.
            (StorageErrorKind::AlreadyExists, operation) if operation != StorageOperation::Put => {
                StorageErrorKind::Other
            }
            (kind, _) => kind,
        };
        let error = self.failure.into_error(kind, operation);
        match key {
            Some(key) => error.with_key(key),
            None => error,
        }
    }
}

impl fmt::Display for S3Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.failure.fmt(f)
    }
}

impl Error for S3Failure {}

/// What a code means; `None` leaves it to the status. The codes are those of AWS and of servers that have their own.
fn kind_of(code: &str) -> Option<StorageErrorKind> {
    Some(match code {
        "NoSuchKey" | "NoSuchVersion" | "NoSuchUpload" => StorageErrorKind::NotFound,
        "NoSuchBucket"
        | "PermanentRedirect"
        | "TemporaryRedirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException"
        | "RequestTimeTooSkewed"
        | "InvalidBucketName"
        | "InvalidStorageClass" => StorageErrorKind::Config,
        "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "ExpiredToken"
        | "InvalidToken"
        | "TokenRefreshRequired"
        | "MissingSecurityHeader"
        | "CredentialsNotSupported" => StorageErrorKind::Unauthenticated,
        "AccessDenied" | "AllAccessDisabled" | "AccountProblem" | "UnauthorizedAccess" => {
            StorageErrorKind::PermissionDenied
        }
        "PreconditionFailed" => StorageErrorKind::AlreadyExists,
        // Somebody else was writing the same key: nothing was decided.
        "ConditionalRequestConflict" | "OperationAborted" => StorageErrorKind::Unavailable,
        "SlowDown"
        | "Throttling"
        | "ThrottlingException"
        | "RequestLimitExceeded"
        | "TooManyRequests"
        | "BandwidthLimitExceeded" => StorageErrorKind::RateLimited,
        "InternalError" | "ServiceUnavailable" | "Busy" | "ServerBusy" => StorageErrorKind::Unavailable,
        "RequestTimeout" => StorageErrorKind::Timeout,
        "EntityTooLarge" | "MaxMessageLengthExceeded" => StorageErrorKind::TooLarge,
        "InvalidRange" => StorageErrorKind::RangeNotSatisfiable,
        "BadDigest"
        | "InvalidDigest"
        | "XAmzContentSHA256Mismatch"
        | "XAmzContentChecksumMismatch"
        | "IncompleteBody"
        | "ContentSHA256Mismatch" => StorageErrorKind::Integrity,
        "InvalidObjectState" => StorageErrorKind::NeedsWarmup,
        "QuotaExceeded"
        | "XMinioStorageFull"
        | "InsufficientStorage"
        | "InsufficientCapacity"
        | "XMinioAdminBucketQuotaExceeded"
        | "TotalStorageExceeded" => StorageErrorKind::QuotaExceeded,
        "NotImplemented" | "MethodNotAllowed" => StorageErrorKind::Unsupported,
        _ => return None,
    })
}

/// The storage error behind an error of OpenDAL: our transport's own where it comes from there.
pub(crate) fn from_opendal(
    error: &opendal::Error,
    operation: StorageOperation,
    key: Option<&ObjectKey>,
) -> StorageError {
    let mut next: Option<&(dyn Error + 'static)> = error.source();
    while let Some(source) = next {
        if let Some(failure) = source.downcast_ref::<S3Failure>() {
            return failure.clone().into_error(operation, key);
        }
        next = source.source();
    }
    // OpenDAL could not make sense of an answer, or refuses to ask.
    let kind = match error.kind() {
        opendal::ErrorKind::NotFound => StorageErrorKind::NotFound,
        opendal::ErrorKind::ConfigInvalid => StorageErrorKind::Config,
        opendal::ErrorKind::RangeNotSatisfied => StorageErrorKind::RangeNotSatisfiable,
        opendal::ErrorKind::Unsupported => StorageErrorKind::Unsupported,
        opendal::ErrorKind::ConditionNotMatch | opendal::ErrorKind::AlreadyExists => StorageErrorKind::AlreadyExists,
        // An answer that can't be understood says nothing about what is stored.
        _ => StorageErrorKind::Unavailable,
    };
    let storage = StorageError::new(kind, operation).with_detail(error.message());
    match key {
        Some(key) => storage.with_key(key),
        None => storage,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, body: &'static str) -> S3Failure {
        let status = http::StatusCode::from_u16(status).unwrap();
        S3Failure::answered(&HttpResponse { status, headers: http::HeaderMap::new(), body: body.into() })
    }

    #[test]
    fn codes_decide_before_statuses() {
        let of = |status, code: &'static str| answered(status, code).kind;
        assert_eq!(of(404, "<Error><Code>NoSuchBucket</Code></Error>"), StorageErrorKind::Config);
        assert_eq!(
            of(404, "<Error><Code>NoSuchKey</Code><Resource>/b/k</Resource></Error>"),
            StorageErrorKind::NotFound
        );
        assert_eq!(of(403, "<Error><Code>ExpiredToken</Code></Error>"), StorageErrorKind::Unauthenticated);
        assert_eq!(of(503, "<Error><Code>SlowDown</Code></Error>"), StorageErrorKind::RateLimited);
        assert_eq!(of(403, "not XML at all"), StorageErrorKind::PermissionDenied);
        assert_eq!(of(409, ""), StorageErrorKind::Unavailable);
        assert_eq!(of(301, ""), StorageErrorKind::Config);
        // Neither is a word about an object: what is read as one counts as damage.
        assert_eq!(of(404, ""), StorageErrorKind::NotFound);
        assert_eq!(of(404, "404 page not found"), StorageErrorKind::Unavailable);
        assert_eq!(of(407, "<html>log in</html>"), StorageErrorKind::Config);
        assert_eq!(of(400, "<Error><Code>InvalidRequest</Code></Error>"), StorageErrorKind::Config);
    }

    #[test]
    fn wrong_region_is_told_with_the_right_one() {
        let failure = answered(
            400,
            "<Error><Code>AuthorizationHeaderMalformed</Code><Message>wrong</Message><Region>eu-west-3</Region></Error>",
        );
        let error = failure.into_error(StorageOperation::List, None).to_string();
        assert!(error.contains("`eu-west-3`"), "{error}");
    }
}
