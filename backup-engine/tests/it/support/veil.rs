//! A store that hides one object from listings, fails to read it, or lets nobody delete anything.

use std::sync::Arc;

use async_trait::async_trait;
use backup_core::{
    BackendInfo, ByteRange, KeyPrefix, MemoryBackend, ObjectKey, ObjectMeta, PutBody, PutOptions, StorageBackend,
    StorageError, StorageErrorKind, StorageOperation, StorageResult,
};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;

/// What is wrong with the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Veil {
    /// Listings lack it.
    Unlisted,
    /// Reading it fails.
    Unreadable(StorageErrorKind),
    /// Nothing can be deleted, this object or any other.
    AppendOnly,
}

/// The store.
#[derive(Debug)]
pub(crate) struct VeiledBackend {
    inner: MemoryBackend,
    key: ObjectKey,
    veil: Veil,
}

impl VeiledBackend {
    pub(crate) fn new(inner: &MemoryBackend, key: &ObjectKey, veil: Veil) -> Arc<Self> {
        Arc::new(Self { inner: inner.clone(), key: key.clone(), veil })
    }
}

#[async_trait]
impl StorageBackend for VeiledBackend {
    fn info(&self) -> &BackendInfo {
        self.inner.info()
    }

    async fn put(&self, key: &ObjectKey, body: PutBody, options: &PutOptions) -> StorageResult<()> {
        self.inner.put(key, body, options).await
    }

    async fn get(&self, key: &ObjectKey, range: ByteRange) -> StorageResult<Bytes> {
        match self.veil {
            Veil::Unreadable(kind) if *key == self.key => {
                Err(StorageError::new(kind, StorageOperation::Get).with_key(key))
            }
            _ => self.inner.get(key, range).await,
        }
    }

    async fn stat(&self, key: &ObjectKey) -> StorageResult<ObjectMeta> {
        self.inner.stat(key).await
    }

    fn list<'a>(&'a self, prefix: &'a KeyPrefix) -> BoxStream<'a, StorageResult<ObjectMeta>> {
        let is_hidden = |meta: &ObjectMeta| self.veil == Veil::Unlisted && meta.key == self.key;
        let listed = self.inner.list(prefix);
        listed.filter(move |item| std::future::ready(!item.as_ref().is_ok_and(is_hidden))).boxed()
    }

    async fn delete(&self, key: &ObjectKey) -> StorageResult<()> {
        match self.veil {
            Veil::AppendOnly => {
                Err(StorageError::new(StorageErrorKind::PermissionDenied, StorageOperation::Delete).with_key(key))
            }
            _ => self.inner.delete(key).await,
        }
    }
}
