//! Requests as an emulator sees them, and its replies.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use percent_encoding::percent_decode_str;

/// A request whose body has been read.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The host that was asked, without a port, in lower case.
    pub host: String,
    /// The host as it was named, with its port: what a `Location` has to name.
    pub authority: String,
    /// The path as it was sent, with its escapes.
    pub path: String,
    /// The query as it was sent, with its escapes and without the question mark.
    pub query: String,
    /// The headers.
    pub headers: HeaderMap,
    /// As much of the body as arrived.
    pub body: Bytes,
}

impl Request {
    /// The query's names and values in order, with their escapes undone.
    ///
    /// # Errors
    /// When an escape is not UTF-8, with a sentence about it.
    pub(crate) fn parameters(&self) -> Result<Vec<(String, String)>, String> {
        form(&self.query)
    }

    /// A header's value, where it is there and is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Names and values of `application/x-www-form-urlencoded` text.
///
/// # Errors
/// When an escape is not UTF-8, with a sentence about it.
pub(crate) fn form(text: &str) -> Result<Vec<(String, String)>, String> {
    let decode = |part: &str| {
        let spaced = part.replace('+', " ");
        let decoded = percent_decode_str(&spaced).decode_utf8();
        decoded.map(|text| text.into_owned()).map_err(|_| format!("`{part}` is not UTF-8"))
    };
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name)?, decode(value)?))
        })
        .collect()
}

/// What is answered.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers; the length is added when it is sent.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Reply {
    /// A reply without a body.
    ///
    /// # Panics
    /// When there is no such status.
    pub fn new(status: u16) -> Self {
        let status = StatusCode::from_u16(status).expect("a status of three digits");
        Self { status, headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// A reply with JSON in it.
    ///
    /// # Panics
    /// When there is no such status.
    pub fn json(status: u16, value: &serde_json::Value) -> Self {
        Self::new(status).body("application/json; charset=UTF-8", value.to_string())
    }

    /// The same with a body.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self.header(CONTENT_TYPE.as_str(), content_type)
    }

    /// The same with one more header.
    ///
    /// # Panics
    /// When it can't be the name or the value of a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("the name of a header");
        self.headers.insert(name, HeaderValue::from_str(value).expect("the value of a header"));
        self
    }
}
