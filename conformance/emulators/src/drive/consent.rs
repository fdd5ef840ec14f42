//! The page on which a person allows a program to use their Drive. Here they say yes at once, unless a knob says no.

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::account::{Code, Grant, Scope, UserId};
use super::state::State;
use crate::message::{Reply, Request};

/// How long a code can be redeemed.
const CODE_LIFE: Duration = Duration::from_secs(600);

/// What stands unescaped in a query.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Names that the request may have.
const NAMES: [&str; 11] = [
    "client_id",
    "redirect_uri",
    "response_type",
    "scope",
    "state",
    "code_challenge",
    "code_challenge_method",
    "access_type",
    "prompt",
    "login_hint",
    "include_granted_scopes",
];

/// How long a challenge is: 32 bytes in base64 without padding.
const CHALLENGE_LEN: usize = 43;

impl State {
    /// Checks what a program asks for and sends the person back to it.
    pub(super) fn consent(&mut self, request: &Request) -> Reply {
        self.try_consent(request).unwrap_or_else(|why| {
            // A person sees this; the program hears nothing.
            Reply::new(400).body("text/html; charset=utf-8", format!("<html><body>Error 400: {why}</body></html>"))
        })
    }

    fn try_consent(&mut self, request: &Request) -> Result<Reply, String> {
        let asked = request.parameters()?;
        for (at, (name, _)) in asked.iter().enumerate() {
            if !NAMES.contains(&name.as_str()) || asked[..at].iter().any(|(before, _)| before == name) {
                return Err(format!("invalid_request: {name}"));
            }
        }
        let value = |name: &str| asked.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
        let client = value("client_id").filter(|id| self.grants.clients.contains_key(*id)).ok_or("invalid_client")?;
        let redirect_uri = value("redirect_uri").filter(|uri| is_loopback(uri)).ok_or("redirect_uri_mismatch")?;
        if value("response_type") != Some("code") {
            return Err("unsupported_response_type".to_owned());
        }
        let scope = scope(value("scope").unwrap_or_default())?;
        let challenge = match (value("code_challenge"), value("code_challenge_method")) {
            (None, None) => None,
            (Some(challenge), Some("S256")) if challenge.len() == CHALLENGE_LEN => Some(challenge.to_owned()),
            _ => return Err("invalid_request: only code_challenge_method=S256 is taken".to_owned()),
        };
        let is_offline = match value("access_type") {
            None | Some("online") => false,
            Some("offline") => true,
            Some(other) => return Err(format!("invalid_request: access_type {other}")),
        };

        let mut back: Vec<(&str, String)> = Vec::new();
        if let Some(state) = value("state") {
            back.push(("state", state.to_owned()));
        }
        if self.knobs.denies_consent {
            back.push(("error", "access_denied".to_owned()));
            return Ok(redirect(redirect_uri, &back));
        }
        let user = match value("login_hint") {
            None => UserId(0),
            Some(hint) => {
                UserId(self.users.iter().position(|user| user.email == hint).ok_or("invalid_request: login_hint")?)
            }
        };
        self.users.first().ok_or("nobody has an account")?;
        let grant = Grant { user, client: client.to_owned(), scope };
        // Who has agreed before is not asked again, and no second refresh token is given.
        let is_new = !self.grants.refresh_tokens.values().any(|known| *known == grant);
        let is_offline = is_offline && (is_new || value("prompt") == Some("consent"));
        let life_ms = u64::try_from(CODE_LIFE.as_millis()).expect("ten minutes");
        let expires_ms = self.clock.now_ms() + life_ms;
        let code = format!("4/0{}", self.opaque("code"));
        let redirect_uri = redirect_uri.to_owned();
        back.push(("code", code.clone()));
        back.push(("scope", scope.url().to_owned()));
        let reply = redirect(&redirect_uri, &back);
        self.grants.codes.insert(code, Code { grant, redirect_uri, challenge, is_offline, expires_ms });
        Ok(reply)
    }
}

/// Programs on a person's own machine are reached on its loopback interface, at any port.
fn is_loopback(uri: &str) -> bool {
    let Some(rest) = uri.strip_prefix("http://") else { return false };
    let authority = rest.split('/').next().unwrap_or_default();
    let host =
        authority.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(authority, |(host, _)| host);
    matches!(host, "127.0.0.1" | "localhost" | "[::1]") && !uri.contains('#')
}

fn scope(text: &str) -> Result<Scope, String> {
    let mut found = None;
    for name in text.split(' ').filter(|name| !matches!(*name, "openid" | "email" | "profile")) {
        let scope = Scope::named(name).ok_or_else(|| format!("invalid_scope: {name}"))?;
        if found.replace(scope).is_some() {
            return Err("the emulator grants one scope at a time".to_owned());
        }
    }
    found.ok_or_else(|| "invalid_scope".to_owned())
}

fn redirect(to: &str, values: &[(&str, String)]) -> Reply {
    let query: Vec<String> =
        values.iter().map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, PLAIN))).collect();
    let joint = if to.contains('?') { '&' } else { '?' };
    Reply::new(302).header("location", &format!("{to}{joint}{}", query.join("&")))
}
