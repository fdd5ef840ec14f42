//! SeaweedFS: an S3 server, with a look at its files that does not go through S3.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::process::{Owned, StartError, free_ports, http_status, program};

/// How often it is started before that is given up.
const ATTEMPTS: u32 = 3;

/// Where the server is that all tests of a run share: the ports of S3, with and without TLS, that of the filer, and the certificate.
const SHARED: &str = "BACKUP_TEST_SEAWEEDFS";

/// A SeaweedFS server that speaks S3 on the loopback interface.
#[derive(Debug)]
pub struct SeaweedFs {
    s3_port: u16,
    https_port: u16,
    filer_port: u16,
    certificate: PathBuf,
    _owned: Option<(Owned, TempDir)>,
}

impl SeaweedFs {
    /// The id of the one access key.
    pub const ACCESS_KEY_ID: &'static str = "tests";
    /// Its secret.
    pub const SECRET_ACCESS_KEY: &'static str = "canary-5f0d7c52-secret-of-the-tests";

    /// The server of this run: the one that all tests share, or one of this process.
    ///
    /// # Panics
    /// When it can't be started, with the reason.
    pub fn shared() -> &'static Self {
        static SERVER: OnceLock<SeaweedFs> = OnceLock::new();
        SERVER.get_or_init(|| match Self::told() {
            Some(server) => server,
            None => Self::start().unwrap_or_else(|error| panic!("SeaweedFS: {error}")),
        })
    }

    fn told() -> Option<Self> {
        let ports = std::env::var(SHARED).ok()?;
        let mut parts = ports.splitn(4, ',');
        let mut port = || parts.next()?.parse().ok();
        let (s3_port, https_port, filer_port) = (port()?, port()?, port()?);
        let certificate = parts.next()?.into();
        Some(Self { s3_port, https_port, filer_port, certificate, _owned: None })
    }

    /// What tells other processes of this server: the name and the value of a variable.
    pub fn variable(&self) -> (&'static str, String) {
        let Self { s3_port, https_port, filer_port, certificate, .. } = self;
        (SHARED, format!("{s3_port},{https_port},{filer_port},{}", certificate.display()))
    }

    /// Starts a server and waits until it stores objects.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start() -> Result<Self, StartError> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            match Self::start_once() {
                // Another program may have taken a port in the meantime.
                Err(StartError::Failed(_)) if attempts < ATTEMPTS => {}
                result => return result,
            }
        }
    }

    fn start_once() -> Result<Self, StartError> {
        let weed = program("weed")?;
        let folder = tempfile::tempdir().map_err(|error| StartError::Failed(error.to_string()))?;
        let path = |name: &str| folder.path().join(name).display().to_string();
        let identity = format!(
            r#"{{"identities":[{{"name":"tests","credentials":[{{"accessKey":"{}","secretKey":"{}"}}],"actions":["Admin","Read","Write","List","Tagging"]}}]}}"#,
            Self::ACCESS_KEY_ID,
            Self::SECRET_ACCESS_KEY
        );
        std::fs::write(path("s3.json"), identity).map_err(|error| StartError::Failed(error.to_string()))?;
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let own = rcgen::generate_simple_self_signed(names).map_err(|error| StartError::Failed(error.to_string()))?;
        let kept = std::fs::write(path("tls.crt"), own.cert.pem())
            .and_then(|()| std::fs::write(path("tls.key"), own.signing_key.serialize_pem()));
        kept.map_err(|error| StartError::Failed(error.to_string()))?;
        let [master, master_grpc, volume, volume_grpc, filer, filer_grpc, s3, s3_grpc, https] = free_ports();
        let arguments = [
            "server".to_owned(),
            format!("-dir={}", folder.path().display()),
            "-ip=127.0.0.1".to_owned(),
            "-ip.bind=127.0.0.1".to_owned(),
            format!("-master.port={master}"),
            format!("-master.port.grpc={master_grpc}"),
            "-master.telemetry=false".to_owned(),
            "-master.volumeSizeLimitMB=64".to_owned(),
            format!("-volume.port={volume}"),
            format!("-volume.port.grpc={volume_grpc}"),
            // Each bucket has volumes of its own.
            "-volume.max=2000".to_owned(),
            format!("-filer.port={filer}"),
            format!("-filer.port.grpc={filer_grpc}"),
            "-s3".to_owned(),
            // What else would listen, on ports that all servers have in common.
            "-s3.iam=false".to_owned(),
            "-s3.port.iceberg=0".to_owned(),
            "-s3.port.lance=0".to_owned(),
            format!("-s3.port={s3}"),
            format!("-s3.port.grpc={s3_grpc}"),
            format!("-s3.config={}", path("s3.json")),
            format!("-s3.port.https={https}"),
            format!("-s3.cert.file={}", path("tls.crt")),
            format!("-s3.key.file={}", path("tls.key")),
        ];
        let mut owned = Owned::start(&weed, &arguments, &folder.path().join("log"))?;
        owned.wait_until(|| {
            // Somebody answers for S3, the filer is there, and there is a volume server to store something on.
            http_status(s3, "GET", "/").is_some()
                && http_status(filer, "GET", "/").is_some()
                && http_status(master, "GET", "/dir/assign") == Some(200)
        })?;
        let certificate = folder.path().join("tls.crt");
        Ok(Self { s3_port: s3, https_port: https, filer_port: filer, certificate, _owned: Some((owned, folder)) })
    }

    /// Where it speaks S3.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.s3_port)
    }

    /// Where it speaks S3 without TLS.
    pub fn port(&self) -> u16 {
        self.s3_port
    }

    /// The port where it speaks S3 over TLS, as `localhost` or `127.0.0.1`.
    pub fn https_port(&self) -> u16 {
        self.https_port
    }

    /// The certificate to trust for that, a PEM file.
    pub fn certificate(&self) -> &Path {
        &self.certificate
    }

    /// Makes a bucket, past S3.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn make_bucket(&self, name: &str) {
        assert_eq!(
            http_status(self.filer_port, "POST", &format!("/buckets/{name}/")),
            Some(201),
            "the bucket `{name}`"
        );
    }

    /// Removes a bucket with everything in it, where the server does it.
    pub fn remove_bucket(&self, name: &str) {
        http_status(self.filer_port, "DELETE", &format!("/buckets/{name}?recursive=true&ignoreRecursiveError=true"));
    }

    /// Where its files are seen without S3: `GET …/buckets/NAME/?limit=…` with `Accept: application/json` lists a folder.
    pub fn filer(&self) -> String {
        format!("http://127.0.0.1:{}", self.filer_port)
    }
}
