//! The plug-in `dropbox`: its configuration and how it is found.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use backup_core::registry::{
    BackendConfig, ConnectContext, Descriptor, InvalidConfig, InvalidUrl, Login, OptionDoc, OptionKind, StoreUrl, Table,
};
use backup_core::{SecretRef, StorageBackend, StorageResult};
use serde::{Deserialize, Serialize};

use crate::DropboxBackend;
use crate::api::Hosts;
use crate::login::login;

const API: &str = "https://api.dropboxapi.com";
const CONTENT: &str = "https://content.dropboxapi.com";
const WEB: &str = "https://www.dropbox.com";

/// The configuration of a [`DropboxBackend`].
///
/// ```
/// use backup_backend_dropbox::DropboxConfig;
/// use backup_core::registry::{BackendConfig, Registry};
///
/// let config = DropboxConfig::new("1a2b3c4d5e", "/home/me/.config/backup/dropbox.json").with_folder("laptop");
/// assert!(config.validate().is_ok());
/// let url = "dropbox:///laptop?app_key=1a2b3c4d5e&tokens=/home/me/.config/backup/dropbox.json";
/// let same = Registry::linked()?.backend_from_url(url).map_err(|problem| problem.to_string())?;
/// assert_eq!(same.location(), config.location());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DropboxConfig {
    /// The folder, as the app sees it; everything without it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub folder: String,
    /// The app's key.
    pub app_key: String,
    /// The app's secret; consent that was given to this program needs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_secret: Option<SecretRef>,
    /// The file that tokens are kept in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<PathBuf>,
    /// A refresh token that is kept elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<SecretRef>,
    /// Where functions are called and tokens are given out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_endpoint: Option<String>,
    /// Where data goes up and down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_endpoint: Option<String>,
    /// Where a person gives consent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_endpoint: Option<String>,
    /// Certificates to trust besides the system's, in PEM form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// A proxy for all requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
}

impl DropboxConfig {
    /// The configuration for an app and the file of its tokens.
    pub fn new(app_key: impl Into<String>, tokens: impl Into<PathBuf>) -> Self {
        Self {
            folder: String::new(),
            app_key: app_key.into(),
            app_secret: None,
            tokens: Some(tokens.into()),
            refresh_token: None,
            api_endpoint: None,
            content_endpoint: None,
            web_endpoint: None,
            ca_file: None,
            proxy: None,
        }
    }

    /// The same below a folder.
    #[must_use]
    pub fn with_folder(mut self, folder: impl Into<String>) -> Self {
        self.folder = folder.into();
        self
    }

    pub(crate) fn hosts(&self) -> Hosts {
        let own = |endpoint: &Option<String>, usual: &str| host(endpoint.as_deref().unwrap_or(usual));
        Hosts { api: own(&self.api_endpoint, API), content: own(&self.content_endpoint, CONTENT) }
    }

    pub(crate) fn web(&self) -> String {
        host(self.web_endpoint.as_deref().unwrap_or(WEB))
    }
}

fn host(endpoint: &str) -> String {
    endpoint.trim_end_matches('/').to_owned()
}

/// Everything here carries tokens: there is no plain HTTP.
fn check_endpoint(option: &str, endpoint: Option<&str>) -> Result<(), InvalidConfig> {
    let Some(endpoint) = endpoint else { return Ok(()) };
    let host = endpoint.strip_prefix("https://").map(|host| host.trim_end_matches('/'));
    match host {
        Some(host) if !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ']) => Ok(()),
        _ => Err(InvalidConfig::at(option, "is no plain address such as `https://api.example.org`")),
    }
}

#[async_trait]
#[typetag::serde(name = "dropbox")]
impl BackendConfig for DropboxConfig {
    fn validate(&self) -> Result<(), InvalidConfig> {
        let folder = self.folder.trim_matches('/');
        let is_bad = |part: &str| matches!(part, "." | "..") || part.ends_with(' ') || part.chars().count() > 255;
        if folder.split('/').any(is_bad) || self.folder.contains("//") {
            return Err(InvalidConfig::at(
                "folder",
                "has a part that is empty, `.` or `..`, too long or ends with a space",
            ));
        }
        if folder.contains(|c: char| c == '\\' || c.is_control()) {
            return Err(InvalidConfig::at("folder", "has a character that Dropbox refuses"));
        }
        if self.app_key.is_empty() || !self.app_key.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)) {
            return Err(InvalidConfig::at("app_key", "is no key of an app: letters and digits"));
        }
        match (&self.tokens, &self.refresh_token) {
            (None, None) => {
                return Err(InvalidConfig::at(
                    "tokens",
                    "is missing: the file that logging in writes; or `refresh_token`",
                ));
            }
            (Some(_), Some(_)) => {
                return Err(InvalidConfig::at("tokens", "and `refresh_token` exclude each other"));
            }
            _ => {}
        }
        if self.tokens.as_ref().is_some_and(|path| path.starts_with("~")) {
            return Err(InvalidConfig::at("tokens", "begins with `~`, which only shells know; write the whole path"));
        }
        check_endpoint("api_endpoint", self.api_endpoint.as_deref())?;
        check_endpoint("content_endpoint", self.content_endpoint.as_deref())?;
        check_endpoint("web_endpoint", self.web_endpoint.as_deref())?;
        if self.proxy.as_ref().is_some_and(|proxy| proxy.contains('@')) {
            return Err(InvalidConfig::at("proxy", "has a user or a password in it, which would be shown with it"));
        }
        Ok(())
    }

    fn location(&self) -> String {
        let mut location = format!("dropbox:///{}?app_key={}", self.folder.trim_matches('/'), self.app_key);
        if let Some(endpoint) = &self.api_endpoint {
            location.push_str("&api_endpoint=");
            location.push_str(&host(endpoint));
        }
        location
    }

    async fn connect(&self, context: &ConnectContext) -> StorageResult<Arc<dyn StorageBackend>> {
        Ok(Arc::new(DropboxBackend::connect(self, context).await?))
    }

    async fn login(
        &self,
        context: &ConnectContext,
        browser_port: Option<u16>,
    ) -> StorageResult<Option<Box<dyn Login>>> {
        login(self, context, browser_port).await.map(Some)
    }
}

