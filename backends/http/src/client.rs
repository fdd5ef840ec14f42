//! A client that makes each request once and reads each answer whole.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use backup_core::{StorageError, StorageErrorKind, StorageOperation, StorageResult};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, StatusCode};

use crate::body::Pieces;
use crate::failure::{Failure, Reach};

/// How long a connection may take to come about. What stands still later is ended by whoever waits for it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// Connections that nobody uses are closed after so long, before most servers close them.
const IDLE_CONNECTION: Duration = Duration::from_secs(50);

/// Memory set aside before the first byte of an answer has come, however long the server says that it will be.
const MAX_RESERVED_BYTES: u64 = 32 << 20;

/// Of the answer to a request that failed, so much is read.
const MAX_ERROR_BYTES: usize = 64 << 10;

/// How to reach a server.
#[derive(Debug, Clone, Default)]
pub struct HttpOptions {
    /// A file of certificates in PEM form that are trusted besides those of the system.
    pub ca_file: Option<PathBuf>,
    /// A proxy that all requests go through, as a URL.
    pub proxy: Option<String>,
    /// Whether `http://` is spoken where an address says so.
    pub allow_http: bool,
    /// How long a connection may take to come about; 20 s without it.
    pub connect_timeout: Option<Duration>,
}

/// An HTTP client with a pool of connections; clones share it.
///
/// It follows no redirect, because a signed request must not be repeated elsewhere, and reads nothing from the environment.
#[derive(Debug, Clone)]
pub struct HttpClient {
    client: reqwest::Client,
    allow_http: bool,
}

/// An answer with its whole body.
#[derive(Debug)]
pub struct HttpResponse {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; of an error, its beginning.
    pub body: Bytes,
}

impl HttpClient {
    /// Makes a client.
    ///
    /// # Errors
    /// `Config` when the file of certificates or the proxy's address can't be used.
    pub fn new(options: &HttpOptions) -> StorageResult<Self> {
        let failed = |what: &str, cause: String| {
            StorageError::new(StorageErrorKind::Config, StorageOperation::Connect)
                .with_detail(format!("{what}: {cause}"))
        };
        let mut builder = reqwest::Client::builder()
            .connect_timeout(options.connect_timeout.unwrap_or(CONNECT_TIMEOUT))
            .pool_idle_timeout(IDLE_CONNECTION)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .tcp_nodelay(true)
            .http1_only()
            .no_proxy();
        if let Some(file) = &options.ca_file {
            let pem = std::fs::read(file).map_err(|error| failed("`ca_file` can't be read", error.to_string()))?;
            let roots = reqwest::Certificate::from_pem_bundle(&pem);
            let roots = roots.map_err(|error| failed("`ca_file` holds no certificates", chain(&error)))?;
            builder = builder.tls_certs_merge(roots);
        }
        if let Some(address) = &options.proxy {
            let proxy = reqwest::Proxy::all(address).map_err(|error| failed("`proxy` is no address", chain(&error)))?;
            builder = builder.proxy(proxy);
        }
        let client = builder.build().map_err(|error| failed("the client can't be made", chain(&error)))?;
        Ok(Self { client, allow_http: options.allow_http })
    }

    /// Makes a request and reads the whole answer, whatever its status.
    ///
    /// The future is woken as bytes arrive and as the connection takes more of the body. Dropping it closes the connection.
    ///
    /// # Errors
    /// [`Failure::NoAnswer`], and [`Failure::WrongAnswer`] where the body is shorter than it was announced.
    pub async fn send(&self, request: Request<Pieces>) -> Result<HttpResponse, Failure> {
        self.send_for(request, u64::MAX).await
    }

    /// The same for an answer of at most so many bytes; a longer one is not read to its end.
    ///
    /// # Errors
    /// As [`HttpClient::send`]; [`Failure::WrongAnswer`] for a longer answer.
    pub async fn send_for(&self, request: Request<Pieces>, max_bytes: u64) -> Result<HttpResponse, Failure> {
        if !self.allow_http && request.uri().scheme_str() != Some("https") {
            let why = "plain HTTP is not allowed here: nothing on the way would be secret".to_owned();
            return Err(Failure::NoAnswer { reach: Reach::Nobody, why, timed_out: false });
        }
        let progress = request.body().progress();
        let is_head = request.method() == http::Method::HEAD;
        let request = reqwest::Request::try_from(request.map(reqwest::Body::wrap)).map_err(no_answer)?;
        let mut answer = std::pin::pin!(self.client.execute(request));
        let answer = std::future::poll_fn(|cx| {
            progress.register(cx.waker());
            answer.as_mut().poll(cx)
        });
        let mut response = answer.await.map_err(no_answer)?;
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        let announced = headers.get(http::header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let body = match (is_head, status.is_success()) {
            (true, _) => Bytes::new(),
            (false, true) => whole(response, announced, max_bytes).await?,
            (false, false) => beginning(response).await,
        };
        Ok(HttpResponse { status, headers, body })
    }
}

/// All of a body, in one buffer that was large enough from the beginning where its length was announced.
async fn whole(mut response: reqwest::Response, announced: Option<u64>, max_bytes: u64) -> Result<Bytes, Failure> {
    let too_long =
        || Failure::WrongAnswer(format!("the server sent more than the {max_bytes} bytes that were asked for"));
    if announced.is_some_and(|announced| announced > max_bytes) {
        return Err(too_long());
    }
    let reserved = usize::try_from(announced.unwrap_or(0).min(MAX_RESERVED_BYTES)).unwrap_or(0);
    let mut body = BytesMut::with_capacity(reserved);
    while let Some(piece) = response.chunk().await.map_err(no_answer)? {
        if (body.len() + piece.len()) as u64 > max_bytes {
            return Err(too_long());
        }
        body.extend_from_slice(&piece);
    }
    match announced {
        Some(announced) if announced != body.len() as u64 => {
            Err(Failure::WrongAnswer(format!("the server announced {announced} bytes and sent {}", body.len())))
        }
        _ => Ok(body.freeze()),
    }
}

/// What a server says about an error; as much of it as came.
async fn beginning(mut response: reqwest::Response) -> Bytes {
    let mut body = BytesMut::new();
    while let Ok(Some(piece)) = response.chunk().await {
        let room = MAX_ERROR_BYTES - body.len();
        body.extend_from_slice(&piece[..piece.len().min(room)]);
        if body.len() == MAX_ERROR_BYTES {
            break;
        }
    }
    body.freeze()
}

fn no_answer(error: reqwest::Error) -> Failure {
    let reach = if error.is_connect() || error.is_builder() { Reach::Nobody } else { Reach::Unknown };
    let timed_out = error.is_timeout();
    // The query of an address may hold a signature.
    Failure::NoAnswer { reach, why: chain(&error.without_url()), timed_out }
}

/// An error and its causes in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}
