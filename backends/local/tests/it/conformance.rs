//! The public suite on a directory.

use std::path::PathBuf;
use std::sync::Arc;
#[cfg(target_os = "linux")]
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use backup_backend_local::LocalBackend;
use backup_conformance::{FaultControl, Harness, RawView, Trouble};
use backup_core::{StorageBackend, StorageResult};
#[cfg(target_os = "linux")]
use backup_test_servers::Tmpfs;
use tempfile::TempDir;

use crate::place;

struct Local {
    dir: TempDir,
    #[cfg(target_os = "linux")]
    small: Mutex<Vec<Tmpfs>>,
    excuses: Vec<(&'static str, &'static str)>,
}

/// Where a broken listing has its obstacle: in the directory that a listing comes to last.
const OBSTACLE: &str = "broken/00/obstacle";

impl Local {
    fn new() -> Self {
        let mut excuses = vec![
            ("too_large_is_refused", "a file system's largest file is too large for a test"),
            ("wrong_digest_leaves_nothing", "a file system checks no digests"),
            ("failed_put_changes_nothing", "a put can't be broken from here; `crash` does it under strace"),
            ("secrets_stay_inside", "a directory is opened without secrets"),
            ("undeclared_create_has_no_effect", "create-only puts are declared"),
            ("lock", "a directory has no object lock"),
            ("cold", "a directory has no cold storage"),
            ("fault", "between a directory and its user is nothing that could break"),
        ];
        if !cfg!(unix) {
            excuses.push(("failure_is_not_the_end", "making symbolic links needs a privilege on this system"));
        }
        let full = "full_store_refuses_and_goes_on";
        #[cfg(target_os = "linux")]
        if let Err(reason) = Tmpfs::available() {
            eprintln!("SKIPPED {full}: {reason}");
            excuses.push((full, "mounting a tmpfs is not allowed here"));
        }
        #[cfg(not(target_os = "linux"))]
        excuses.push((full, "only Linux has a tmpfs"));
        Self {
            dir: tempfile::tempdir().expect("a temporary directory can be made"),
            #[cfg(target_os = "linux")]
            small: Mutex::default(),
            excuses,
        }
    }

    fn path(&self, space: &str) -> PathBuf {
        self.dir.path().join(space)
    }
}

#[async_trait]
impl Harness for Local {
    async fn open(&self, space: &str) -> StorageResult<Arc<dyn StorageBackend>> {
        Ok(Arc::new(LocalBackend::at(self.path(space))?))
    }

    #[cfg(target_os = "linux")]
    async fn open_small(&self, space: &str, total_bytes: u64) -> StorageResult<Option<Arc<dyn StorageBackend>>> {
        let Ok(tmpfs) = Tmpfs::mount(&self.path(&format!("{space}-small")), total_bytes) else { return Ok(None) };
        let store = LocalBackend::open(tmpfs.path())?;
        self.small.lock().expect("nobody panics with the lock held").push(tmpfs);
        Ok(Some(Arc::new(store)))
    }

    fn raw(&self) -> Option<&dyn RawView> {
        Some(self)
    }

    fn faults(&self) -> Option<&dyn FaultControl> {
        Some(self)
    }

    fn not_applicable(&self) -> &[(&'static str, &'static str)] {
        &self.excuses
    }
}

#[async_trait]
impl RawView for Local {
    async fn names(&self, space: &str) -> Vec<(String, u64)> {
        place::files(&self.path(space))
    }

    async fn plant(&self, space: &str, name: &str) -> bool {
        place::plant(&self.path(space), name, b"not ours");
        true
    }

    async fn plant_unfinished(&self, space: &str, age: Duration) -> bool {
        place::plant_unfinished(&self.path(space), age);
        true
    }
}

#[async_trait]
impl FaultControl for Local {
    async fn begin(&self, space: &str, trouble: Trouble) -> bool {
        match trouble {
            #[cfg(unix)]
            Trouble::ListBreaks => std::os::unix::fs::symlink("/", self.path(space).join(OBSTACLE)).is_ok(),
            _ => false,
        }
    }

    async fn end(&self, space: &str) {
        std::fs::remove_file(self.path(space).join(OBSTACLE)).expect("the obstacle was planted");
    }
}

backup_conformance::suite! { Local::new() }
