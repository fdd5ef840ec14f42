//! How many calls a store gets at once.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::around::{Around, Call, Layered, Reply};
use crate::key::KeyPrefix;
use crate::storage::error::{StorageError, StorageErrorKind, StorageOperation, StorageResult};
use crate::storage::{ObjectMeta, StorageBackend};

/// Bounds the calls that a store gets at once, and finds out by itself how many it likes.
///
/// Begins with the most it was given. When the store answers `RateLimited` the limit is halved, once for all calls that
/// were under way together; as many successes in a row as the limit stands at raise it by one. A listing holds its place
/// until its first object, so that whoever reads it can make other calls.
///
/// ```
/// use std::sync::Arc;
/// use backup_core::MemoryBackend;
/// use backup_core::storage::layer::Limit;
///
/// let limit = Arc::new(Limit::new(8));
/// let store = limit.around(Arc::new(MemoryBackend::new()));
/// assert_eq!(limit.current(), 8);
/// ```
pub struct Limit {
    places: Semaphore,
    max: usize,
    state: Mutex<State>,
}

struct State {
    /// How many calls may run at once.
    limit: usize,
    /// Places that still have to be taken out of use because the limit was lowered.
    surplus: usize,
    /// Successes since the limit last changed.
    successes: usize,
    /// Counts the halvings, so that calls which began before one don't cause another.
    halvings: u64,
}

impl Limit {
    /// A limit of at most `max` calls at once; 0 counts as 1.
    pub fn new(max: usize) -> Self {
        let max = max.clamp(1, Semaphore::MAX_PERMITS);
        let state = State { limit: max, surplus: 0, successes: 0, halvings: 0 };
        Self { places: Semaphore::new(max), max, state: Mutex::new(state) }
    }

    /// The store `inner` with this limit, which it shares with every other store around which it is put.
    pub fn around(self: &Arc<Self>, inner: Arc<dyn StorageBackend>) -> Layered<Self> {
        Layered::new(Arc::clone(self), inner)
    }

    /// How many calls may run at once now.
    pub fn current(&self) -> usize {
        self.state().limit
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn enter(&self, operation: StorageOperation) -> StorageResult<Place<'_>> {
        match self.places.acquire().await {
            Ok(permit) => Ok(Place { limit: self, permit: Some(permit), halvings: self.state().halvings }),
            // Nobody closes the semaphore; if somebody did, this is what it would mean.
            Err(closed) => Err(StorageError::new(StorageErrorKind::Cancelled, operation).with_source(closed)),
        }
    }
}

/// A call's place among those that may run.
struct Place<'a> {
    limit: &'a Limit,
    permit: Option<SemaphorePermit<'a>>,
    halvings: u64,
}

impl Place<'_> {
    fn learn(&self, error: Option<&StorageError>) {
        let mut state = self.limit.state();
        match error {
            None => {
                state.successes += 1;
                if state.successes >= state.limit && state.limit < self.limit.max {
                    state.successes = 0;
                    state.limit += 1;
                    match state.surplus.checked_sub(1) {
                        Some(less) => state.surplus = less,
                        None => self.limit.places.add_permits(1),
                    }
                }
            }
            Some(error) if error.kind() == StorageErrorKind::RateLimited && self.halvings == state.halvings => {
                let halved = (state.limit / 2).max(1);
                state.surplus += state.limit - halved;
                state.limit = halved;
                state.successes = 0;
                state.halvings += 1;
            }
            Some(_) => state.successes = 0,
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.limit.state();
        if state.surplus > 0
            && let Some(permit) = self.permit.take()
        {
            state.surplus -= 1;
            permit.forget();
        }
    }
}

impl Around for Limit {
    async fn call<'a, T, F, Fut>(&'a self, call: Call<'a>, run: F) -> StorageResult<T>
    where
        T: Reply + 'a,
        F: Fn() -> Fut + Send + Sync + 'a,
        Fut: Future<Output = StorageResult<T>> + Send + 'a,
    {
        let place = self.enter(call.operation).await?;
        let result = run().await;
        place.learn(result.as_ref().err());
        result
    }

