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
    /// The app isn't who it says.
    Client,
    /// There is no such consent, or not any more.
    Grant,
    /// The consent doesn't go that far.
    Scope,
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
        let app = self.apps.get(client.key).ok_or(GrantError::Client)?;
        match client.secret {
            Some(secret) if secret != app.secret => Err(GrantError::Client),
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
        let Code { request, expires_ms } = self.codes.remove(code).ok_or(GrantError::Grant)?;
        let is_same = request.app_key == app_key && request.redirect_uri.as_deref() == redirect_uri;
        if !is_same || now_ms > expires_ms {
            return Err(GrantError::Grant);
        }
        match (&request.challenge, verifier) {
            (Some((challenge, is_hash)), Some(verifier)) => {
                let answer = match is_hash {
                    true => URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)),
                    false => verifier.to_owned(),
                };
                if answer != *challenge || !is_verifier(verifier) {
                    return Err(GrantError::Grant);
                }
            }
            (None, None) if client.secret.is_some() => {}
            // Neither a secret nor a challenge says that it is the app.
            (None, None) => return Err(GrantError::Client),
            _ => return Err(GrantError::Grant),
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
        let at = self.grants.iter().position(is_it).ok_or(GrantError::Grant)?;
        let grant = &self.grants[at];
        if grant.is_revoked {
            return Err(GrantError::Grant);
        }
        if client.secret.is_none() && !grant.has_verifier {
            return Err(GrantError::Client);
        }
        if scopes.iter().flatten().any(|scope| !grant.scopes.contains(scope)) {
            return Err(GrantError::Scope);
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
mod tests;
