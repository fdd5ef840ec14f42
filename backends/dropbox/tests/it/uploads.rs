//! Uploads: at once and piece by piece, cut, told lies about, and gone on with.

use std::sync::Arc;
use std::time::Duration;

use backup_core::storage::error::RetryAdvice;
use backup_core::storage::layer::{Retry, RetryPolicy};
use backup_core::{ByteRange, PutOptions, StorageBackend, StorageErrorKind};
use backup_test_emulators::dropbox::{Contention, Fault};
use backup_test_emulators::{Effect, Rule};

use crate::account::{Account, body, key};

const MIB: usize = 1 << 20;
const APPEND: &str = "/upload_session/append_v2";
const FINISH: &str = "/upload_session/finish";

#[tokio::test(flavor = "multi_thread")]
async fn objects_around_the_sizes_of_requests_come_back_whole() {
    let account = Account::new();
    let store = account.open("Laptop").await.unwrap();
    for (at, len) in [16 * MIB, 16 * MIB + 1, 32 * MIB - 1, 32 * MIB, 32 * MIB + 1].into_iter().enumerate() {
        let name = key(&format!("packs/{at}"));
        let (bytes, body) = body(len);
        store.put(&name, body.clone(), &PutOptions::if_absent()).await.unwrap();
        assert!(account.file(&format!("/Laptop/packs/{at}")).unwrap() == bytes, "{len} bytes are stored wrong");
        assert!(store.get(&name, ByteRange::Full).await.unwrap() == bytes, "{len} bytes came back wrong");
        let error = store.put(&name, body.clone(), &PutOptions::if_absent()).await.unwrap_err();
        assert_eq!(error.kind(), StorageErrorKind::AlreadyExists, "{len}: {error}");
        store.put(&name, body, &PutOptions::overwrite()).await.unwrap();
    }
    assert!(account.calls("append_v2").iter().all(|call| call.argument["content_hash"].is_string()));
    let (_, body) = body(20 * MIB);
    let wrong = PutOptions::if_absent().with_sha256([7; 32]);
    let error = store.put(&key("packs/wrong"), body, &wrong).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Integrity, "{error}");
    assert!(account.file("/Laptop/packs/wrong").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn upload_goes_on_after_cuts_and_lost_answers() {
    let (bytes, body) = body(50 * MIB);
    // What goes wrong, and whether Dropbox keeps what came of a piece that was cut.
    let troubles: [(Effect<Fault>, bool); 5] = [
        (Effect::DoAndCut, false),
        (Effect::CutRequest { after_bytes: 5 * MIB }, false),
        (Effect::CutRequest { after_bytes: 5 * MIB }, true),
        (Effect::Vendor(Fault::PersistPart { bytes: 3_000_001 }), false),
        (Effect::Vendor(Fault::Unavailable), false),
    ];
    for (effect, is_kept) in troubles {
        let account = Account::new();
        account.dropbox.behave(|behaviour| behaviour.keeps_cut_appends = is_kept);
        let store = account.open("a").await.unwrap();
        let rule = account.dropbox.faults().add(Rule::once(effect.clone()).path(APPEND).after(1));
        store.put(&key("packs/1"), body.clone(), &PutOptions::if_absent()).await.unwrap();
        assert_eq!(account.dropbox.faults().met(rule), 1, "{effect:?}");
        assert!(account.file("/a/packs/1").unwrap() == bytes, "{effect:?}: stored wrong");
        // One session, and no more sent again than what was in the air.
        assert_eq!(account.calls("upload_session/start").len(), 1, "{effect:?}");
        let sent: u64 = account
            .dropbox
            .trace()
            .exchanges()
            .iter()
            .filter(|e| e.path.contains(APPEND))
            .map(|e| e.request_bytes)
            .sum();
        assert!(sent <= (50 + 32) * MIB as u64, "{effect:?}: {sent} bytes were sent");
        assert_eq!(account.calls(FINISH).len(), 1, "{effect:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_session_is_begun_once_more() {
    let account = Account::new();
    let store = account.open("a").await.unwrap();
    let (bytes, body) = body(40 * MIB);
    let faults = account.dropbox.faults();
    faults.add(Rule::once(Effect::Vendor(Fault::LoseSession)).path(APPEND).after(1));
    store.put(&key("packs/1"), body.clone(), &PutOptions::if_absent()).await.unwrap();
    assert!(account.file("/a/packs/1").unwrap() == bytes);
    assert_eq!(account.calls("upload_session/start").len(), 2);
    faults.add(Rule::always(Effect::Vendor(Fault::LoseSession)).path(FINISH));
    let error = store.put(&key("packs/2"), body, &PutOptions::if_absent()).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Unavailable, "{error}");
    assert_eq!(account.calls("upload_session/start").len(), 4, "it is begun again once");
}

#[tokio::test(flavor = "multi_thread")]
async fn next_put_of_the_same_bytes_goes_on_where_the_last_one_stopped() {
    let account = Account::new();
    let store = account.open("a").await.unwrap();
    let (bytes, body) = body(50 * MIB);
    let throttled = account
        .dropbox
        .faults()
        .add(Rule::once(Effect::Vendor(Fault::TooManyRequests { retry_after_s: 9 })).path(APPEND).after(2));
    let error = store.put(&key("packs/1"), body.clone(), &PutOptions::if_absent()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.retry()),
        (StorageErrorKind::RateLimited, RetryAdvice::After(Duration::from_secs(9)))
    );
    assert_eq!(account.dropbox.faults().met(throttled), 1);
    let before = account.calls(APPEND.trim_start_matches('/')).len();
    store.put(&key("packs/1"), body, &PutOptions::if_absent()).await.unwrap();
    assert!(account.file("/a/packs/1").unwrap() == bytes);
    assert_eq!(account.calls("upload_session/start").len(), 1);
    assert_eq!(account.calls("append_v2").len() - before, 2, "two of four pieces were there");
}

#[tokio::test(flavor = "multi_thread")]
async fn write_that_meets_another_sends_nothing_twice() {
    for contention in [Contention::Status { retry_after_s: 0 }, Contention::Operation, Contention::Path] {
        let account = Account::new();
        let store = account.open("a").await.unwrap();
        let policy = RetryPolicy { first_wait: Duration::from_millis(5), ..RetryPolicy::default() };
        let store = Retry::new(policy, 1).around(Arc::new(store));
        for (path, len) in [("/files/upload", 5 * MIB), (FINISH, 20 * MIB)] {
            let (bytes, body) = body(len);
            let busy = Effect::Vendor(Fault::TooManyWriteOperations(contention));
            let rule = account.dropbox.faults().add(Rule::once(busy).path(path));
            account.dropbox.trace().clear();
            let name = format!("packs/{len}");
            store.put(&key(&name), body, &PutOptions::if_absent()).await.unwrap();
            assert_eq!(account.dropbox.faults().met(rule), 1);
            assert!(account.file(&format!("/a/{name}")).unwrap() == bytes);
            let sent: u64 = account.dropbox.trace().exchanges().iter().map(|exchange| exchange.request_bytes).sum();
            // A throttled upload has to go up again; whatever Dropbox has taken need not.
            let is_taken = !(path == "/files/upload" && matches!(contention, Contention::Status { .. }));
            let most = if is_taken { len + MIB } else { 2 * len + MIB };
            assert!(sent <= most as u64, "{contention:?} {path}: {sent} bytes were sent for {len}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answer_that_is_lost_after_all_was_stored_asks_for_a_look() {
    let account = Account::new();
    let plain = account.open("a").await.unwrap();
    for (path, len) in [("/files/upload", MIB), (FINISH, 20 * MIB)] {
        let (bytes, body) = body(len);
        let name = format!("packs/{len}");
        account.dropbox.faults().add(Rule::once(Effect::DoAndCut).path(path));
        let error = plain.put(&key(&name), body.clone(), &PutOptions::if_absent()).await.unwrap_err();
        assert_eq!(error.retry(), RetryAdvice::Verify, "{error}");
        let name = format!("other/{len}");
        account.dropbox.faults().add(Rule::once(Effect::DoAndCut).path(path));
        let policy = RetryPolicy { first_wait: Duration::from_millis(5), ..RetryPolicy::default() };
        let store = Retry::new(policy, 1).around(Arc::new(plain.clone()));
        store.put(&key(&name), body, &PutOptions::if_absent()).await.unwrap();
        assert!(account.file(&format!("/a/{name}")).unwrap() == bytes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_bytes_than_were_sent_are_noticed_and_make_room_for_the_right_ones() {
    let account = Account::new();
    let store = account.open("a").await.unwrap();
    for (path, len) in [("/files/upload", 1_000), (FINISH, 20 * MIB)] {
        let (bytes, body) = body(len);
        let name = key(&format!("packs/{len}"));
        account.dropbox.faults().add(Rule::once(Effect::Vendor(Fault::WrongHash)).path(path));
        let error = store.put(&name, body.clone(), &PutOptions::if_absent()).await.unwrap_err();
        assert_eq!(error.kind(), StorageErrorKind::Integrity, "{error}");
        assert!(account.file(&format!("/a/{name}")).is_none(), "the key is not free");
        store.put(&name, body, &PutOptions::if_absent()).await.unwrap();
        assert!(account.file(&format!("/a/{name}")).unwrap() == bytes);
    }
    for effect in
        [Effect::Vendor(Fault::WrongHash), Effect::FlipReply { at_byte: 7 }, Effect::ShortenReply { to_bytes: 10 }]
    {
        account.dropbox.faults().add(Rule::once(effect.clone()).path("/files/download"));
        let error = store.get(&key("packs/1000"), ByteRange::Full).await.unwrap_err();
        assert_eq!(error.kind(), StorageErrorKind::Integrity, "{effect:?}: {error}");
    }
    let span = ByteRange::Span { offset_bytes: 100, len_bytes: 50 };
    account.dropbox.faults().add(Rule::once(Effect::ShortenReply { to_bytes: 10 }).path("/files/download"));
    let error = store.get(&key("packs/1000"), span).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Integrity, "{error}");
}
