//! The plug-in `s3`: its configuration and how it is found.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use backup_core::registry::{
    BackendConfig, ConnectContext, Descriptor, InvalidConfig, InvalidUrl, OptionDoc, OptionKind, StoreUrl, Table,
};
use backup_core::{SecretRef, StorageBackend, StorageResult};
use serde::{Deserialize, Serialize};

use crate::S3Backend;
use crate::address;

/// The configuration of an [`S3Backend`].
///
/// ```
/// use backup_backend_s3::S3Config;
/// use backup_core::registry::{BackendConfig, Registry};
///
/// let config = S3Config::new("my-bucket").with_prefix("laptop");
/// assert!(config.validate().is_ok());
/// let same = Registry::linked()?.backend_from_url("s3://my-bucket/laptop").map_err(|problem| problem.to_string())?;
/// assert_eq!(same.location(), config.location());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3Config {
    /// The bucket, which must be there.
    pub bucket: String,
    /// The folder in the bucket; all of the bucket without it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// The server; AWS without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The region that requests are signed for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Whether the bucket stands in the path of a request and not in the host's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_style: Option<bool>,
    /// The access key's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<SecretRef>,
    /// The access key's secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_access_key: Option<SecretRef>,
    /// The session token of temporary credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_token: Option<SecretRef>,
    /// The profile of the AWS configuration files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The storage class of new objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class: Option<String>,
    /// Whether create-only puts are conditional requests.
    #[serde(default = "yes")]
    pub conditional_puts: bool,
    /// Whether a checksum is sent for the server to keep.
    #[serde(default = "yes")]
    pub checksums: bool,
    /// Certificates to trust besides the system's, in PEM form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// A proxy for all requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// Whether plain HTTP may be spoken.
    #[serde(default)]
    pub allow_http: bool,
}

fn yes() -> bool {
    true
}

impl S3Config {
    /// The configuration for a bucket of AWS, with credentials from where AWS's own programs find them.
    pub fn new(bucket: impl Into<String>) -> Self {
        Self {
            bucket: bucket.into(),
            prefix: String::new(),
            endpoint: None,
            region: None,
            path_style: None,
            access_key_id: None,
            secret_access_key: None,
            session_token: None,
            profile: None,
            storage_class: None,
            conditional_puts: true,
            checksums: true,
            ca_file: None,
            proxy: None,
            allow_http: false,
        }
    }

    /// The same below a folder of the bucket.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// The prefix without slashes at its ends.
    pub(crate) fn folder(&self) -> &str {
        self.prefix.trim_matches('/')
    }

    /// The endpoint, if it is not AWS.
    pub(crate) fn own_endpoint(&self) -> Result<Option<String>, InvalidConfig> {
        self.endpoint.as_deref().map(|text| address::endpoint(text, self.allow_http)).transpose()
    }
}

#[async_trait]
#[typetag::serde(name = "s3")]
impl BackendConfig for S3Config {
    fn validate(&self) -> Result<(), InvalidConfig> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if self.bucket.is_empty() || !self.bucket.chars().all(plain) {
            return Err(InvalidConfig::at("bucket", "is no name of a bucket: letters, digits, `-`, `.` and `_`"));
        }
        if self.folder().split('/').any(|part| matches!(part, "." | "..")) || self.prefix.contains("//") {
            return Err(InvalidConfig::at("prefix", "has a part that is empty, `.` or `..`"));
        }
        if let Some(endpoint) = self.own_endpoint()?
            && endpoint
                .split_once("://")
                .is_some_and(|(_, host)| host.starts_with(&format!("{}.", self.bucket.to_ascii_lowercase())))
        {
            return Err(InvalidConfig::at(
                "endpoint",
                "begins with the bucket's name; write the server's name without it",
            ));
        }
        if self.proxy.as_ref().is_some_and(|proxy| proxy.contains('@')) {
            return Err(InvalidConfig::at("proxy", "has a user or a password in it, which would be shown with it"));
        }
        match (&self.access_key_id, &self.secret_access_key) {
            (Some(_), None) => {
                return Err(InvalidConfig::at("secret_access_key", "has to be there with `access_key_id`"));
            }
            (None, Some(_)) => {
                return Err(InvalidConfig::at("access_key_id", "has to be there with `secret_access_key`"));
            }
            (None, None) if self.session_token.is_some() => {
                return Err(InvalidConfig::at("session_token", "needs `access_key_id` and `secret_access_key`"));
            }
            _ => {}
        }
        match &self.profile {
            Some(_) if self.access_key_id.is_some() => {
                Err(InvalidConfig::at("profile", "and `access_key_id` exclude each other"))
            }
            _ => Ok(()),
        }
    }

    fn location(&self) -> String {
        let mut location = format!("s3://{}", self.bucket);
        if !self.folder().is_empty() {
            location.push('/');
            location.push_str(self.folder());
        }
        if let Ok(Some(endpoint)) = self.own_endpoint() {
            location.push_str("?endpoint=");
            location.push_str(&endpoint);
        }
        location
    }

    async fn connect(&self, context: &ConnectContext) -> StorageResult<Arc<dyn StorageBackend>> {
        Ok(Arc::new(S3Backend::connect(self, context).await?))
    }
}

