//! rclone as a server: a real one that keeps fewer promises than it seems to.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::process::{Owned, StartError, free_ports, greeting, http_status, program};
use crate::sshd::make_key;

/// `rclone serve s3` over a folder: it accepts conditional requests and ignores the conditions.
#[derive(Debug)]
pub struct RcloneS3 {
    port: u16,
    folder: TempDir,
    _owned: Owned,
}

impl RcloneS3 {
    /// The id of the one access key.
    pub const ACCESS_KEY_ID: &'static str = "tests";
    /// Its secret.
    pub const SECRET_ACCESS_KEY: &'static str = "canary-8e21b7aa-secret-of-the-tests";

    /// Starts a server of this process.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start() -> Result<Self, StartError> {
        let rclone = program("rclone")?;
        let failed = |error: std::io::Error| StartError::Failed(error.to_string());
        let folder = tempfile::tempdir().map_err(failed)?;
        let served = folder.path().join("buckets");
        std::fs::create_dir(&served).map_err(failed)?;
        let [port] = free_ports();
        let arguments = [
            "serve".to_owned(),
            "s3".to_owned(),
            // No configuration of whoever runs the tests.
            "--config=/dev/null".to_owned(),
            format!("--addr=127.0.0.1:{port}"),
            format!("--auth-key={},{}", Self::ACCESS_KEY_ID, Self::SECRET_ACCESS_KEY),
            served.display().to_string(),
        ];
        let mut owned = Owned::start(&rclone, &arguments, &folder.path().join("log"))?;
        owned.wait_until(|| http_status(port, "GET", "/").is_some())?;
        Ok(Self { port, folder, _owned: owned })
    }

    /// Where it speaks S3.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Makes a bucket, which is a folder.
    ///
    /// # Panics
    /// When the folder can't be made.
    pub fn make_bucket(&self, name: &str) {
        std::fs::create_dir(self.folder.path().join("buckets").join(name)).expect("a folder can be made");
    }
}

/// `rclone serve sftp` over a folder, with a user and a password: it names extensions that it refuses.
#[derive(Debug)]
pub struct RcloneSftp {
    port: u16,
    folder: TempDir,
    _owned: Owned,
}

impl RcloneSftp {
    /// The one user.
    pub const USER: &'static str = "tests";
    /// The password.
    pub const PASSWORD: &'static str = "canary-b7c40d15-password-of-the-tests";

    /// Starts a server of this process.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start() -> Result<Self, StartError> {
        let rclone = program("rclone")?;
        let failed = |error: std::io::Error| StartError::Failed(error.to_string());
        let folder = tempfile::tempdir().map_err(failed)?;
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("files")).map_err(failed)?;
        make_key(&at("host"), "ed25519", "")?;
        let [port] = free_ports();
        let arguments = [
            "serve".to_owned(),
            "sftp".to_owned(),
            "--config=/dev/null".to_owned(),
            format!("--addr=127.0.0.1:{port}"),
            format!("--user={}", Self::USER),
            format!("--pass={}", Self::PASSWORD),
            format!("--key={}", at("host").display()),
            at("files").display().to_string(),
        ];
        let mut owned = Owned::start(&rclone, &arguments, &at("log"))?;
        owned.wait_until(|| greeting(port).is_some_and(|greeting| greeting.starts_with(b"SSH-2.0")))?;
        Ok(Self { port, folder, _owned: owned })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's key, as it stands in a file of known servers.
    ///
    /// # Panics
    /// When its file is gone.
    pub fn host_key(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("host.pub")).expect("it is there").trim().to_owned()
    }

    /// What it serves.
    pub fn files(&self) -> PathBuf {
        self.folder.path().join("files")
    }
}
