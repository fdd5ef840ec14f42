//! Giving up on calls that don't get on.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt};
use futures::task::AtomicWaker;
use tokio::time::{Instant, Sleep, sleep_until};

use super::around::{Around, Call, Layered, Reply};
use crate::key::KeyPrefix;
use crate::storage::error::{RetryAdvice, StorageError, StorageErrorKind, StorageOperation, StorageResult};
use crate::storage::{ObjectMeta, StorageBackend};

/// What a system takes of a connection before it has been sent: Linux's largest buffer by default.
const MAX_BUFFERED_BYTES: u64 = 4 << 20;

/// What a system has taken is given at most so many times the time without progress: who asks for a short one has a fast line.
const MAX_EXTRA: u32 = 4;

/// Ends calls with `Timeout` that make no progress for too long, however long they take as a whole.
///
/// Progress is whatever wakes the call's future, which for a network is bytes that arrive and bytes that leave. What the
/// system has taken to be sent is still on its way for a while and wakes nobody; so a put is given, on top, the time that so
/// much takes at the slowest speed that is put up with, at most four times `idle`. Not for backends that work on blocking threads, such as the local one: they wake nobody until
/// they are done.
///
/// A put that timed out may still take effect, and says so with the advice `Verify`.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use backup_core::MemoryBackend;
/// use backup_core::storage::layer::IdleTimeout;
///
/// let timeout = IdleTimeout { idle: Duration::from_secs(30), ..IdleTimeout::default() };
/// let store = timeout.around(Arc::new(MemoryBackend::new()));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdleTimeout {
    /// How long a call may go without progress; 60 s.
    pub idle: Duration,
    /// The slowest upload that counts as one; 0 gives no extra time; 16 KiB.
    pub slowest_bytes_per_sec: u64,
}

impl Default for IdleTimeout {
    /// Longer than a store thinks before it answers, and slower than a line that is of use for backups.
    fn default() -> Self {
        Self { idle: Duration::from_secs(60), slowest_bytes_per_sec: 16 << 10 }
    }
}

impl IdleTimeout {
    /// The store `inner` with this timeout.
    pub fn around(self, inner: Arc<dyn StorageBackend>) -> Layered<Self> {
        Layered::new(Arc::new(self), inner)
    }

    fn patience(&self, sent_bytes: u64) -> Duration {
        let extra = sent_bytes.min(MAX_BUFFERED_BYTES).checked_div(self.slowest_bytes_per_sec).unwrap_or(0);
        let extra = Duration::from_secs(extra).min(self.idle.saturating_mul(MAX_EXTRA));
        self.idle.saturating_add(extra)
    }
}

impl Around for IdleTimeout {
    async fn call<'a, T, F, Fut>(&'a self, call: Call<'a>, run: F) -> StorageResult<T>
    where
        T: Reply + 'a,
        F: Fn() -> Fut + Send + Sync + 'a,
        Fut: Future<Output = StorageResult<T>> + Send + 'a,
    {
        match while_it_gets_on(self.patience(call.sent_bytes), run()).await {
            Some(result) => result,
            None => {
                let mut error = timed_out(call.operation);
                if call.operation == StorageOperation::Put {
                    error = error.with_retry(RetryAdvice::Verify);
                }
                Err(match call.key {
                    Some(key) => error.with_key(key),
                    None => error,
                })
            }
        }
    }

    fn list<'a>(
        &'a self,
        inner: &'a dyn StorageBackend,
        prefix: &'a KeyPrefix,
    ) -> BoxStream<'a, StorageResult<ObjectMeta>> {
        stream::unfold(Some(inner.list(prefix)), |objects| async {
            let mut objects = objects?;
            match while_it_gets_on(self.idle, objects.next()).await {
                Some(Some(Ok(meta))) => Some((Ok(meta), Some(objects))),
                Some(Some(Err(error))) => Some((Err(error), None)),
                Some(None) => None,
                None => Some((Err(timed_out(StorageOperation::List)), None)),
            }
        })
        .boxed()
    }
}

fn timed_out(operation: StorageOperation) -> StorageError {
    StorageError::new(StorageErrorKind::Timeout, operation)
}

