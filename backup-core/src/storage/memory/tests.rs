use std::time::Duration;

use futures::TryStreamExt;

use super::*;
use crate::clock::ManualClock;

fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).unwrap()
}

async fn put(store: &MemoryBackend, at: &str, bytes: &'static str) -> StorageResult<()> {
    store.put(&key(at), bytes.into(), &PutOptions::overwrite()).await
}

async fn kind_of_put(store: &MemoryBackend, at: &str, bytes: &'static str) -> StorageErrorKind {
    put(store, at, bytes).await.unwrap_err().kind()
}

#[tokio::test]
async fn clones_share_and_forks_do_not() {
    let store = MemoryBackend::new();
    let clone = store.clone();
    put(&store, "a", "1").await.unwrap();
    let fork = store.fork();
    put(&clone, "b", "22").await.unwrap();
    assert_eq!((store.object_count(), store.stored_bytes()), (2, 3));
    assert_eq!((fork.object_count(), fork.stored_bytes()), (1, 1));
}

#[tokio::test]
async fn restore_brings_back_what_was_taken() {
    let store = MemoryBackend::new();
    put(&store, "a", "old").await.unwrap();
    let before = store.contents();
    put(&store, "a", "newer").await.unwrap();
    put(&store, "b", "x").await.unwrap();
    store.restore(&before);
    assert_eq!(store.keys(), [key("a")]);
    assert_eq!(store.peek(&key("a")).unwrap(), "old");
    assert_eq!(store.stored_bytes(), 3);
}

#[tokio::test]
async fn an_object_cannot_lie_below_another() {
    let store = MemoryBackend::new();
    put(&store, "p/x/1", "1").await.unwrap();
    for clash in ["p", "p/x", "p/x/1/2"] {
        assert_eq!(kind_of_put(&store, clash, "2").await, StorageErrorKind::Other, "{clash}");
    }
    for neighbour in ["p-x", "p.x", "p0", "p/x-1", "p/x/1-"] {
        put(&store, neighbour, "2").await.unwrap();
    }
    assert_eq!(store.object_count(), 6);
}

#[tokio::test]
async fn wrong_sha256_is_refused_and_nothing_stored() {
    let store = MemoryBackend::new();
    let body = PutBody::from_pieces(vec![Bytes::from_static(b"he"), Bytes::new(), Bytes::from_static(b"llo")]);
    let wrong = PutOptions::overwrite().with_sha256([7; 32]);
    let error = store.put(&key("a"), body.clone(), &wrong).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Integrity);
    assert_eq!(store.object_count(), 0);
    let right = PutOptions::overwrite().with_sha256(Sha256::digest(b"hello").into());
    store.put(&key("a"), body, &right).await.unwrap();
    assert_eq!(store.peek(&key("a")).unwrap(), "hello");
}

#[tokio::test]
async fn limits_refuse_without_a_trace() {
    let store = MemoryBackend::new().with_quota(10).with_max_object(8);
    assert_eq!(kind_of_put(&store, "big", "123456789").await, StorageErrorKind::TooLarge);
    put(&store, "a", "12345678").await.unwrap();
    assert_eq!(kind_of_put(&store, "b", "123").await, StorageErrorKind::QuotaExceeded);
    put(&store, "a", "1234567").await.unwrap();
    put(&store, "b", "123").await.unwrap();
    let quota = store.quota().await.unwrap();
    assert_eq!((quota.used_bytes, quota.free_bytes, quota.total_bytes), (Some(10), Some(0), Some(10)));
    assert!(MemoryBackend::new().quota().await.is_err());
}

#[tokio::test]
async fn times_come_from_the_clock_handed_in() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(100)));
    let store = MemoryBackend::new().with_clock(Arc::clone(&clock) as Arc<dyn Clock>);
    put(&store, "a", "1").await.unwrap();
    clock.advance(Duration::from_secs(5));
    put(&store, "b", "1").await.unwrap();
    store.plant(&key("a"), "damaged");
    assert_eq!(store.stat(&key("a")).await.unwrap().stored_at, Some(Timestamp::from_secs(100)));
    assert_eq!(store.stat(&key("b")).await.unwrap().stored_at, Some(Timestamp::from_secs(105)));
    let timeless = MemoryBackend::new();
    put(&timeless, "a", "1").await.unwrap();
    assert_eq!(timeless.stat(&key("a")).await.unwrap().stored_at, None);
}

#[tokio::test]
async fn listing_is_complete_unsorted_and_skips_what_was_deleted_meanwhile() {
    let store = MemoryBackend::new();
    for n in 0..100 {
        put(&store, &format!("a/{n:03}"), "x").await.unwrap();
    }
    put(&store, "ab", "x").await.unwrap();
    let prefix = KeyPrefix::new("a/").unwrap();
    let mut listing = store.list(&prefix);
    let first = listing.try_next().await.unwrap().unwrap().key;
    let victim = store.scrambled_keys(&prefix).pop().unwrap();
    store.delete(&victim).await.unwrap();
    let rest: Vec<_> = listing.map_ok(|meta| meta.key).try_collect().await.unwrap();
    assert_eq!(rest.len(), 98);
    assert!(!rest.contains(&first) && !rest.contains(&victim));
    assert!(!rest.is_sorted());
}
