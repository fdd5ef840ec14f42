//! Doing again what failed for a passing reason.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep};

use super::around::{Around, Call, Layered, Reply};
use crate::key::{KeyPrefix, ObjectKey};
use crate::storage::error::{RetryAdvice, StorageError, StorageErrorKind, StorageOperation, StorageResult};
use crate::storage::{ByteRange, ObjectMeta, PutBody, PutMode, PutOptions, StorageBackend};

/// How often and for how long to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts for one call, the first included; 8.
    pub max_attempts: u32,
    /// Time for one call, waits included, after which no new attempt begins; 2 minutes.
    pub max_total: Duration,
    /// Upper bound of the first wait; it doubles with each attempt; 250 ms.
    pub first_wait: Duration,
    /// Upper bound of every wait that the store doesn't ask for; 20 s.
    pub max_wait: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 8,
            max_total: Duration::from_secs(120),
            first_wait: Duration::from_millis(250),
            max_wait: Duration::from_secs(20),
        }
    }
}

/// Repeats calls that failed for a passing reason.
///
/// What an error's [`RetryAdvice`] says is done: `Never` and `Reauth` are handed on at once; `After` waits so long and a
/// random part of an exponentially growing time more, so that clients that failed together don't come back together.
/// A create-only put that may have taken effect is looked for before it is repeated, and one that is told `AlreadyExists`
/// on a repetition has succeeded if the very same bytes are there. A listing goes on after an error with what it had not
/// given yet, for which it remembers 16 bytes an object.
///
/// Waiting is done on Tokio's clock. The seed decides the random part of the waits.
///
/// ```
/// use std::sync::Arc;
/// use backup_core::storage::layer::{FaultBackend, FaultKind, FaultRule, Retry, RetryPolicy};
/// use backup_core::{MemoryBackend, ObjectKey, PutOptions, StorageBackend};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let flaky = FaultBackend::new(Arc::new(MemoryBackend::new()));
/// flaky.add(FaultRule::new(FaultKind::FailBefore).times(1));
/// let store = Retry::new(RetryPolicy::default(), 42).around(Arc::new(flaky));
/// store.put(&ObjectKey::new("config")?, "hello".into(), &PutOptions::if_absent()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Retry {
    policy: RetryPolicy,
    random: AtomicU64,
}

impl Retry {
    /// Retries by a policy.
    pub fn new(policy: RetryPolicy, seed: u64) -> Self {
        Self { policy, random: AtomicU64::new(seed) }
    }

    /// The store `inner` with retries.
    pub fn around(self, inner: Arc<dyn StorageBackend>) -> Layered<Self> {
        Layered::new(Arc::new(self), inner)
    }

    fn attempts(&self) -> Attempts<'_> {
        Attempts { retry: self, made: 0, since: Instant::now() }
    }

    /// A random duration below `bound`.
    fn jitter(&self, bound: Duration) -> Duration {
        // SplitMix64; the additive constant makes every state come up once.
        let mut x = self.random.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^= x >> 31;
        let nanos = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
        let scaled = (u128::from(x) * u128::from(nanos)) >> 64;
        Duration::from_nanos(u64::try_from(scaled).unwrap_or(nanos))
    }
}

/// The budget of one call.
struct Attempts<'a> {
    retry: &'a Retry,
    made: u32,
    since: Instant,
}

impl Attempts<'_> {
    /// Waits as long as the error and the policy ask for, or gives the error back when there is no use in going on.
    async fn wait_after(&mut self, error: StorageError) -> StorageResult<()> {
        let asked = match error.retry() {
            RetryAdvice::Never | RetryAdvice::Reauth => return Err(error),
            RetryAdvice::After(asked) => asked,
            RetryAdvice::Verify => Duration::ZERO,
        };
        let policy = &self.retry.policy;
        let doublings = self.made.min(31);
        self.made += 1;
        let bound = policy.first_wait.saturating_mul(1 << doublings).min(policy.max_wait);
        let wait = asked.saturating_add(self.retry.jitter(bound));
        if self.made >= policy.max_attempts || self.since.elapsed().saturating_add(wait) > policy.max_total {
            return Err(gave_up(error, self.made));
        }
        sleep(wait).await;
        Ok(())
    }
}

fn gave_up(error: StorageError, attempts: u32) -> StorageError {
    let detail = match error.detail() {
        Some(detail) => format!("{detail}; attempts: {attempts}"),
        None => format!("attempts: {attempts}"),
    };
    error.with_detail(detail)
}

