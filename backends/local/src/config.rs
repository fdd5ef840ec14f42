//! The plug-in `local`: its configuration and how it is found.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use backup_core::registry::{
    BackendConfig, ConnectContext, Descriptor, InvalidConfig, InvalidUrl, OptionDoc, OptionKind, StoreUrl, Table,
};
use backup_core::{StorageBackend, StorageError, StorageErrorKind, StorageOperation, StorageResult};
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use crate::LocalBackend;

/// The configuration of a [`LocalBackend`].
///
/// ```
/// use backup_backend_local::LocalConfig;
/// use backup_core::registry::{BackendConfig, Registry};
///
/// let config = LocalConfig::new("/srv/backup");
/// assert!(config.validate().is_ok());
/// let same = Registry::linked()?.backend_from_url("file:///srv/backup").map_err(|problem| problem.to_string())?;
/// assert_eq!(same.location(), config.location());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalConfig {
    /// The directory that holds the objects; the first put makes it. Nothing in the path is expanded.
    pub path: PathBuf,
}

impl LocalConfig {
    /// The configuration for a directory.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

#[async_trait]
#[typetag::serde(name = "local")]
impl BackendConfig for LocalConfig {
    fn validate(&self) -> Result<(), InvalidConfig> {
        match self.path.as_os_str().is_empty() {
            true => Err(InvalidConfig::at("path", "is empty")),
            false => Ok(()),
        }
    }

    fn location(&self) -> String {
        self.path.display().to_string()
    }

    async fn connect(&self, _context: &ConnectContext) -> StorageResult<Arc<dyn StorageBackend>> {
        let path = self.path.clone();
        let opened = spawn_blocking(move || LocalBackend::at(path)).await;
        let stopped =
            |error| StorageError::new(StorageErrorKind::Cancelled, StorageOperation::Connect).with_source(error);
        Ok(Arc::new(opened.map_err(stopped)??))
    }
}

fn from_url(url: &StoreUrl) -> Result<Table, InvalidUrl> {
    if !matches!(url.host(), "" | "localhost") || url.user().is_some() || url.port().is_some() {
        return Err(InvalidUrl::new("a `file` URL names no host, user or port; write `file:///path`"));
    }
    let table = url.options()?;
    if table.contains("path") {
        return Err(InvalidUrl::new("the path stands before the `?`"));
    }
    Ok(table.with_text("path", without_slash_before_drive(url.path())))
}

/// `/C:/backup`, as it stands in a URL, is the path `C:/backup`.
fn without_slash_before_drive(path: &str) -> &str {
    match path.strip_prefix('/') {
        Some(rest) if cfg!(windows) && rest.as_bytes().get(1) == Some(&b':') => rest,
        _ => path,
    }
}

inventory::submit! {
    Descriptor::backend::<LocalConfig>("local", env!("CARGO_PKG_NAME"))
        .summary("a directory on a local or mounted file system")
        .urls(&["file"], from_url)
        .options(&[OptionDoc::required("path", OptionKind::Path, "The directory; the first object stored makes it.")])
        .example("path = \"/srv/backup\"")
}

#[cfg(test)]
mod tests {
    use backup_core::registry::Registry;

    use super::*;

    fn location(url: &str) -> Result<String, String> {
        let registry = Registry::linked().unwrap();
        registry.backend_from_url(url).map(|config| config.location()).map_err(|error| error.to_string())
    }

    #[test]
    fn urls_and_paths_name_the_directory() {
        assert_eq!(location("file:///srv/a%20b").unwrap(), "/srv/a b");
        assert_eq!(location("file://localhost/srv").unwrap(), "/srv");
        assert_eq!(location("/srv/100%").unwrap(), "/srv/100%");
        assert_eq!(location("backups").unwrap(), "backups");
        for bad in ["file://nas/srv", "file://me@/srv", "file:///srv?path=x", "file:///srv?colour=red", "file://"] {
            assert!(location(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn tables_are_strict() {
        let registry = Registry::linked().unwrap();
        let table = |key, value| Table::new().with_text("type", "local").with_text(key, value);
        assert_eq!(registry.backend(&table("path", "/srv")).unwrap().location(), "/srv");
        let error = registry.backend(&table("pth", "/srv")).unwrap_err().to_string();
        assert!(error.contains("path"), "{error}");
    }
}
