//! `/token` and `/revoke`: how programs get at what a person has granted.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::account::{ACCESS_TOKEN_LIFE, Grant};
use super::state::State;
use crate::message::{Reply, Request, form};

/// Names that a request for a token may have.
const TOKEN_NAMES: [&str; 8] =
    ["grant_type", "client_id", "client_secret", "refresh_token", "code", "redirect_uri", "code_verifier", "scope"];

/// The names and values of a form, each once.
type Form = Vec<(String, String)>;

/// Why no token is given.
#[derive(Debug)]
struct Denied {
    status: u16,
    error: &'static str,
    description: String,
}

impl Denied {
    fn reply(&self) -> Reply {
        Reply::json(self.status, &json!({"error": self.error, "error_description": self.description}))
    }
}

impl State {
    /// Gives tokens for a code or a refresh token.
    pub(super) fn token(&mut self, request: &Request) -> Reply {
        self.try_token(request).unwrap_or_else(|denied| denied.reply())
    }

    fn try_token(&mut self, request: &Request) -> Result<Reply, Denied> {
        let form = read_form(request, &TOKEN_NAMES)?;
        let client = self.client(request, &form)?;
        match value(&form, "grant_type") {
            Some("refresh_token") => self.refresh(&client, &form),
            Some("authorization_code") => self.redeem(&client, &form),
            Some(_) => Err(refused(400, "unsupported_grant_type", "Invalid grant_type")),
            None => Err(refused(400, "invalid_request", "Required parameter is missing: grant_type")),
        }
    }

    /// Which program asks; it has to know its secret.
    fn client(&self, request: &Request, form: &Form) -> Result<String, Denied> {
        let basic = request.header("authorization").and_then(|value| value.strip_prefix("Basic "));
        let (id, secret) = match basic {
            Some(encoded) => {
                let decoded = STANDARD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
                let pair = decoded.as_ref().and_then(|text| text.split_once(':'));
                let (id, secret) = pair.ok_or_else(|| refused(401, "invalid_client", "Unauthorized"))?;
                (id.to_owned(), secret.to_owned())
            }
            None => {
                let given = |name| value(form, name).unwrap_or_default().to_owned();
                (given("client_id"), given("client_secret"))
            }
        };
        let known = self.grants.clients.get(&id);
        let known = known.ok_or_else(|| refused(401, "invalid_client", "The OAuth client was not found."))?;
        if known.secret == secret { Ok(id) } else { Err(refused(401, "invalid_client", "Unauthorized")) }
    }

    fn refresh(&mut self, client: &str, form: &Form) -> Result<Reply, Denied> {
        let token = value(form, "refresh_token").unwrap_or_default();
        let known = self.grants.refresh_tokens.get(token).filter(|grant| grant.client == client).cloned();
        let grant = known.ok_or_else(|| refused(400, "invalid_grant", "Token has been expired or revoked."))?;
        let mut next = None;
        if self.knobs.rotates_refresh_tokens {
            self.grants.refresh_tokens.remove(token);
            next = Some(self.issue_refresh_token(&grant));
        }
        Ok(self.tokens(&grant, next))
    }

    fn redeem(&mut self, client: &str, form: &Form) -> Result<Reply, Denied> {
        let malformed = || refused(400, "invalid_grant", "Malformed auth code.");
        // A code is good once, whatever becomes of it.
        let code = self.grants.codes.remove(value(form, "code").unwrap_or_default()).ok_or_else(malformed)?;
        if code.grant.client != client || self.clock.now_ms() >= code.expires_ms {
            return Err(malformed());
        }
        if value(form, "redirect_uri") != Some(&code.redirect_uri) {
            return Err(refused(400, "redirect_uri_mismatch", "Bad Request"));
        }
        let verifier = value(form, "code_verifier");
        let hashed = verifier.map(|verifier| URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)));
        if code.challenge != hashed {
            let what = if verifier.is_none() { "Missing code verifier." } else { "Invalid code verifier." };
            return Err(refused(400, "invalid_grant", what));
        }
        let next = code.is_offline.then(|| self.issue_refresh_token(&code.grant));
        Ok(self.tokens(&code.grant, next))
    }

    fn tokens(&mut self, grant: &Grant, refresh_token: Option<String>) -> Reply {
        let mut told = json!({
            "access_token": self.issue_access_token(grant),
            "expires_in": ACCESS_TOKEN_LIFE.as_secs() - 1,
            "scope": grant.scope.url(),
            "token_type": "Bearer",
        });
        if let Some(token) = refresh_token {
            told["refresh_token"] = token.into();
        }
        Reply::json(200, &told).header("cache-control", "no-store")
    }

    /// Ends a token and all that was granted along with it.
    pub(super) fn revoke(&mut self, request: &Request) -> Reply {
        let in_query = request.parameters().unwrap_or_default();
        let form = match read_form(request, &["token"]) {
            Ok(form) => [form, in_query].concat(),
            Err(denied) => return denied.reply(),
        };
        let token = value(&form, "token").unwrap_or_default();
        let by_access = self.grants.access_tokens.get(token).map(|(grant, _)| grant.clone());
        let Some(grant) = self.grants.refresh_tokens.get(token).cloned().or(by_access) else {
            return refused(400, "invalid_token", "Token expired or revoked").reply();
        };
        self.grants.revoke(|other| *other == grant);
        Reply::json(200, &json!({}))
    }
}

fn value<'a>(form: &'a Form, name: &str) -> Option<&'a str> {
    form.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
}

fn read_form(request: &Request, names: &[&str]) -> Result<Form, Denied> {
    let wrong = |what: &str| refused(400, "invalid_request", what);
    let is_form = request.header("content-type").is_some_and(|v| v.starts_with("application/x-www-form-urlencoded"));
    if !is_form && !request.body.is_empty() {
        return Err(wrong("the body must be a form"));
    }
    let text = std::str::from_utf8(&request.body).map_err(|_| wrong("the body is no text"))?;
    let form = form(text).map_err(|what| wrong(&what))?;
    for (at, (name, _)) in form.iter().enumerate() {
        if !names.contains(&name.as_str()) {
            return Err(wrong(&format!("Parameter not allowed for this message type: {name}")));
        }
        if form[..at].iter().any(|(before, _)| before == name) {
            return Err(wrong(&format!("OAuth 2 parameters can only have a single value: {name}")));
        }
    }
    Ok(form)
}

fn refused(status: u16, error: &'static str, description: &str) -> Denied {
    Denied { status, error, description: description.to_owned() }
}
