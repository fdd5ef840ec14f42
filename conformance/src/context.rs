//! What a case has at hand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use backup_core::{
    ByteRange, Consistency, Grade, KeyPrefix, ObjectKey, ObjectMeta, PutBody, PutOptions, StorageBackend, StorageResult,
};
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};

use crate::content::difference;
use crate::harness::{FaultControl, Harness, Pace, RawView, Trouble};
use crate::pacing::paced;
use crate::verdict::{Stop, ensure, not_applicable};

/// How long something that happens in the background may take to come about.
const EVENTUALLY: Duration = Duration::from_secs(10);

/// How often to look whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A case's store and its surroundings.
pub(crate) struct Context {
    harness: Arc<dyn Harness>,
    space: String,
    pub(crate) pace: Pace,
    /// The first client.
    pub(crate) store: Arc<dyn StorageBackend>,
}

impl Context {
    pub(crate) async fn new(harness: Arc<dyn Harness>, space: String) -> StorageResult<Self> {
        let pace = harness.pace();
        let store = paced(harness.open(&space).await?, pace);
        Ok(Self { harness, space, pace, store })
    }

    pub(crate) fn harness(&self) -> &dyn Harness {
        self.harness.as_ref()
    }

    /// Another client of the same objects.
    pub(crate) async fn second(&self) -> StorageResult<Arc<dyn StorageBackend>> {
        Ok(paced(self.harness.open(&self.space).await?, self.pace))
    }

    /// A store with room for few bytes, in a space beside the case's own.
    pub(crate) async fn small(&self, total_bytes: u64) -> Result<Arc<dyn StorageBackend>, Stop> {
        let store = self.harness.open_small(&self.space, total_bytes).await?;
        store.ok_or_else(|| not_applicable("the harness has no store with little room"))
    }

