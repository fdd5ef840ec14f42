use futures::TryStreamExt;

use super::*;
use crate::storage::layer::fault::{FaultBackend, FaultKind, FaultRule};
use crate::storage::memory::MemoryBackend;

const SECOND: Duration = Duration::from_secs(1);

fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).unwrap()
}

fn flaky() -> (MemoryBackend, FaultBackend, Layered<Retry>) {
    let memory = MemoryBackend::new();
    let faulty = FaultBackend::new(Arc::new(memory.clone()));
    let retry = Retry::new(RetryPolicy::default(), 7).around(Arc::new(faulty.clone()));
    (memory, faulty, retry)
}

fn failing(kind: FaultKind, times: u64) -> FaultRule {
    FaultRule::new(kind).on(StorageOperation::Put).times(times)
}

async fn create(store: &Layered<Retry>, at: &str, bytes: &'static str) -> StorageResult<()> {
    store.put(&key(at), bytes.into(), &PutOptions::if_absent()).await
}

#[tokio::test(start_paused = true)]
async fn passing_failures_are_repeated_until_they_pass() {
    let (memory, faulty, store) = flaky();
    faulty.add(failing(FaultKind::FailBefore, 3));
    create(&store, "a", "1").await.unwrap();
    assert_eq!(memory.object_count(), 1);
    assert_eq!(faulty.count(StorageOperation::Put), 4);
}

#[tokio::test(start_paused = true)]
async fn the_number_of_attempts_is_bounded_and_told() {
    let (_, faulty, store) = flaky();
    faulty.add(failing(FaultKind::FailBefore, u64::MAX));
    let error = create(&store, "a", "1").await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Unavailable);
    assert_eq!(error.detail(), Some("simulated fault; attempts: 8"));
    assert_eq!(faulty.count(StorageOperation::Put), 8);
}

#[tokio::test(start_paused = true)]
async fn the_total_time_is_bounded() {
    let (_, faulty, store) = flaky();
    let advice = RetryAdvice::After(50 * SECOND);
    faulty.add(failing(FaultKind::FailBefore, u64::MAX).error(StorageErrorKind::RateLimited, advice));
    let begun = Instant::now();
    let error = create(&store, "a", "1").await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::RateLimited);
    assert_eq!(faulty.count(StorageOperation::Put), 3);
    assert!(begun.elapsed() >= 100 * SECOND && begun.elapsed() <= 120 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn never_and_reauth_are_handed_on_at_once() {
    for advice in [RetryAdvice::Never, RetryAdvice::Reauth] {
        let (_, faulty, store) = flaky();
        faulty.add(failing(FaultKind::FailBefore, 1).error(StorageErrorKind::Other, advice));
        assert!(create(&store, "a", "1").await.is_err());
        assert_eq!(faulty.operations(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn waits_respect_what_the_store_asks_for_and_grow() {
    let (_, faulty, store) = flaky();
    let advice = RetryAdvice::After(5 * SECOND);
    faulty.add(failing(FaultKind::FailBefore, 1).error(StorageErrorKind::RateLimited, advice));
    let begun = Instant::now();
    create(&store, "a", "1").await.unwrap();
    assert!(begun.elapsed() >= 5 * SECOND && begun.elapsed() <= 5 * SECOND + RetryPolicy::default().first_wait);

    let retry = Retry::new(RetryPolicy::default(), 1);
    let waits: Vec<_> = (0..1000).map(|_| retry.jitter(SECOND)).collect();
    assert!(waits.iter().all(|wait| *wait < SECOND));
    let mean = waits.iter().sum::<Duration>() / 1000;
    assert!(mean > SECOND * 45 / 100 && mean < SECOND * 55 / 100, "{mean:?}");
}

#[tokio::test(start_paused = true)]
async fn lost_reply_of_a_create_is_success() {
    for kind in [StorageErrorKind::Unavailable, StorageErrorKind::Timeout] {
        for advice in [RetryAdvice::Verify, RetryAdvice::After(Duration::ZERO)] {
            let (memory, faulty, store) = flaky();
            faulty.add(failing(FaultKind::FailAfter, 1).error(kind, advice));
            create(&store, "a", "mine").await.unwrap();
            assert_eq!(memory.peek(&key("a")).unwrap(), "mine");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn another_clients_object_of_the_same_size_is_never_taken_for_ours() {
    for advice in [RetryAdvice::Verify, RetryAdvice::After(Duration::ZERO)] {
        let (memory, faulty, store) = flaky();
        faulty.add(failing(FaultKind::FailBefore, 1).error(StorageErrorKind::Unavailable, advice));
        memory.plant(&key("a"), "other");
        let error = create(&store, "a", "mine!").await.unwrap_err();
        assert_eq!(error.kind(), StorageErrorKind::AlreadyExists, "{advice:?}");
        assert_eq!(memory.peek(&key("a")).unwrap(), "other");
    }
}

#[tokio::test(start_paused = true)]
async fn a_create_that_exists_at_once_is_not_looked_into() {
    let (memory, faulty, store) = flaky();
    memory.plant(&key("a"), "same");
    assert_eq!(create(&store, "a", "same").await.unwrap_err().kind(), StorageErrorKind::AlreadyExists);
    assert_eq!(faulty.operations(), 1);
}

#[tokio::test(start_paused = true)]
async fn torn_overwrite_is_done_again() {
    let (memory, faulty, store) = flaky();
    faulty.add(failing(FaultKind::Tear, 1));
    store.put(&key("a"), "whole".into(), &PutOptions::overwrite()).await.unwrap();
    assert_eq!(memory.peek(&key("a")).unwrap(), "whole");
}

#[tokio::test(start_paused = true)]
async fn listing_goes_on_after_an_error_and_gives_each_object_once() {
    let (memory, faulty, store) = flaky();
    for n in 0..100 {
        memory.plant(&key(&format!("a/{n}")), "x");
    }
    faulty.add(FaultRule::new(FaultKind::Tear).on(StorageOperation::List).times(2));
    let mut keys: Vec<_> = store.list(&KeyPrefix::all()).map_ok(|meta| meta.key).try_collect().await.unwrap();
    assert_eq!(keys.len(), 100);
    keys.sort();
    assert_eq!(keys, memory.keys());
    assert_eq!(faulty.count(StorageOperation::List), 3);

    faulty.add(FaultRule::new(FaultKind::Tear).on(StorageOperation::List));
    let items: Vec<_> = store.list(&KeyPrefix::all()).collect().await;
    assert_eq!(items.len(), 51);
    assert!(items[50].is_err() && items[..50].iter().all(Result::is_ok));
}
