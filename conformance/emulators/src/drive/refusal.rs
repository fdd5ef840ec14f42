//! Refusals with the bodies that Google sends.

use serde_json::{Map, json};

use crate::message::Reply;

/// Why a request is refused: a status, a reason for programs and a message for people.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    status: u16,
    domain: &'static str,
    reason: String,
    message: String,
    /// What is at fault: its kind (`parameter`, `header`) and its name.
    location: Option<(&'static str, String)>,
}

impl Refusal {
    pub(super) fn new(status: u16, reason: &str, message: impl Into<String>) -> Self {
        let limits = reason.ends_with("LimitExceeded") || reason.ends_with("QuotaExceeded");
        let domain = if limits { "usageLimits" } else { "global" };
        Self { status, domain, reason: reason.to_owned(), message: message.into(), location: None }
    }

    fn at(mut self, kind: &'static str, name: &str) -> Self {
        self.location = Some((kind, name.to_owned()));
        self
    }

    /// A parameter has no such value.
    pub(super) fn invalid(parameter: &str, message: impl Into<String>) -> Self {
        Self::new(400, "invalid", message).at("parameter", parameter)
    }

    /// A parameter that must be there is not.
    pub(super) fn required(parameter: &str) -> Self {
        let message = format!("The '{parameter}' parameter is required for this method.");
        Self::new(400, "required", message).at("parameter", parameter)
    }

    /// The request has no form that the service knows.
    pub(super) fn malformed(message: impl Into<String>) -> Self {
        Self::new(400, "badRequest", message)
    }

    /// There is no such file, or none that this caller may see.
    pub(super) fn no_file(id: &str) -> Self {
        Self::new(404, "notFound", format!("File not found: {id}.")).at("parameter", "fileId")
    }

    pub(super) fn no_drive(id: &str) -> Self {
        Self::new(404, "notFound", format!("Shared drive not found: {id}")).at("parameter", "driveId")
    }

    /// The access token is missing, unknown, expired or revoked.
    pub(super) fn unauthenticated() -> Self {
        Self::new(401, "authError", "Invalid Credentials").at("header", "Authorization")
    }

    pub(super) fn quota() -> Self {
        Self::new(403, "storageQuotaExceeded", "The user's Drive storage quota has been exceeded.")
    }

    /// The real service does this, and this emulator does not: a test must not take that for an answer.
    pub(super) fn not_emulated(what: &str) -> Self {
        Self::new(501, "notEmulated", format!("The emulator does not do this: {what}"))
    }

    pub(super) fn reply(&self) -> Reply {
        let mut error = Map::new();
        error.insert("message".to_owned(), self.message.clone().into());
        error.insert("domain".to_owned(), self.domain.into());
        error.insert("reason".to_owned(), self.reason.clone().into());
        if let Some((kind, name)) = &self.location {
            error.insert("locationType".to_owned(), (*kind).into());
            error.insert("location".to_owned(), name.clone().into());
        }
        let body = json!({"error": {"code": self.status, "message": self.message, "errors": [error]}});
        let reply = Reply::json(self.status, &body);
        if self.status == 401 {
            return reply
                .header("www-authenticate", "Bearer realm=\"https://accounts.google.com/\", error=invalid_token");
        }
        reply
    }
}

/// What Google answers for a reason: the reply for rules that refuse requests, such as
/// `refusal(403, "userRateLimitExceeded")`, `refusal(403, "storageQuotaExceeded")` or `refusal(503, "backendError")`.
pub fn refusal(status: u16, reason: &str) -> Reply {
    let message = match reason {
        "userRateLimitExceeded" => "User Rate Limit Exceeded",
        "rateLimitExceeded" => "Rate Limit Exceeded",
        "dailyLimitExceeded" => "Daily Limit Exceeded",
        "storageQuotaExceeded" => return Refusal::quota().reply(),
        "authError" => return Refusal::unauthenticated().reply(),
        "notFound" => return Refusal::no_file("").reply(),
        "backendError" => "Backend Error",
        "internalError" => "Internal Error",
        other => other,
    };
    Refusal::new(status, reason, message).reply()
}
