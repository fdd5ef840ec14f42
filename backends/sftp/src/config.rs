//! The plug-in `sftp`: its configuration and how it is found.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use backup_core::registry::{
    BackendConfig, ConnectContext, Descriptor, Introduction, InvalidConfig, InvalidUrl, OptionDoc, OptionKind,
    StoreUrl, Table,
};
use backup_core::{SecretRef, StorageBackend, StorageResult};
use serde::{Deserialize, Serialize};

use crate::SftpBackend;
use crate::connection::NotConnected;
use crate::introduction::introduce;
use crate::known_hosts::Pin;
use crate::pool::misconfigured;

/// Connections at once, as long as nobody says otherwise: a server's work for one of them runs on one processor.
const CONNECTIONS: usize = 4;

/// A server takes ten newcomers at once by default, and others want to come in as well.
const MAX_CONNECTIONS: usize = 8;

/// The configuration of an [`SftpBackend`].
///
/// ```
/// use backup_backend_sftp::SftpConfig;
/// use backup_core::registry::{BackendConfig, Registry};
///
/// let mut config = SftpConfig::new("nas.example.org", "/srv/backup");
/// config.user = Some("me".to_owned());
/// assert!(config.validate().is_ok());
/// let same = Registry::linked()?
///     .backend_from_url("sftp://me@nas.example.org/srv/backup")
///     .map_err(|problem| problem.to_string())?;
/// assert_eq!(same.location(), config.location());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SftpConfig {
    /// The server: a name, an address, or a `Host` of the SSH configuration.
    pub host: String,
    /// The port; what the SSH configuration says without it, and 22 where that says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The user on the server; what the SSH configuration says without it, or else the name of who runs this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The directory on the server; the first put makes it. Without a slash in front it is below the user's home.
    pub path: String,
    /// The private key; without it the agent's keys and the usual files are tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_file: Option<PathBuf>,
    /// The passphrase of the private key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passphrase: Option<SecretRef>,
    /// The user's password on the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_password: Option<SecretRef>,
    /// Whether the SSH agent is asked for keys.
    #[serde(default = "yes")]
    pub agent: bool,
    /// The file with the keys of known servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_hosts: Option<PathBuf>,
    /// The server's key or its fingerprint; then no file is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key: Option<String>,
    /// The SSH configuration; `none` reads none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_config: Option<PathBuf>,
    /// Whether create-only puts are made of hard links, where the server offers them.
    #[serde(default = "yes")]
    pub hard_links: bool,
    /// Connections at once.
    #[serde(default = "connections")]
    pub connections: usize,
}

fn yes() -> bool {
    true
}

fn connections() -> usize {
    CONNECTIONS
}

impl SftpConfig {
    /// The configuration for a directory on a server, with keys and known servers from where ssh has them.
    pub fn new(host: impl Into<String>, path: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            port: None,
            user: None,
            path: path.into(),
            identity_file: None,
            passphrase: None,
            login_password: None,
            agent: true,
            known_hosts: None,
            host_key: None,
            ssh_config: None,
            hard_links: true,
            connections: CONNECTIONS,
        }
    }

    /// The directory without slashes at its end.
    pub(crate) fn folder(&self) -> &str {
        match self.path.trim_end_matches('/') {
            "" => "/",
            path => path,
        }
    }
}

#[async_trait]
#[typetag::serde(name = "sftp")]
impl BackendConfig for SftpConfig {
    fn validate(&self) -> Result<(), InvalidConfig> {
        // A host that begins with a dash, and control characters, have been commands elsewhere.
        let plain = |c: char| !c.is_control() && !c.is_whitespace() && !"/@[]".contains(c);
        if self.host.is_empty() || self.host.starts_with('-') || !self.host.chars().all(plain) {
            return Err(InvalidConfig::at("host", "is no name of a server"));
        }
        if self.path.is_empty() || self.path.contains('\0') {
            return Err(InvalidConfig::at("path", "is empty or no path"));
        }
        if self.user.as_ref().is_some_and(|user| user.is_empty() || user.chars().any(char::is_control)) {
            return Err(InvalidConfig::at("user", "is no name"));
        }
        if !(1..=MAX_CONNECTIONS).contains(&self.connections) {
            return Err(InvalidConfig::at("connections", format!("has to be from 1 to {MAX_CONNECTIONS}")));
        }
        if self.host_key.as_deref().is_some_and(|key| Pin::parse(key).is_none()) {
            return Err(InvalidConfig::at(
                "host_key",
                "is neither a fingerprint (`SHA256:…`) nor a key (`ssh-ed25519 AAAA…`)",
            ));
        }
        if self.host_key.is_some() && self.known_hosts.is_some() {
            return Err(InvalidConfig::at("host_key", "and `known_hosts` exclude each other"));
        }
        if self.passphrase.is_some() && self.identity_file.is_none() {
            return Err(InvalidConfig::at("passphrase", "needs `identity_file`"));
        }
        Ok(())
    }

