//! A wait before each call, for stores that ask for it.

use std::sync::Arc;
use std::time::Duration;

use backup_core::storage::layer::{Around, Call, Layered, Reply};
use backup_core::{KeyPrefix, ObjectMeta, StorageBackend, StorageResult};
use futures::stream::{self, BoxStream, StreamExt};

use crate::harness::Pace;

#[derive(Debug)]
struct Interval(Duration);

/// The store with the pace's interval before each call.
pub(crate) fn paced(store: Arc<dyn StorageBackend>, pace: Pace) -> Arc<dyn StorageBackend> {
    match pace.request_interval {
        Duration::ZERO => store,
        interval => Arc::new(Layered::new(Arc::new(Interval(interval)), store)),
    }
}

impl Around for Interval {
    async fn call<'a, T, F, Fut>(&'a self, _call: Call<'a>, run: F) -> StorageResult<T>
    where
        T: Reply + 'a,
        F: Fn() -> Fut + Send + Sync + 'a,
        Fut: Future<Output = StorageResult<T>> + Send + 'a,
    {
        tokio::time::sleep(self.0).await;
        run().await
    }

    fn list<'a>(
        &'a self,
        inner: &'a dyn StorageBackend,
        prefix: &'a KeyPrefix,
    ) -> BoxStream<'a, StorageResult<ObjectMeta>> {
        let objects = async move {
            tokio::time::sleep(self.0).await;
            inner.list(prefix)
        };
        stream::once(objects).flatten().boxed()
    }
}
