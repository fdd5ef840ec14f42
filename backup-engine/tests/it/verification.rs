//! What checks remember, and what they read.

use std::sync::Arc;

use backup_core::conflict::KeepBackup;
use backup_core::{CancelToken, Event, Monitor, ObjectKey, Silent};
use backup_engine::check::{CheckError, CheckLevel, CheckOptions, CheckReport, Part, Severity, Stripe};
use backup_engine::restore::RestoreOptions;

use crate::support::fixture::{Fixture, check, check_with};
use crate::support::oracle::{lost, victims};
use crate::support::target::MemoryTarget;
use crate::support::veil::{Veil, VeiledBackend};
use crate::support::{create, open_over};

fn flip(fixture: &Fixture, key: &ObjectKey) {
    let mut bytes = fixture.store.peek(key).unwrap().to_vec();
    bytes[100] ^= 1;
    fixture.store.plant(key, bytes);
}

fn objects(report: &CheckReport) -> Vec<&str> {
    report.findings.iter().map(|finding| finding.object.as_str()).collect()
}

async fn check_part(fixture: &Fixture, level: CheckLevel, part: &str) -> CheckReport {
    let mut options = CheckOptions::level(level);
    options.part = Some(part.parse().unwrap());
    check_with(&fixture.open().await, options).await
}

