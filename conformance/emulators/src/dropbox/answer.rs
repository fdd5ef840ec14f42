//! What a function answers, and how that is sent.

use serde_json::{Value, json};

use super::content::Content;
use super::errors::{summary, tag};
use crate::message::Reply;

/// A result.
#[derive(Debug)]
pub(super) enum Success {
    /// JSON, in the body.
    Json(Value),
    /// JSON in a header and a file in the body.
    File(Value, Content),
}

/// An error.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// The request can't be understood: 400 with a sentence.
    BadRequest(String),
    /// The function's own error: 409.
    Endpoint(Value),
    /// Who asks may not: 401.
    Unauthorized(Value),
    /// The namespace that a header names is none of the user's: 422.
    PathRoot(Value),
    /// Too much at once: 429.
    RateLimit {
        /// `too_many_requests` or `too_many_write_operations`.
        reason: &'static str,
        retry_after_s: u64,
    },
    /// The service is at fault.
    Server(u16),
}

/// How errors are written where the vendor may choose.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Style {
    /// 429 is plain text with a header instead of JSON.
    pub(super) rate_limit_as_text: bool,
    /// Dots at the end of a summary.
    pub(super) dots: usize,
}

impl From<Value> for Failure {
    fn from(error: Value) -> Self {
        Self::Endpoint(error)
    }
}

impl Failure {
    /// The union of 401 with nothing in it.
    pub(super) fn unauthorized(reason: &str) -> Self {
        Self::Unauthorized(tag(reason))
    }

    /// The reply.
    pub(super) fn reply(&self, style: Style) -> Reply {
        let with_summary = |status, error: &Value| {
            let body = json!({ "error_summary": summary(error, style.dots), "error": error });
            json_reply(status, &body)
        };
        match self {
            Self::BadRequest(sentence) => Reply::new(400).body("text/plain; charset=utf-8", sentence.clone()),
            Self::Endpoint(error) => with_summary(409, error),
            Self::Unauthorized(error) => with_summary(401, error),
            Self::PathRoot(error) => with_summary(422, error),
            Self::RateLimit { reason, retry_after_s } => {
                let reply = if style.rate_limit_as_text {
                    Reply::new(429).body("text/plain; charset=utf-8", *reason)
                } else {
                    let error = json!({ "reason": tag(reason), "retry_after": retry_after_s });
                    let summary = format!("{reason}/{}", ".".repeat(style.dots));
                    json_reply(429, &json!({ "error_summary": summary, "error": error }))
                };
                reply.header("retry-after", &retry_after_s.to_string())
            }
            Self::Server(status) => Reply::new(*status).body("text/plain; charset=utf-8", "The service is at fault."),
        }
    }
}

/// A reply with JSON, labelled the way the vendor's client insists on.
pub(super) fn json_reply(status: u16, value: &Value) -> Reply {
    Reply::new(status).body("application/json", value.to_string())
}

/// JSON for a header: nothing but ASCII, and no DEL.
pub(super) fn header_json(value: &Value) -> String {
    let mut text = String::new();
    for character in value.to_string().chars() {
        if character.is_ascii() && character != '\x7f' {
            text.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            text.push_str(&format!("\\u{unit:04x}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_carry_ascii_only() {
        let value = json!({ "path": "/ä\u{7f}😀" });
        let text = header_json(&value);
        assert_eq!(text, r#"{"path":"/\u00e4\u007f\ud83d\ude00"}"#);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }

    #[test]
    fn throttling_tells_when_to_come_back() {
        let failure = Failure::RateLimit { reason: "too_many_requests", retry_after_s: 3 };
        for rate_limit_as_text in [false, true] {
            let reply = failure.reply(Style { rate_limit_as_text, dots: 2 });
            assert_eq!(reply.status.as_u16(), 429);
            assert_eq!(reply.headers["retry-after"], "3");
            let is_json = reply.headers["content-type"] == "application/json";
            assert_eq!(is_json, !rate_limit_as_text);
        }
    }
}
