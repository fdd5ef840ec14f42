//! Apps, what their users allowed them, and the tokens that say so.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::routes::SCOPES;

/// How long an access token is good for.
const ACCESS_MS: u64 = 14_400_000;

/// How long a code is good for: an assumption, the vendor says only that it is short.
const CODE_MS: u64 = 600_000;

/// An app that is registered with Dropbox.
#[derive(Debug, Clone)]
pub struct App {
    /// Its key, which OAuth calls the client's id.
    pub key: String,
    /// Its secret.
    pub secret: String,
    /// Where consent may be sent; every address of the machine itself may be used without being here.
    pub redirect_uris: Vec<String>,
    /// The name of its folder, where it sees nothing else.
    pub folder: Option<String>,
}

/// What a person who is asked for consent does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Consent {
    /// Allows it.
    #[default]
    Allow,
    /// Denies it.
    Deny,
}

/// Tokens as an app gets them.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// What requests carry.
    pub access_token: String,
    /// What new access tokens are got with.
    pub refresh_token: String,
}

/// What a user allowed an app.
#[derive(Debug, Clone)]
struct Grant {
    app_key: String,
    scopes: Vec<String>,
    has_verifier: bool,
    refresh_token: Option<String>,
    is_revoked: bool,
}

#[derive(Debug, Clone)]
struct Access {
    grant: usize,
    scopes: Vec<String>,
    expires_ms: u64,
}

/// Consent on its way to the app.
#[derive(Debug, Clone)]
struct Code {
    request: CodeRequest,
    expires_ms: u64,
}

/// What an app asked for.
#[derive(Debug, Clone)]
pub(super) struct CodeRequest {
    pub(super) app_key: String,
    pub(super) redirect_uri: Option<String>,
    pub(super) scopes: Vec<String>,
    pub(super) is_offline: bool,
    /// The challenge, and whether it is the verifier's hash.
    pub(super) challenge: Option<(String, bool)>,
}

/// Who a valid access token speaks for.
#[derive(Debug, Clone)]
pub(super) struct Bearer {
    pub(super) app_key: String,
    pub(super) token: String,
    pub(super) scopes: Vec<String>,
}

/// Why an access token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AccessError {
    Invalid,
    Expired,
}

/// Why a token is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GrantError {
    InvalidClient,
    InvalidGrant,
    InvalidScope,
}

/// How an app says who it is to the token endpoint.
#[derive(Debug, Clone, Copy)]
pub(super) struct Client<'a> {
    pub(super) key: &'a str,
    pub(super) secret: Option<&'a str>,
}

/// A new access token with what belongs to it.
#[derive(Debug)]
pub(super) struct Issued {
    pub(super) access_token: String,
    pub(super) refresh_token: Option<String>,
    pub(super) scopes: Vec<String>,
    pub(super) expires_in_s: u64,
}

/// All apps and tokens.
#[derive(Debug, Default)]
pub(super) struct Desk {
    apps: BTreeMap<String, App>,
    grants: Vec<Grant>,
    codes: BTreeMap<String, Code>,
    accesses: BTreeMap<String, Access>,
    issued: u64,
    pub(super) consent: Consent,
}

impl Desk {
    pub(super) fn add_app(&mut self, app: App) {
        self.apps.insert(app.key.clone(), app);
    }

    pub(super) fn app(&self, key: &str) -> Option<&App> {
        self.apps.get(key)
    }

    /// Words of this kind look like nothing else, so that a test finds one that has leaked.
    fn word(&mut self, kind: &str) -> String {
        self.issued += 1;
        let digest = Sha256::digest(format!("{kind} {}", self.issued));
        format!("{kind}canary-{}", URL_SAFE_NO_PAD.encode(&digest[..24]))
    }

    /// A code for what an app asked for and the user allowed.
    pub(super) fn allow(&mut self, request: CodeRequest, now_ms: u64) -> String {
        let code = self.word("code-");
        self.codes.insert(code.clone(), Code { request, expires_ms: now_ms + CODE_MS });
        code
    }

    /// Tokens as if the user had allowed everything.
    pub(super) fn plant(&mut self, app_key: &str, has_verifier: bool, now_ms: u64) -> Tokens {
        let refresh_token = self.word("refresh-");
        let scopes = SCOPES.map(str::to_owned).to_vec();
        let app_key = app_key.to_owned();
        let grant =
            Grant { app_key, scopes, has_verifier, refresh_token: Some(refresh_token.clone()), is_revoked: false };
        self.grants.push(grant);
        let issued = self.issue(self.grants.len() - 1, None, now_ms);
        Tokens { access_token: issued.access_token, refresh_token }
    }

