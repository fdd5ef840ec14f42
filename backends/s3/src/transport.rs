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
        let asked = parts.headers.get(RANGE).cloned();
        let sent = self.client.send(Request::from_parts(parts, Pieces::new(body))).await;
        let response = sent.map_err(S3Failure::from_failure)?;
        if !response.status.is_success() {
            return Err(S3Failure::answered(&response));
        }
        if let Some(asked) = asked {
            is_what_was_asked_for(&asked, &response)?;
        }
        // A server may begin its answer with 200 and find out later that it failed.
        if is_post && contains(&response.body, b"<Error>") {
            return Err(S3Failure::answered(&response));
        }
        Ok(response)
    }
}

/// Whether an answer is the part that a request was for. A part that ends behind the object is shortened by servers, and refused here.
fn is_what_was_asked_for(asked: &HeaderValue, response: &HttpResponse) -> Result<(), S3Failure> {
    let wrong = |kind, what: &str| Err(S3Failure { kind, failure: Failure::WrongAnswer(what.to_owned()) });
    if response.status != StatusCode::PARTIAL_CONTENT {
        return wrong(StorageErrorKind::Unsupported, "the server sent all of the object where a part was asked for");
    }
    let span = |text: &str| -> Option<(u64, u64)> {
        let (from, to) = text.split_once('-')?;
        Some((from.parse().ok()?, to.parse().ok()?))
    };
    let asked = asked.to_str().ok().and_then(|text| text.strip_prefix("bytes=")).and_then(span);
    // The last bytes, or all from some place on: the object's size was not known.
    let Some((from, to)) = asked else { return Ok(()) };
    let sent = response.headers.get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    let sent = sent.and_then(|text| text.strip_prefix("bytes ")?.split('/').next()).and_then(span);
    match sent {
        Some(sent) if sent == (from, to) => Ok(()),
        Some((sent_from, sent_to)) if sent_from == from && sent_to < to => {
            wrong(StorageErrorKind::RangeNotSatisfiable, "the object ends before the range does")
        }
        Some(_) | None => wrong(StorageErrorKind::Integrity, "the server sent another part than was asked for"),
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

fn digest(body: &[Bytes]) -> [u8; 32] {
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
