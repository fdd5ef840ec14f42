//! What the suite doesn't ask: throttling, room, listings that begin again, folders in the way.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use backup_core::storage::error::RetryAdvice;
use backup_core::storage::layer::{Retry, RetryPolicy};
use backup_core::{ByteRange, KeyPrefix, PutOptions, StorageBackend, StorageErrorKind};
use backup_test_emulators::dropbox::Fault;
use backup_test_emulators::{Effect, Reply, Rule};
use futures::TryStreamExt;

use crate::account::{APP, Account, key};

#[tokio::test]
async fn throttling_is_waited_for_as_long_as_dropbox_asks() {
    for as_text in [false, true] {
        let account = Account::new();
        account.dropbox.behave(|behaviour| behaviour.rate_limit_as_text = as_text);
        let store = account.open("a").await.unwrap();
        let throttled = Effect::Vendor(Fault::TooManyRequests { retry_after_s: 1 });
        account.dropbox.faults().add(Rule::once(throttled.clone()).path("/files/upload"));
        let error = store.put(&key("x"), "x".into(), &PutOptions::if_absent()).await.unwrap_err();
        let wait = Duration::from_secs(1);
        assert_eq!((error.kind(), error.retry()), (StorageErrorKind::RateLimited, RetryAdvice::After(wait)));
        account.dropbox.faults().add(Rule::once(throttled).path("/files/upload"));
        // By itself it would be back at once.
        let policy = RetryPolicy { first_wait: Duration::from_millis(5), ..RetryPolicy::default() };
        let store = Retry::new(policy, 7).around(Arc::new(store));
        let begun = tokio::time::Instant::now();
        store.put(&key("x"), "x".into(), &PutOptions::if_absent()).await.unwrap();
        assert!(begun.elapsed() >= wait, "{:?}", begun.elapsed());
        assert_eq!(account.calls("files/upload").len(), 3);
    }
}

#[tokio::test]
async fn full_account_is_told_and_its_room_is_shown() {
    let account = Account::new();
    let store = account.open("a").await.unwrap();
    for is_of_team in [false, true] {
        account.dropbox.set_quota(10_000, 4_000, is_of_team);
        let quota = store.quota().await.unwrap();
        assert_eq!((quota.used_bytes, quota.free_bytes, quota.total_bytes), (Some(4_000), Some(6_000), Some(10_000)));
        let error = store.put(&key("x"), vec![0; 6_001].into(), &PutOptions::if_absent()).await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (StorageErrorKind::QuotaExceeded, RetryAdvice::Never));
    }
    store.put(&key("x"), vec![0; 6_000].into(), &PutOptions::if_absent()).await.unwrap();
}

#[tokio::test]
async fn listing_that_has_to_begin_again_gives_everything_once() {
    let account = Account::new();
    let store = account.open("Some Folder").await.unwrap();
    let wanted: BTreeSet<_> = (0..20).map(|number| key(&format!("packs/{number:02}"))).collect();
    for name in &wanted {
        store.put(name, "x".into(), &PutOptions::if_absent()).await.unwrap();
    }
    account.dropbox.behave(|behaviour| {
        behaviour.page_entries = Some(4);
        behaviour.empty_pages = true;
    });
    let all = async || {
        let listed: Vec<_> = store.list(&KeyPrefix::all()).map_ok(|meta| meta.key).try_collect().await?;
        assert_eq!(listed.len(), listed.iter().collect::<BTreeSet<_>>().len(), "something is there twice");
        Ok::<_, backup_core::StorageError>(listed.into_iter().collect::<BTreeSet<_>>())
    };
    assert_eq!(all().await.unwrap(), wanted);
    let faults = account.dropbox.faults();
    let reset = Effect::Vendor(Fault::ResetCursor);
    let rule = faults.add(Rule::once(reset.clone()).path("/list_folder/continue").after(3).times(2));
    assert_eq!(all().await.unwrap(), wanted);
    assert_eq!(faults.met(rule), 2);
    faults.add(Rule::always(reset).path("/list_folder/continue"));
    let error = all().await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Unavailable, "{error}");
    faults.clear();
    // A page that is none is no end.
    let page = Reply::json(200, &serde_json::json!({ "entries": [], "cursor": "x" }));
    faults.add(Rule::once(Effect::Answer(page)).path("/list_folder/continue").after(2));
    let error = all().await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Unavailable, "{error}");
}

#[tokio::test]
async fn folder_is_no_object_and_outlives_a_delete() {
    let account = Account::new();
    let store = account.open("").await.unwrap();
    store.put(&key("packs/ab/one"), "x".into(), &PutOptions::if_absent()).await.unwrap();
    for folder in ["packs", "packs/ab"] {
        store.delete(&key(folder)).await.unwrap();
        for error in
            [store.stat(&key(folder)).await.unwrap_err(), store.get(&key(folder), ByteRange::Full).await.unwrap_err()]
        {
            assert_eq!(error.kind(), StorageErrorKind::NotFound, "{error}");
        }
        let error = store.put(&key(folder), "x".into(), &PutOptions::if_absent()).await.unwrap_err();
        assert_eq!(error.kind(), StorageErrorKind::Other, "it is not there already: {error}");
    }
    let error = store.put(&key("packs/ab/one/below"), "x".into(), &PutOptions::if_absent()).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Other, "{error}");
    assert_eq!(account.dropbox.files_of(APP).into_keys().collect::<Vec<_>>(), ["/packs/ab/one"]);
}

#[tokio::test]
async fn object_that_is_replaced_while_it_is_deleted_is_deleted() {
    let account = Account::new();
    let store = account.open("").await.unwrap();
    store.put(&key("one"), "x".into(), &PutOptions::if_absent()).await.unwrap();
    let gate = backup_test_emulators::Gate::new();
    account.dropbox.faults().add(Rule::once(Effect::Hold(gate.clone())).path("/delete_v2"));
    let replace = async {
        gate.arrived(1).await;
        account.dropbox.plant_file_of(APP, "/one", "y");
        gate.open();
    };
    let (deleted, ()) = tokio::join!(async { store.delete(&key("one")).await }, replace);
    deleted.unwrap();
    assert_eq!(account.calls("delete_v2").len(), 2);
    assert!(account.dropbox.files_of(APP).is_empty());
}

#[tokio::test]
async fn names_that_dropbox_keeps_for_itself_are_objects_like_others() {
    let account = Account::new();
    let store = account.open("a").await.unwrap();
    for name in ["desktop.ini", "thumbs.db/desktop.ini"] {
        store.put(&key(name), "x".into(), &PutOptions::if_absent()).await.unwrap();
        assert_eq!(store.get(&key(name), ByteRange::Full).await.unwrap(), "x");
    }
    let prefix = KeyPrefix::new("thumbs.db/").unwrap();
    let listed: Vec<_> = store.list(&prefix).map_ok(|meta| meta.key).try_collect().await.unwrap();
    assert_eq!(listed, [key("thumbs.db/desktop.ini")]);
}