    fn issue(&mut self, grant: usize, scopes: Option<Vec<String>>, now_ms: u64) -> Issued {
        let access_token = self.word("sl.u.");
        let scopes = scopes.unwrap_or_else(|| self.grants[grant].scopes.clone());
        let access = Access { grant, scopes: scopes.clone(), expires_ms: now_ms + ACCESS_MS };
        self.accesses.insert(access_token.clone(), access);
        Issued { access_token, refresh_token: None, scopes, expires_in_s: ACCESS_MS / 1000 }
    }

    fn client(&self, client: Client<'_>) -> Result<&App, GrantError> {
        let app = self.apps.get(client.key).ok_or(GrantError::InvalidClient)?;
        match client.secret {
            Some(secret) if secret != app.secret => Err(GrantError::InvalidClient),
            _ => Ok(app),
        }
    }

    /// Takes a code for tokens; a code is good for one attempt.
    pub(super) fn exchange(
        &mut self,
        client: Client<'_>,
        code: &str,
        redirect_uri: Option<&str>,
        verifier: Option<&str>,
        now_ms: u64,
    ) -> Result<Issued, GrantError> {
        let app_key = self.client(client)?.key.clone();
        let Code { request, expires_ms } = self.codes.remove(code).ok_or(GrantError::InvalidGrant)?;
        let is_same = request.app_key == app_key && request.redirect_uri.as_deref() == redirect_uri;
        if !is_same || now_ms > expires_ms {
            return Err(GrantError::InvalidGrant);
        }
        match (&request.challenge, verifier) {
            (Some((challenge, is_hash)), Some(verifier)) => {
                let answer = match is_hash {
                    true => URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)),
                    false => verifier.to_owned(),
                };
                if answer != *challenge || !is_verifier(verifier) {
                    return Err(GrantError::InvalidGrant);
                }
            }
            (None, None) if client.secret.is_some() => {}
            // Neither a secret nor a challenge says that it is the app.
            (None, None) => return Err(GrantError::InvalidClient),
            _ => return Err(GrantError::InvalidGrant),
        }
        let refresh_token = request.is_offline.then(|| self.word("refresh-"));
        let (scopes, has_verifier) = (request.scopes, verifier.is_some());
        self.grants.push(Grant {
            app_key,
            scopes,
            has_verifier,
            refresh_token: refresh_token.clone(),
            is_revoked: false,
        });
        let issued = self.issue(self.grants.len() - 1, None, now_ms);
        Ok(Issued { refresh_token, ..issued })
    }

    /// A new access token; the app says its secret unless it got the grant with a challenge.
    pub(super) fn refresh(
        &mut self,
        client: Client<'_>,
        refresh_token: &str,
        scopes: Option<Vec<String>>,
        now_ms: u64,
    ) -> Result<Issued, GrantError> {
        let app_key = self.client(client)?.key.clone();
        let is_it = |grant: &Grant| grant.refresh_token.as_deref() == Some(refresh_token) && grant.app_key == app_key;
        let at = self.grants.iter().position(is_it).ok_or(GrantError::InvalidGrant)?;
        let grant = &self.grants[at];
        if grant.is_revoked {
            return Err(GrantError::InvalidGrant);
        }
        if client.secret.is_none() && !grant.has_verifier {
            return Err(GrantError::InvalidClient);
        }
        if scopes.iter().flatten().any(|scope| !grant.scopes.contains(scope)) {
            return Err(GrantError::InvalidScope);
        }
        Ok(self.issue(at, scopes, now_ms))
    }

    /// Who an access token speaks for.
    pub(super) fn bearer(&self, token: &str, now_ms: u64) -> Result<Bearer, AccessError> {
        let access = self.accesses.get(token).ok_or(AccessError::Invalid)?;
        let grant = &self.grants[access.grant];
        if grant.is_revoked {
            return Err(AccessError::Invalid);
        }
        if now_ms >= access.expires_ms {
            return Err(AccessError::Expired);
        }
        Ok(Bearer { app_key: grant.app_key.clone(), token: token.to_owned(), scopes: access.scopes.clone() })
    }

    /// Ends an access token, its refresh token, and all that was got with it.
    pub(super) fn revoke(&mut self, token: &str) {
        if let Some(access) = self.accesses.get(token) {
            self.grants[access.grant].is_revoked = true;
        }
    }

    /// Ends everything that users allowed.
    pub(super) fn revoke_all(&mut self) {
        self.grants.iter_mut().for_each(|grant| grant.is_revoked = true);
    }

    /// Ends an access token as if its time were over.
    pub(super) fn expire(&mut self, token: &str) {
        if let Some(access) = self.accesses.get_mut(token) {
            access.expires_ms = 0;
        }
    }

    /// Ends all access tokens as if their time were over.
    pub(super) fn expire_all(&mut self) {
        self.accesses.values_mut().for_each(|access| access.expires_ms = 0);
    }
}

