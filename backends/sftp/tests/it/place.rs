//! A folder on the tests' server: opened through the backend, and seen past it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use backup_backend_sftp::{SftpBackend, SftpConfig};
use backup_core::registry::ConnectContext;
use backup_core::secret::MapResolver;
use backup_core::{StorageResult, SystemClock};
use backup_test_servers::Sshd;

/// A name that no other test of this run has.
pub(crate) fn unique(name: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("{name}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The configuration of a folder of a server, with nothing of whoever runs the tests.
pub(crate) fn config(server: &Sshd, folder: &Path) -> SftpConfig {
    let mut config = SftpConfig::new("127.0.0.1", folder.to_str().unwrap());
    config.port = Some(server.port());
    config.user = Some(server.user().to_owned());
    config.identity_file = Some(server.identity());
    config.known_hosts = Some(server.known_hosts());
    config.ssh_config = Some("none".into());
    config
}

/// No environment, and the passphrase of the tests' key.
pub(crate) fn context() -> ConnectContext {
    let secrets = MapResolver::new().with("env:PASSPHRASE", Sshd::PASSPHRASE);
    ConnectContext::new(Arc::new(secrets), Arc::new(SystemClock::new()))
}

pub(crate) async fn open(config: &SftpConfig) -> StorageResult<SftpBackend> {
    SftpBackend::connect(config, &context()).await
}

/// Every file below a folder with its size.
pub(crate) fn files(folder: &Path) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(below) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(folder.join(&below)) else { continue };
        for entry in entries {
            let entry = entry.unwrap();
            let name = below.join(entry.file_name());
            // What is gone by now is not there.
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_dir() {
                folders.push(name);
            } else {
                found.push((name.to_str().unwrap().to_owned(), meta.len()));
            }
        }
    }
    found
}
