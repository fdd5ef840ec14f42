//! The public suite on SeaweedFS, and the same below a prefix.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backup_conformance::{Harness, RawView};
use backup_core::{StorageBackend, StorageResult};
use backup_test_servers::SeaweedFs;
use tokio::sync::OnceCell;

use crate::bucket::{Filer, config, open, unique};

/// One case, one bucket.
struct Bucket {
    bucket: String,
    filer: Filer,
    made: OnceCell<()>,
}

impl Bucket {
    fn new() -> Self {
        let bucket = unique("suite");
        Self { filer: Filer::new(&bucket), bucket, made: OnceCell::new() }
    }
}

const EXCUSES: &[(&str, &str)] = &[
    ("too_large_is_refused", "the largest object, 312 GiB, is too large for a test"),
    ("full_store_refuses_and_goes_on", "this server knows no limit of a bucket that holds at once"),
    ("failed_put_changes_nothing", "the server can't be made to fail from here"),
    ("failure_is_not_the_end", "the server can't be made to fail from here"),
    ("undeclared_create_has_no_effect", "create-only puts are declared"),
    ("lock", "object lock is not claimed yet"),
    ("cold", "cold storage is not claimed yet"),
    ("fault", "the server can't be made to fail from here; `line` puts a bad line before it"),
    ("undeclared_digest_is_harmless", "digests are checked"),
    ("quota_moves_with_what_is_stored", "a bucket tells no quota"),
    ("old_uploads_are_removed_and_nothing_else", "no upload can be made older than it is; `uploads` tests the sweep"),
];

#[async_trait]
impl Harness for Bucket {
    async fn open(&self, space: &str) -> StorageResult<Arc<dyn StorageBackend>> {
        self.made.get_or_init(|| self.filer.make()).await;
        // Neither the end of a prefix nor another that begins with it may make a difference.
        let config = config(&self.bucket).with_prefix(space);
        Ok(Arc::new(open(&config).await?))
    }

    fn raw(&self) -> Option<&dyn RawView> {
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
