//! Damage of `config` and of keys.

use std::error::Error;
use std::sync::Arc;

use backup_core::{ObjectKey, StorageBackend};
use backup_engine::check::{CheckLevel, CheckOptions, Severity};
use backup_engine::repository::{OpenError, Repository, Unlock};

use super::{Damage, Damaged, damages};
use crate::support::fixture::{Fixture, check_with};
use crate::support::open;
use crate::support::oracle::lost;

const SLOT: u8 = 16;
const EPOCH: u8 = 17;

/// The key objects of a kind, in the order in which they were made.
fn keys(fixture: &Fixture, kind: u8) -> Vec<ObjectKey> {
    let mut keys: Vec<_> =
        fixture.keys("keys/").into_iter().filter(|key| fixture.store.peek(key).unwrap()[5] == kind).collect();
    // An epoch's number stands at 8; of slots, which is which shows when they are used.
    keys.sort_by_key(|key| fixture.store.peek(key).unwrap()[8]);
    assert_eq!(keys.len(), 2);
    keys
}

/// An error with its causes.
fn words(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        words.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    words
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_config_is_refused_by_name_and_found_while_the_repository_is_open() {
    let fixture = Fixture::new().await;
    let key = ObjectKey::new("config").unwrap();
    let len = fixture.store.peek(&key).unwrap().len();
    let every_byte: Vec<_> = (0..len).collect();
    for damage in damages(len, &every_byte) {
        let fixture = fixture.fork();
        let repository = fixture.open().await;
        damage.apply(&fixture.store, &key);
        let what = format!("{damage:?}");

        let error = open(&fixture.store, &fixture.clock).await.expect_err(&what);
        match &error {
            OpenError::NotFound => assert_eq!(damage, Damage::Delete),
            // Which version it is can't be authentic before the keys are known.
            OpenError::NewerVersion(_) => assert!(matches!(damage, Damage::Flip(_)), "{what}"),
            error => assert!(words(error).contains("config"), "{what}: {}", words(error)),
        }

        let report = check_with(&repository, CheckOptions::default()).await;
        let [finding] = &report.findings[..] else { panic!("{what}: {report:#?}") };
        assert_eq!((finding.object.as_str(), finding.severity), ("config", Severity::Loss), "{what}");
    }
    let repository = fixture.open().await;
    Damage::Delete.apply(&fixture.store, &key);
    assert!(lost(&repository, &fixture.expected).await.is_empty(), "an open repository still reads");
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_key_slot_is_named_and_another_one_still_opens() {
    let fixture = Fixture::new().await;
    let mut unusable = 0;
    for key in keys(&fixture, SLOT) {
        let len = fixture.store.peek(&key).unwrap().len();
        for damage in damages(len, &[90, 120, 168, 172]) {
            let fixture = fixture.fork();
            damage.apply(&fixture.store, &key);
            let what = format!("{damage:?} of {key}");
            let repository = match open(&fixture.store, &fixture.clock).await {
                Ok(repository) => repository,
                Err(OpenError::WrongKey { .. }) => {
                    unusable += 1;
                    let backend: Arc<dyn StorageBackend> = Arc::new(fixture.store.clone());
                    let other = Unlock::Key(vec![9; 32].into());
                    Repository::open(backend, &other, fixture.clock.clone()).await.expect(&what)
                }
                Err(error) => panic!("{what}: {error}"),
            };
            let report = check_with(&repository, CheckOptions::default()).await;
            let named: Vec<_> = report.findings.iter().map(|finding| finding.object.as_str()).collect();
            // A slot that is gone looks like one that was removed.
            let expected = if damage == Damage::Delete { vec![] } else { vec![key.as_str()] };
            assert_eq!(named, expected, "{what}: {report:#?}");
            assert!(report.is_restorable(), "{what}");
            assert!(lost(&repository, &fixture.expected).await.is_empty(), "{what}");
        }
    }
    assert!(unusable >= 20, "the slot in use was damaged in {unusable} cases only");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_usable_slot_a_check_says_that_nobody_can_open_it_again() {
    let fixture = Fixture::new().await;
    let repository = fixture.open().await;
    for key in keys(&fixture, SLOT) {
        Damage::Flip(130).apply(&fixture.store, &key);
    }
    let error = open(&fixture.store, &fixture.clock).await.unwrap_err();
    assert!(matches!(error, OpenError::KeysLost("key slot")), "{error:?}");
    let report = check_with(&repository, CheckOptions::default()).await;
    assert!(!report.is_restorable());
    assert!(report.findings.iter().any(|finding| finding.object == "keys/" && finding.severity == Severity::Loss));
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_epoch_key_is_named_and_costs_what_was_sealed_under_it() {
    let fixture = Fixture::new().await;
    for key in keys(&fixture, EPOCH) {
        let len = fixture.store.peek(&key).unwrap().len();
        for damage in damages(len, &[100, 120, 150]) {
            let mut damaged = Damaged::new(&fixture, &key, damage).await;
            assert!(!damaged.lost.is_empty(), "{}", damaged.what);
            match damage {
                // What was sealed under it is named instead.
                Damage::Delete => {
                    let report = damaged.look(CheckLevel::Structure).await;
                    let unknown = report.findings.iter().filter(|finding| finding.what.contains("is not known"));
                    assert!(unknown.count() > 1, "{}: {report:#?}", damaged.what);
                    assert_eq!(crate::support::oracle::victims(&report, &damaged.fixture.expected), damaged.lost);
                }
                _ => damaged.is_found_from(CheckLevel::Structure).await,
            }
            damaged.heals().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_epoch_key_opening_says_so() {
    let fixture = Fixture::new().await;
    for key in keys(&fixture, EPOCH) {
        Damage::Truncate(159).apply(&fixture.store, &key);
    }
    let error = open(&fixture.store, &fixture.clock).await.unwrap_err();
    assert!(matches!(error, OpenError::KeysLost("epoch key")), "{error:?}");
}
