//! How requests get to the server: signed, with the hash of what is sent, and with failures told apart.

use std::sync::Arc;

use backup_backend_http::{Failure, HttpClient, HttpResponse, Pieces};
use backup_core::StorageErrorKind;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_RANGE, HOST, RANGE};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use opendal::{Buffer, ErrorKind, HttpBody, HttpTransport};
use reqsign_aws_v4::{Credential, EMPTY_STRING_SHA256};
use reqsign_core::Signer;
use sha2::{Digest, Sha256};

use crate::credentials::unsigned;
use crate::error::S3Failure;

/// Bodies of more bytes than this are hashed on a thread for blocking work.
const HASH_HERE_BYTES: usize = 64 << 10;

/// What an object's SHA-256 is called in its metadata, where it is kept for other programs.
pub(crate) const SHA256_METADATA: &str = "sha256";

const SHA256_HEADER: HeaderName = HeaderName::from_static("x-amz-meta-sha256");
const PAYLOAD_HASH: HeaderName = HeaderName::from_static("x-amz-content-sha256");
const CHECKSUM: HeaderName = HeaderName::from_static("x-amz-checksum-sha256");

/// Signs and sends; clones share connections and credentials.
#[derive(Debug, Clone)]
pub(crate) struct Transport {
    client: HttpClient,
    signer: Arc<Signer<Credential>>,
    /// Whether the server is given a checksum to keep.
    checksums: bool,
}

impl Transport {
    pub(crate) fn new(client: HttpClient, signer: Signer<Credential>, checksums: bool) -> Self {
        Self { client, signer: Arc::new(signer), checksums }
    }

    /// Signs and sends a request; an answer that is an error is one.
    pub(crate) async fn send(&self, request: Request<Vec<Bytes>>) -> Result<HttpResponse, S3Failure> {
        let (mut parts, body) = request.into_parts();
        let hash = match parts.headers.get(&SHA256_HEADER) {
            // What the caller says that the body is: the server refuses it if it is not.
            Some(told) => told.clone(),
            None => payload_hash(body.clone()).await?,
        };
        if self.checksums
            && parts.headers.contains_key(&SHA256_HEADER)
            && parts.method == Method::PUT
            && let Some(checksum) = checksum(&hash)
        {
            parts.headers.insert(CHECKSUM, checksum);
        }
        parts.headers.insert(PAYLOAD_HASH, hash);
        if let Err(error) = self.signer.sign(&mut parts, None).await {
            let (kind, why) = unsigned(&error);
            return Err(S3Failure { kind, failure: Failure::WrongAnswer(why) });
        }
        // The client sets it by the address.
        parts.headers.remove(HOST);
        let is_post = parts.method == Method::POST;
        let asked = parts.headers.get(RANGE).and_then(Part::asked);
        let listing = (parts.method == Method::GET).then(|| parts.uri.query().and_then(Listing::of)).flatten();
        let max_bytes = asked.map_or(u64::MAX, Part::max_bytes);
        let sent = self.client.send_for(Request::from_parts(parts, Pieces::new(body)), max_bytes).await;
        let response = sent.map_err(S3Failure::from_failure)?;
        if !response.status.is_success() {
            return Err(S3Failure::answered(&response));
        }
        if let Some(part) = asked {
            part.is_in(&response)?;
        }
        if let Some(listing) = listing {
            listing.is_in(&response)?;
        }
        // A server may begin its answer with 200 and find out later that it failed.
        if is_post && contains(&response.body, b"<Error>") {
            return Err(S3Failure::answered(&response));
        }
        Ok(response)
    }
}

/// A part of an object, as a request for a range names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// From one byte to another, both included.
    Span(u64, u64),
    /// The last bytes.
    Last(u64),
}

fn span(text: &str) -> Option<(u64, u64)> {
    let (from, to) = text.split_once('-')?;
    Some((from.parse().ok()?, to.parse().ok()?))
}

impl Part {
    fn asked(header: &HeaderValue) -> Option<Self> {
        let text = header.to_str().ok()?.strip_prefix("bytes=")?;
        match text.strip_prefix('-') {
            Some(last) => last.parse().ok().map(Self::Last),
            None => span(text).map(|(from, to)| Self::Span(from, to)),
        }
    }

    fn max_bytes(self) -> u64 {
        match self {
            Self::Span(from, to) => to.saturating_sub(from).saturating_add(1),
            Self::Last(bytes) => bytes,
        }
    }