impl Around for Retry {
    async fn call<'a, T, F, Fut>(&'a self, _call: Call<'a>, run: F) -> StorageResult<T>
    where
        T: Reply + 'a,
        F: Fn() -> Fut + Send + Sync + 'a,
        Fut: Future<Output = StorageResult<T>> + Send + 'a,
    {
        let mut attempts = self.attempts();
        loop {
            match run().await {
                Ok(reply) => return Ok(reply),
                Err(error) => attempts.wait_after(error).await?,
            }
        }
    }

    async fn put<'a>(
        &'a self,
        inner: &'a dyn StorageBackend,
        key: &'a ObjectKey,
        body: PutBody,
        options: &'a PutOptions,
    ) -> StorageResult<()> {
        let mut attempts = self.attempts();
        loop {
            let error = match inner.put(key, body.clone(), options).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let create_only = options.mode == PutMode::IfAbsent;
            if create_only && error.kind() == StorageErrorKind::AlreadyExists {
                // The first attempt speaks the truth; a later one may have met the work of an earlier one.
                let ours = attempts.made > 0 && self.is_stored(inner, key, &body).await? == Some(true);
                return if ours { Ok(()) } else { Err(error) };
            }
            let verify = create_only && error.retry() == RetryAdvice::Verify;
            attempts.wait_after(error).await?;
            // An overwrite is simply done again: it is the same whether it took effect or not.
            if verify {
                match self.is_stored(inner, key, &body).await? {
                    Some(true) => return Ok(()),
                    Some(false) => return Err(already_exists(key)),
                    None => {}
                }
            }
        }
    }

    fn list<'a>(
        &'a self,
        inner: &'a dyn StorageBackend,
        prefix: &'a KeyPrefix,
    ) -> BoxStream<'a, StorageResult<ObjectMeta>> {
        let listing = Listing { inner, prefix, attempts: self.attempts(), objects: None, given: HashSet::new() };
        stream::unfold(Some(listing), |listing| async {
            let mut listing = listing?;
            match listing.next().await {
                Some(Ok(meta)) => Some((Ok(meta), Some(listing))),
                Some(Err(error)) => Some((Err(error), None)),
                None => None,
            }
        })
        .boxed()
    }
}

impl Retry {
    /// Whether exactly these bytes are there, `None` when nothing is.
    async fn is_stored(
        &self,
        inner: &dyn StorageBackend,
        key: &ObjectKey,
        body: &PutBody,
    ) -> StorageResult<Option<bool>> {
        let call = |operation| Call { operation, key: Some(key), sent_bytes: 0 };
        match self.call(call(StorageOperation::Stat), || inner.stat(key)).await {
            Err(error) if error.kind() == StorageErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
            Ok(meta) if meta.size_bytes != body.len_bytes() => return Ok(Some(false)),
            Ok(_) => {}
        }
        // Another client's object may have the same size, and its owner relies on being the only one who made it.
        match self.call(call(StorageOperation::Get), || inner.get(key, ByteRange::Full)).await {
            Err(error) if error.kind() == StorageErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
            Ok(bytes) => Ok(Some(holds(&bytes, body))),
        }
    }
}

fn holds(mut bytes: &[u8], body: &PutBody) -> bool {
    body.pieces().iter().all(|piece| match bytes.strip_prefix(&piece[..]) {
        Some(rest) => {
            bytes = rest;
            true
        }
        None => false,
    }) && bytes.is_empty()
}

fn already_exists(key: &ObjectKey) -> StorageError {
    StorageError::new(StorageErrorKind::AlreadyExists, StorageOperation::Put).with_key(key)
}

/// A listing that starts again after an error and leaves out what it has given.
struct Listing<'a> {
    inner: &'a dyn StorageBackend,
    prefix: &'a KeyPrefix,
    attempts: Attempts<'a>,
    objects: Option<BoxStream<'a, StorageResult<ObjectMeta>>>,
    given: HashSet<[u8; 16]>,
}

impl Listing<'_> {
    async fn next(&mut self) -> Option<StorageResult<ObjectMeta>> {
        loop {
            let objects = self.objects.get_or_insert_with(|| self.inner.list(self.prefix));
            match objects.next().await? {
                Ok(meta) if self.given.insert(fingerprint(&meta.key)) => return Some(Ok(meta)),
                Ok(_) => {}
                Err(error) => {
                    self.objects = None;
                    if let Err(error) = self.attempts.wait_after(error).await {
                        return Some(Err(error));
                    }
                }
            }
        }
    }
}

/// Half of a SHA-256: two keys that share it would need 2^64 objects to come up.
fn fingerprint(key: &ObjectKey) -> [u8; 16] {
    let digest = Sha256::digest(key.as_str());
    std::array::from_fn(|at| digest[at])
}

#[cfg(test)]
mod tests;
