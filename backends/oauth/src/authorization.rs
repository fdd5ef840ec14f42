//! What is asked of a service's authorisation server, over our client.

use std::future::Future;
use std::pin::Pin;

use backup_backend_http::{Failure, HttpClient, Pieces};
use backup_core::{Clock, Secret, StorageErrorKind};
use oauth2::basic::{BasicClient, BasicErrorResponse, BasicErrorResponseType, BasicTokenResponse};
use oauth2::{
    AsyncHttpClient, AuthType, AuthUrl, ClientId, ClientSecret, EndpointNotSet, EndpointSet, HttpRequest, HttpResponse,
    RefreshToken, RequestTokenError, TokenResponse, TokenUrl,
};

use crate::{Access, OAuthError, Tokens};

/// An answer with tokens has a few hundred bytes.
const MAX_ANSWER_BYTES: u64 = 64 << 10;

/// A service that doesn't say how long an access token is good for is asked again after so long.
const USUAL_LIFE: std::time::Duration = std::time::Duration::from_secs(3_600);

/// Where a service gives consent and tokens, and what it wants to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuthProvider {
    /// Where a person is sent.
    pub authorization_url: String,
    /// Where tokens are given out.
    pub token_url: String,
    /// What consent is asked for.
    pub scopes: Vec<String>,
    /// What the service wants to find in the address besides.
    pub extra: Vec<(String, String)>,
}

/// The program as the service knows it.
#[derive(Debug, Clone)]
pub struct OAuthClient {
    /// Its id.
    pub id: String,
    /// Its secret, where it has one; consent that was asked for with a challenge needs none.
    pub secret: Option<Secret>,
}

pub(crate) type ReadyClient = BasicClient<EndpointSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet>;

/// A program at a service's authorisation server; clones share connections.
#[derive(Debug, Clone)]
pub struct Authorization {
    pub(crate) provider: OAuthProvider,
    client_id: String,
    client: ReadyClient,
    http: HttpClient,
}

impl Authorization {
    /// A program at a service; makes no request.
    ///
    /// # Errors
    /// `Config` when an address is none or the secret is no text.
    pub fn new(provider: OAuthProvider, client: &OAuthClient, http: HttpClient) -> Result<Self, OAuthError> {
        let wrong = |what: &str| OAuthError::new(StorageErrorKind::Config, format!("{what} can't be used"));
        let authorization_url =
            AuthUrl::new(provider.authorization_url.clone()).map_err(|_| wrong("the address for consent"))?;
        let token_url = TokenUrl::new(provider.token_url.clone()).map_err(|_| wrong("the address for tokens"))?;
        let mut ready = BasicClient::new(ClientId::new(client.id.clone()))
            .set_auth_uri(authorization_url)
            .set_token_uri(token_url)
            .set_auth_type(AuthType::RequestBody);
        if let Some(secret) = &client.secret {
            let secret = secret.expose_text().map_err(|_| wrong("the app's secret"))?;
            ready = ready.set_client_secret(ClientSecret::new(secret.to_owned()));
        }
        Ok(Self { provider, client_id: client.id.clone(), client: ready, http })
    }

    /// The id of the program.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    pub(crate) fn client(&self) -> &ReadyClient {
        &self.client
    }

    pub(crate) fn caller(&self) -> Caller<'_> {
        Caller(&self.http)
    }

    /// Gets a new access token; the refresh token in the answer is the old one where the service gives no other.
    ///
    /// # Errors
    /// `Unauthenticated` when the consent is over; `Config` when the service doesn't know the program; `RateLimited`,
    /// `Unavailable`, `Timeout`.
    pub async fn refresh(&self, refresh: &Secret, clock: &dyn Clock) -> Result<Tokens, OAuthError> {
        let text = refresh
            .expose_text()
            .map_err(|_| OAuthError::new(StorageErrorKind::Config, "the refresh token is no text"))?;
        let asked = clock.now();
        let refresh_token = RefreshToken::new(text.trim().to_owned());
        let caller = self.caller();
        let answer =
            self.client.exchange_refresh_token(&refresh_token).request_async(&caller).await.map_err(refused)?;
        let given = answer.refresh_token().map(|given| Secret::from(given.secret().clone()));
        Ok(Tokens { refresh: given.unwrap_or_else(|| refresh.clone()), access: Some(access(&answer, asked)) })
    }
}

/// The access token of an answer to a question of that time.
pub(crate) fn access(answer: &BasicTokenResponse, asked: backup_core::Timestamp) -> Access {
    let expires = asked.saturating_add(answer.expires_in().unwrap_or(USUAL_LIFE));
    Access { token: Secret::from(answer.access_token().secret().clone()), expires }
}

/// Why a token was not given. What the server sent is not repeated where it may hold a token.
pub(crate) fn refused(error: RequestTokenError<Failure, BasicErrorResponse>) -> OAuthError {
    match error {
        RequestTokenError::ServerResponse(answer) => {
            let (kind, why) = match answer.error() {
                BasicErrorResponseType::InvalidGrant => {
                    (StorageErrorKind::Unauthenticated, "the consent is over or was taken back; log in again")
                }
                BasicErrorResponseType::InvalidClient | BasicErrorResponseType::UnauthorizedClient => {
                    (StorageErrorKind::Config, "the service doesn't know the app by this key and secret")
                }
                BasicErrorResponseType::InvalidScope => {
                    (StorageErrorKind::PermissionDenied, "the app may not ask for all that it needs")
                }
                BasicErrorResponseType::Extension(code) if code == "temporarily_unavailable" => {
                    (StorageErrorKind::Unavailable, "the service is busy")
                }
                _ => (StorageErrorKind::Config, "the service refuses to give a token out"),
            };
            let code: String = answer.error().as_ref().chars().filter(char::is_ascii_graphic).take(40).collect();
            OAuthError::new(kind, format!("{why} ({code})"))
        }
        RequestTokenError::Request(failure) => OAuthError::from_failure(&failure),
        RequestTokenError::Parse(..) | RequestTokenError::Other(_) => {
            OAuthError::new(StorageErrorKind::Unavailable, "asking for a token: the answer can't be understood")
        }
    }
}

/// Our client as that crate calls one.
pub(crate) struct Caller<'a>(&'a HttpClient);

impl<'c> AsyncHttpClient<'c> for Caller<'_> {
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, Failure>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let request = request.map(|body| Pieces::new([body.into()]));
            let answer = self.0.send_for(request, MAX_ANSWER_BYTES).await?;
            let status = answer.status.as_u16();
            // Anything else is no refusal that the standard knows.
            if status != 200 && !(400..=401).contains(&status) {
                return Err(Failure::status(status, &answer.headers, "", ""));
            }
            let mut response = http::Response::new(answer.body.to_vec());
            *response.status_mut() = answer.status;
            *response.headers_mut() = answer.headers;
            Ok(response)
        })
    }
}
