//! Who signs: credentials from the configuration, or from where AWS's own programs find them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use backup_backend_http::{HttpClient, HttpOptions, Pieces};
use backup_core::registry::ConnectContext;
use backup_core::{Secret, SecretRef, SecretResolver, StorageError, StorageErrorKind, StorageOperation, StorageResult};
use bytes::Bytes;
use reqsign_aws_v4::{Credential, DefaultCredentialProvider, RequestSigner, StaticCredentialProvider};
use reqsign_core::{Context, Env, ErrorKind, HttpSend, Signer};
use reqsign_file_read_tokio::TokioFileRead;

use crate::S3Config;

/// What AWS's own programs look at; nothing else of the environment is shown to the chain of credentials.
const VARIABLES: [&str; 24] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_EXTERNAL_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_STS_REGIONAL_ENDPOINTS",
    "AWS_ENDPOINT_URL_STS",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
    "AWS_SSO_ENDPOINT",
    "HOME",
    "USERPROFILE",
];

/// What signs requests for a region, with credentials that are refreshed before they expire.
pub(crate) async fn signer(
    config: &S3Config,
    region: &str,
    context: &ConnectContext,
) -> StorageResult<Signer<Credential>> {
    let environment = environment(context).await?;
    let around =
        Context::new().with_file_read(TokioFileRead).with_http_send(Sender::new().await?).with_env(environment);
    let request_signer = RequestSigner::new("s3", region);
    let (Some(id), Some(secret)) = (&config.access_key_id, &config.secret_access_key) else {
        // Nothing here starts programs.
        let mut chain = DefaultCredentialProvider::builder().no_process();
        if let Some(profile) = &config.profile {
            // Who names a profile does not mean whatever else there is.
            chain = chain.with_profile(profile).no_env().no_web_identity().no_ecs().no_imds();
        }
        return Ok(Signer::new(around, chain.build(), request_signer));
    };
    let (id, secret) = (context.secret(id).await?, context.secret(secret).await?);
    let mut fixed = StaticCredentialProvider::new(text(&id, "access_key_id")?, text(&secret, "secret_access_key")?);
    if let Some(token) = &config.session_token {
        fixed = fixed.with_session_token(text(&context.secret(token).await?, "session_token")?);
    }
    Ok(Signer::new(around, fixed, request_signer))
}

/// The region that the environment names, if it does.
pub(crate) async fn region(context: &ConnectContext) -> StorageResult<Option<String>> {
    let environment = environment(context).await?;
    Ok(environment.var("AWS_REGION").or_else(|| environment.var("AWS_DEFAULT_REGION")))
}

fn text<'a>(secret: &'a Secret, option: &str) -> StorageResult<&'a str> {
    secret.expose_text().map_err(|_| {
        StorageError::new(StorageErrorKind::Config, StorageOperation::Connect)
            .with_detail(format!("`{option}` is no text"))
    })
}

/// A signature that could not be made.
pub(crate) fn unsigned(error: &reqsign_core::Error) -> (StorageErrorKind, String) {
    let kind = match error.kind() {
        ErrorKind::CredentialInvalid | ErrorKind::PermissionDenied => StorageErrorKind::Unauthenticated,
        ErrorKind::ConfigInvalid | ErrorKind::RequestInvalid => StorageErrorKind::Config,
        ErrorKind::RateLimited => StorageErrorKind::RateLimited,
        ErrorKind::Unexpected if error.is_retryable() => StorageErrorKind::Unavailable,
        _ => StorageErrorKind::Unauthenticated,
    };
    // Its own text may name what it tried; it holds no secret.
    (kind, format!("the request could not be signed: {error}"))
}

/// The part of the environment that the chain of credentials may see, read through whoever resolves secrets.
#[derive(Clone)]
struct Environment(HashMap<String, String>);

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

async fn environment(context: &ConnectContext) -> StorageResult<Environment> {
    let secrets = Arc::clone(&context.secrets);
    let read = tokio::task::spawn_blocking(move || {
        VARIABLES.iter().filter_map(|name| Some(((*name).to_owned(), variable(&*secrets, name)?))).collect()
    });
    let stopped = |error| StorageError::new(StorageErrorKind::Cancelled, StorageOperation::Connect).with_source(error);
    Ok(Environment(read.await.map_err(stopped)?))
}

fn variable(secrets: &dyn SecretResolver, name: &str) -> Option<String> {
    let reference = SecretRef::parse(&format!("env:{name}")).ok()?;
    let value = secrets.resolve(&reference).ok()?;
    Some(value.expose_text().ok()?.to_owned())
}

impl Env for Environment {
    fn var(&self, key: &str) -> Option<String> {
        self.0.get(key).cloned()
    }

    fn vars(&self) -> HashMap<String, String> {
        self.0.clone()
    }

    fn home_dir(&self) -> Option<PathBuf> {
        self.var("HOME").or_else(|| self.var("USERPROFILE")).map(PathBuf::from)
    }
}

/// Requests to the services that give credentials out: past any proxy, and plain HTTP to this machine and its host alone.
#[derive(Debug)]
struct Sender(HttpClient);

/// A machine that is none of a cloud's has nobody to ask, and finds that out by waiting.
const CREDENTIALS_CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

impl Sender {
    async fn new() -> StorageResult<Self> {
        let connect_timeout = Some(CREDENTIALS_CONNECT_TIMEOUT);
        let options = HttpOptions { allow_http: true, connect_timeout, ..HttpOptions::default() };
        let stopped =
            |error| StorageError::new(StorageErrorKind::Cancelled, StorageOperation::Connect).with_source(error);
        let client = tokio::task::spawn_blocking(move || HttpClient::new(&options)).await.map_err(stopped)??;
        Ok(Self(client))
    }
}

/// Whether plain HTTP to a host stays on this machine or between it and its host.
fn is_near(host: &str) -> bool {
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => address.is_link_local() || address.is_loopback(),
        // The addresses of AWS's services of that kind are unique local ones.
        Ok(IpAddr::V6(address)) => address.is_loopback() || address.is_unique_local(),
        Err(_) => host == "localhost",
    }
}

impl HttpSend for Sender {
    async fn http_send(&self, request: http::Request<Bytes>) -> reqsign_core::Result<http::Response<Bytes>> {
        if request.uri().scheme_str() != Some("https") && !request.uri().host().is_some_and(is_near) {
            return Err(reqsign_core::Error::config_invalid("credentials are not asked for over plain HTTP"));
        }
        let answer = self.0.send(request.map(|body| Pieces::new([body]))).await;
        let answer = answer.map_err(|failure| {
            reqsign_core::Error::unexpected("no answer from a service that gives credentials out").with_source(failure)
        })?;
        let mut response = http::Response::new(answer.body);
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_for_credentials_stays_near() {
        for near in ["169.254.169.254", "169.254.170.2", "127.0.0.1", "localhost", "[fd00:ec2::254]", "[::1]"] {
            assert!(is_near(near), "{near}");
        }
        for far in ["example.org", "10.0.0.1", "169.253.1.1", "[2001:db8::1]", "localhost.example.org"] {
            assert!(!is_near(far), "{far}");
        }
    }
}