/// Whether text can be a verifier: 43 to 128 characters that need no escape.
fn is_verifier(text: &str) -> bool {
    let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    (43..=128).contains(&text.len()) && text.bytes().all(is_unreserved)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERIFIER: &str = "0123456789-0123456789.0123456789_0123456789~";
    const SECRET: Client<'_> = Client { key: "key", secret: Some("secret") };
    const PUBLIC: Client<'_> = Client { key: "key", secret: None };

    fn desk() -> Desk {
        let mut desk = Desk::default();
        let (key, secret) = ("key".to_owned(), "secret".to_owned());
        desk.add_app(App { key, secret, redirect_uris: Vec::new(), folder: None });
        desk
    }

    fn request(challenge: Option<&str>) -> CodeRequest {
        let challenge = challenge.map(|verifier| (URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)), true));
        let scopes = vec!["files.content.read".to_owned()];
        CodeRequest { app_key: "key".into(), redirect_uri: Some("uri".into()), scopes, is_offline: true, challenge }
    }

    fn exchange(
        desk: &mut Desk,
        asked: CodeRequest,
        client: Client<'_>,
        verifier: Option<&str>,
    ) -> Result<Issued, GrantError> {
        let code = desk.allow(asked, 0);
        desk.exchange(client, &code, Some("uri"), verifier, 1)
    }

    #[test]
    fn a_code_wants_the_secret_or_the_verifier() {
        let mut desk = desk();
        let mut result =
            |challenge, client, verifier| exchange(&mut desk, request(challenge), client, verifier).map(|_| ());
        assert_eq!(result(None, SECRET, None), Ok(()));
        assert_eq!(result(None, PUBLIC, None), Err(GrantError::InvalidClient));
        assert_eq!(result(None, Client { secret: Some("x"), ..SECRET }, None), Err(GrantError::InvalidClient));
        assert_eq!(result(None, SECRET, Some(VERIFIER)), Err(GrantError::InvalidGrant));
        assert_eq!(result(Some(VERIFIER), PUBLIC, Some(VERIFIER)), Ok(()));
        assert_eq!(result(Some(VERIFIER), PUBLIC, None), Err(GrantError::InvalidGrant));
        assert_eq!(result(Some(VERIFIER), PUBLIC, Some(&VERIFIER[1..])), Err(GrantError::InvalidGrant));
        assert_eq!(result(Some("short"), PUBLIC, Some("short")), Err(GrantError::InvalidGrant));
    }

    #[test]
    fn a_code_is_good_once_and_for_a_while() {
        let mut desk = desk();
        let code = desk.allow(request(None), 0);
        assert!(desk.exchange(SECRET, &code, None, None, 1).is_err(), "without the address it was sent to");
        assert!(desk.exchange(SECRET, &code, Some("uri"), None, 1).is_err(), "used");
        let code = desk.allow(request(None), 0);
        assert!(desk.exchange(SECRET, &code, Some("uri"), None, CODE_MS + 1).is_err(), "late");
    }

    #[test]
    fn refreshing_without_the_secret_takes_a_verifier_before() {
        let mut desk = desk();
        let with_secret = exchange(&mut desk, request(None), SECRET, None).unwrap().refresh_token.unwrap();
        assert_eq!(desk.refresh(PUBLIC, &with_secret, None, 2).map(|_| ()), Err(GrantError::InvalidClient));
        desk.refresh(SECRET, &with_secret, None, 2).unwrap();
        let issued = exchange(&mut desk, request(Some(VERIFIER)), PUBLIC, Some(VERIFIER)).unwrap();
        let refreshed = desk.refresh(PUBLIC, &issued.refresh_token.unwrap(), None, 2).unwrap();
        assert_eq!(desk.bearer(&refreshed.access_token, 3).unwrap().scopes, ["files.content.read"]);
        let more = Some(vec!["files.content.write".to_owned()]);
        assert_eq!(desk.refresh(SECRET, &with_secret, more, 2).map(|_| ()), Err(GrantError::InvalidScope));
    }

    #[test]
    fn access_ends_with_time_and_with_revocation() {
        let mut desk = desk();
        let tokens = desk.plant("key", true, 0);
        desk.bearer(&tokens.access_token, ACCESS_MS - 1).unwrap();
        assert_eq!(desk.bearer(&tokens.access_token, ACCESS_MS).map(|_| ()), Err(AccessError::Expired));
        let second = desk.refresh(PUBLIC, &tokens.refresh_token, None, 0).unwrap().access_token;
        desk.revoke(&second);
        for token in [&tokens.access_token, &second, "unknown"] {
            assert_eq!(desk.bearer(token, 1).map(|_| ()), Err(AccessError::Invalid));
        }
        assert_eq!(desk.refresh(PUBLIC, &tokens.refresh_token, None, 1).map(|_| ()), Err(GrantError::InvalidGrant));
    }
}
