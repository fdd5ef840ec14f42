//! A store that says what was put, and whose puts wait or fail as a test wants.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use backup_core::{
    BackendInfo, ByteRange, KeyPrefix, MemoryBackend, ObjectKey, ObjectMeta, PutBody, PutOptions, StorageBackend,
    StorageResult,
};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// What happens before a put or a get.
pub(crate) type Before = Box<dyn Fn(&ObjectKey) -> BoxFuture<'static, ()> + Send + Sync>;

/// The store.
pub(crate) struct WatchedBackend {
    inner: MemoryBackend,
    before_put: Before,
    before_get: Before,
    stored: UnboundedSender<ObjectKey>,
}

impl WatchedBackend {
    /// A store that sends the key of each object that was put.
    pub(crate) fn new(
        inner: &MemoryBackend,
        before_put: Before,
        before_get: Before,
    ) -> (Arc<Self>, UnboundedReceiver<ObjectKey>) {
        let (stored, keys) = unbounded_channel();
        (Arc::new(Self { inner: inner.clone(), before_put, before_get, stored }), keys)
    }

    /// The same where nothing happens before a put or a get.
    pub(crate) fn only(inner: &MemoryBackend) -> (Arc<Self>, UnboundedReceiver<ObjectKey>) {
        Self::new(inner, nothing(), nothing())
    }
}

/// Lets a call go on at once.
pub(crate) fn nothing() -> Before {
    Box::new(|_| Box::pin(std::future::ready(())))
}

impl fmt::Debug for WatchedBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchedBackend").finish_non_exhaustive()
    }
}

#[async_trait]
impl StorageBackend for WatchedBackend {
    fn info(&self) -> &BackendInfo {
        self.inner.info()
    }

    async fn put(&self, key: &ObjectKey, body: PutBody, options: &PutOptions) -> StorageResult<()> {
        (self.before_put)(key).await;
        self.inner.put(key, body, options).await?;
        // A test may have stopped to listen.
        let _ = self.stored.send(key.clone());
        Ok(())
    }

    async fn get(&self, key: &ObjectKey, range: ByteRange) -> StorageResult<Bytes> {
        (self.before_get)(key).await;
        self.inner.get(key, range).await
    }

    async fn stat(&self, key: &ObjectKey) -> StorageResult<ObjectMeta> {
        self.inner.stat(key).await
    }

    fn list<'a>(&'a self, prefix: &'a KeyPrefix) -> BoxStream<'a, StorageResult<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn delete(&self, key: &ObjectKey) -> StorageResult<()> {
        self.inner.delete(key).await
    }
}

/// Waits for the put of an object whose key begins so.
pub(crate) async fn wait_for(keys: &mut UnboundedReceiver<ObjectKey>, prefix: &str) -> ObjectKey {
    loop {
        let key = keys.recv().await.unwrap();
        if key.as_str().starts_with(prefix) {
            return key;
        }
    }
}
