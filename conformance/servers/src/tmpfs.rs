//! A small file system of its own, for tests that fill a disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// A mounted tmpfs; unmounted when dropped.
#[derive(Debug)]
pub struct Tmpfs {
    path: PathBuf,
}

impl Tmpfs {
    /// Mounts one of a size over a directory, which is made.
    ///
    /// # Errors
    /// Why it can't be mounted.
    pub fn mount(path: &Path, size_bytes: u64) -> Result<Self, String> {
        fs::create_dir_all(path).map_err(|error| error.to_string())?;
        let output = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size_bytes}"), "tmpfs"])
            .arg(path)
            .output()
            .map_err(|error| format!("`mount` does not run: {error}"))?;
        match output.status.success() {
            true => Ok(Self { path: path.to_owned() }),
            false => Err(format!("mounting is not allowed: {}", String::from_utf8_lossy(&output.stderr).trim())),
        }
    }

    /// Whether this machine and this user can mount one.
    ///
    /// # Errors
    /// Why not.
    pub fn available() -> Result<(), String> {
        static TRIED: OnceLock<Result<(), String>> = OnceLock::new();
        let attempt = || {
            let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
            Self::mount(&dir.path().join("try"), 1 << 20).map(drop)
        };
        TRIED.get_or_init(attempt).clone()
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.path).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "{} stays mounted", self.path.display());
    }
}
