//! Calls of Dropbox's functions: with a token, which is replaced once where it is refused.

use backup_backend_http::{HttpClient, HttpResponse, Pieces};
use backup_backend_oauth::TokenSource;
use backup_core::StorageErrorKind;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, RANGE};
use http::{HeaderValue, Request};
use serde_json::Value;

use crate::error::DropboxFailure;

/// An answer in JSON is smaller than this: 2,000 entries of a listing, of which each has paths of at most some hundred bytes.
const MAX_ANSWER_BYTES: u64 = 16 << 20;

/// Where Dropbox is, without slashes at the ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hosts {
    pub(crate) api: String,
    pub(crate) content: String,
}

/// Makes calls; clones share connections and tokens.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    http: HttpClient,
    hosts: Hosts,
    tokens: TokenSource,
}

/// A download: what is told of the file, and the answer itself.
pub(crate) struct Download {
    pub(crate) metadata: Value,
    pub(crate) answer: HttpResponse,
}

type Result<T> = std::result::Result<T, DropboxFailure>;

impl Api {
    pub(crate) fn new(http: HttpClient, hosts: Hosts, tokens: TokenSource) -> Self {
        Self { http, hosts, tokens }
    }

    /// Calls a function that takes and gives JSON.
    pub(crate) async fn rpc(&self, function: &str, argument: &Value) -> Result<Value> {
        let url = format!("{}/2/{function}", self.hosts.api);
        // `null` is the argument of functions that have none.
        let body = Bytes::from(argument.to_string());
        let make = || {
            let request = Request::post(&url).header(CONTENT_TYPE, "application/json");
            request.body(Pieces::new([body.clone()]))
        };
        json(&self.send(make, MAX_ANSWER_BYTES).await?.body)
    }

    /// Calls a function that takes data beside its argument.
    pub(crate) async fn upload(&self, function: &str, argument: &Value, data: &[Bytes]) -> Result<Value> {
        let url = format!("{}/2/{function}", self.hosts.content);
        let argument = header(argument)?;
        let make = || {
            let request = Request::post(&url)
                .header(CONTENT_TYPE, "application/octet-stream")
                .header("dropbox-api-arg", argument.clone());
            request.body(Pieces::new(data.iter().cloned()))
        };
        json(&self.send(make, MAX_ANSWER_BYTES).await?.body)
    }

    /// Reads a file, or a range of it as HTTP writes it.
    pub(crate) async fn download(&self, path: &str, range: Option<&str>, max_bytes: u64) -> Result<Download> {
        let url = format!("{}/2/files/download", self.hosts.content);
        let argument = header(&serde_json::json!({ "path": path }))?;
        let make = || {
            let mut request = Request::post(&url).header("dropbox-api-arg", argument.clone());
            if let Some(range) = range {
                request = request.header(RANGE, range);
            }
            request.body(Pieces::default())
        };
        let answer = self.send(make, max_bytes).await?;
        let metadata =
            answer.headers.get("dropbox-api-result").and_then(|text| serde_json::from_slice(text.as_bytes()).ok());
        let metadata = metadata.ok_or_else(|| strange("the answer is no file of Dropbox"))?;
        Ok(Download { metadata, answer })
    }

    async fn send(
        &self,
        make: impl Fn() -> http::Result<Request<Pieces>> + Send,
        max_bytes: u64,
    ) -> Result<HttpResponse> {
        let mut token = self.tokens.token().await.map_err(DropboxFailure::from_token)?;
        let mut is_second = false;
        loop {
            let mut request = make().map_err(|error| {
                DropboxFailure::wrong(StorageErrorKind::Config, format!("the request can't be made: {error}"))
            })?;
            let bearer = token.token.expose_text().map(|text| format!("Bearer {text}")).unwrap_or_default();
            let mut bearer = HeaderValue::from_str(&bearer)
                .map_err(|_| DropboxFailure::wrong(StorageErrorKind::Config, "the access token is no token"))?;
            bearer.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, bearer);
            let answer = self.http.send_for(request, max_bytes).await.map_err(DropboxFailure::from_failure)?;
            if answer.status.is_success() {
                return Ok(answer);
            }
            let failure = DropboxFailure::answered(&answer);
            if is_second || !failure.is_of_token() {
                return Err(failure);
            }
            is_second = true;
            token = self.tokens.instead_of(&token).await.map_err(DropboxFailure::from_token)?;
        }
    }
}

fn json(body: &[u8]) -> Result<Value> {
    serde_json::from_slice(body).map_err(|_| strange("the answer can't be understood"))
}

/// An answer that says nothing about what is stored.
pub(crate) fn strange(what: &str) -> DropboxFailure {
    DropboxFailure::wrong(StorageErrorKind::Unavailable, what)
}

/// JSON as it may stand in a header: escaped but for plain ASCII.
fn header(argument: &Value) -> Result<HeaderValue> {
    let mut text = String::new();
    for character in argument.to_string().chars() {
        match character {
            ' '..='~' => text.push(character),
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    text.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    HeaderValue::from_str(&text).map_err(|_| DropboxFailure::wrong(StorageErrorKind::Config, "the path can't be sent"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_in_headers_are_plain_ascii() {
        let value = serde_json::json!({ "path": "/ä\u{7f}😀" });
        let text = header(&value).unwrap();
        assert_eq!(text.to_str().unwrap(), r#"{"path":"/\u00e4\u007f\ud83d\ude00"}"#);
        assert_eq!(serde_json::from_slice::<Value>(text.as_bytes()).unwrap(), value);
    }
}