/// Runs a future as long as it is woken at least every `patience`; `None` when it wasn't.
async fn while_it_gets_on<T>(patience: Duration, future: impl Future<Output = T> + Send) -> Option<T> {
    let mut future = Box::pin(future);
    let mut alarm = Box::pin(sleep_until(Instant::now() + patience));
    let progress = Arc::new(Progress::default());
    let waker = Waker::from(Arc::clone(&progress));
    std::future::poll_fn(move |cx| poll(cx, future.as_mut(), alarm.as_mut(), patience, &progress, &waker)).await
}

fn poll<T>(
    cx: &mut Context<'_>,
    future: Pin<&mut (impl Future<Output = T> + Send)>,
    mut alarm: Pin<&mut Sleep>,
    patience: Duration,
    progress: &Progress,
    waker: &Waker,
) -> Poll<Option<T>> {
    progress.outer.register(cx.waker());
    // Only what woke the call itself counts: its task is also polled for the sake of others in it.
    if progress.woken.swap(false, Ordering::AcqRel) {
        alarm.as_mut().reset(Instant::now() + patience);
    }
    if let Poll::Ready(output) = future.poll(&mut Context::from_waker(waker)) {
        return Poll::Ready(Some(output));
    }
    alarm.poll(cx).map(|()| None)
}

/// Notes that a call was woken, and wakes the task that it is part of.
#[derive(Default)]
struct Progress {
    woken: AtomicBool,
    outer: AtomicWaker,
}

impl Wake for Progress {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.outer.wake();
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join;
    use tokio::sync::mpsc;
    use tokio::time::sleep;

    use super::*;
    use crate::key::ObjectKey;
    use crate::storage::layer::fault::{FaultBackend, FaultKind, FaultRule};
    use crate::storage::memory::MemoryBackend;

    const SECOND: Duration = Duration::from_secs(1);

    fn hanging(patience: IdleTimeout) -> (FaultBackend, Layered<IdleTimeout>) {
        let faulty = FaultBackend::new(Arc::new(MemoryBackend::new()));
        (faulty.clone(), patience.around(Arc::new(faulty)))
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_hangs_ends_in_time_and_a_put_says_to_look() {
        let (faulty, store) = hanging(IdleTimeout { idle: 10 * SECOND, slowest_bytes_per_sec: 100 });
        faulty.add(FaultRule::new(FaultKind::Delay(100_000 * SECOND)));
        let key = ObjectKey::new("a").unwrap();
        let begun = Instant::now();
        let error = store.stat(&key).await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (StorageErrorKind::Timeout, RetryAdvice::After(Duration::ZERO)));
        assert_eq!((begun.elapsed().as_secs(), error.key()), (10, Some(&key)));
        let begun = Instant::now();
        let error = store.put(&key, vec![0; 500].into(), &Default::default()).await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (StorageErrorKind::Timeout, RetryAdvice::Verify));
        assert_eq!(begun.elapsed().as_secs(), 15, "500 bytes at 100 bytes a second are 5 seconds more");
        let begun = Instant::now();
        store.put(&key, vec![0; 9 << 20].into(), &Default::default()).await.unwrap_err();
        assert_eq!(begun.elapsed().as_secs(), 50, "no more than five times as long");
        let (faulty, store) = hanging(IdleTimeout { idle: 10 * SECOND, slowest_bytes_per_sec: 1 << 20 });
        faulty.add(FaultRule::new(FaultKind::Delay(100_000 * SECOND)));
        let begun = Instant::now();
        store.put(&key, vec![0; 9 << 20].into(), &Default::default()).await.unwrap_err();
        assert_eq!(begun.elapsed().as_secs(), 14, "no more than a system buffers");
        let error = store.list(&KeyPrefix::all()).next().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), StorageErrorKind::Timeout);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_call_that_gets_on_is_left_alone() {
        let slow = async {
            for _ in 0..10 {
                sleep(9 * SECOND).await;
            }
            "done"
        };
        assert_eq!(while_it_gets_on(10 * SECOND, slow).await, Some("done"));
    }

    #[tokio::test(start_paused = true)]
    async fn others_in_the_same_task_are_no_progress() {
        let (_open, mut never) = mpsc::channel::<()>(1);
        let busy = async {
            for _ in 0..1_000 {
                sleep(SECOND / 10).await;
            }
        };
        let begun = Instant::now();
        let hung = async {
            let ended = while_it_gets_on(10 * SECOND, never.recv()).await;
            (ended, begun.elapsed().as_secs())
        };
        let (hung, ()) = join(hung, busy).await;
        assert_eq!(hung, (None, 10));
    }
}