    /// Whether an answer is this part. A part that ends behind the object is shortened by servers, and refused here.
    fn is_in(self, response: &HttpResponse) -> Result<(), S3Failure> {
        let wrong = |kind, what: &str| Err(S3Failure { kind, failure: Failure::WrongAnswer(what.to_owned()) });
        let another = || wrong(StorageErrorKind::Integrity, "the server sent another part than was asked for");
        let sent = response.headers.get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
        // Some servers say 200 to a part, too; which part it is counts.
        if sent.is_none() && response.status != StatusCode::PARTIAL_CONTENT {
            return match self {
                // All of an object that is no longer than what was asked for.
                Self::Last(_) => Ok(()),
                Self::Span(0, to) if to.checked_add(1) == Some(response.body.len() as u64) => Ok(()),
                Self::Span(0, _) => {
                    wrong(StorageErrorKind::RangeNotSatisfiable, "the object ends before the range does")
                }
                Self::Span(..) => wrong(StorageErrorKind::Unsupported, "the server can't send parts of objects"),
            };
        }
        let Some((sent, total)) = sent.and_then(|text| text.strip_prefix("bytes ")?.split_once('/')) else {
            return another();
        };
        match (self, span(sent), total.parse::<u64>()) {
            (Self::Span(from, to), Some(sent), _) if sent == (from, to) => Ok(()),
            (Self::Span(from, to), Some((sent_from, sent_to)), _) if sent_from == from && sent_to < to => {
                wrong(StorageErrorKind::RangeNotSatisfiable, "the object ends before the range does")
            }
            (Self::Last(bytes), Some((from, to)), Ok(total))
                if to.checked_add(1) == Some(total) && from == total.saturating_sub(bytes) =>
            {
                Ok(())
            }
            _ => another(),
        }
    }
}

/// A listing of the bucket: what its answer is called, and what a page that is not the last one has to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Listing {
    root: &'static [u8],
    marker: &'static [u8],
}

impl Listing {
    fn of(query: &str) -> Option<Self> {
        let is = |wanted: &str| query.split('&').any(|pair| pair == wanted || pair.split('=').next() == Some(wanted));
        match (is("list-type=2"), is("uploads")) {
            (true, _) => Some(Self { root: b"<ListBucketResult", marker: b"<NextContinuationToken>" }),
            (_, true) => Some(Self { root: b"<ListMultipartUploadsResult", marker: b"<NextKeyMarker>" }),
            _ => None,
        }
    }

    /// Whether an answer is such a listing: any other page would be read as an empty one, and a page without a way on as the first again.
    fn is_in(self, response: &HttpResponse) -> Result<(), S3Failure> {
        let wrong = |what: &str| {
            let failure = Failure::WrongAnswer(what.to_owned());
            Err(S3Failure { kind: StorageErrorKind::Unavailable, failure })
        };
        if !contains(&response.body, self.root) {
            return wrong("the server answered something else than a listing");
        }
        match contains(&response.body, b"<IsTruncated>true<") && !contains(&response.body, self.marker) {
            true => wrong("the server's listing is not whole and says no way on"),
            false => Ok(()),
        }
    }
}

fn contains(body: &[u8], text: &[u8]) -> bool {
    body.windows(text.len()).any(|window| window == text)
}

/// The SHA-256 of a body as AWS wants it in the signature.
async fn payload_hash(body: Vec<Bytes>) -> Result<HeaderValue, S3Failure> {
    let bytes: usize = body.iter().map(Bytes::len).sum();
    let digest = match bytes {
        0 => return Ok(HeaderValue::from_static(EMPTY_STRING_SHA256)),
        _ if bytes <= HASH_HERE_BYTES => digest(&body),
        _ => tokio::task::spawn_blocking(move || digest(&body)).await.map_err(|_| S3Failure {
            kind: StorageErrorKind::Cancelled,
            failure: Failure::WrongAnswer("the runtime is shutting down".to_owned()),
        })?,
    };
    Ok(HeaderValue::from_str(&hex(&digest)).expect("hexadecimal digits are a header's value"))
}

