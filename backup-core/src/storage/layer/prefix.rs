//! A part of a store as a store of its own.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::channel::mpsc;
use futures::future::ready;
use futures::sink::SinkExt;
use futures::stream::{self, BoxStream, StreamExt};

use crate::clock::Timestamp;
use crate::key::{InvalidKey, KeyPrefix, ObjectKey};
use crate::storage::error::{StorageError, StorageErrorKind, StorageOperation, StorageResult};
use crate::storage::{BackendInfo, ByteRange, ObjectMeta, PutBody, PutOptions, Quota, StorageBackend};
use crate::storage::{ColdStorage, ObjectLock, UploadMaintenance};

/// What lies under a prefix of a store, with keys that begin after it.
///
/// Keys are as much shorter as the prefix is long: one that doesn't fit is refused with `Config`. Quota and unfinished
/// uploads are those of the whole store.
///
/// ```
/// use std::sync::Arc;
/// use backup_core::storage::layer::Prefix;
/// use backup_core::{KeyPrefix, MemoryBackend, ObjectKey, PutOptions, StorageBackend};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let memory = MemoryBackend::new();
/// let store = Prefix::new(Arc::new(memory.clone()), KeyPrefix::new("photos/2026/")?);
/// store.put(&ObjectKey::new("config")?, "x".into(), &PutOptions::default()).await?;
/// assert_eq!(memory.keys(), [ObjectKey::new("photos/2026/config")?]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Prefix {
    inner: Arc<dyn StorageBackend>,
    prefix: KeyPrefix,
    info: BackendInfo,
}

impl Prefix {
    /// What lies under `prefix` of the store `inner`.
    pub fn new(inner: Arc<dyn StorageBackend>, prefix: KeyPrefix) -> Self {
        let mut info = inner.info().clone();
        info.location = format!("{}/{prefix}", info.location.trim_end_matches('/'));
        Self { inner, prefix, info }
    }

    fn outer(&self, key: &ObjectKey, operation: StorageOperation) -> StorageResult<ObjectKey> {
        self.prefix.key(key.as_str()).map_err(|error| too_long(error, operation).with_key(key))
    }

    fn shortened(&self, mut meta: ObjectMeta) -> StorageResult<ObjectMeta> {
        let rest = meta.key.as_str().strip_prefix(self.prefix.as_str()).map(ObjectKey::new);
        match rest {
            Some(Ok(key)) => {
                meta.key = key;
                Ok(meta)
            }
            Some(Err(_)) | None => {
                let detail = "the store listed an object from outside the prefix";
                Err(StorageError::new(StorageErrorKind::Other, StorageOperation::List).with_detail(detail))
            }
        }
    }
}