    pub(crate) fn raw(&self) -> Result<Raw<'_>, Stop> {
        let view = self.harness.raw().ok_or_else(|| not_applicable("the harness has no raw view"))?;
        Ok(Raw { view, space: &self.space })
    }

    /// Makes the store fail until [`Context::well_again`].
    pub(crate) async fn trouble(&self, trouble: Trouble) -> Result<(), Stop> {
        match self.faults()?.begin(&self.space, trouble).await {
            true => Ok(()),
            false => Err(not_applicable(format!("the store can't be made to fail in this way: {trouble:?}"))),
        }
    }

    pub(crate) async fn well_again(&self) -> Result<(), Stop> {
        self.faults()?.end(&self.space).await;
        Ok(())
    }

    fn faults(&self) -> Result<&dyn FaultControl, Stop> {
        self.harness.faults().ok_or_else(|| not_applicable("the harness can't make the store fail"))
    }

    pub(crate) async fn put(&self, key: &ObjectKey, body: impl Into<PutBody>) -> StorageResult<()> {
        self.store.put(key, body.into(), &PutOptions::overwrite()).await
    }

    /// Puts an object that isn't there yet.
    pub(crate) async fn create(&self, key: &ObjectKey, body: impl Into<PutBody>) -> StorageResult<()> {
        self.store.put(key, body.into(), &self.create_options()).await
    }

    /// `IfAbsent` where the store declares to know it, and `Overwrite` elsewhere.
    pub(crate) fn create_options(&self) -> PutOptions {
        match self.store.info().capabilities.put_if_absent {
            Grade::None => PutOptions::overwrite(),
            Grade::BestEffort | Grade::Atomic => PutOptions::if_absent(),
        }
    }

    pub(crate) async fn get(&self, key: &ObjectKey) -> StorageResult<Bytes> {
        self.store.get(key, ByteRange::Full).await
    }

    /// Demands that an object holds exactly these bytes.
    pub(crate) async fn expect(&self, key: &ObjectKey, expected: &[u8]) -> Result<(), Stop> {
        let got = self.get(key).await?;
        ensure!(got == expected, "`{key}` does not hold what was stored: {}", difference(&got, expected));
        Ok(())
    }

    pub(crate) async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>, Stop> {
        Ok(self.store.list(&self::prefix(prefix)).try_collect().await?)
    }

    /// A listing as a map; fails when an object is there twice.
    pub(crate) async fn sizes(&self, prefix: &str) -> Result<BTreeMap<ObjectKey, u64>, Stop> {
        let mut sizes = BTreeMap::new();
        for meta in self.list(prefix).await? {
            let twice = sizes.insert(meta.key.clone(), meta.size_bytes).is_some();
            ensure!(!twice, "`{}` is listed twice", meta.key);
        }
        Ok(sizes)
    }

    /// Stores many small objects, several at once.
    pub(crate) async fn fill(&self, keys: impl IntoIterator<Item = ObjectKey>) -> StorageResult<()> {
        stream::iter(keys)
            .map(|key| async move { self.put(&key, Bytes::from(key.as_str().to_owned())).await })
            .buffer_unordered(self.pace.concurrency)
            .try_collect()
            .await
    }

    /// How large an object may be.
    pub(crate) fn largest_object(&self) -> usize {
        let declared = self.store.info().capabilities.max_object_bytes;
        declared.and_then(|max| usize::try_from(max).ok()).unwrap_or(usize::MAX)
    }

    /// Waits until reads must show what was done.
    pub(crate) async fn settle_reads(&self) {
        self.settle(self.store.info().capabilities.read_after_write).await;
    }

    /// Waits until listings must show what was done.
    pub(crate) async fn settle_lists(&self) {
        self.settle(self.store.info().capabilities.list_after_write).await;
    }

    async fn settle(&self, consistency: Consistency) {
        let declared = match consistency {
            Consistency::Strong => Duration::ZERO,
            Consistency::Session(within) | Consistency::Bounded(within) => within,
        };
        let wait = declared + self.pace.settle;
        if wait > Duration::ZERO {
            tokio::time::sleep(wait).await;
        }
    }

    /// Whether reads show at once what was done.
    pub(crate) fn reads_are_strong(&self) -> bool {
        self.store.info().capabilities.read_after_write == Consistency::Strong
    }
}

/// The place behind a case's store.
pub(crate) struct Raw<'a> {
    view: &'a dyn RawView,
    space: &'a str,
}

impl Raw<'_> {
    pub(crate) async fn names(&self) -> Vec<(String, u64)> {
        self.view.names(self.space).await
    }

    pub(crate) async fn plant(&self, name: &str) -> bool {
        self.view.plant(self.space, name).await
    }

    pub(crate) async fn plant_unfinished(&self, age: Duration) -> bool {
        self.view.plant_unfinished(self.space, age).await
    }

    /// Names that are no keys: what an upload left, or somebody else.
    pub(crate) async fn foreign(&self) -> Vec<String> {
        let names = self.names().await.into_iter().map(|(name, _)| name);
        names.filter(|name| ObjectKey::new(name.as_str()).is_err()).collect()
    }
}

/// Waits until `look` finds nothing to object to; its last objection otherwise.
pub(crate) async fn eventually<F>(mut look: impl FnMut() -> F) -> Result<(), Stop>
where
    F: Future<Output = Result<(), Stop>>,
{
    let begun = tokio::time::Instant::now();
    loop {
        match look().await {
            Err(Stop::Failed(_)) if begun.elapsed() < EVENTUALLY => tokio::time::sleep(LOOK_EVERY).await,
            seen => return seen,
        }
    }
}

/// A key that is known to be valid.
#[track_caller]
pub(crate) fn key(text: impl Into<String>) -> ObjectKey {
    ObjectKey::new(text).expect("the suite uses valid keys")
}

/// A prefix that is known to be valid.
#[track_caller]
pub(crate) fn prefix(text: &str) -> KeyPrefix {
    KeyPrefix::new(text).expect("the suite uses valid prefixes")
}
