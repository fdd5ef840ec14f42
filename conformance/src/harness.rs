//! What an author provides so that the suite can run against a backend.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backup_core::key::MAX_KEY_BYTES;
use backup_core::{StorageBackend, StorageResult};

/// Gives the suite stores to try.
///
/// ```
/// use std::sync::Arc;
/// use async_trait::async_trait;
/// use backup_conformance::Harness;
/// use backup_core::{MemoryBackend, StorageBackend, StorageResult};
///
/// struct Memory(MemoryBackend);
///
/// #[async_trait]
/// impl Harness for Memory {
///     // One case, one harness: the space needs no separating here.
///     async fn open(&self, _space: &str) -> StorageResult<Arc<dyn StorageBackend>> {
///         Ok(Arc::new(self.0.clone()))
///     }
/// }
///
/// let report = tokio::runtime::Runtime::new()?.block_on(async {
///     backup_conformance::Runner::new(|| Memory(MemoryBackend::new())).only("put_get_roundtrip").run().await
/// });
/// assert_eq!((report.passed(), report.failed()), (1, 0));
/// # Ok::<(), std::io::Error>(())
/// ```
#[async_trait]
pub trait Harness: Send + Sync + 'static {
    /// A new client of a space.
    ///
    /// Each case has a space of its own, a name of lower-case letters, digits and `-`. The first client of a space finds
    /// it empty; every further one is independent of the others and sees the same objects.
    async fn open(&self, space: &str) -> StorageResult<Arc<dyn StorageBackend>>;

    /// A client of a space with room for about `total_bytes` of objects, where that can be arranged.
    async fn open_small(&self, _space: &str, _total_bytes: u64) -> StorageResult<Option<Arc<dyn StorageBackend>>> {
        Ok(None)
    }

    /// A look at the place behind the backend's back, where there is one.
    fn raw(&self) -> Option<&dyn RawView> {
        None
    }

    /// A way to make the store fail, where there is one.
    fn faults(&self) -> Option<&dyn FaultControl> {
        None
    }

    /// How much the suite may ask of this store.
    fn pace(&self) -> Pace {
        Pace::default()
    }

    /// Texts that must show up nowhere: the passwords and tokens that the harness opens the store with.
    fn secrets(&self) -> Vec<String> {
        Vec::new()
    }

    /// Cases that can't say anything about this store, each with the reason.
    ///
    /// The name of a group stands for all of its cases, and demands that none of them applies.
    ///
    /// [`suite!`](crate::suite) fails when a case that isn't named here turns out not to apply, or one that is named
    /// here does: so nothing is left out unnoticed.
    fn not_applicable(&self) -> &[(&'static str, &'static str)] {
        &[]
    }

    /// Removes everything of a space, after its case.
    async fn cleanup(&self, _space: &str) {}
}

/// The place where objects lie, seen without the backend.
#[async_trait]
pub trait RawView: Send + Sync {
    /// Every name in a space with its size: objects under their keys, and whatever else is there.
    async fn names(&self, space: &str) -> Vec<(String, u64)>;

    /// Leaves something under a name that is no key, as another program would; `false` where that can't be.
    async fn plant(&self, space: &str, name: &str) -> bool;

    /// Leaves an unfinished upload of such an age, as a killed process would; `false` where the store has none.
    async fn plant_unfinished(&self, space: &str, age: Duration) -> bool;
}

/// A way to make the store behind a backend fail.
#[async_trait]
pub trait FaultControl: Send + Sync {
    /// From now on this goes wrong in a space; `false` where this store can't be made to.
    async fn begin(&self, space: &str, trouble: Trouble) -> bool;

    /// From now on all is well again.
    async fn end(&self, space: &str);
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trouble {
    /// Puts fail half-way.
    PutBreaks,
    /// Listings fail after some of the objects.
    ListBreaks,
    /// The bytes of what is read stop half-way.
    GetBreaks,
    /// The next put or delete takes effect and its answer doesn't arrive; everything else goes well.
    AnswerLost,
    /// The store refuses every call and asks to come back later.
    Throttled {
        /// How much later.
        after: Duration,
    },
    /// Every call fails on the store's side, as with a status of 500 or 503.
    ServerErrors,
    /// Nobody answers at the store's address: connections are refused or its name is not known.
    Unreachable,
    /// What puts send arrives changed.
    Corrupts,
    /// Calls get no answer and no end.
    Stalls,
    /// The token that the store is used with has expired; getting a new one goes well.
    TokenExpired,
    /// Access was taken away for good.
    TokenRevoked,
    /// What is stored so far has gone to cold storage.
    GoesCold,
}

/// How much the suite may ask of a store; slow or metered services run the same cases with smaller numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pace {
    /// Longest key; 200, which is the longest there can be. Less for a store below a prefix, which takes its part.
    pub max_key_bytes: usize,
    /// Objects in the largest listing; 2,500, which is more than two pages of any store.
    pub max_objects: usize,
    /// Size of the largest object; 32 MiB.
    pub large_bytes: usize,
    /// Clients that race to create one key; 24.
    pub racers: usize,
    /// How often a race is run; 3.
    pub rounds: usize,
    /// Calls at once where a case has many to make; 8.
    pub concurrency: usize,
    /// Where the schedules of cases begin that do things in random order; they print it when they fail.
    pub seed: u64,
    /// Operations on one key of which a history is made; 160. With 0 there is none: for stores behind something that does overwrites again whose
    /// answer was lost, which then take effect twice.
    pub history_operations: usize,
    /// A wait before each call; none.
    pub request_interval: Duration,
    /// A wait on top of the consistency that the store declares; none.
    pub settle: Duration,
    /// How long one case may take; 2 minutes.
    pub case_limit: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            max_key_bytes: MAX_KEY_BYTES,
            max_objects: 2_500,
            large_bytes: 32 << 20,
            racers: 24,
            rounds: 3,
            concurrency: 8,
            seed: 1,
            history_operations: 160,
            request_interval: Duration::ZERO,
            settle: Duration::ZERO,
            case_limit: Duration::from_secs(120),
        }
    }
}
