//! Consent and tokens: what browsers and clients ask of the authorisation server.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use super::access::{Client, CodeRequest, Consent, Desk, GrantError, Issued};
use super::account::ACCOUNT_ID;
use super::answer::json_reply;
use super::routes::SCOPES;
use crate::message::{Reply, Request, form};

type Parameters = Vec<(String, String)>;

/// `GET /oauth2/authorize`: the person who is asked answers at once.
pub(super) fn authorize(desk: &mut Desk, request: &Request, now_ms: u64) -> Reply {
    let parameters = match request.parameters() {
        Ok(parameters) => parameters,
        Err(sentence) => return page(400, &sentence),
    };
    let asked = match read_request(desk, &parameters) {
        Ok(asked) => asked,
        // Nobody is sent anywhere with a request that is wrong: the address may be wrong, too.
        Err(sentence) => return page(400, &sentence),
    };
    let state = one(&parameters, "state").map(str::to_owned);
    let redirect_uri = asked.redirect_uri.clone();
    let answer = match desk.consent {
        Consent::Allow => ("code", desk.allow(asked, now_ms)),
        Consent::Deny => ("error", "access_denied".to_owned()),
    };
    let Some(redirect_uri) = redirect_uri else {
        return match answer {
            ("code", code) => page(200, &format!("Enter this code: <code>{code}</code>")),
            _ => page(200, "The access was denied."),
        };
    };
    let mut pairs = vec![answer];
    pairs.extend(state.map(|state| ("state", state)));
    let pairs = pairs.iter().map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)));
    let query = pairs.collect::<Vec<_>>().join("&");
    let joint = if redirect_uri.contains('?') { '&' } else { '?' };
    Reply::new(302).header("location", &format!("{redirect_uri}{joint}{query}"))
}

fn read_request(desk: &Desk, parameters: &Parameters) -> Result<CodeRequest, String> {
    if let Some((name, _)) =
        parameters.iter().find(|(name, _)| parameters.iter().filter(|(other, _)| other == name).count() > 1)
    {
        return Err(format!("`{name}` is there more than once"));
    }
    let app = one(parameters, "client_id").and_then(|key| desk.app(key)).ok_or("unknown `client_id`")?;
    if one(parameters, "response_type") != Some("code") {
        return Err("`response_type` is not `code`".to_owned());
    }
    let redirect_uri = one(parameters, "redirect_uri").map(str::to_owned);
    if let Some(uri) = &redirect_uri
        && !app.redirect_uris.contains(uri)
        && !is_of_this_machine(uri)
    {
        return Err("`redirect_uri` is not registered".to_owned());
    }
    let is_offline = match one(parameters, "token_access_type") {
        Some("offline") => true,
        None | Some("online") => false,
        Some(other) => return Err(format!("`token_access_type` can't be `{other}`")),
    };
    let challenge = match (one(parameters, "code_challenge"), one(parameters, "code_challenge_method")) {
        (None, None) => None,
        (Some(challenge), Some("S256")) if challenge.len() == 43 => Some((challenge.to_owned(), true)),
        (Some(challenge), Some("plain")) => Some((challenge.to_owned(), false)),
        _ => return Err("`code_challenge` and `code_challenge_method` don't fit together".to_owned()),
    };
    let scopes = scopes(parameters).unwrap_or_else(|| SCOPES.map(str::to_owned).to_vec());
    if let Some(unknown) = scopes.iter().find(|scope| !SCOPES.contains(&scope.as_str())) {
        return Err(format!("the app can't ask for `{unknown}`"));
    }
    Ok(CodeRequest { app_key: app.key.clone(), redirect_uri, scopes, is_offline, challenge })
}

