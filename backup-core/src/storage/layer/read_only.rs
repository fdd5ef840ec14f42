//! A store that nothing can be changed in.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

use crate::clock::Timestamp;
use crate::key::{KeyPrefix, ObjectKey};
use crate::storage::error::{StorageError, StorageErrorKind, StorageOperation, StorageResult};
use crate::storage::{BackendInfo, ByteRange, ObjectMeta, PutBody, PutOptions, Quota, StorageBackend};
use crate::storage::{ColdStorage, ObjectLock, UploadMaintenance};

/// Reads from a store and refuses every change with `PermissionDenied`, without asking the store.
///
/// Warming up cold objects is allowed: they can't be read otherwise.
///
/// ```
/// use std::sync::Arc;
/// use backup_core::storage::layer::ReadOnly;
/// use backup_core::{MemoryBackend, ObjectKey, PutOptions, StorageBackend};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = ReadOnly::new(Arc::new(MemoryBackend::new()));
/// assert!(store.put(&ObjectKey::new("config")?, "x".into(), &PutOptions::default()).await.is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ReadOnly {
    inner: Arc<dyn StorageBackend>,
}

impl ReadOnly {
    /// The store `inner` without changes.
    pub fn new(inner: Arc<dyn StorageBackend>) -> Self {
        Self { inner }
    }
}

fn refused(operation: StorageOperation) -> StorageError {
    StorageError::new(StorageErrorKind::PermissionDenied, operation).with_detail("the store was opened read-only")
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl StorageBackend for ReadOnly {
    fn info(&self) -> &BackendInfo {
        self.inner.info()
    }

    async fn put(&self, key: &ObjectKey, _body: PutBody, _options: &PutOptions) -> StorageResult<()> {
        Err(refused(StorageOperation::Put).with_key(key))
    }

    async fn get(&self, key: &ObjectKey, range: ByteRange) -> StorageResult<Bytes> {
        self.inner.get(key, range).await
    }

    async fn stat(&self, key: &ObjectKey) -> StorageResult<ObjectMeta> {
        self.inner.stat(key).await
    }

    fn list<'a>(&'a self, prefix: &'a KeyPrefix) -> BoxStream<'a, StorageResult<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn delete(&self, key: &ObjectKey) -> StorageResult<()> {
        Err(refused(StorageOperation::Delete).with_key(key))
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
        self.inner.cold()
    }

    fn unsupported(&self, operation: StorageOperation) -> StorageError {
        self.inner.unsupported(operation)
    }
}

#[async_trait]
impl ObjectLock for ReadOnly {
    async fn retain_until(&self, key: &ObjectKey, _until: Timestamp) -> StorageResult<()> {
        Err(refused(StorageOperation::Extension).with_key(key))
    }

    async fn retained_until(&self, key: &ObjectKey) -> StorageResult<Option<Timestamp>> {
        let lock = self.inner.object_lock().ok_or_else(|| self.unsupported(StorageOperation::Extension))?;
        lock.retained_until(key).await
    }
}

#[async_trait]
impl UploadMaintenance for ReadOnly {
    async fn abort_older_than(&self, _age: Duration) -> StorageResult<u64> {
        Err(refused(StorageOperation::Extension))
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use super::*;
    use crate::storage::layer::fault::FaultBackend;
    use crate::storage::memory::MemoryBackend;

    #[tokio::test]
    async fn changes_are_refused_before_they_reach_the_store_and_reads_go_through() {
        let memory = MemoryBackend::new();
        let key = ObjectKey::new("a/b").unwrap();
        memory.plant(&key, "bytes");
        let counted = FaultBackend::new(Arc::new(memory.clone()));
        let store = ReadOnly::new(Arc::new(counted.clone()));
        for error in [
            store.put(&key, "x".into(), &PutOptions::overwrite()).await.unwrap_err(),
            store.delete(&key).await.unwrap_err(),
        ] {
            assert_eq!((error.kind(), error.key()), (StorageErrorKind::PermissionDenied, Some(&key)));
        }
        assert_eq!(counted.operations(), 0);
        assert_eq!(store.get(&key, ByteRange::Full).await.unwrap(), "bytes");
        assert_eq!(store.stat(&key).await.unwrap().size_bytes, 5);
        let listed: Vec<_> = store.list(&KeyPrefix::all()).try_collect().await.unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!(memory.object_count(), 1);
    }
}
