//! Counting what a store is asked for and how long it takes.

use std::fmt;
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt};

use super::around::{Around, Call, Layered, Reply};
use crate::clock::Clock;
use crate::key::KeyPrefix;
use crate::storage::error::{StorageOperation, StorageResult};
use crate::storage::{ObjectMeta, StorageBackend};

/// Counters of one or more stores.
///
/// Counting costs a few atomic additions and two looks at the clock a call.
///
/// ```
/// use std::sync::Arc;
/// use backup_core::storage::layer::Metrics;
/// use backup_core::{MemoryBackend, ObjectKey, PutOptions, StorageBackend, StorageOperation, SystemClock};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let metrics = Arc::new(Metrics::new(Arc::new(SystemClock::new())));
/// let store = metrics.around(Arc::new(MemoryBackend::new()));
/// store.put(&ObjectKey::new("config")?, "hello".into(), &PutOptions::if_absent()).await?;
/// let puts = metrics.of(StorageOperation::Put);
/// assert_eq!((puts.calls, puts.errors, puts.sent_bytes), (1, 0, 5));
/// # Ok(())
/// # }
/// ```
pub struct Metrics {
    clock: Arc<dyn Clock>,
    counters: [Counters; OPERATIONS.len()],
}

/// Every operation, in the order of the counters.
const OPERATIONS: [StorageOperation; 9] = [
    StorageOperation::Connect,
    StorageOperation::Put,
    StorageOperation::Get,
    StorageOperation::Stat,
    StorageOperation::List,
    StorageOperation::Delete,
    StorageOperation::Quota,
    StorageOperation::Probe,
    StorageOperation::Extension,
];

/// Buckets of a latency histogram: up to 1 µs, up to 2 µs, … up to about 67 s, and longer.
const BUCKETS: usize = 28;

/// What one kind of operation has done so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationMetrics {
    /// Which operation.
    pub operation: StorageOperation,
    /// Calls that have begun.
    pub calls: u64,
    /// Calls that have ended, in success or failure; the others are under way or were dropped.
    pub finished: u64,
    /// Calls that failed.
    pub errors: u64,
    /// Bytes of objects sent by calls that succeeded.
    pub sent_bytes: u64,
    /// Bytes of objects received.
    pub received_bytes: u64,
    /// Objects that listings gave.
    pub listed: u64,
    /// How long the calls that have ended took together.
    pub total_time: Duration,
    /// How many of them took how long.
    pub latency: Latency,
}

/// How many calls took how long, in steps of a factor of two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latency {
    counts: [u64; BUCKETS],
}

#[derive(Debug, Default)]
struct Counters {
    calls: AtomicU64,
    finished: AtomicU64,
    errors: AtomicU64,
    sent_bytes: AtomicU64,
    received_bytes: AtomicU64,
    listed: AtomicU64,
    total_micros: AtomicU64,
    latency: [AtomicU64; BUCKETS],
}

impl Metrics {
    /// Counters at zero that take the time from `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, counters: Default::default() }
    }

    /// The store `inner`, counted here.
    pub fn around(self: &Arc<Self>, inner: Arc<dyn StorageBackend>) -> Layered<Self> {
        Layered::new(Arc::clone(self), inner)
    }

    /// What one kind of operation has done so far.
    pub fn of(&self, operation: StorageOperation) -> OperationMetrics {
        let counters = &self.counters[index(operation)];
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        OperationMetrics {
            operation,
            calls: get(&counters.calls),
            finished: get(&counters.finished),
            errors: get(&counters.errors),
            sent_bytes: get(&counters.sent_bytes),
            received_bytes: get(&counters.received_bytes),
            listed: get(&counters.listed),
            total_time: Duration::from_micros(get(&counters.total_micros)),
            latency: Latency { counts: std::array::from_fn(|bucket| get(&counters.latency[bucket])) },
        }
    }

    /// What every kind of operation that was called has done so far.
    pub fn all(&self) -> Vec<OperationMetrics> {
        OPERATIONS.iter().map(|operation| self.of(*operation)).filter(|metrics| metrics.calls > 0).collect()
    }

    fn begin(&self, operation: StorageOperation) -> Running<'_> {
        let counters = &self.counters[index(operation)];
        add(&counters.calls, 1);
        Running { metrics: self, counters, since: self.clock.monotonic() }
    }
}

/// A call under way.
struct Running<'a> {
    metrics: &'a Metrics,
    counters: &'a Counters,
    since: Duration,
}

impl Running<'_> {
    fn finish(&self, failed: bool) {
        let took = self.metrics.clock.monotonic().saturating_sub(self.since);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        add(&self.counters.finished, 1);
        add(&self.counters.errors, u64::from(failed));
        add(&self.counters.total_micros, micros);
        add(&self.counters.latency[bucket(micros)], 1);
    }
}

impl Latency {
    /// The buckets: an upper bound, `None` for the last one, and how many calls lie below it and above the one before.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<Duration>, u64)> {
        self.counts.iter().enumerate().map(|(bucket, count)| {
            let bound = (bucket + 1 < BUCKETS).then(|| Duration::from_micros(1 << bucket));
            (bound, *count)
        })
    }

    /// A time within which this share of the calls ended, such as 0.99; at most twice the true one.
    ///
    /// `None` when no call has ended or the bound is beyond the last bucket.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let total: u64 = self.counts.iter().sum();
        let mut below = 0;
        for (bound, count) in self.buckets() {
            below += count;
            if total > 0 && ratio(below, total) >= share {
                return bound;
            }
        }
        None
    }
}

