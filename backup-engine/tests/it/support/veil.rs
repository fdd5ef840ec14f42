//! A store that hides one object from listings, fails to read it, lets nobody delete anything, or knows no create-only puts.

use std::sync::Arc;

use async_trait::async_trait;
use backup_core::storage::Grade;
use backup_core::{
    BackendInfo, ByteRange, KeyPrefix, MemoryBackend, ObjectKey, ObjectMeta, PutBody, PutMode, PutOptions,
    StorageBackend, StorageError, StorageErrorKind, StorageOperation, StorageResult,
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
    /// Create-only puts are not known, and not declared.
    NoCreateOnly,
    /// Create-only puts are declared, and done as any others.
    IgnoresCreateOnly,
}

/// The store.
#[derive(Debug)]
pub(crate) struct VeiledBackend {
    inner: MemoryBackend,
    key: ObjectKey,
    veil: Veil,
    info: BackendInfo,
}

impl VeiledBackend {
    pub(crate) fn new(inner: &MemoryBackend, key: &ObjectKey, veil: Veil) -> Arc<Self> {
        let mut info = inner.info().clone();
        if veil == Veil::NoCreateOnly {
            info.capabilities.put_if_absent = Grade::None;
        }
        Arc::new(Self { inner: inner.clone(), key: key.clone(), veil, info })
    }
}

#[async_trait]
impl StorageBackend for VeiledBackend {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    async fn put(&self, key: &ObjectKey, body: PutBody, options: &PutOptions) -> StorageResult<()> {
        match (self.veil, options.mode) {
            (Veil::NoCreateOnly, PutMode::IfAbsent) => {
                Err(StorageError::new(StorageErrorKind::Unsupported, StorageOperation::Put).with_key(key))
            }
            (Veil::IgnoresCreateOnly, _) => self.inner.put(key, body, &PutOptions::overwrite()).await,
            _ => self.inner.put(key, body, options).await,
        }
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