fn from_url(url: &StoreUrl) -> Result<Table, InvalidUrl> {
    if url.host().is_empty() || url.user().is_some() || url.port().is_some() {
        return Err(InvalidUrl::new("write `s3://BUCKET/PREFIX`, and the server as `?endpoint=https://…`"));
    }
    let table = url.options()?;
    for (option, place) in [("bucket", "stands behind `s3://`"), ("prefix", "stands behind the bucket")] {
        if table.contains(option) {
            return Err(InvalidUrl::new(format!("the {option} {place}")));
        }
    }
    let table = table.with_text("bucket", url.host());
    let prefix = url.path().trim_matches('/');
    Ok(if prefix.is_empty() { table } else { table.with_text("prefix", prefix) })
}

inventory::submit! {
    Descriptor::backend::<S3Config>("s3", env!("CARGO_PKG_NAME"))
        .summary("a bucket of Amazon S3 or of a server that speaks its protocol")
        .urls(&["s3"], from_url)
        .options(&[
            OptionDoc::required("bucket", OptionKind::Text, "The bucket; it has to be there."),
            OptionDoc::optional("prefix", OptionKind::Text, "The folder in the bucket."),
            OptionDoc::optional("endpoint", OptionKind::Text, "The server, as `https://s3.example.org`; AWS without it."),
            OptionDoc::optional("region", OptionKind::Text, "The region; found out for AWS, `us-east-1` elsewhere."),
            OptionDoc::optional("path_style", OptionKind::Bool, "Whether the bucket stands in the path and not in the host's name; so by default with `endpoint`."),
            OptionDoc::optional("access_key_id", OptionKind::Secret, "The access key's id; without it the usual places are searched: environment, profile, web identity, container, instance."),
            OptionDoc::optional("secret_access_key", OptionKind::Secret, "The access key's secret."),
            OptionDoc::optional("session_token", OptionKind::Secret, "The session token of temporary credentials."),
            OptionDoc::optional("profile", OptionKind::Text, "The profile of `~/.aws/config` and `~/.aws/credentials`."),
            OptionDoc::optional("storage_class", OptionKind::Text, "The storage class of new objects, as `STANDARD_IA`."),
            OptionDoc::optional("conditional_puts", OptionKind::Bool, "Whether the server honours `If-None-Match: *`.").default("true"),
            OptionDoc::optional("checksums", OptionKind::Bool, "Whether a SHA-256 is sent for the server to keep; a few old servers refuse it.").default("true"),
            OptionDoc::optional("ca_file", OptionKind::Path, "Certificates to trust besides the system's, in PEM form."),
            OptionDoc::optional("proxy", OptionKind::Text, "A proxy for all requests, as `http://proxy.example.org:3128`."),
            OptionDoc::optional("allow_http", OptionKind::Bool, "Whether an endpoint with `http://` is accepted; everybody on the way sees what is asked for.").default("false"),
        ])
        .example("bucket = \"my-backups\"\nprefix = \"laptop\"\nregion = \"eu-central-1\"")
}

#[cfg(test)]
mod tests {
    use backup_core::registry::Registry;

    use super::*;

    fn location(url: &str) -> Result<String, String> {
        let registry = Registry::linked().unwrap();
        let config = registry.backend_from_url(url).map_err(|error| error.to_string())?;
        config.validate().map_err(|error| error.to_string())?;
        Ok(config.location())
    }

    #[test]
    fn urls_name_bucket_prefix_and_server() {
        assert_eq!(location("s3://b").unwrap(), "s3://b");
        assert_eq!(location("s3://b/p/q/").unwrap(), "s3://b/p/q");
        let own = "s3://b/p?endpoint=http://localhost:9000&allow_http=true";
        assert_eq!(location(own).unwrap(), "s3://b/p?endpoint=http://localhost:9000");
        for bad in [
            "s3://",
            "s3:///p",
            "s3://me@b/p",
            "s3://b:90/p",
            "s3://b/p?bucket=c",
            "s3://b/a//c",
            "s3://b/../c",
            "s3://b?endpoint=http://x",
            "s3://b?endpoint=https://b.example.org",
            "s3://b?proxy=http://me:pw@proxy",
        ] {
            assert!(location(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn halves_of_credentials_are_refused() {
        let mut config = S3Config::new("b");
        config.access_key_id = SecretRef::parse("env:ID").ok();
        assert!(config.validate().unwrap_err().to_string().contains("secret_access_key"));
        config.secret_access_key = SecretRef::parse("env:KEY").ok();
        assert!(config.validate().is_ok());
        config.profile = Some("p".to_owned());
        assert!(config.validate().is_err());
    }
}