impl Around for Metrics {
    async fn call<'a, T, F, Fut>(&'a self, call: Call<'a>, run: F) -> StorageResult<T>
    where
        T: Reply + 'a,
        F: Fn() -> Fut + Send + Sync + 'a,
        Fut: Future<Output = StorageResult<T>> + Send + 'a,
    {
        let running = self.begin(call.operation);
        let result = run().await;
        if let Ok(reply) = &result {
            add(&running.counters.sent_bytes, call.sent_bytes);
            add(&running.counters.received_bytes, reply.received_bytes());
        }
        running.finish(result.is_err());
        result
    }

    fn list<'a>(
        &'a self,
        inner: &'a dyn StorageBackend,
        prefix: &'a KeyPrefix,
    ) -> BoxStream<'a, StorageResult<ObjectMeta>> {
        let objects = async move {
            let running = self.begin(StorageOperation::List);
            inner.list(prefix).map(Some).chain(stream::iter([None])).scan(Some(running), |state, object| {
                match (&object, &state) {
                    (Some(Ok(_)), Some(running)) => add(&running.counters.listed, 1),
                    (Some(Err(_)) | None, Some(running)) => {
                        running.finish(object.is_some());
                        *state = None;
                    }
                    (_, None) => {}
                }
                ready(object)
            })
        };
        stream::once(objects).flatten().boxed()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls: u64 = self.all().iter().map(|metrics| metrics.calls).sum();
        write!(f, "Metrics({calls} calls)")
    }
}

fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

fn index(operation: StorageOperation) -> usize {
    match operation {
        StorageOperation::Connect => 0,
        StorageOperation::Put => 1,
        StorageOperation::Get => 2,
        StorageOperation::Stat => 3,
        StorageOperation::List => 4,
        StorageOperation::Delete => 5,
        StorageOperation::Quota => 6,
        StorageOperation::Probe => 7,
        StorageOperation::Extension => 8,
    }
}

/// The first bucket whose bound is not below `micros`.
fn bucket(micros: u64) -> usize {
    let bits = u64::BITS - micros.saturating_sub(1).leading_zeros();
    usize::try_from(bits).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

#[expect(clippy::cast_precision_loss, reason = "a share of calls needs no 53 bits")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use super::*;
    use crate::clock::{ManualClock, Timestamp};
    use crate::key::ObjectKey;
    use crate::storage::layer::fault::{FaultBackend, FaultKind, FaultRule};
    use crate::storage::memory::MemoryBackend;
    use crate::storage::{ByteRange, PutOptions};

    #[tokio::test]
    async fn calls_bytes_errors_and_objects_are_counted() {
        let metrics = Arc::new(Metrics::new(Arc::new(ManualClock::new(Timestamp::EPOCH))));
        let faulty = FaultBackend::new(Arc::new(MemoryBackend::new()));
        let store = metrics.around(Arc::new(faulty.clone()));
        let key = ObjectKey::new("a/b").unwrap();
        store.put(&key, "hello".into(), &PutOptions::overwrite()).await.unwrap();
        store.get(&key, ByteRange::Suffix { len_bytes: 2 }).await.unwrap();
        let all: Vec<_> = store.list(&KeyPrefix::all()).try_collect().await.unwrap();
        faulty.add(FaultRule::new(FaultKind::FailBefore));
        assert!(store.put(&key, "hello".into(), &PutOptions::overwrite()).await.is_err());
        assert!(store.list(&KeyPrefix::all()).try_collect::<Vec<_>>().await.is_err());
        assert!(store.list(&KeyPrefix::all()).next().await.unwrap().is_err());

        let put = metrics.of(StorageOperation::Put);
        assert_eq!((put.calls, put.finished, put.errors, put.sent_bytes), (2, 2, 1, 5));
        let get = metrics.of(StorageOperation::Get);
        assert_eq!((get.calls, get.errors, get.received_bytes), (1, 0, 2));
        let list = metrics.of(StorageOperation::List);
        assert_eq!((all.len(), list.calls, list.finished, list.errors, list.listed), (1, 3, 3, 2, 1));
        assert_eq!(metrics.all().len(), 3);
    }

    #[tokio::test]
    async fn latency_is_taken_from_the_clock_handed_in() {
        let clock = Arc::new(ManualClock::new(Timestamp::EPOCH));
        let metrics = Metrics::new(Arc::clone(&clock) as Arc<dyn Clock>);
        for (micros, times) in [(1, 98), (3_000, 1), (200_000_000, 1)] {
            for _ in 0..times {
                let call = Call { operation: StorageOperation::Stat, key: None, sent_bytes: 0 };
                let run = async || {
                    clock.advance(Duration::from_micros(micros));
                    Ok(())
                };
                metrics.call(call, run).await.unwrap();
            }
        }
        let stat = metrics.of(StorageOperation::Stat);
        assert_eq!(stat.total_time, Duration::from_micros(98 + 3_000 + 200_000_000));
        assert_eq!(stat.latency.quantile(0.5), Some(Duration::from_micros(1)));
        assert_eq!(stat.latency.quantile(0.99), Some(Duration::from_micros(4096)));
        assert_eq!(stat.latency.quantile(1.0), None);
        assert_eq!(stat.latency.buckets().map(|(_, count)| count).sum::<u64>(), 100);
    }

    #[test]
    fn index_names_the_place_in_the_list() {
        for (place, operation) in OPERATIONS.into_iter().enumerate() {
            assert_eq!(index(operation), place);
        }
    }
}