    fn location(&self) -> String {
        let user = self.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        // `/./` says that what follows is below the user's home.
        let root = if self.path.starts_with('/') { "" } else { "/./" };
        format!("sftp://{user}{host}{port}{root}{}", self.folder())
    }

    async fn connect(&self, context: &ConnectContext) -> StorageResult<Arc<dyn StorageBackend>> {
        Ok(Arc::new(SftpBackend::connect(self, context).await?))
    }

    async fn introduce(&self, context: &ConnectContext) -> StorageResult<Option<Introduction>> {
        self.validate().map_err(|error| misconfigured(error.to_string()))?;
        introduce(self, context).await.map(Some).map_err(NotConnected::into_error)
    }
}

fn from_url(url: &StoreUrl) -> Result<Table, InvalidUrl> {
    if url.host().is_empty() {
        return Err(InvalidUrl::new("write `sftp://USER@HOST/PATH`"));
    }
    let table = url.options()?;
    for (option, place) in
        [("host", "stands behind `sftp://`"), ("path", "stands behind the host"), ("user", "stands before the host")]
    {
        if table.contains(option) {
            return Err(InvalidUrl::new(format!("the {option} {place}")));
        }
    }
    let path = url.path();
    let path = match path.strip_prefix("/./") {
        Some("") => ".",
        Some(below_home) => below_home,
        None if path == "/." => ".",
        None => path,
    };
    if path.is_empty() {
        return Err(InvalidUrl::new(
            "names no directory; write `sftp://HOST/PATH`, or `/./PATH` for one below the home",
        ));
    }
    let mut table = table.with_text("host", url.host().trim_matches(['[', ']'])).with_text("path", path);
    if let Some(user) = url.user() {
        table = table.with_text("user", user);
    }
    Ok(match url.port() {
        Some(port) => table.with_text("port", port.to_string()),
        None => table,
    })
}

inventory::submit! {
    Descriptor::backend::<SftpConfig>("sftp", env!("CARGO_PKG_NAME"))
        .summary("a directory on an SSH server")
        .urls(&["sftp"], from_url)
        .options(&[
            OptionDoc::required("host", OptionKind::Text, "The server: a name, an address, or a `Host` of the SSH configuration."),
            OptionDoc::optional("port", OptionKind::Integer, "The port.").default("22"),
            OptionDoc::optional("user", OptionKind::Text, "The user on the server; who runs this by default."),
            OptionDoc::required("path", OptionKind::Text, "The directory; the first object stored makes it. Without a slash in front it is below the user's home."),
            OptionDoc::optional("identity_file", OptionKind::Path, "The private key; without it the agent's keys and the usual files in `~/.ssh` are tried."),
            OptionDoc::optional("passphrase", OptionKind::Secret, "The passphrase of the private key."),
            OptionDoc::optional("login_password", OptionKind::Secret, "The user's password on the server."),
            OptionDoc::optional("agent", OptionKind::Bool, "Whether the SSH agent is asked for keys.").default("true"),
            OptionDoc::optional("known_hosts", OptionKind::Path, "The file with the keys of known servers; `~/.ssh/known_hosts` and the system's by default."),
            OptionDoc::optional("host_key", OptionKind::Text, "The server's key, or its fingerprint as `SHA256:…`; then no file is asked."),
            OptionDoc::optional("ssh_config", OptionKind::Path, "The SSH configuration with aliases of hosts; `~/.ssh/config` by default, `none` for none."),
            OptionDoc::optional("hard_links", OptionKind::Bool, "Whether the server's file system has hard links, of which create-only puts are made.").default("true"),
            OptionDoc::optional("connections", OptionKind::Integer, "Connections at once, 1 to 8.").default("4"),
        ])
        .example("host = \"nas.example.org\"\nuser = \"me\"\npath = \"/srv/backup\"")
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
    fn urls_name_user_host_port_and_path() {
        for url in ["sftp://me@nas:2222/srv/backup", "sftp://nas/srv", "sftp://nas/./backup", "sftp://[::1]:22/srv"] {
            assert_eq!(location(url).unwrap(), url);
        }
        assert_eq!(location("sftp://nas/srv/?connections=2").unwrap(), "sftp://nas/srv");
        for bad in [
            "sftp://",
            "sftp:///srv",
            "sftp://nas",
            "sftp://-oProxyCommand=x/srv",
            "sftp://me:pw@nas/srv",
            "sftp://nas/srv?path=/x",
            "sftp://nas/srv?connections=0",
            "sftp://nas/srv?host_key=MD5:aa",
        ] {
            assert!(location(bad).is_err(), "{bad}");
        }
    }
}
