//! Damage of packs and of the index.

use backup_core::ObjectKey;
use backup_engine::check::{CheckLevel, Severity};
use backup_engine::format::pack::footer_frame_bytes;
use backup_engine::restore::RestoreOptions;

use super::{Damage, Damaged, damages};
use crate::support::fixture::Fixture;
use crate::support::oracle::victims;

const DATA: u8 = 1;
const TREES: u8 = 2;

/// Length of a pack, and the places of its footer: end of the last block, magic, sealed content, trailer.
fn layout(fixture: &Fixture, key: &ObjectKey) -> (usize, Vec<usize>) {
    let bytes = fixture.store.peek(key).unwrap();
    let footer = bytes.len() - 8 - footer_frame_bytes(&bytes).unwrap();
    (bytes.len(), vec![footer - 1, footer, footer + 4, footer + 8, footer + 30, bytes.len() - 8])
}

/// The largest pack of a kind and the smallest with every damage, the others with a few.
fn cases(fixture: &Fixture, kind: u8) -> Vec<(ObjectKey, Damage)> {
    let mut packs = fixture.packs(kind);
    packs.sort_by_key(|key| fixture.store.peek(key).unwrap().len());
    let last = packs.len() - 1;
    let mut cases = Vec::new();
    for (nth, key) in packs.into_iter().enumerate() {
        let (len, places) = layout(fixture, &key);
        let damages = if nth == 0 || nth == last {
            damages(len, &places)
        } else {
            vec![Damage::Delete, Damage::Truncate(len / 2), Damage::Flip(len / 2)]
        };
        cases.extend(damages.into_iter().map(|damage| (key.clone(), damage)));
    }
    assert!(cases.len() > 50, "{} cases", cases.len());
    cases
}

/// The level that must see it: what keeps its size shows in its bytes only.
fn level_for(damage: Damage) -> CheckLevel {
    match damage {
        Damage::Flip(_) => CheckLevel::Objects,
        Damage::Delete | Damage::Truncate(_) | Damage::Append => CheckLevel::Structure,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_data_pack_is_named_with_its_victims_and_healed() {
    let fixture = Fixture::new().await;
    let (mut harmful, mut healed) = (0, 0);
    for (key, damage) in cases(&fixture, DATA) {
        let mut damaged = Damaged::new(&fixture, &key, damage).await;
        damaged.is_found_from(level_for(damage)).await;
        damaged.restores_the_rest().await;
        let had_lost = !damaged.lost.is_empty();
        harmful += usize::from(had_lost);
        let report = damaged.heals_after(level_for(damage)).await;
        damaged.assert_older_snapshots_are_healed();
        healed += usize::from(damaged.is_sound_if_all_is_healed(had_lost, &report));
    }
    assert!(healed > 5, "only {healed} cases were healed in all snapshots");
    assert!(harmful > 30, "only {harmful} cases lost anything");
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_tree_pack_is_named_with_its_victims_and_healed() {
    let fixture = Fixture::new().await;
    let mut harmful = 0;
    for (key, damage) in cases(&fixture, TREES) {
        let mut damaged = Damaged::new(&fixture, &key, damage).await;
        damaged.is_found_from(level_for(damage)).await;
        damaged.restores_the_rest().await;
        harmful += usize::from(!damaged.lost.is_empty());
        damaged.heals_after(level_for(damage)).await;
    }
    assert!(harmful > 20, "only {harmful} cases lost anything");
}

/// Who finds out by a restore need not run a check of everything before the next capture mends what it can.
#[tokio::test(flavor = "multi_thread")]
async fn damaged_data_pack_is_healed_after_a_restore_met_it() {
    let fixture = Fixture::new().await;
    let mut recorded = 0;
    for (key, damage) in cases(&fixture, DATA) {
        let mut damaged = Damaged::new(&fixture, &key, damage).await;
        let before = damaged.fixture.keys("verify/").len();
        damaged.restores_with(RestoreOptions::default()).await;
        let records = damaged.fixture.keys("verify/").len() - before;
        assert_eq!(records > 0, !damaged.lost.is_empty(), "{}: {records} records", damaged.what);
        // What is known is not told again.
        damaged.restores_with(RestoreOptions::default()).await;
        assert_eq!(damaged.fixture.keys("verify/").len() - before, records, "{}", damaged.what);
        recorded += records;
        damaged.heals().await;
        // The check of all data at its end has looked at what the restore told of.
        assert!(damaged.fixture.keys("verify/").len() <= before, "{}: the restore's record stays", damaged.what);
    }
    assert!(recorded > 30, "only {recorded} records");
}

/// A capture meets damaged nodes itself when it compares with its parent: it must not refer to them again.
#[tokio::test(flavor = "multi_thread")]
async fn damaged_tree_pack_is_healed_without_a_check() {
    let fixture = Fixture::new().await;
    for (key, damage) in cases(&fixture, TREES) {
        Damaged::new(&fixture, &key, damage).await.heals().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_index_object_is_named_with_its_victims_and_replaced() {
    let fixture = Fixture::new().await;
    let mut harmful = 0;
    for key in fixture.keys("index/") {
        let len = fixture.store.peek(&key).unwrap().len();
        for damage in damages(len, &[]).into_iter().filter(|damage| *damage != Damage::Delete) {
            let mut damaged = Damaged::new(&fixture, &key, damage).await;
            damaged.is_found_from(CheckLevel::Structure).await;
            harmful += usize::from(!damaged.lost.is_empty());
            let report = damaged.heals().await;
            assert!(report.is_sound() && damaged.lost.is_empty(), "{}: {report:#?}", damaged.what);
        }
    }
    assert!(harmful > 20, "only {harmful} cases lost anything");
}

/// What a deleted index object was called is not known any more; what it hurts is.
#[tokio::test(flavor = "multi_thread")]
async fn deleted_index_object_is_missed_with_its_victims() {
    let fixture = Fixture::new().await;
    let mut harmful = 0;
    for key in fixture.keys("index/") {
        let mut damaged = Damaged::new(&fixture, &key, Damage::Delete).await;
        for level in [CheckLevel::Structure, CheckLevel::Objects, CheckLevel::Data] {
            let report = damaged.look(level).await;
            assert_eq!(victims(&report, &damaged.fixture.expected), damaged.lost, "{}", damaged.what);
            let unindexed = report.findings.iter().filter(|finding| finding.severity == Severity::Notice);
            assert!(unindexed.count() > 0, "{}: packs that only it named are noticed", damaged.what);
            let missing = report.findings.iter().any(|finding| finding.object == "index/");
            assert_eq!(missing, !damaged.lost.is_empty(), "{}: {report:#?}", damaged.what);
        }
        harmful += usize::from(!damaged.lost.is_empty());
        let report = damaged.heals().await;
        assert!(report.is_sound() && damaged.lost.is_empty(), "{}: {report:#?}", damaged.what);
    }
    assert!(harmful > 1, "only {harmful} cases lost anything");
}
