//! Asking a person.

use std::fmt;

use backup_core::{Clock, Secret, StorageErrorKind};
use oauth2::{AuthorizationCode, CsrfToken, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope, TokenResponse};

use crate::authorization::{access, refused};
use crate::{Authorization, OAuthError, Tokens};

/// A question to a person, made once: an address to follow, and what proves that the answer belongs to it.
pub struct Consent {
    url: String,
    state: CsrfToken,
    verifier: PkceCodeVerifier,
    redirect: Option<RedirectUrl>,
}

impl fmt::Debug for Consent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consent").field("redirect", &self.redirect).finish_non_exhaustive()
    }
}

impl Consent {
    /// Makes a question; without an address to come back to, the service shows the person a code to copy.
    ///
    /// # Errors
    /// `Config` when `redirect` is no address.
    pub fn new(authorization: &Authorization, redirect: Option<&str>) -> Result<Self, OAuthError> {
        let redirect = redirect
            .map(|text| RedirectUrl::new(text.to_owned()))
            .transpose()
            .map_err(|_| OAuthError::new(StorageErrorKind::Config, "the address to come back to can't be used"))?;
        let mut client = authorization.client().clone();
        if let Some(redirect) = &redirect {
            client = client.set_redirect_uri(redirect.clone());
        }
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let mut request = client.authorize_url(CsrfToken::new_random).set_pkce_challenge(challenge);
        for scope in &authorization.provider.scopes {
            request = request.add_scope(Scope::new(scope.clone()));
        }
        for (name, value) in &authorization.provider.extra {
            request = request.add_extra_param(name.clone(), value.clone());
        }
        let (url, state) = request.url();
        Ok(Self { url: url.into(), state, verifier, redirect })
    }

    /// The address that the person has to follow.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether an answer belongs to this question.
    pub(crate) fn is_state(&self, state: &str) -> bool {
        // Every byte is looked at, wherever the first difference is.
        let ours = self.state.secret().as_bytes();
        let differing = ours.iter().zip(state.as_bytes()).fold(0, |differing, (a, b)| differing | (a ^ b));
        ours.len() == state.len() && differing == 0
    }

    /// Takes the code that the person brought back for tokens.
    ///
    /// # Errors
    /// `Unauthenticated` when the service doesn't take the code, `Config` when it doesn't know the program or gives no
    /// token that lasts; `RateLimited`, `Unavailable`, `Timeout`.
    pub async fn complete(
        self,
        authorization: &Authorization,
        code: &Secret,
        clock: &dyn Clock,
    ) -> Result<Tokens, OAuthError> {
        let wrong = |what: &str| OAuthError::new(StorageErrorKind::Config, what);
        let code = code.expose_text().map_err(|_| wrong("the code is no text"))?.trim().to_owned();
        let asked = clock.now();
        let mut client = authorization.client().clone();
        if let Some(redirect) = self.redirect {
            client = client.set_redirect_uri(redirect);
        }
        let caller = authorization.caller();
        let request = client.exchange_code(AuthorizationCode::new(code)).set_pkce_verifier(self.verifier);
        let answer = request.request_async(&caller).await.map_err(refused)?;
        let refresh = answer.refresh_token().ok_or_else(|| wrong("the service gave no token that lasts"))?;
        Ok(Tokens { refresh: Secret::from(refresh.secret().clone()), access: Some(access(&answer, asked)) })
    }
}