fn from_url(url: &StoreUrl) -> Result<Table, InvalidUrl> {
    if !url.host().is_empty() || url.user().is_some() || url.port().is_some() {
        return Err(InvalidUrl::new("write `dropbox:///FOLDER`, with three slashes"));
    }
    let table = url.options()?;
    if table.contains("folder") {
        return Err(InvalidUrl::new("the folder stands behind `dropbox://`"));
    }
    let folder = url.path().trim_matches('/');
    Ok(if folder.is_empty() { table } else { table.with_text("folder", folder) })
}

inventory::submit! {
    Descriptor::backend::<DropboxConfig>("dropbox", env!("CARGO_PKG_NAME"))
        .summary("a folder in Dropbox")
        .urls(&["dropbox"], from_url)
        .options(&[
            OptionDoc::optional("folder", OptionKind::Text, "The folder, as the app sees it: in the app's own folder, where it has one. The first object stored makes it."),
            OptionDoc::required("app_key", OptionKind::Text, "The key of the app, from Dropbox's app console."),
            OptionDoc::optional("app_secret", OptionKind::Secret, "The app's secret; not needed with tokens that this program has got."),
            OptionDoc::optional("tokens", OptionKind::Path, "The file that tokens are kept in; only its owner may read it."),
            OptionDoc::optional("refresh_token", OptionKind::Secret, "A refresh token, instead of the file."),
            OptionDoc::optional("api_endpoint", OptionKind::Text, "Another address in place of `https://api.dropboxapi.com`, for functions and tokens."),
            OptionDoc::optional("content_endpoint", OptionKind::Text, "Another address in place of `https://content.dropboxapi.com`."),
            OptionDoc::optional("web_endpoint", OptionKind::Text, "Another address in place of `https://www.dropbox.com`, for consent."),
            OptionDoc::optional("ca_file", OptionKind::Path, "Certificates to trust besides the system's, in PEM form."),
            OptionDoc::optional("proxy", OptionKind::Text, "A proxy for all requests, as `http://proxy.example.org:3128`."),
        ])
        .example("app_key = \"1a2b3c4d5e6f7g8\"\ntokens = \"/home/me/.config/backup/dropbox.json\"\nfolder = \"laptop\"")
}

#[cfg(test)]
mod tests {
    use backup_core::registry::Registry;

    fn location(url: &str) -> Result<String, String> {
        let registry = Registry::linked().unwrap();
        let config = registry.backend_from_url(url).map_err(|error| error.to_string())?;
        config.validate().map_err(|error| error.to_string())?;
        Ok(config.location())
    }

    #[test]
    fn urls_name_the_folder() {
        assert_eq!(location("dropbox:///?app_key=k&tokens=/t").unwrap(), "dropbox:///?app_key=k");
        assert_eq!(location("dropbox:///A/b/?app_key=k&tokens=/t").unwrap(), "dropbox:///A/b?app_key=k");
        let own = "dropbox:///a?app_key=k&tokens=/t&api_endpoint=https://localhost:7/";
        assert_eq!(location(own).unwrap(), "dropbox:///a?app_key=k&api_endpoint=https://localhost:7");
        for bad in [
            "dropbox://a/b?app_key=k&tokens=/t",
            "dropbox:///a",
            "dropbox:///a?app_key=k",
            "dropbox:///a?app_key=&tokens=/t",
            "dropbox:///a?app_key=k&tokens=~/t",
            "dropbox:///a?app_key=k&tokens=/t&refresh_token=env:X",
            "dropbox:///a?app_key=k&tokens=/t&folder=b",
            "dropbox:///a/../b?app_key=k&tokens=/t",
            "dropbox:///a//b?app_key=k&tokens=/t",
            "dropbox:///a\\b?app_key=k&tokens=/t",
            "dropbox:///a?app_key=k&tokens=/t&api_endpoint=http://localhost",
            "dropbox:///a?app_key=k&tokens=/t&content_endpoint=https://me:pw@x",
            "dropbox:///a?app_key=k&tokens=/t&proxy=http://me:pw@proxy",
        ] {
            assert!(location(bad).is_err(), "{bad}");
        }
    }
}