pub(crate) fn digest(body: &[Bytes]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    body.iter().for_each(|piece| hasher.update(piece));
    hasher.finalize().into()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The checksum's header for a hash in hexadecimal digits.
fn checksum(hash: &HeaderValue) -> Option<HeaderValue> {
    let digits = hash.to_str().ok()?;
    let bytes: Option<Vec<u8>> =
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()).collect();
    HeaderValue::from_str(&STANDARD.encode(bytes?)).ok()
}

impl HttpTransport for Transport {
    async fn fetch(&self, request: Request<Buffer>) -> opendal::Result<Response<HttpBody>> {
        let request = request.map(|body| body.into_iter().collect());
        let answer = self.send(request).await.map_err(|failure| {
            let kind = match failure.kind {
                StorageErrorKind::NotFound => ErrorKind::NotFound,
                StorageErrorKind::AlreadyExists => ErrorKind::ConditionNotMatch,
                _ => ErrorKind::Unexpected,
            };
            opendal::Error::new(kind, failure.to_string()).set_source(failure)
        })?;
        let size = answer.body.len() as u64;
        let body = futures::stream::iter([Ok(Buffer::from(answer.body))]);
        let mut response = Response::new(HttpBody::new(body, Some(size)));
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, range: Option<&'static str>, body: &'static str) -> HttpResponse {
        let mut headers = http::HeaderMap::new();
        if let Some(range) = range {
            headers.insert(CONTENT_RANGE, HeaderValue::from_static(range));
        }
        HttpResponse { status: StatusCode::from_u16(status).unwrap(), headers, body: body.into() }
    }

    #[test]
    fn only_the_part_that_was_asked_for_is_taken() {
        let kind = |asked: &'static str, status, range| {
            let part = Part::asked(&HeaderValue::from_static(asked)).unwrap();
            part.is_in(&answer(status, range, "")).map_err(|failure| failure.kind)
        };
        assert_eq!(kind("bytes=2-5", 206, Some("bytes 2-5/10")), Ok(()));
        assert_eq!(kind("bytes=2-5", 206, Some("bytes 2-4/5")), Err(StorageErrorKind::RangeNotSatisfiable));
        assert_eq!(kind("bytes=2-5", 206, Some("bytes 1-4/10")), Err(StorageErrorKind::Integrity));
        assert_eq!(kind("bytes=2-5", 206, None), Err(StorageErrorKind::Integrity));
        assert_eq!(kind("bytes=2-5", 200, None), Err(StorageErrorKind::Unsupported));
        assert_eq!(kind("bytes=2-5", 200, Some("bytes 2-5/10")), Ok(()));
        assert_eq!(kind("bytes=2-5", 200, Some("bytes 0-3/10")), Err(StorageErrorKind::Integrity));
        assert_eq!(kind("bytes=0-5", 200, None), Err(StorageErrorKind::RangeNotSatisfiable));
        assert_eq!(Part::Span(0, 1).is_in(&answer(200, None, "ab")).map_err(|failure| failure.kind), Ok(()));
        assert_eq!(kind("bytes=-3", 206, Some("bytes 7-9/10")), Ok(()));
        assert_eq!(kind("bytes=-30", 206, Some("bytes 0-9/10")), Ok(()));
        assert_eq!(kind("bytes=-3", 206, Some("bytes 6-8/10")), Err(StorageErrorKind::Integrity));
        assert_eq!(kind("bytes=-3", 200, None), Ok(()), "as much as that is taken of an answer");
        assert_eq!(Part::asked(&HeaderValue::from_static("bytes=-3")).unwrap().max_bytes(), 3);
        assert_eq!(Part::asked(&HeaderValue::from_static("bytes=2-5")).unwrap().max_bytes(), 4);
    }

    #[test]
    fn page_that_is_no_listing_is_not_an_empty_one() {
        let listing = Listing::of("list-type=2&prefix=a").unwrap();
        let is_taken = |body| listing.is_in(&answer(200, None, body)).is_ok();
        assert!(is_taken("<?xml?><ListBucketResult xmlns=\"x\"><IsTruncated>false</IsTruncated></ListBucketResult>"));
        assert!(!is_taken("<html><body>Welcome</body></html>"));
        assert!(!is_taken("<Error><Code>SlowDown</Code></Error>"));
        assert!(!is_taken("<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"));
        assert!(is_taken(
            "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
        ));
        assert!(
            Listing::of("uploads&prefix=").is_some()
                && Listing::of("uploadId=7").is_none()
                && Listing::of("").is_none()
        );
    }
}
