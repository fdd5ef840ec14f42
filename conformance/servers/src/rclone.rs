//! rclone as a server: a real one that keeps fewer promises than it seems to.

use tempfile::TempDir;

use crate::process::{Owned, StartError, free_ports, http_status, program};

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
