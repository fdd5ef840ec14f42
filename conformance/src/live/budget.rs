//! What a run may use up.

use std::sync::atomic::{AtomicU64, Ordering};

use backup_core::storage::layer::{Around, Call, Reply};
use backup_core::{
    CancelToken, KeyPrefix, ObjectMeta, StorageBackend, StorageError, StorageErrorKind, StorageOperation, StorageResult,
};
use futures::stream::{self, BoxStream, StreamExt};

/// Objects that a listing gives for one request, in services that count requests.
const PAGE_OBJECTS: u64 = 1_000;

/// Requests and bytes that a run may use; cleaning up is not counted.
///
/// A call that would go beyond is not made. How much a read brings is known only afterwards, so the bytes may go beyond by as much as the reads
/// under way bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Calls; a listing counts once for each thousand objects.
    pub max_requests: u64,
    /// Bytes of objects, sent and received.
    pub max_bytes: u64,
}

/// What a run has used so far; around every client of the run.
#[derive(Debug)]
pub(super) struct Spending {
    budget: Budget,
    cancel: CancelToken,
    requests: AtomicU64,
    bytes: AtomicU64,
    refused: AtomicU64,
}

impl Spending {
    pub(super) fn new(budget: Budget, cancel: CancelToken) -> Self {
        let none = AtomicU64::default;
        Self { budget, cancel, requests: none(), bytes: none(), refused: none() }
    }

    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Why the run can't go on, if it can't.
    pub(super) fn over(&self) -> Option<String> {
        let Budget { max_requests, max_bytes } = self.budget;
        if self.is_cancelled() {
            return Some("the run was asked to stop".to_owned());
        }
        (self.refused.load(Ordering::Relaxed) > 0)
            .then(|| format!("the budget is spent: {max_requests} requests, {max_bytes} bytes"))
    }

    fn spend(&self, operation: StorageOperation, requests: u64, bytes: u64) -> StorageResult<()> {
        let fits =
            self.requests() + requests <= self.budget.max_requests && self.bytes() + bytes <= self.budget.max_bytes;
        if !fits {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        if !fits || self.is_cancelled() {
            let refused = StorageError::new(StorageErrorKind::Cancelled, operation);
            return Err(refused.with_detail("the run's budget is spent, or it was asked to stop"));
        }
        self.requests.fetch_add(requests, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }
}

impl Around for Spending {
    async fn call<'a, T, F, Fut>(&'a self, call: Call<'a>, run: F) -> StorageResult<T>
    where
        T: Reply + 'a,
        F: Fn() -> Fut + Send + Sync + 'a,
        Fut: Future<Output = StorageResult<T>> + Send + 'a,
    {
        self.spend(call.operation, 1, call.sent_bytes)?;
        let reply = run().await?;
        self.bytes.fetch_add(reply.received_bytes(), Ordering::Relaxed);
        Ok(reply)
    }

    fn list<'a>(
        &'a self,
        inner: &'a dyn StorageBackend,
        prefix: &'a KeyPrefix,
    ) -> BoxStream<'a, StorageResult<ObjectMeta>> {
        if let Err(error) = self.spend(StorageOperation::List, 1, 0) {
            return stream::iter([Err(error)]).boxed();
        }
        let counted = stream::iter(1_u64..).zip(inner.list(prefix)).map(|(number, object)| {
            if number % PAGE_OBJECTS == 0 {
                self.requests.fetch_add(1, Ordering::Relaxed);
            }
            object
        });
        counted.boxed()
    }
}
