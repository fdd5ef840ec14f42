use futures::TryStreamExt;

use super::*;
use crate::storage::error::{RetryAdvice, StorageErrorKind};
use crate::storage::memory::MemoryBackend;

fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).unwrap()
}

fn faulty() -> (MemoryBackend, FaultBackend) {
    let memory = MemoryBackend::new();
    (memory.clone(), FaultBackend::new(Arc::new(memory)))
}

async fn put(store: &FaultBackend, at: &str, bytes: &'static str) -> StorageResult<()> {
    store.put(&key(at), bytes.into(), &PutOptions::overwrite()).await
}

async fn listed(store: &FaultBackend) -> StorageResult<Vec<String>> {
    let mut keys: Vec<_> =
        store.list(&KeyPrefix::all()).map_ok(|meta| meta.key.as_str().to_owned()).try_collect().await?;
    keys.sort();
    Ok(keys)
}

#[tokio::test]
async fn without_rules_everything_passes_and_is_counted() {
    let (memory, store) = faulty();
    put(&store, "a", "abc").await.unwrap();
    assert_eq!(store.get(&key("a"), ByteRange::Suffix { len_bytes: 2 }).await.unwrap(), "bc");
    store.stat(&key("a")).await.unwrap();
    assert_eq!(listed(&store).await.unwrap(), ["a"]);
    store.delete(&key("a")).await.unwrap();
    assert!(store.quota().await.is_err());
    assert_eq!(memory.object_count(), 0);

    let log = store.log();
    let seen: Vec<_> = log.iter().map(|entry| (entry.operation, entry.len_bytes, entry.outcome)).collect();
    assert_eq!(
        seen,
        [
            (StorageOperation::Put, 3, Outcome::Done),
            (StorageOperation::Get, 2, Outcome::Done),
            (StorageOperation::Stat, 0, Outcome::Done),
            (StorageOperation::List, 0, Outcome::Done),
            (StorageOperation::Delete, 0, Outcome::Done),
            (StorageOperation::Quota, 0, Outcome::Failed(StorageErrorKind::Unsupported)),
        ]
    );
    assert_eq!((store.operations(), store.count(StorageOperation::List)), (6, 1));
}

#[tokio::test]
async fn each_crash_leaves_what_it_says_and_nothing_works_after_it() {
    for (kind, left) in
        [(FaultKind::FailBefore, None), (FaultKind::FailAfter, Some("abcdef")), (FaultKind::Tear, Some("abc"))]
    {
        let (memory, store) = faulty();
        store.crash_at(1, kind);
        put(&store, "before", "1").await.unwrap();
        let error = put(&store, "victim", "abcdef").await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (StorageErrorKind::Unavailable, RetryAdvice::Never));
        assert!(store.has_crashed());
        assert!(put(&store, "after", "1").await.is_err());
        assert!(store.get(&key("before"), ByteRange::Full).await.is_err());
        assert!(store.stat(&key("before")).await.is_err());
        assert!(store.delete(&key("before")).await.is_err());
        assert!(listed(&store).await.is_err());
        assert_eq!(memory.peek(&key("victim")).as_deref(), left.map(str::as_bytes), "{kind:?}");
        assert_eq!(memory.peek(&key("after")), None);
        assert_eq!(memory.peek(&key("before")).unwrap(), "1");
        store.heal();
        put(&store, "after", "1").await.unwrap();
    }
}

#[tokio::test]
async fn tear_respects_create_only() {
    let (memory, store) = faulty();
    put(&store, "a", "old").await.unwrap();
    store.add(FaultRule::new(FaultKind::Tear));
    assert!(store.put(&key("a"), "newer".into(), &PutOptions::if_absent()).await.is_err());
    assert_eq!(memory.peek(&key("a")).unwrap(), "old");
}

#[tokio::test(start_paused = true)]
async fn callers_under_way_at_the_crash_learn_nothing() {
    let (memory, store) = faulty();
    store.crash_at(1, FaultKind::FailBefore);
    let slow = async {
        store.add(FaultRule::new(FaultKind::Delay(Duration::from_millis(5))).at(0));
        put(&store, "slow", "1").await
    };
    let (slow, fast) = futures::join!(slow, put(&store, "fast", "1"));
    assert!(slow.is_err() && fast.is_err());
    assert_eq!(memory.keys(), [key("slow")]);
}

#[tokio::test]
async fn rules_pick_operation_prefix_and_occurrence() {
    let (_, store) = faulty();
    store.add(
        FaultRule::new(FaultKind::FailBefore)
            .on(StorageOperation::Put)
            .under(KeyPrefix::new("p/").unwrap())
            .skip(1)
            .times(1)
            .error(StorageErrorKind::QuotaExceeded, RetryAdvice::Never),
    );
    put(&store, "other", "1").await.unwrap();
    put(&store, "p/1", "1").await.unwrap();
    assert_eq!(put(&store, "p/2", "1").await.unwrap_err().kind(), StorageErrorKind::QuotaExceeded);
    put(&store, "p/3", "1").await.unwrap();
    assert_eq!(listed(&store).await.unwrap(), ["other", "p/1", "p/3"]);
    assert_eq!(store.log()[2].fault, Some(FaultKind::FailBefore));
}

#[tokio::test]
async fn stale_listing_is_the_listing_of_then() {
    let (memory, store) = faulty();
    memory.plant(&key("old"), "from before");
    put(&store, "kept", "1").await.unwrap();
    put(&store, "gone", "1").await.unwrap();
    let since = store.operations();
    put(&store, "new", "1").await.unwrap();
    put(&store, "kept", "again").await.unwrap();
    store.delete(&key("gone")).await.unwrap();
    store.delete(&key("old")).await.unwrap();
    put(&store, "brief", "1").await.unwrap();
    store.delete(&key("brief")).await.unwrap();
    assert_eq!(listed(&store).await.unwrap(), ["kept", "new"]);
    store.add(FaultRule::new(FaultKind::StaleList { since }));
    assert_eq!(listed(&store).await.unwrap(), ["gone", "kept", "old"]);
}

#[tokio::test]
async fn torn_listing_ends_in_an_error() {
    let (_, store) = faulty();
    for n in 0..4 {
        put(&store, &format!("a/{n}"), "1").await.unwrap();
    }
    store.add(FaultRule::new(FaultKind::Tear).on(StorageOperation::List));
    let items: Vec<_> = store.list(&KeyPrefix::all()).collect().await;
    assert_eq!(items.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, false]);
}

#[tokio::test]
async fn wrong_bytes_look_like_success() {
    let (memory, store) = faulty();
    store.add(FaultRule::new(FaultKind::WrongBytes).times(1));
    put(&store, "a", "aaa").await.unwrap();
    assert_eq!(memory.peek(&key("a")).unwrap(), "a`a");
    store.add(FaultRule::new(FaultKind::WrongBytes).on(StorageOperation::Get));
    assert_eq!(store.get(&key("a"), ByteRange::Full).await.unwrap(), "aaa");
}

#[tokio::test]
async fn dropped_operation_stays_unfinished_in_the_log() {
    let (_, store) = faulty();
    drop(futures::poll!(Box::pin(put(&store, "a", "1"))));
    assert_eq!(store.log()[0].outcome, Outcome::Unfinished);
}
