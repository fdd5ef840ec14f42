//! What decorators have in common that do the same around every call.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

use crate::clock::Timestamp;
use crate::key::{KeyPrefix, ObjectKey};
use crate::storage::error::{StorageError, StorageOperation, StorageResult};
use crate::storage::{BackendInfo, ByteRange, ObjectMeta, PutBody, PutOptions, Quota, StorageBackend};
use crate::storage::{ColdStorage, ObjectLock, UploadMaintenance};

/// What a decorator does around each call of a store.
///
/// Implement this and wrap a store with [`Layered::new`]; forwarding, extensions included, is done there.
pub trait Around: fmt::Debug + Send + Sync + 'static {
    /// Runs one call: `run` starts it, once or several times.
    fn call<'a, T, F, Fut>(&'a self, call: Call<'a>, run: F) -> impl Future<Output = StorageResult<T>> + Send + 'a
    where
        T: Reply + 'a,
        F: Fn() -> Fut + Send + Sync + 'a,
        Fut: Future<Output = StorageResult<T>> + Send + 'a;

    /// Runs one put; without an implementation as any other call.
    fn put<'a>(
        &'a self,
        inner: &'a dyn StorageBackend,
        key: &'a ObjectKey,
        body: PutBody,
        options: &'a PutOptions,
    ) -> impl Future<Output = StorageResult<()>> + Send + 'a {
        let call = Call { operation: StorageOperation::Put, key: Some(key), sent_bytes: body.len_bytes() };
        self.call(call, move || inner.put(key, body.clone(), options))
    }

    /// Runs one listing.
    fn list<'a>(
        &'a self,
        inner: &'a dyn StorageBackend,
        prefix: &'a KeyPrefix,
    ) -> BoxStream<'a, StorageResult<ObjectMeta>>;
}

/// One call of a store.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// Which operation.
    pub operation: StorageOperation,
    /// About which object.
    pub key: Option<&'a ObjectKey>,
    /// How many bytes of an object it sends.
    pub sent_bytes: u64,
}

impl<'a> Call<'a> {
    fn about(operation: StorageOperation, key: &'a ObjectKey) -> Self {
        Self { operation, key: Some(key), sent_bytes: 0 }
    }

    fn of(operation: StorageOperation) -> Self {
        Self { operation, key: None, sent_bytes: 0 }
    }
}

/// What a call gives back.
pub trait Reply: Send {
    /// How many bytes of an object came with it.
    fn received_bytes(&self) -> u64 {
        0
    }
}

impl Reply for () {}
impl Reply for bool {}
impl Reply for u64 {}
impl Reply for ObjectMeta {}
impl Reply for Quota {}
impl Reply for Option<Timestamp> {}
impl Reply for Bytes {
    fn received_bytes(&self) -> u64 {
        self.len() as u64
    }
}

/// A store with something around every call; clones share it.
#[derive(Clone)]
pub struct Layered<A> {
    around: Arc<A>,
    inner: Arc<dyn StorageBackend>,
}

impl<A: Around> Layered<A> {
    /// The store `inner` with `around` around every call.
    ///
    /// One `around` may serve several stores: they then share its limit, its budget, its counters.
    pub fn new(around: Arc<A>, inner: Arc<dyn StorageBackend>) -> Self {
        Self { around, inner }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<A: Around> StorageBackend for Layered<A> {
    fn info(&self) -> &BackendInfo {
        self.inner.info()
    }

    async fn put(&self, key: &ObjectKey, body: PutBody, options: &PutOptions) -> StorageResult<()> {
        self.around.put(self.inner.as_ref(), key, body, options).await
    }

    async fn get(&self, key: &ObjectKey, range: ByteRange) -> StorageResult<Bytes> {
        self.around.call(Call::about(StorageOperation::Get, key), || self.inner.get(key, range)).await
    }

    async fn stat(&self, key: &ObjectKey) -> StorageResult<ObjectMeta> {
        self.around.call(Call::about(StorageOperation::Stat, key), || self.inner.stat(key)).await
    }

    fn list<'a>(&'a self, prefix: &'a KeyPrefix) -> BoxStream<'a, StorageResult<ObjectMeta>> {
        self.around.list(self.inner.as_ref(), prefix)
    }

    async fn delete(&self, key: &ObjectKey) -> StorageResult<()> {
        self.around.call(Call::about(StorageOperation::Delete, key), || self.inner.delete(key)).await
    }

    async fn quota(&self) -> StorageResult<Quota> {
        self.around.call(Call::of(StorageOperation::Quota), || self.inner.quota()).await
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
impl<A: Around> ObjectLock for Layered<A> {
    async fn retain_until(&self, key: &ObjectKey, until: Timestamp) -> StorageResult<()> {
        let lock = self.inner.object_lock().ok_or_else(|| self.unsupported(EXTENSION))?;
        self.around.call(Call::about(EXTENSION, key), || lock.retain_until(key, until)).await
    }

    async fn retained_until(&self, key: &ObjectKey) -> StorageResult<Option<Timestamp>> {
        let lock = self.inner.object_lock().ok_or_else(|| self.unsupported(EXTENSION))?;
        self.around.call(Call::about(EXTENSION, key), || lock.retained_until(key)).await
    }
}

#[async_trait]
impl<A: Around> UploadMaintenance for Layered<A> {
    async fn abort_older_than(&self, age: Duration) -> StorageResult<u64> {
        let uploads = self.inner.uploads().ok_or_else(|| self.unsupported(EXTENSION))?;
        self.around.call(Call::of(EXTENSION), || uploads.abort_older_than(age)).await
    }
}

#[async_trait]
impl<A: Around> ColdStorage for Layered<A> {
    async fn warm_up(&self, key: &ObjectKey) -> StorageResult<()> {
        let cold = self.inner.cold().ok_or_else(|| self.unsupported(EXTENSION))?;
        self.around.call(Call::about(EXTENSION, key), || cold.warm_up(key)).await
    }

    async fn is_warm(&self, key: &ObjectKey) -> StorageResult<bool> {
        let cold = self.inner.cold().ok_or_else(|| self.unsupported(EXTENSION))?;
        self.around.call(Call::about(EXTENSION, key), || cold.is_warm(key)).await
    }
}

impl<A: fmt::Debug> fmt::Debug for Layered<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} around {:?}", self.around, self.inner)
    }
}
