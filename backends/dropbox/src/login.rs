//! Where Dropbox gives consent and tokens.

use std::sync::Arc;

use backup_backend_http::{HttpClient, HttpOptions};
use backup_backend_oauth::{Authorization, OAuthClient, OAuthProvider, TokenFile, TokenSource};
use backup_core::registry::{BackendConfig, ConnectContext};
use backup_core::{StorageError, StorageErrorKind, StorageOperation, StorageResult};

use crate::DropboxConfig;

/// What a store needs to be allowed.
const SCOPES: [&str; 4] = ["account_info.read", "files.metadata.read", "files.content.read", "files.content.write"];

fn wrong(detail: String) -> StorageError {
    StorageError::new(StorageErrorKind::Config, StorageOperation::Connect).with_detail(detail)
}

impl DropboxConfig {
    /// The app at Dropbox, with which a person is asked for consent; makes no request.
    ///
    /// # Errors
    /// `Config` when a value can't be used or a secret can't be had.
    pub async fn authorization(&self, context: &ConnectContext) -> StorageResult<Authorization> {
        let http = self.http().await?;
        self.authorization_over(http, context).await
    }

    /// The file that consent is kept in, where there is one.
    pub fn token_file(&self) -> Option<TokenFile> {
        self.tokens.as_ref().map(|path| TokenFile::new(path, &self.app_key))
    }

    pub(crate) async fn http(&self) -> StorageResult<HttpClient> {
        self.validate().map_err(|error| wrong(error.to_string()))?;
        let (ca_file, proxy) = (self.ca_file.clone(), self.proxy.clone());
        let options = HttpOptions { ca_file, proxy, ..HttpOptions::default() };
        let made = tokio::task::spawn_blocking(move || HttpClient::new(&options)).await;
        made.map_err(|error| {
            StorageError::new(StorageErrorKind::Cancelled, StorageOperation::Connect).with_source(error)
        })?
    }

    async fn authorization_over(&self, http: HttpClient, context: &ConnectContext) -> StorageResult<Authorization> {
        let secret = match &self.app_secret {
            Some(reference) => Some(context.secret(reference).await?),
            None => None,
        };
        let provider = OAuthProvider {
            authorization_url: format!("{}/oauth2/authorize", self.web()),
            token_url: format!("{}/oauth2/token", self.hosts().api),
            scopes: SCOPES.map(str::to_owned).to_vec(),
            // Without it there is no refresh token.
            extra: vec![("token_access_type".to_owned(), "offline".to_owned())],
        };
        let client = OAuthClient { id: self.app_key.clone(), secret };
        Authorization::new(provider, &client, http).map_err(|error| error.into_error(StorageOperation::Connect))
    }

    pub(crate) async fn token_source(&self, http: HttpClient, context: &ConnectContext) -> StorageResult<TokenSource> {
        let authorization = self.authorization_over(http, context).await?;
        let clock = Arc::clone(&context.clock);
        if let Some(file) = self.token_file() {
            let source = TokenSource::from_file(authorization, file, clock).await;
            return source.map_err(|error| error.into_error(StorageOperation::Connect));
        }
        match &self.refresh_token {
            Some(reference) => {
                let refresh = context.secret(reference).await?;
                Ok(TokenSource::from_refresh_token(authorization, refresh, clock))
            }
            None => Err(wrong("`tokens` is missing".to_owned())),
        }
    }
}