/// The stripe of three that a pack is in.
fn stripe_of(key: &ObjectKey) -> Stripe {
    let id = key.name().parse().unwrap();
    (1..=3).map(|n| Stripe::new(n, 3).unwrap()).find(|stripe| stripe.contains(&id)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn stripes_together_read_every_pack_once() {
    let fixture = Fixture::new().await;
    let all = fixture.keys("packs/").len() as u64;
    for level in [CheckLevel::Objects, CheckLevel::Data] {
        let mut read = 0;
        for n in 1..=4 {
            let report = check_part(&fixture, level, &format!("{n}/4")).await;
            assert!(report.packs_read < all);
            read += report.packs_read;
        }
        assert_eq!(read, all);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rotation_reads_every_stripe_before_it_reads_one_again() {
    let fixture = Fixture::new().await;
    // The check of everything that the fixture made counts for each stripe, at the same time.
    let mut seen = Vec::new();
    for _ in 0..6 {
        fixture.clock.advance(std::time::Duration::from_secs(3600));
        let report = check_part(&fixture, CheckLevel::Data, "next/3").await;
        seen.push(report.stripe.unwrap().n());
    }
    assert_eq!(seen, [1, 2, 3, 1, 2, 3]);
    // One record for each stripe, and the one of everything: older ones are removed.
    assert_eq!(fixture.keys("verify/").len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn check_of_a_stripe_finds_damage_in_it_and_remembers_damage_elsewhere() {
    let fixture = Fixture::new().await;
    let key = fixture.packs(1).into_iter().max_by_key(|key| fixture.store.peek(key).unwrap().len()).unwrap();
    flip(&fixture, &key);
    let own = stripe_of(&key);
    let other = Stripe::new(own.n() % 3 + 1, 3).unwrap();
    let name = format!("{key}#80");

    let report = check_part(&fixture, CheckLevel::Data, &other.to_string()).await;
    assert_eq!(objects(&report), Vec::<&str>::new(), "nobody has read it yet");
    let report = check_part(&fixture, CheckLevel::Data, &own.to_string()).await;
    assert_eq!(objects(&report), [name.as_str()]);
    let repository = fixture.open().await;
    let hurt = lost(&repository, &fixture.expected).await;
    assert_eq!(victims(&report, &fixture.expected), hurt);
    assert_eq!(repository.known_damage().await.unwrap(), std::slice::from_ref(&name));

    // Neither a check of another part nor a shallower one clears it.
    let elsewhere = check_part(&fixture, CheckLevel::Data, &other.to_string()).await;
    assert_eq!((objects(&elsewhere), victims(&elsewhere, &fixture.expected)), (vec![name.as_str()], hurt.clone()));
    let shallow = check(&repository, CheckLevel::Structure).await;
    assert_eq!((objects(&shallow), victims(&shallow, &fixture.expected)), (vec![name.as_str()], hurt));
    assert_eq!(repository.known_damage().await.unwrap(), [name]);

    // The pack comes back from a copy: the next look at it says so.
    flip(&fixture, &key);
    let report = check_part(&fixture, CheckLevel::Data, &own.to_string()).await;
    assert_eq!(objects(&report), Vec::<&str>::new());
    assert!(repository.known_damage().await.unwrap().is_empty());
    assert!(check(&repository, CheckLevel::Structure).await.is_sound());
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_pack_that_comes_back_is_no_damage_any_more() {
    let fixture = Fixture::new().await;
    let repository = fixture.open().await;
    let key = fixture.packs(1).remove(0);
    let bytes = fixture.store.pluck(&key).unwrap();
    assert_eq!(objects(&check(&repository, CheckLevel::Structure).await), [key.as_str()]);
    assert_eq!(repository.known_damage().await.unwrap(), [key.to_string()]);
    fixture.store.plant(&key, bytes);
    assert!(check(&repository, CheckLevel::Structure).await.is_sound());
    assert!(repository.known_damage().await.unwrap().is_empty());
}

/// Where nobody may delete, old records stay; what they say does not hold for ever.
#[tokio::test(flavor = "multi_thread")]
async fn damage_that_is_gone_is_forgotten_on_an_append_only_store_too() {
    let fixture = Fixture::new().await;
    let key = fixture.packs(1).remove(0);
    let store = VeiledBackend::new(&fixture.store, &key, Veil::AppendOnly);
    let repository = open_over(store, &fixture.clock).await.unwrap();
    let bytes = fixture.store.pluck(&key).unwrap();
    for level in [CheckLevel::Structure, CheckLevel::Data, CheckLevel::Data] {
        assert_eq!(objects(&check(&repository, level).await), [key.as_str()], "{level:?}");
    }
    fixture.store.plant(&key, bytes);
    let before = fixture.keys("verify/").len();
    assert!(check(&repository, CheckLevel::Data).await.is_sound());
    assert_eq!(fixture.keys("verify/").len(), before + 1, "nothing was deleted");
    assert!(repository.known_damage().await.unwrap().is_empty());
    assert!(check(&repository, CheckLevel::Structure).await.is_sound());
}

/// After the capture has stored it again, the damaged pack is still damaged; but nothing depends on it.
#[tokio::test(flavor = "multi_thread")]
async fn healed_damage_has_no_victims() {
    let fixture = Fixture::new().await;
    let repository = fixture.open().await;
    for key in fixture.packs(1) {
        flip(&fixture, &key);
    }
    let report = check(&repository, CheckLevel::Data).await;
    assert!(!report.is_restorable());
    let created = create(&repository, &fixture.clock, &fixture.tree).await;
    let mut expected = fixture.expected.clone();
    expected.insert(created.snapshot, fixture.tree.clone());
    let report = check(&repository, CheckLevel::Data).await;
    let newest = |finding: &&backup_engine::check::Finding| {
        finding.victims.iter().any(|victim| victim.snapshot == created.snapshot)
    };
    assert_eq!(report.findings.iter().find(newest), None);
    let without_victims = report.findings.iter().filter(|finding| finding.victim_count == 0);
    assert!(without_victims.clone().count() > 5, "{report:#?}");
    assert!(
        without_victims.clone().all(|finding| finding.severity == Severity::Notice),
        "known, and of no consequence"
    );
    // A further capture has nothing to heal.
    let again = create(&repository, &fixture.clock, &fixture.tree).await;
    assert_eq!((again.record.statistics.new_bytes, again.record.statistics.read_bytes), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn structure_check_of_a_sound_repository_leaves_no_record() {
    let fixture = Fixture::new().await;
    let before = fixture.keys("verify/");
    check(&fixture.open().await, CheckLevel::Structure).await;
    assert_eq!(fixture.keys("verify/"), before);
    check(&fixture.open().await, CheckLevel::Data).await;
    assert_ne!(fixture.keys("verify/"), before);
    assert_eq!(fixture.keys("verify/").len(), 1, "the record before it says nothing more");
}

/// Both copies of a blob in one repository: losing either hurts nobody.
#[tokio::test(flavor = "multi_thread")]
async fn blob_with_another_sound_copy_is_no_victim() {
    let fixture = Fixture::new().await;
    let repository = fixture.open().await;
    // A capture while all packs are away stores everything a second time.
    let packs = fixture.keys("packs/");
    let bytes: Vec<_> = packs.iter().map(|key| fixture.store.pluck(key).unwrap()).collect();
    create(&repository, &fixture.clock, &fixture.tree).await;
    let copies: Vec<_> = fixture.keys("packs/");
    packs.iter().zip(bytes).for_each(|(key, bytes)| fixture.store.plant(key, bytes));
    for key in packs.iter().filter(|key| fixture.store.peek(key).unwrap()[5] == 1).chain(&copies) {
        let fixture = fixture.fork();
        flip(&fixture, key);
        let report = check(&fixture.open().await, CheckLevel::Data).await;
        let newest_first = fixture.expected.keys().collect::<Vec<_>>();
        assert!(!report.is_sound(), "{key}");
        // The third snapshot is the one whose content is there twice; older ones have content of their own.
        let third = newest_first.iter().find(|id| fixture.expected[**id] == fixture.tree).unwrap();
        let hurt = report.findings.iter().flat_map(|finding| &finding.victims).any(|victim| victim.snapshot == **third);
        assert!(!hurt, "{key}: {report:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unreferenced_packs_are_noticed_and_no_damage() {
    let fixture = Fixture::new().await;
    let repository = fixture.open().await;
    let key = ObjectKey::new(format!("packs/ab/ab{}", "0".repeat(62))).unwrap();
    fixture.store.plant(&key, b"half an upload".to_vec());
    for level in [CheckLevel::Structure, CheckLevel::Data] {
        let report = check(&repository, level).await;
        assert!(report.is_sound());
        assert!(objects(&report).iter().all(|&object| object == key.as_str()), "{report:#?}");
        assert!(!report.findings.is_empty());
    }
}

struct CancelAtProgress(CancelToken);

impl Monitor for CancelAtProgress {
    fn event(&self, event: &Event<'_>) {
        if let Event::PhaseStarted { .. } = event {
            self.0.cancel();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_check_ends_and_records_nothing() {
    let fixture = Fixture::new().await;
    let before = fixture.store.keys();
    let repository = fixture.open().await;
    for level in [CheckLevel::Structure, CheckLevel::Objects, CheckLevel::Data] {
        let cancel = CancelToken::new();
        let monitor = Arc::new(CancelAtProgress(cancel.clone()));
        let result = repository.check(CheckOptions::level(level), monitor, cancel).await;
        assert!(matches!(result, Err(CheckError::Cancelled)), "{result:?}");
    }
    assert_eq!(fixture.store.keys(), before);
}

/// A repository that can't be written to can still be checked.
#[tokio::test(flavor = "multi_thread")]
async fn check_that_can_not_be_recorded_says_so() {
    let fixture = Fixture::new().await;
    let full = Fixture { store: fixture.store.with_quota(fixture.store.stored_bytes()), ..fixture.fork() };
    let report = check(&full.open().await, CheckLevel::Data).await;
    assert!(report.is_sound());
    assert!(report.unrecorded.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn restore_that_can_not_record_damage_says_so_and_goes_on() {
    let fixture = Fixture::new().await;
    // All of them: of some blobs there are several copies.
    fixture.packs(1).iter().for_each(|key| flip(&fixture, key));
    let full = Fixture { store: fixture.store.with_quota(fixture.store.stored_bytes()), ..fixture.fork() };
    let repository = full.open().await;
    let before = full.store.keys();
    let mut hurt = 0;
    for snapshot in repository.list_snapshots().await.unwrap().snapshots {
        let (target, rule) = (Arc::new(MemoryTarget::default()), Arc::new(KeepBackup {}));
        let (options, cancel) = (RestoreOptions::default(), CancelToken::new());
        let report = repository.restore(&snapshot, target, rule, options, Arc::new(Silent), cancel).await.unwrap();
        assert!(report.restored_others > 0, "{report:?}");
        assert_eq!(report.unrecorded.is_some(), report.damaged_files > 0, "{report:?}");
        hurt += report.damaged_files;
    }
    assert!(hurt > 0);
    assert_eq!(full.store.keys(), before);
}

#[test]
fn parts_are_understood_or_refused() {
    assert_eq!("3/30".parse(), Ok(Part::Stripe(Stripe::new(3, 30).unwrap())));
    assert_eq!("next/30".parse(), Ok(Part::Next { of: 30 }));
    for bad in ["", "3", "0/3", "4/3", "next/0", "next/", "1/0", "-1/3", "x/3", "1/3/5"] {
        assert!(bad.parse::<Part>().is_err(), "{bad:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn findings_come_in_the_same_order_every_time() {
    let fixture = Fixture::new().await;
    for key in fixture.packs(1) {
        flip(&fixture, &key);
    }
    let repository = fixture.open().await;
    let mut reports = Vec::new();
    for workers in [1, 2, 4] {
        let mut options = CheckOptions::level(CheckLevel::Data);
        options.workers = workers;
        options.record = false;
        reports.push(repository.check(options, Arc::new(Silent), CancelToken::new()).await.unwrap().findings);
    }
    assert!(reports[0].len() > 5);
    assert!(reports.iter().all(|findings| *findings == reports[0]));
}
