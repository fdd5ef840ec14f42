//! Access tokens for whoever needs one, new ones in time.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backup_core::{Clock, Secret, StorageErrorKind, Timestamp};
use tokio::sync::Semaphore;

use crate::{Authorization, OAuthError, TokenFile, Tokens};

/// A token that ends within this time is replaced before it is used: a request, its clock and the way take time.
const AHEAD: Duration = Duration::from_secs(300);

/// An access token, and which one it is.
#[derive(Debug, Clone)]
pub struct AccessToken {
    /// What a request carries.
    pub token: Secret,
    number: u64,
}

/// Gives out access tokens and replaces them; clones share them.
///
/// However many ask at once, one request is made. A refresh token that the service replaces is in the file before
/// anything is done with what came with it.
#[derive(Clone)]
pub struct TokenSource(Arc<Inner>);

struct Inner {
    authorization: Authorization,
    clock: Arc<dyn Clock>,
    file: Option<TokenFile>,
    state: Mutex<State>,
    /// Who holds the only permit gets a new token; the others wait and find it.
    turn: Semaphore,
}

struct State {
    tokens: Tokens,
    number: u64,
    /// A refresh token that the service has refused for good: it is not asked again.
    over: Option<(Secret, OAuthError)>,
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSource").field("file", &self.0.file).finish_non_exhaustive()
    }
}

impl TokenSource {
    /// Tokens from a file, which is kept up to date.
    ///
    /// # Errors
    /// As [`TokenFile::read`].
    pub async fn from_file(
        authorization: Authorization,
        file: TokenFile,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OAuthError> {
        let tokens = read(&file).await?;
        Ok(Self::new(authorization, tokens, Some(file), clock))
    }

    /// Tokens from a refresh token that is kept elsewhere; one that replaces it is known to this program only.
    pub fn from_refresh_token(authorization: Authorization, refresh: Secret, clock: Arc<dyn Clock>) -> Self {
        Self::new(authorization, Tokens::of_refresh(refresh), None, clock)
    }

    fn new(authorization: Authorization, tokens: Tokens, file: Option<TokenFile>, clock: Arc<dyn Clock>) -> Self {
        let state = Mutex::new(State { tokens, number: 0, over: None });
        Self(Arc::new(Inner { authorization, clock, file, state, turn: Semaphore::new(1) }))
    }

    /// A token that is good for a while yet; gets a new one where there is none.
    ///
    /// # Errors
    /// As [`Authorization::refresh`]; `Config` when the file of tokens can't be used.
    pub async fn token(&self) -> Result<AccessToken, OAuthError> {
        match self.0.current(self.0.clock.now().saturating_add(AHEAD)) {
            Ok(token) => Ok(token),
            Err(number) => self.renew(number).await,
        }
    }

    /// Another token in place of one that the service has refused, which may have been replaced already.
    ///
    /// # Errors
    /// As [`TokenSource::token`].
    pub async fn instead_of(&self, refused: &AccessToken) -> Result<AccessToken, OAuthError> {
        self.renew(refused.number).await
    }

    /// Runs to its end even if nobody waits any more: the answer may replace the refresh token.
    async fn renew(&self, number: u64) -> Result<AccessToken, OAuthError> {
        let inner = Arc::clone(&self.0);
        let renewed = tokio::spawn(async move { inner.renew(number).await }).await;
        renewed.unwrap_or_else(|_| Err(stopped()))
    }
}

impl Inner {
    fn state<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The token that is good until then, or the number of the one that is not.
    fn current(&self, until: Timestamp) -> Result<AccessToken, u64> {
        self.state(|state| match &state.tokens.access {
            Some(access) if access.expires > until => {
                Ok(AccessToken { token: access.token.clone(), number: state.number })
            }
            _ => Err(state.number),
        })
    }

    async fn renew(&self, number: u64) -> Result<AccessToken, OAuthError> {
        let _turn = self.turn.acquire().await.map_err(|_| stopped())?;
        let now = self.clock.now();
        // Somebody else was first.
        if let Ok(token) = self.current(now)
            && token.number != number
        {
            return Ok(token);
        }
        let mut held = self.state(|state| state.tokens.clone());
        if let Some(file) = &self.file {
            // Another program may have been first, or a person has logged in again.
            let stored = read(file).await?;
            let is_new = |access: &crate::Access| {
                let known = held.access.as_ref().is_some_and(|known| known.token.expose() == access.token.expose());
                !known && access.expires > now.saturating_add(AHEAD)
            };
            if stored.access.as_ref().is_some_and(is_new) {
                return self.take(stored);
            }
            held = stored;
        }
        let over = self.state(|state| state.over.clone());
        if let Some((refresh, error)) = over
            && refresh.expose() == held.refresh.expose()
        {
            return Err(error);
        }
        let given = match self.authorization.refresh(&held.refresh, &*self.clock).await {
            Ok(given) => given,
            Err(error) => {
                if error.kind() == StorageErrorKind::Unauthenticated {
                    self.state(|state| state.over = Some((held.refresh.clone(), error.clone())));
                }
                return Err(error);
            }
        };
        if let Some(file) = &self.file {
            let written = write(file, &given).await;
            // An access token that isn't kept is got again next time; a refresh token would be lost.
            if given.refresh.expose() != held.refresh.expose() {
                written?;
            }
        }
        self.take(given)
    }

    fn take(&self, tokens: Tokens) -> Result<AccessToken, OAuthError> {
        self.state(|state| {
            state.number += 1;
            state.over = None;
            state.tokens = tokens;
            let access = state.tokens.access.as_ref().ok_or_else(stopped)?;
            Ok(AccessToken { token: access.token.clone(), number: state.number })
        })
    }
}

fn stopped() -> OAuthError {
    OAuthError::new(StorageErrorKind::Cancelled, "the program is ending")
}

async fn read(file: &TokenFile) -> Result<Tokens, OAuthError> {
    let file = file.clone();
    tokio::task::spawn_blocking(move || file.read()).await.unwrap_or_else(|_| Err(stopped()))
}

async fn write(file: &TokenFile, tokens: &Tokens) -> Result<(), OAuthError> {
    let (file, tokens) = (file.clone(), tokens.clone());
    tokio::task::spawn_blocking(move || file.write(&tokens)).await.unwrap_or_else(|_| Err(stopped()))
}
