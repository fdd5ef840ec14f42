//! The public suite on SeaweedFS, and the same below a prefix.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use backup_conformance::{FaultControl, Harness, RawView, Trouble};
use backup_core::{StorageBackend, StorageResult};
use backup_test_servers::{Disturbance, SeaweedFs, SwitchedLine};
use tokio::sync::OnceCell;

use crate::bucket::{Filer, config, open, unique};

/// A put of 80,000 bytes is cut in its midst, and a listing of some hundred names, too.
const CUT_AFTER_BYTES: u64 = 20_000;

/// A read of 300,000 bytes is cut in its midst.
const CUT_READ_AFTER_BYTES: u64 = 100_000;

/// What S3 says to clients that ask too often.
const SLOW_DOWN: &str = "HTTP/1.1 503 Slow Down\r\nRetry-After: 3\r\nContent-Type: application/xml\r\nContent-Length: 78\r\n\r\n\
                         <Error><Code>SlowDown</Code><Message>Please reduce your rate</Message></Error>";

/// What it says when something is wrong with it.
const INTERNAL_ERROR: &str = "HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/xml\r\nContent-Length: 69\r\n\r\n\
                              <Error><Code>InternalError</Code><Message>Try again</Message></Error>";

/// One case, one bucket, and one line to the server.
struct Bucket {
    line: OnceLock<SwitchedLine>,
    bucket: String,
    filer: Filer,
    made: OnceCell<()>,
}

impl Bucket {
    fn new() -> Self {
        let bucket = unique("suite");
        Self { line: OnceLock::new(), filer: Filer::new(&bucket), bucket, made: OnceCell::new() }
    }
}

const EXCUSES: &[(&str, &str)] = &[
    ("too_large_is_refused", "the largest object, 312 GiB, is too large for a test"),
    ("full_store_refuses_and_goes_on", "this server knows no limit of a bucket that holds at once"),
    ("undeclared_create_has_no_effect", "create-only puts are declared"),
    ("lock", "object lock is not claimed yet"),
    ("cold", "cold storage is not claimed yet"),
    ("expired_access_is_renewed", "these credentials don't expire"),
    ("revoked_access_says_so", "the server's credentials are fixed when it starts"),
    ("undeclared_digest_is_harmless", "digests are checked"),
    ("quota_moves_with_what_is_stored", "a bucket tells no quota"),
    ("old_uploads_are_removed_and_nothing_else", "no upload can be made older than it is; `uploads` tests the sweep"),
];

impl Bucket {
    fn line(&self) -> &SwitchedLine {
        self.line.get_or_init(|| SwitchedLine::to(SeaweedFs::shared().port()))
    }
}

#[async_trait]
impl FaultControl for Bucket {
    async fn begin(&self, _space: &str, trouble: Trouble) -> bool {
        let disturbance = match trouble {
            Trouble::PutBreaks | Trouble::ListBreaks => Disturbance::CutAfter(CUT_AFTER_BYTES),
            Trouble::GetBreaks => Disturbance::CutAfter(CUT_READ_AFTER_BYTES),
            Trouble::Unreachable => Disturbance::CutAfter(0),
            Trouble::Stalls => Disturbance::Stall,
            Trouble::Corrupts => Disturbance::Flip,
            Trouble::AnswerLost => Disturbance::LoseAnswer,
            Trouble::Throttled { .. } => Disturbance::Answer(SLOW_DOWN),
            Trouble::ServerErrors => Disturbance::Answer(INTERNAL_ERROR),
            _ => return false,
        };
        self.line().disturb(disturbance);
        true
    }

    async fn end(&self, _space: &str) {
        self.line().mend();
    }
}

#[async_trait]
impl Harness for Bucket {
    async fn open(&self, space: &str) -> StorageResult<Arc<dyn StorageBackend>> {
        self.made.get_or_init(|| self.filer.make()).await;
        // Neither the end of a prefix nor another that begins with it may make a difference.
        let mut config = config(&self.bucket).with_prefix(space);
        config.endpoint = Some(format!("http://127.0.0.1:{}", self.line().port()));
        Ok(Arc::new(open(&config).await?))
    }

    fn raw(&self) -> Option<&dyn RawView> {
        Some(self)
    }

    fn faults(&self) -> Option<&dyn FaultControl> {
        Some(self)
    }

    fn secrets(&self) -> Vec<String> {
        vec![SeaweedFs::SECRET_ACCESS_KEY.to_owned()]
    }

    fn not_applicable(&self) -> &[(&'static str, &'static str)] {
        EXCUSES
    }

    async fn cleanup(&self, _space: &str) {
        self.filer.remove().await;
    }
}

#[async_trait]
impl RawView for Bucket {
    async fn names(&self, space: &str) -> Vec<(String, u64)> {
        let names = self.filer.names().await.into_iter();
        let below = |(name, size): (String, u64)| match name.strip_prefix(space).and_then(|rest| rest.strip_prefix('/'))
        {
            Some(rest) => Some((rest.to_owned(), size)),
            // Parts of uploads lie in a folder of the bucket.
            None => name.starts_with('.').then_some((name, size)),
        };
        names.filter_map(below).collect()
    }

    async fn plant(&self, space: &str, name: &str) -> bool {
        self.filer.plant(&format!("{space}/{name}"), b"not ours").await
    }

    async fn plant_unfinished(&self, _space: &str, _age: Duration) -> bool {
        false
    }
}

backup_conformance::suite! { Bucket::new() }
