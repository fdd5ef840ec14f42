//! Where Dropbox gives consent and tokens.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use backup_backend_http::{HttpClient, HttpOptions};
use backup_backend_oauth::{
    Authorization, Consent, Loopback, OAuthClient, OAuthError, OAuthProvider, TokenFile, TokenSource,
};
use backup_core::registry::{BackendConfig, ConnectContext, Login};
use backup_core::{Clock, Secret, StorageError, StorageErrorKind, StorageOperation, StorageResult};

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

/// A person who is asked for consent by Dropbox.
#[derive(Debug)]
struct DropboxLogin {
    authorization: Authorization,
    consent: Consent,
    loopback: Option<Loopback>,
    file: TokenFile,
    clock: Arc<dyn Clock>,
}

fn told(error: OAuthError) -> StorageError {
    error.into_error(StorageOperation::Connect)
}

/// Begins to ask; needs a file to keep the answer in.
pub(crate) async fn login(
    config: &DropboxConfig,
    context: &ConnectContext,
    browser_port: Option<u16>,
) -> StorageResult<Box<dyn Login>> {
    let file =
        config.token_file().ok_or_else(|| wrong("`tokens` is missing: the file to keep tokens in".to_owned()))?;
    let authorization = config.authorization(context).await?;
    let loopback = match browser_port {
        Some(port) => Some(Loopback::bind(port).await.map_err(told)?),
        None => None,
    };
    let home = loopback.as_ref().map(Loopback::redirect_uri);
    let consent = Consent::new(&authorization, home.as_deref()).map_err(told)?;
    Ok(Box::new(DropboxLogin { authorization, consent, loopback, file, clock: Arc::clone(&context.clock) }))
}

#[async_trait]
impl Login for DropboxLogin {
    fn url(&self) -> &str {
        self.consent.url()
    }

    fn file(&self) -> &Path {
        self.file.path()
    }

    async fn with_code(self: Box<Self>, code: &Secret) -> StorageResult<()> {
        let tokens = self.consent.complete(&self.authorization, code, &*self.clock).await.map_err(told)?;
        let file = self.file;
        let written = tokio::task::spawn_blocking(move || file.write(&tokens)).await;
        let stopped =
            |error| StorageError::new(StorageErrorKind::Cancelled, StorageOperation::Connect).with_source(error);
        written.map_err(stopped)?.map_err(told)
    }

    async fn from_browser(mut self: Box<Self>, limit: Duration) -> StorageResult<()> {
        let loopback = self.loopback.take().ok_or_else(|| wrong("no browser was asked for".to_owned()))?;
        let code = loopback.wait(&self.consent, limit).await.map_err(told)?;
        self.with_code(&code).await
    }
}
