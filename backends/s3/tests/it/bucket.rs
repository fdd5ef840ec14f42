//! A bucket of the tests' server: opened through the backend, and seen past it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use backup_backend_http::{HttpClient, HttpOptions, Pieces};
use backup_backend_s3::{S3Backend, S3Config};
use backup_core::registry::ConnectContext;
use backup_core::secret::MapResolver;
use backup_core::{SecretRef, StorageResult, SystemClock};
use backup_test_servers::SeaweedFs;
use bytes::Bytes;
use http::Request;
use reqsign_aws_v4::{RequestSigner, StaticCredentialProvider};
use reqsign_core::{Context, Signer};
use serde_json::Value;

/// Entries of one page of the server's own listing.
const PAGE: usize = 1_000;

/// A name that no other test of this run has.
pub(crate) fn unique(name: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("{name}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The configuration of a bucket of the server.
pub(crate) fn config(bucket: &str) -> S3Config {
    let mut config = S3Config::new(bucket);
    config.endpoint = Some(SeaweedFs::shared().endpoint());
    config.allow_http = true;
    config.access_key_id = SecretRef::parse("env:ID").ok();
    config.secret_access_key = SecretRef::parse("env:SECRET").ok();
    config
}

/// What gives the secrets out that [`config`] refers to.
pub(crate) fn context() -> ConnectContext {
    let secrets =
        MapResolver::new().with("env:ID", SeaweedFs::ACCESS_KEY_ID).with("env:SECRET", SeaweedFs::SECRET_ACCESS_KEY);
    ConnectContext::new(Arc::new(secrets), Arc::new(SystemClock::new()))
}

pub(crate) async fn open(config: &S3Config) -> StorageResult<S3Backend> {
    S3Backend::connect(config, &context()).await
}

/// The files of the server, past S3.
#[derive(Debug, Clone)]
pub(crate) struct Filer {
    client: HttpClient,
    bucket: String,
    base: String,
}

impl Filer {
    pub(crate) fn new(bucket: &str) -> Self {
        let client = HttpClient::new(&HttpOptions { allow_http: true, ..HttpOptions::default() }).unwrap();
        Self { client, bucket: bucket.to_owned(), base: format!("{}/buckets/{bucket}", SeaweedFs::shared().filer()) }
    }

    async fn ask(&self, request: http::request::Builder, body: Bytes) -> (u16, Bytes) {
        let answer = self.client.send(request.body(Pieces::new([body])).unwrap()).await.unwrap();
        (answer.status.as_u16(), answer.body)
    }

    /// Makes the bucket.
    pub(crate) async fn make(&self) {
        let bucket = self.bucket.clone();
        tokio::task::spawn_blocking(move || SeaweedFs::shared().make_bucket(&bucket)).await.unwrap();
    }

    /// Removes it with everything in it.
    pub(crate) async fn remove(&self) {
        let bucket = self.bucket.clone();
        tokio::task::spawn_blocking(move || SeaweedFs::shared().remove_bucket(&bucket)).await.unwrap();
    }

    /// Leaves a file.
    pub(crate) async fn plant(&self, name: &str, content: &'static [u8]) -> bool {
        let url = format!("{}/{}", self.base, name.replace('%', "%25").replace(' ', "%20"));
        let request = Request::put(url).header("content-type", "application/octet-stream");
        let (status, _) = self.ask(request, Bytes::from_static(content)).await;
        status == 201
    }

    /// Every file with its size.
    pub(crate) async fn names(&self) -> Vec<(String, u64)> {
        let (mut names, mut folders) = (Vec::new(), vec![String::new()]);
        while let Some(folder) = folders.pop() {
            let mut last = String::new();
            loop {
                let url = format!("{}/{folder}?limit={PAGE}&lastFileName={last}", self.base);
                let (status, body) =
                    self.ask(Request::get(url).header("accept", "application/json"), Bytes::new()).await;
                if status == 404 {
                    break;
                }
                let page: Value = serde_json::from_slice(&body).unwrap();
                let entries = page["Entries"].as_array().cloned().unwrap_or_default();
                for entry in &entries {
                    let full = entry["FullPath"].as_str().unwrap();
                    // `/buckets/NAME/…`
                    let name = full.splitn(4, '/').nth(3).unwrap().to_owned();
                    let mode = entry["Mode"].as_u64().unwrap();
                    // The bit that Go gives folders.
                    if mode & (1 << 31) != 0 {
                        folders.push(format!("{name}/"));
                    } else {
                        names.push((name, entry["FileSize"].as_u64().unwrap_or(0)));
                    }
                }
                let Some(entry) = entries.last().filter(|_| entries.len() == PAGE) else { break };
                last = entry["FullPath"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
            }
        }
        names
    }
}

/// Begins an upload in parts and leaves it, as a killed process does.
pub(crate) async fn begin_upload(bucket: &str, name: &str) {
    let url = format!("{}/{bucket}/{name}?uploads", SeaweedFs::shared().endpoint());
    let request = Request::post(url).header("x-amz-content-sha256", "UNSIGNED-PAYLOAD").body(Pieces::default());
    let (mut parts, body) = request.unwrap().into_parts();
    let fixed = StaticCredentialProvider::new(SeaweedFs::ACCESS_KEY_ID, SeaweedFs::SECRET_ACCESS_KEY);
    let signer = Signer::new(Context::new(), fixed, RequestSigner::new("s3", "us-east-1"));
    signer.sign(&mut parts, None).await.unwrap();
    parts.headers.remove("host");
    let client = HttpClient::new(&HttpOptions { allow_http: true, ..HttpOptions::default() }).unwrap();
    let answer = client.send(Request::from_parts(parts, body)).await.unwrap();
    assert_eq!(answer.status.as_u16(), 200, "{:?}", answer.body);
}
