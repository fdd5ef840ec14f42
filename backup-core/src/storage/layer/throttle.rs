//! How many bytes a second go to and come from a store.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::stream::BoxStream;
use tokio::time::{Instant, sleep_until};

use super::around::{Around, Call, Layered, Reply};
use crate::key::KeyPrefix;
use crate::storage::error::StorageResult;
use crate::storage::{ObjectMeta, StorageBackend};

/// Bounds the average rate of bytes, up and down apart.
///
/// A call waits until what went before it has had its time at the rate that is set; an object itself goes as fast as the
/// line allows. Over any longer time the rate holds, whatever the number of calls at once. Counts the bytes of objects,
/// not those of protocols, listings or repetitions further in.
///
/// ```
/// use std::sync::Arc;
/// use backup_core::MemoryBackend;
/// use backup_core::storage::layer::Throttle;
///
/// let throttle = Arc::new(Throttle::new());
/// let store = throttle.around(Arc::new(MemoryBackend::new()));
/// throttle.set_up(Some(1_000_000));
/// throttle.set_up(None);
/// ```
#[derive(Debug, Default)]
pub struct Throttle {
    up: Lane,
    down: Lane,
}

#[derive(Debug, Default)]
struct Lane {
    /// 0 without a bound.
    bytes_per_sec: AtomicU64,
    free_from: Mutex<Option<Instant>>,
}

impl Throttle {
    /// A throttle that lets everything through until it is told otherwise.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the rate of uploads in bytes a second, `None` without a bound; holds from the next call on.
    pub fn set_up(&self, bytes_per_sec: Option<u64>) {
        self.up.set(bytes_per_sec);
    }

    /// Sets the rate of downloads in bytes a second, `None` without a bound; holds from the next call on.
    pub fn set_down(&self, bytes_per_sec: Option<u64>) {
        self.down.set(bytes_per_sec);
    }

    /// The store `inner` with this throttle, which it shares with every other store around which it is put.
    pub fn around(self: &Arc<Self>, inner: Arc<dyn StorageBackend>) -> Layered<Self> {
        Layered::new(Arc::clone(self), inner)
    }
}

impl Lane {
    fn set(&self, bytes_per_sec: Option<u64>) {
        // A rate of nothing would never end.
        self.bytes_per_sec.store(bytes_per_sec.map_or(0, |rate| rate.max(1)), Ordering::Relaxed);
        *self.free_from.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Books the time that `bytes` take, after what is booked already, and says when that begins.
    fn book(&self, bytes: u64) -> Instant {
        let now = Instant::now();
        let takes = match self.bytes_per_sec.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            rate => {
                let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate);
                Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
            }
        };
        let mut free_from = self.free_from.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = free_from.map_or(now, |at| at.max(now));
        *free_from = begin.checked_add(takes);
        begin
    }
}

impl Around for Throttle {
    async fn call<'a, T, F, Fut>(&'a self, call: Call<'a>, run: F) -> StorageResult<T>
    where
        T: Reply + 'a,
        F: Fn() -> Fut + Send + Sync + 'a,
        Fut: Future<Output = StorageResult<T>> + Send + 'a,
    {
        if call.sent_bytes > 0 {
            sleep_until(self.up.book(call.sent_bytes)).await;
        }
        if call.operation == crate::storage::error::StorageOperation::Get {
            sleep_until(self.down.book(0)).await;
        }
        let result = run().await;
        if let Ok(reply) = &result
            && reply.received_bytes() > 0
        {
            self.down.book(reply.received_bytes());
        }
        result
    }

    fn list<'a>(
        &'a self,
        inner: &'a dyn StorageBackend,
        prefix: &'a KeyPrefix,
    ) -> BoxStream<'a, StorageResult<ObjectMeta>> {
        inner.list(prefix)
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;

    use super::*;
    use crate::key::ObjectKey;
    use crate::storage::memory::MemoryBackend;
    use crate::storage::{ByteRange, PutOptions};

    fn throttled() -> (Arc<Throttle>, Layered<Throttle>) {
        let throttle = Arc::new(Throttle::new());
        let store = throttle.around(Arc::new(MemoryBackend::new()));
        (throttle, store)
    }

    async fn put(store: &Layered<Throttle>, number: usize, len: usize) {
        let key = ObjectKey::new(format!("a/{number}")).unwrap();
        store.put(&key, vec![0; len].into(), &PutOptions::overwrite()).await.unwrap();
    }

    async fn get(store: &Layered<Throttle>, number: usize) {
        store.get(&ObjectKey::new(format!("a/{number}")).unwrap(), ByteRange::Full).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn the_average_rate_holds_in_each_direction_and_with_many_calls() {
        let (throttle, store) = throttled();
        throttle.set_up(Some(1_000));
        throttle.set_down(Some(10_000));
        let begun = Instant::now();
        join_all((0..11).map(|number| put(&store, number, 2_000))).await;
        assert_eq!(begun.elapsed().as_secs(), 20, "the eleventh begins after ten times 2 seconds");
        let begun = Instant::now();
        for number in 0..11 {
            get(&store, number).await;
        }
        assert_eq!(begun.elapsed().as_secs(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_saves_nothing_up_and_a_new_rate_holds_at_once() {
        let (throttle, store) = throttled();
        throttle.set_up(Some(1_000));
        put(&store, 0, 1_000).await;
        tokio::time::advance(Duration::from_secs(100)).await;
        let begun = Instant::now();
        put(&store, 1, 5_000).await;
        put(&store, 2, 5_000).await;
        assert_eq!(begun.elapsed().as_secs(), 5);
        throttle.set_up(None);
        let begun = Instant::now();
        for number in 0..5 {
            put(&store, number, 1_000_000).await;
        }
        assert_eq!(begun.elapsed().as_secs(), 0);
    }
}