fn too_long(error: InvalidKey, operation: StorageOperation) -> StorageError {
    StorageError::new(StorageErrorKind::Config, operation).with_source(error)
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl StorageBackend for Prefix {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    async fn put(&self, key: &ObjectKey, body: PutBody, options: &PutOptions) -> StorageResult<()> {
        let outer = self.outer(key, StorageOperation::Put)?;
        self.inner.put(&outer, body, options).await.map_err(|error| error.with_key(key))
    }

    async fn get(&self, key: &ObjectKey, range: ByteRange) -> StorageResult<Bytes> {
        let outer = self.outer(key, StorageOperation::Get)?;
        self.inner.get(&outer, range).await.map_err(|error| error.with_key(key))
    }

    async fn stat(&self, key: &ObjectKey) -> StorageResult<ObjectMeta> {
        let outer = self.outer(key, StorageOperation::Stat)?;
        let meta = self.inner.stat(&outer).await.map_err(|error| error.with_key(key))?;
        Ok(ObjectMeta { key: key.clone(), ..meta })
    }

    fn list<'a>(&'a self, prefix: &'a KeyPrefix) -> BoxStream<'a, StorageResult<ObjectMeta>> {
        // The listing borrows the longer prefix, so both live in one future, which runs whenever the stream is polled.
        let (mut sender, receiver) = mpsc::channel(0);
        let pump = async move {
            let outer = match KeyPrefix::new(format!("{}{prefix}", self.prefix)) {
                Ok(outer) => outer,
                Err(error) => {
                    // A receiver that is gone misses nothing, here and below.
                    let _ = sender.send(Err(too_long(error, StorageOperation::List))).await;
                    return;
                }
            };
            let mut objects = self.inner.list(&outer);
            while let Some(object) = objects.next().await {
                let object = object.and_then(|meta| self.shortened(meta));
                let last = object.is_err();
                if sender.send(object).await.is_err() || last {
                    return;
                }
            }
        };
        let pump = stream::once(pump).filter_map(|()| ready(None));
        stream::select(receiver, pump).boxed()
    }

    async fn delete(&self, key: &ObjectKey) -> StorageResult<()> {
        let outer = self.outer(key, StorageOperation::Delete)?;
        self.inner.delete(&outer).await.map_err(|error| error.with_key(key))
    }

    async fn quota(&self) -> StorageResult<Quota> {
        self.inner.quota().await
    }

    fn object_lock(&self) -> Option<&dyn ObjectLock> {
        self.inner.object_lock().map(|_| self as &dyn ObjectLock)
    }

    fn uploads(&self) -> Option<&dyn UploadMaintenance> {
        self.inner.uploads().map(|_| self as &dyn UploadMaintenance)
    }

    fn cold(&self) -> Option<&dyn ColdStorage> {
        self.inner.cold().map(|_| self as &dyn ColdStorage)
    }

    fn unsupported(&self, operation: StorageOperation) -> StorageError {
        self.inner.unsupported(operation)
    }
}

const EXTENSION: StorageOperation = StorageOperation::Extension;

#[async_trait]
impl ObjectLock for Prefix {
    async fn retain_until(&self, key: &ObjectKey, until: Timestamp) -> StorageResult<()> {
        let lock = self.inner.object_lock().ok_or_else(|| self.unsupported(EXTENSION))?;
        lock.retain_until(&self.outer(key, EXTENSION)?, until).await.map_err(|error| error.with_key(key))
    }

    async fn retained_until(&self, key: &ObjectKey) -> StorageResult<Option<Timestamp>> {
        let lock = self.inner.object_lock().ok_or_else(|| self.unsupported(EXTENSION))?;
        lock.retained_until(&self.outer(key, EXTENSION)?).await.map_err(|error| error.with_key(key))
    }
}

#[async_trait]
impl UploadMaintenance for Prefix {
    async fn abort_older_than(&self, age: Duration) -> StorageResult<u64> {
        let uploads = self.inner.uploads().ok_or_else(|| self.unsupported(EXTENSION))?;
        uploads.abort_older_than(age).await
    }
}

#[async_trait]
impl ColdStorage for Prefix {
    async fn warm_up(&self, key: &ObjectKey) -> StorageResult<()> {
        let cold = self.inner.cold().ok_or_else(|| self.unsupported(EXTENSION))?;
        cold.warm_up(&self.outer(key, EXTENSION)?).await.map_err(|error| error.with_key(key))
    }

    async fn is_warm(&self, key: &ObjectKey) -> StorageResult<bool> {
        let cold = self.inner.cold().ok_or_else(|| self.unsupported(EXTENSION))?;
        cold.is_warm(&self.outer(key, EXTENSION)?).await.map_err(|error| error.with_key(key))
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use super::*;
    use crate::storage::layer::fault::{FaultBackend, FaultKind, FaultRule};
    use crate::storage::memory::MemoryBackend;

    fn key(text: &str) -> ObjectKey {
        ObjectKey::new(text).unwrap()
    }

    fn under(text: &str) -> KeyPrefix {
        KeyPrefix::new(text).unwrap()
    }

    async fn listed(store: &Prefix, prefix: &str) -> Vec<String> {
        let prefix = under(prefix);
        let keys = store.list(&prefix).map_ok(|meta| meta.key.to_string());
        let mut keys: Vec<_> = keys.try_collect().await.unwrap();
        keys.sort();
        keys
    }

    #[tokio::test]
    async fn two_prefixes_of_one_store_do_not_see_each_other() {
        let memory = MemoryBackend::new();
        let [a, b] = ["a/x/", "a/y/"].map(|prefix| Prefix::new(Arc::new(memory.clone()), under(prefix)));
        let options = PutOptions::if_absent();
        a.put(&key("same/key"), "1".into(), &options).await.unwrap();
        b.put(&key("same/key"), "22".into(), &options).await.unwrap();
        a.put(&key("only"), "1".into(), &options).await.unwrap();
        assert_eq!(a.get(&key("same/key"), ByteRange::Full).await.unwrap(), "1");
        let meta = b.stat(&key("same/key")).await.unwrap();
        assert_eq!((meta.key, meta.size_bytes), (key("same/key"), 2));
        assert_eq!(listed(&a, "").await, ["only", "same/key"]);
        assert_eq!(listed(&a, "same/").await, ["same/key"]);
        a.delete(&key("same/key")).await.unwrap();
        assert_eq!(listed(&a, "").await, ["only"]);
        assert_eq!(listed(&b, "").await, ["same/key"]);
        assert_eq!(a.info().location, "memory:/a/x/");
    }

    #[tokio::test]
    async fn errors_speak_of_the_callers_key() {
        let store = Prefix::new(Arc::new(MemoryBackend::new()), under("outer/"));
        let error = store.get(&key("inner"), ByteRange::Full).await.unwrap_err();
        assert_eq!((error.kind(), error.key()), (StorageErrorKind::NotFound, Some(&key("inner"))));
        let longest = key(&format!("{0}/{0}", "k".repeat(99)));
        let error = store.stat(&longest).await.unwrap_err();
        assert_eq!((error.kind(), error.key()), (StorageErrorKind::Config, Some(&longest)));
    }

    #[tokio::test]
    async fn a_broken_listing_stays_broken() {
        let memory = MemoryBackend::new();
        for n in 0..10 {
            memory.plant(&key(&format!("p/{n}")), "x");
        }
        let faulty = FaultBackend::new(Arc::new(memory));
        faulty.add(FaultRule::new(FaultKind::Tear));
        let store = Prefix::new(Arc::new(faulty), under("p/"));
        let items: Vec<_> = store.list(&KeyPrefix::all()).collect().await;
        assert_eq!(items.len(), 6);
        assert!(items[5].is_err());
    }
}