    fn list<'a>(
        &'a self,
        inner: &'a dyn StorageBackend,
        prefix: &'a KeyPrefix,
    ) -> BoxStream<'a, StorageResult<ObjectMeta>> {
        let objects = async move {
            let place = match self.enter(StorageOperation::List).await {
                Ok(place) => place,
                Err(error) => return stream::iter([Err(error)]).boxed(),
            };
            let mut objects = inner.list(prefix);
            let first = objects.next().await;
            place.learn(first.as_ref().and_then(|first| first.as_ref().err()));
            stream::iter(first).chain(objects).boxed()
        };
        stream::once(objects).flatten().boxed()
    }
}

impl fmt::Debug for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Limit({} of {})", self.current(), self.max)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::future::join_all;

    use super::*;
    use crate::key::ObjectKey;
    use crate::storage::error::RetryAdvice;
    use crate::storage::layer::fault::{FaultBackend, FaultKind, FaultRule};
    use crate::storage::memory::MemoryBackend;
    use tokio::time::Instant;

    fn limited(max: usize) -> (FaultBackend, Arc<Limit>, Layered<Limit>) {
        let faulty = FaultBackend::new(Arc::new(MemoryBackend::new()));
        let limit = Arc::new(Limit::new(max));
        let store = limit.around(Arc::new(faulty.clone()));
        (faulty, limit, store)
    }

    async fn stat(store: &Layered<Limit>) -> Option<StorageErrorKind> {
        store.stat(&ObjectKey::new("missing").unwrap()).await.err().map(|error| error.kind())
    }

    async fn put(store: &Layered<Limit>) {
        store.put(&ObjectKey::new("a").unwrap(), "1".into(), &Default::default()).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_calls_run_at_once_than_allowed() {
        let (faulty, _, store) = limited(3);
        faulty.add(FaultRule::new(FaultKind::Delay(Duration::from_secs(1))));
        let begun = Instant::now();
        join_all((0..9).map(|_| stat(&store))).await;
        assert_eq!(begun.elapsed().as_secs(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn rate_limits_halve_once_for_all_under_way_and_success_raises_again() {
        let (faulty, limit, store) = limited(8);
        let slow_down = (StorageErrorKind::RateLimited, RetryAdvice::After(Duration::ZERO));
        // The store answers only after all eight have been asked.
        faulty.add(FaultRule::new(FaultKind::FailAfter).times(8).error(slow_down.0, slow_down.1));
        assert_eq!(join_all((0..8).map(|_| stat(&store))).await, [Some(StorageErrorKind::RateLimited); 8]);
        assert_eq!(limit.current(), 4);

        faulty.add(FaultRule::new(FaultKind::Delay(Duration::from_secs(1))).on(StorageOperation::Stat));
        let begun = Instant::now();
        join_all((0..8).map(|_| stat(&store))).await;
        assert_eq!(begun.elapsed().as_secs(), 2, "only four places are left");

        for _ in 0..4 {
            put(&store).await;
        }
        assert_eq!(limit.current(), 5);
        for _ in 0..100 {
            put(&store).await;
        }
        assert_eq!(limit.current(), 8);
        let begun = Instant::now();
        join_all((0..8).map(|_| stat(&store))).await;
        assert_eq!(begun.elapsed().as_secs(), 1, "all eight places are back");
    }

    #[tokio::test(start_paused = true)]
    async fn the_limit_never_falls_below_one() {
        let (faulty, limit, store) = limited(2);
        faulty.add(FaultRule::new(FaultKind::FailBefore).error(StorageErrorKind::RateLimited, RetryAdvice::Never));
        for _ in 0..5 {
            stat(&store).await;
        }
        assert_eq!(limit.current(), 1);
        faulty.heal();
        assert_eq!(stat(&store).await, Some(StorageErrorKind::NotFound));
    }

    #[tokio::test(start_paused = true)]
    async fn a_listing_lets_its_reader_make_calls() {
        let (_, _, store) = limited(1);
        put(&store).await;
        let prefix = KeyPrefix::all();
        let mut objects = store.list(&prefix);
        let first = objects.next().await.unwrap().unwrap();
        let stat = tokio::time::timeout(Duration::from_secs(1), store.stat(&first.key)).await;
        assert!(stat.unwrap().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_call_gives_its_place_back() {
        let (faulty, _, store) = limited(1);
        faulty.add(FaultRule::new(FaultKind::Delay(Duration::from_secs(60))).times(1));
        assert!(tokio::time::timeout(Duration::from_secs(1), stat(&store)).await.is_err());
        assert!(tokio::time::timeout(Duration::from_secs(1), stat(&store)).await.is_ok());
    }
}
