//! A store that fails on demand and remembers what was asked of it; for tests.

mod extensions;
mod plan;
#[cfg(test)]
mod tests;

use std::fmt;
use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};

use self::plan::State;
use crate::key::{KeyPrefix, ObjectKey};
use crate::storage::error::{StorageError, StorageOperation, StorageResult};
use crate::storage::{BackendInfo, ByteRange, ObjectMeta, PutBody, PutOptions, Quota, StorageBackend};
use crate::storage::{ColdStorage, ObjectLock, UploadMaintenance};

pub use self::plan::{FaultRule, OperationRecord, Outcome};

/// What goes wrong in an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// The operation fails and the store is as before.
    FailBefore,
    /// The operation takes effect and then fails: the reply is lost.
    FailAfter,
    /// A put leaves the first half of the bytes under the key, as a store does that breaks its promise, and fails; a
    /// listing gives half of the objects and then fails; any other operation fails as with [`FaultKind::FailAfter`].
    Tear,
    /// The operation takes so long and then goes on as usual.
    Delay(Duration),
    /// A listing shows the store as it was before the operation of this number, as far as puts and deletes went through
    /// this decorator; other operations go on as usual.
    StaleList {
        /// The first operation that the listing doesn't know of.
        since: u64,
    },
    /// A get gives, or a put stores, bytes with one bit flipped in the middle, and says that all is well; other
    /// operations go on as usual.
    WrongBytes,
}

impl FaultKind {
    /// The ways in which an operation can end when the process or the store dies in it; a crash sweep tries each.
    pub const CRASHES: [Self; 3] = [Self::FailBefore, Self::FailAfter, Self::Tear];
}

/// A store that fails on demand; clones share the demand, the counter and the log.
///
/// Operations are numbered from 0 in the order in which they begin; a listing is one operation, however long. Without
/// rules it passes everything through.
///
/// ```
/// use std::sync::Arc;
/// use backup_core::storage::layer::{FaultBackend, FaultKind};
/// use backup_core::{MemoryBackend, ObjectKey, PutOptions, StorageBackend};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let memory = MemoryBackend::new();
/// let store = FaultBackend::new(Arc::new(memory.clone()));
/// store.crash_at(1, FaultKind::FailAfter);
///
/// let put = async |key| store.put(&ObjectKey::new(key).unwrap(), "x".into(), &PutOptions::default()).await;
/// assert!(put("a").await.is_ok());
/// assert!(put("b").await.is_err(), "the reply is lost");
/// assert!(put("c").await.is_err(), "nothing works after the crash");
/// assert_eq!(memory.object_count(), 2);
/// assert_eq!(store.operations(), 3);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct FaultBackend {
    inner: Arc<dyn StorageBackend>,
    state: Arc<Mutex<State>>,
}

impl FaultBackend {
    /// A store that does what `inner` does until it is told otherwise.
    pub fn new(inner: Arc<dyn StorageBackend>) -> Self {
        Self { inner, state: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many operations have begun.
    pub fn operations(&self) -> u64 {
        self.state().operations()
    }

    /// How many operations of one kind have begun.
    pub fn count(&self, operation: StorageOperation) -> u64 {
        self.state().count(operation)
    }

    /// What was asked for and how it ended, in the order of the numbers.
    ///
    /// Remembers the first million operations since the last [`reset`](Self::reset).
    pub fn log(&self) -> Vec<OperationRecord> {
        self.state().log().to_vec()
    }

    /// Lets the operation of this number end in this way and every later one fail.
    ///
    /// Operations that are under way at that moment still reach the store, but their callers learn nothing but that it
    /// failed: a crash kills those who wait, not what is on the wire.
    pub fn crash_at(&self, number: u64, kind: FaultKind) {
        self.state().crash_at(number, kind);
    }

    /// Whether the crash has happened.
    pub fn has_crashed(&self) -> bool {
        self.state().has_crashed()
    }

    /// Adds a rule; where several match an operation, the oldest wins.
    pub fn add(&self, rule: FaultRule) {
        self.state().add(rule);
    }

    /// Forgets rules and crash; from now on everything works. Counter and log go on.
    pub fn heal(&self) {
        self.state().heal();
    }

    /// Forgets rules, crash, counter and log.
    pub fn reset(&self) {
        *self.state() = State::default();
    }

    fn begin(&self, operation: StorageOperation, key: Option<&ObjectKey>, len_bytes: u64) -> Call<'_> {
        let (number, fault) = self.state().begin(operation, key, len_bytes);
        Call { backend: self, number, operation, key: key.cloned(), fault }
    }

    /// Runs an operation that has nothing of its own to tear.
    async fn pass<T>(
        &self,
        operation: StorageOperation,
        key: Option<&ObjectKey>,
        run: impl Future<Output = StorageResult<T>>,
    ) -> StorageResult<T> {
        let call = self.begin(operation, key, 0);
        call.before().await?;
        let result = run.await;
        call.finish(result)
    }
}

/// One operation under way.
struct Call<'a> {
    backend: &'a FaultBackend,
    number: u64,
    operation: StorageOperation,
    key: Option<ObjectKey>,
    fault: Option<FaultKind>,
}