/// `POST /oauth2/token`.
pub(super) fn token(desk: &mut Desk, request: &Request, now_ms: u64) -> Reply {
    let is_form = request.header("content-type").unwrap_or_default().starts_with("application/x-www-form-urlencoded");
    let parameters = std::str::from_utf8(&request.body).ok().filter(|_| is_form).and_then(|body| form(body).ok());
    let Some(parameters) = parameters else { return refusal("invalid_request", "The body is not a form.") };
    let basic = match request.header("authorization").map(basic) {
        None => None,
        Some(Some(pair)) => Some(pair),
        Some(None) => return refusal("invalid_request", "The header `Authorization` is malformed."),
    };
    if basic.is_some() && one(&parameters, "client_secret").is_some() {
        return refusal("invalid_request", "There is more than one secret.");
    }
    let client = match &basic {
        Some((key, secret)) => {
            Client { key, secret: Some(secret).filter(|secret| !secret.is_empty()).map(String::as_str) }
        }
        None => Client {
            key: one(&parameters, "client_id").unwrap_or_default(),
            secret: one(&parameters, "client_secret").filter(|secret| !secret.is_empty()),
        },
    };
    let issued = match one(&parameters, "grant_type") {
        Some("authorization_code") => {
            let Some(code) = one(&parameters, "code") else { return refusal("invalid_request", "There is no code.") };
            let (redirect_uri, verifier) = (one(&parameters, "redirect_uri"), one(&parameters, "code_verifier"));
            desk.exchange(client, code, redirect_uri, verifier, now_ms).map(|issued| (issued, true))
        }
        Some("refresh_token") => {
            let Some(refresh_token) = one(&parameters, "refresh_token") else {
                return refusal("invalid_request", "There is no refresh token.");
            };
            desk.refresh(client, refresh_token, scopes(&parameters), now_ms).map(|issued| (issued, false))
        }
        _ => return refusal("unsupported_grant_type", "There is no such grant."),
    };
    match issued {
        Ok((issued, is_first)) => given(&issued, is_first),
        Err(GrantError::Client) => refusal("invalid_client", "The app isn't known by this key and secret."),
        Err(GrantError::Grant) => refusal("invalid_grant", "What was granted is over, or was never so."),
        Err(GrantError::Scope) => refusal("invalid_scope", "The user didn't allow that."),
    }
}

fn given(issued: &Issued, is_first: bool) -> Reply {
    let mut body = json!({
        "access_token": issued.access_token,
        "token_type": "bearer",
        "expires_in": issued.expires_in_s,
    });
    if is_first {
        body["scope"] = issued.scopes.join(" ").into();
        body["uid"] = "1000001".into();
        body["account_id"] = ACCOUNT_ID.into();
    }
    if let Some(refresh_token) = &issued.refresh_token {
        body["refresh_token"] = refresh_token.as_str().into();
    }
    json_reply(200, &body)
}

/// The key and the secret of `Authorization: Basic`.
pub(super) fn basic(header: &str) -> Option<(String, String)> {
    let words = STANDARD.decode(header.strip_prefix("Basic ")?).ok()?;
    let words = String::from_utf8(words).ok()?;
    let (key, secret) = words.split_once(':')?;
    Some((key.to_owned(), secret.to_owned()))
}

fn scopes(parameters: &Parameters) -> Option<Vec<String>> {
    let scopes = one(parameters, "scope").filter(|scopes| !scopes.is_empty())?;
    Some(scopes.split(' ').map(str::to_owned).collect())
}

fn one<'a>(parameters: &'a Parameters, name: &str) -> Option<&'a str> {
    parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// Addresses that no app has to register.
fn is_of_this_machine(uri: &str) -> bool {
    let Some(rest) = uri.strip_prefix("http://") else { return false };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.split_once(':').map_or(host, |(host, _)| host);
    matches!(host, "localhost" | "127.0.0.1") && !uri.contains('#')
}

fn refusal(error: &str, description: &str) -> Reply {
    json_reply(400, &json!({ "error": error, "error_description": description }))
}

fn page(status: u16, sentence: &str) -> Reply {
    Reply::new(status).body("text/html; charset=utf-8", format!("<!doctype html><p>{sentence}</p>\n"))
}