impl Call<'_> {
    /// What happens before the operation reaches the store.
    async fn before(&self) -> StorageResult<()> {
        match self.fault {
            Some(FaultKind::FailBefore) => {
                let error = self.error();
                self.backend.state().finish(self.number, &Err::<(), _>(&error));
                Err(error)
            }
            Some(FaultKind::Delay(by)) => {
                tokio::time::sleep(by).await;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// What the caller learns once the store has answered.
    fn finish<T>(&self, result: StorageResult<T>) -> StorageResult<T> {
        let lost = matches!(self.fault, Some(FaultKind::FailAfter | FaultKind::Tear));
        let result = if lost || self.backend.has_crashed() { Err(self.error()) } else { result };
        self.backend.state().finish(self.number, &result.as_ref().map(|_| ()));
        result
    }

    fn error(&self) -> StorageError {
        let error = self.backend.state().error(self.number, self.operation);
        match &self.key {
            Some(key) => error.with_key(key),
            None => error,
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl StorageBackend for FaultBackend {
    fn info(&self) -> &BackendInfo {
        self.inner.info()
    }

    async fn put(&self, key: &ObjectKey, body: PutBody, options: &PutOptions) -> StorageResult<()> {
        let call = self.begin(StorageOperation::Put, Some(key), body.len_bytes());
        call.before().await?;
        let result = match call.fault {
            Some(FaultKind::Tear) => self.inner.put(key, first_half(&body), &without_digest(options)).await,
            Some(FaultKind::WrongBytes) => self.inner.put(key, flipped(body.to_bytes()).into(), options).await,
            _ => self.inner.put(key, body, options).await,
        };
        if result.is_ok() {
            self.state().note_put(call.number, key);
        }
        call.finish(result)
    }

    async fn get(&self, key: &ObjectKey, range: ByteRange) -> StorageResult<Bytes> {
        let call = self.begin(StorageOperation::Get, Some(key), 0);
        call.before().await?;
        let result = self.inner.get(key, range).await;
        if let Ok(bytes) = &result {
            self.state().note_bytes(call.number, bytes.len() as u64);
        }
        let result = match call.fault {
            Some(FaultKind::WrongBytes) => result.map(flipped),
            _ => result,
        };
        call.finish(result)
    }

    async fn stat(&self, key: &ObjectKey) -> StorageResult<ObjectMeta> {
        self.pass(StorageOperation::Stat, Some(key), self.inner.stat(key)).await
    }

    fn list<'a>(&'a self, prefix: &'a KeyPrefix) -> BoxStream<'a, StorageResult<ObjectMeta>> {
        let objects = async move {
            let call = self.begin(StorageOperation::List, None, 0);
            if let Err(error) = call.before().await {
                return stream::iter([Err(error)]).boxed();
            }
            let objects = match call.fault {
                Some(FaultKind::Tear) => {
                    let all: Vec<_> = self.inner.list(prefix).collect().await;
                    let half = all.len() / 2;
                    stream::iter(all).take(half).boxed()
                }
                Some(FaultKind::StaleList { since }) => {
                    let (hidden, ghosts) = self.state().changes_since(since, prefix);
                    let seen = self
                        .inner
                        .list(prefix)
                        .filter(move |object| ready(!object.as_ref().is_ok_and(|meta| hidden.contains(&meta.key))));
                    seen.chain(stream::iter(ghosts).map(Ok)).boxed()
                }
                _ => self.inner.list(prefix),
            };
            objects
                .map(Some)
                .chain(stream::iter([None]))
                // The call ends with the listing, or with the first error in it.
                .scan(Some(call), |call, object| {
                    ready(call.take().map(|running| match object {
                        Some(Ok(meta)) if !self.has_crashed() => {
                            *call = Some(running);
                            Some(Ok(meta))
                        }
                        Some(Ok(_)) => running.finish::<()>(Err(running.error())).err().map(Err),
                        Some(Err(error)) => running.finish::<()>(Err(error)).err().map(Err),
                        None => running.finish(Ok(())).err().map(Err),
                    }))
                })
                .filter_map(ready)
                .boxed()
        };
        stream::once(objects).flatten().boxed()
    }

    async fn delete(&self, key: &ObjectKey) -> StorageResult<()> {
        let call = self.begin(StorageOperation::Delete, Some(key), 0);
        call.before().await?;
        // A stale listing shows what was there before.
        let ghost = self.inner.stat(key).await.ok();
        let result = self.inner.delete(key).await;
        if let (Ok(()), Some(ghost)) = (&result, ghost) {
            self.state().note_delete(call.number, ghost);
        }
        call.finish(result)
    }

    async fn quota(&self) -> StorageResult<Quota> {
        self.pass(StorageOperation::Quota, None, self.inner.quota()).await
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

impl fmt::Debug for FaultBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultBackend({} operations, {:?})", self.operations(), self.inner)
    }
}

fn first_half(body: &PutBody) -> PutBody {
    let bytes = body.to_bytes();
    bytes.slice(..bytes.len() / 2).into()
}

fn without_digest(options: &PutOptions) -> PutOptions {
    PutOptions { sha256: None, ..options.clone() }
}

fn flipped(bytes: Bytes) -> Bytes {
    let mut bytes = Vec::from(bytes);
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 1;
    }
    bytes.into()
}
