//! The index is no more than what the packs say: it comes back from them alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use backup_core::storage::layer::{FaultBackend, FaultKind};
use backup_core::{CancelToken, MemoryBackend, ObjectKey, Silent};
use backup_engine::check::{CheckLevel, Severity};
use backup_engine::format::ObjectKind;
use backup_engine::format::index::IndexSegment;
use backup_engine::format::pack::footer_frame_bytes;
use backup_engine::id::{BlobPrefix, PackId};
use backup_engine::rebuild::{RebuildError, RebuildOptions, RebuildReport};
use backup_engine::repository::Repository;

use crate::support::fixture::{Fixture, check, interrupt};
use crate::support::oracle::{lost, victims};
use crate::support::{create, noise, open_over};

/// Everything that look-ups can give.
type LookUps = BTreeMap<(BlobPrefix, PackId, u32, u16), u32>;

async fn look_ups(repository: &Repository) -> LookUps {
    let loaded = repository.load_index().await.unwrap();
    let index = &loaded.index;
    assert!(loaded.damaged.is_empty());
    let of = |(prefix, at): (BlobPrefix, backup_engine::index::BlobLocation)| {
        ((prefix, index.pack(at.pack).id, at.offset_bytes, at.number), at.sealed_bytes)
    };
    index.iter().map(of).collect()
}

async fn rebuild(repository: &Repository) -> RebuildReport {
    rebuild_with(repository, RebuildOptions::default()).await
}

async fn rebuild_with(repository: &Repository, options: RebuildOptions) -> RebuildReport {
    repository.rebuild_index(options, Arc::new(Silent), CancelToken::new()).await.unwrap()
}

fn remove_index(fixture: &Fixture) {
    let keys = fixture.keys("index/");
    assert!(keys.len() > 2);
    keys.iter().for_each(|key| drop(fixture.store.pluck(key)));
}

fn flip(store: &MemoryBackend, key: &ObjectKey, at: usize) {
    let mut bytes = store.peek(key).unwrap().to_vec();
    bytes[at] ^= 1;
    store.plant(key, bytes);
}

/// Where a pack's footer frame begins.
fn footer_at(store: &MemoryBackend, key: &ObjectKey) -> usize {
    let bytes = store.peek(key).unwrap();
    bytes.len() - 8 - footer_frame_bytes(&bytes).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn index_rebuilt_from_packs_alone_gives_the_same_look_ups() {
    let fixture = Fixture::new().await;
    let repository = fixture.open().await;
    let before = look_ups(&repository).await;
    remove_index(&fixture);
    assert!(look_ups(&repository).await.is_empty());
    let report = rebuild(&repository).await;
    assert_eq!(report.packs, fixture.keys("packs/").len() as u64);
    assert_eq!((report.packs_added, report.written, report.problems), (report.packs, 1, vec![]));
    assert_eq!(look_ups(&repository).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn repository_survives_losing_its_index() {
    let fixture = Fixture::new().await;
    let repository = fixture.open().await;
    remove_index(&fixture);
    let report = check(&repository, CheckLevel::Structure).await;
    assert_eq!(victims(&report, &fixture.expected), lost(&repository, &fixture.expected).await);
    assert_eq!(lost(&repository, &fixture.expected).await.len(), 3, "without an index nothing is found");
    rebuild(&repository).await;
    assert!(lost(&repository, &fixture.expected).await.is_empty());
    let report = check(&repository, CheckLevel::Data).await;
    assert!(report.is_sound(), "{report:#?}");
}

/// Nobody has to know of the rebuild: the next capture finds packs and no index, and takes them in.
#[tokio::test(flavor = "multi_thread")]
async fn capture_takes_in_packs_that_lost_their_index_and_stores_nothing_twice() {
    let fixture = Fixture::new().await;
    let repository = fixture.open().await;
    remove_index(&fixture);
    let created = create(&repository, &fixture.clock, &fixture.tree).await;
    assert_eq!(created.record.statistics.new_bytes, 0);
    assert!(
        lost(&repository, &fixture.expected.clone().into_iter().chain([(created.snapshot, fixture.tree)]).collect())
            .await
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn capture_takes_in_packs_that_an_interrupted_one_did_not_index() {
    let fixture = Fixture::new().await;
    let repository = fixture.open().await;
    let mut tree = fixture.tree.clone();
    tree.file("aa/stored before it was interrupted", &noise(55, 100_000));
    let before = fixture.keys("index/");
    interrupt(&repository, &fixture.clock, &tree).await;
    let unindexed: Vec<_> = fixture.keys("index/").into_iter().filter(|key| !before.contains(key)).collect();
    assert!(!unindexed.is_empty());
    unindexed.iter().for_each(|key| drop(fixture.store.pluck(key)));
    let created = create(&repository, &fixture.clock, &tree).await;
    assert!(created.resumed.is_some());
    let statistics = created.record.statistics;
    assert_eq!((statistics.new_bytes, statistics.read_bytes), (0, 0));
    let expected = fixture.expected.clone().into_iter().chain([(created.snapshot, tree)]).collect();
    assert!(lost(&repository, &expected).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn rebuild_of_a_right_index_writes_nothing() {
    let fixture = Fixture::new().await;
    let repository = fixture.open().await;
    let keys = fixture.store.keys();
    let report = rebuild(&repository).await;
    assert_eq!((report.written, report.replaced, report.packs_added), (0, 0, 0));
    assert_eq!(fixture.store.keys(), keys);
}

#[tokio::test(flavor = "multi_thread")]
async fn dry_run_tells_the_same_and_writes_nothing() {
    let fixture = Fixture::new().await;
    let repository = fixture.open().await;
    remove_index(&fixture);
    let keys = fixture.store.keys();
    let mut options = RebuildOptions::default();
    options.dry_run = true;
    let dry = rebuild_with(&repository, options).await;
    assert_eq!(fixture.store.keys(), keys);
    let wet = rebuild(&repository).await;
    assert_eq!((dry.packs, dry.blobs, dry.written), (wet.packs, wet.blobs, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn rebuild_replaces_damaged_index_objects_and_forgets_packs_that_are_gone() {
    let fixture = Fixture::new().await;
    let repository = fixture.open().await;
    let index = fixture.keys("index/");
    flip(&fixture.store, &index[0], 100);
    let gone = fixture.packs(1).remove(0);
    fixture.store.pluck(&gone);
    let before = fixture.store.keys();
    let report = rebuild(&repository).await;
    assert!(index.len() > 2 && (1..=2).contains(&report.replaced), "only what is wrong is replaced: {report:?}");
    assert!(report.packs_dropped <= 1 && !report.kept_old, "{report:?}");
    assert!(before.iter().all(|key| fixture.store.peek(key).is_some()), "nothing is deleted");
    // What the missing pack held is lost, and nothing else is wrong.
    let report = check(&repository, CheckLevel::Data).await;
    assert!(report.findings.iter().all(|finding| finding.object == "index/"), "{report:#?}");
    assert_eq!(victims(&report, &fixture.expected), lost(&repository, &fixture.expected).await);
}

/// Index objects are replaced one by one, so that it can end anywhere between them.
#[tokio::test(flavor = "multi_thread")]
async fn rebuild_that_dies_in_any_operation_hurts_nothing_and_the_next_one_completes_it() {
    let fixture = Fixture::new().await;
    // A pack is gone, and another index object than the one that names it is damaged.
    let gone = fixture.packs(1).remove(0);
    fixture.store.pluck(&gone);
    let repository = fixture.open().await;
    for key in fixture.keys("index/") {
        let payload = repository.store().get_record(ObjectKind::Index, &key.name().parse().unwrap()).await.unwrap();
        let names = IndexSegment::decode(&payload).unwrap().packs.into_iter().map(|pack| pack.id.to_string());
        if names.into_iter().all(|name| name != gone.name()) {
            flip(&fixture.store, &key, 100);
            break;
        }
    }
    let could_be_read = lost(&fixture.open().await, &fixture.expected).await;
    let whole = fixture.fork();
    assert_eq!(rebuild(&whole.open().await).await.replaced, 2);
    let rebuilt = look_ups(&whole.open().await).await;
    for kind in FaultKind::CRASHES {
        let mut survived = false;
        for number in 0..200 {
            let fork = fixture.fork();
            let faulty = FaultBackend::new(Arc::new(fork.store.clone()));
            let repository = open_over(Arc::new(faulty.clone()), &fork.clock).await.unwrap();
            let at = faulty.operations() + number;
            faulty.crash_at(at, kind);
            let result =
                repository.rebuild_index(RebuildOptions::default(), Arc::new(Silent), CancelToken::new()).await;
            let repository = fork.open().await;
            for (snapshot, paths) in lost(&repository, &fork.expected).await {
                let before = could_be_read.get(&snapshot).and_then(Option::as_ref).unwrap();
                assert!(paths.unwrap().is_subset(before), "{kind:?} of operation {number}");
            }
            rebuild(&repository).await;
            assert!(look_ups(&repository).await == rebuilt, "{kind:?} of operation {number}");
            if result.is_ok() && faulty.operations() <= at {
                survived = true;
                break;
            }
        }
        assert!(survived, "{kind:?}: the sweep has to reach the end of the run");
    }
}

/// Flips in the footer, in the trailer, and a footer cut off.
#[tokio::test(flavor = "multi_thread")]
async fn pack_without_footer_is_indexed_by_its_blocks() {
    let sound = Fixture::new().await;
    let before = look_ups(&sound.open().await).await;
    for key in sound.store.keys().into_iter().filter(|key| key.as_str().starts_with("packs/")) {
        let footer = footer_at(&sound.store, &key);
        let len = sound.store.peek(&key).unwrap().len();
        for damage in [footer, footer + 20, len - 8, len - 1] {
            let fixture = sound.fork();
            flip(&fixture.store, &key, damage);
            remove_index(&fixture);
            let report = rebuild(&fixture.open().await).await;
            assert_eq!(report.problems.len(), 1, "{key} at {damage}");
            assert_eq!(look_ups(&fixture.open().await).await, before, "{key} at {damage}");
        }
        let fixture = sound.fork();
        let bytes = fixture.store.peek(&key).unwrap();
        fixture.store.plant(&key, bytes.slice(..footer));
        remove_index(&fixture);
        rebuild(&fixture.open().await).await;
        assert_eq!(look_ups(&fixture.open().await).await, before, "{key} without its footer");
    }
}

/// A block is lost, the footer too: the blocks behind it are still found, each at its place.
#[tokio::test(flavor = "multi_thread")]
async fn damage_costs_a_block_and_not_the_pack() {
    let sound = Fixture::new().await;
    let before = look_ups(&sound.open().await).await;
    let mut cases = 0;
    for key in sound.packs(1) {
        let id: PackId = key.name().parse().unwrap();
        let of_pack = |look_ups: &LookUps| -> LookUps {
            look_ups.iter().filter(|((_, pack, ..), _)| *pack == id).map(|(at, len)| (*at, *len)).collect()
        };
        let mut offsets: Vec<u32> = of_pack(&before).keys().map(|(_, _, offset, _)| *offset).collect();
        offsets.sort_unstable();
        offsets.dedup();
        if offsets.len() < 3 {
            continue;
        }
        // In the clear prefix, and in what is sealed.
        for within in [0, 8, 30] {
            cases += 1;
            let fixture = sound.fork();
            flip(&fixture.store, &key, offsets[1] as usize + within);
            let footer = footer_at(&fixture.store, &key);
            flip(&fixture.store, &key, footer + 20);
            remove_index(&fixture);
            rebuild(&fixture.open().await).await;
            let mut expected = of_pack(&before);
            expected.retain(|(_, _, offset, _), _| *offset != offsets[1]);
            let mut after = of_pack(&look_ups(&fixture.open().await).await);
            // What stands for the lost block is no blob.
            after.retain(|(prefix, ..), _| *prefix != BlobPrefix([0; 16]));
            assert_eq!(after, expected, "{key}, {within} bytes into the second block");
            let repository = fixture.open().await;
            let lost = lost(&repository, &fixture.expected).await;
            let report = check(&repository, CheckLevel::Data).await;
            assert_eq!(victims(&report, &fixture.expected), lost);
            assert!(!report.is_sound());
        }
    }
    assert!(cases >= 6, "only {cases} cases");
}

#[tokio::test(flavor = "multi_thread")]
async fn pack_without_header_is_named_and_left_out() {
    let fixture = Fixture::new().await;
    let repository = fixture.open().await;
    let key = fixture.packs(1).remove(0);
    flip(&fixture.store, &key, 20);
    remove_index(&fixture);
    let report = rebuild(&repository).await;
    let named: Vec<_> = report.problems.iter().map(|problem| (problem.pack.to_string(), problem.blocks)).collect();
    assert_eq!(named, [(key.name().to_owned(), 0)]);
    assert_eq!(report.packs, fixture.keys("packs/").len() as u64 - 1);
}

/// What the old index says about a pack with a damaged footer is not thrown away for what a search finds.
#[tokio::test(flavor = "multi_thread")]
async fn rebuild_loses_nothing_that_the_old_index_has() {
    let fixture = Fixture::new().await;
    let repository = fixture.open().await;
    let before = look_ups(&repository).await;
    for key in fixture.keys("packs/") {
        let footer = footer_at(&fixture.store, &key);
        flip(&fixture.store, &key, footer + 20);
    }
    let report = rebuild(&repository).await;
    assert_eq!(report.problems.len(), fixture.keys("packs/").len());
    assert_eq!(look_ups(&repository).await, before);
    // A block that can't be read either stays where the index says it is: the next read may succeed.
    let key = fixture.packs(1).remove(0);
    flip(&fixture.store, &key, 100);
    assert_eq!(rebuild(&repository).await.written, 0);
    assert_eq!(look_ups(&repository).await, before);
    flip(&fixture.store, &key, 100);
    let report = check(&repository, CheckLevel::Data).await;
    assert!(report.is_restorable() && !report.is_sound());
    assert!(report.findings.iter().all(|finding| finding.severity == Severity::Damage));
}

#[tokio::test(flavor = "multi_thread")]
async fn rebuild_refuses_while_a_collector_is_at_work() {
    let fixture = Fixture::new().await;
    let repository = fixture.open().await;
    let key = ObjectKey::new("gc/0123/00000000").unwrap();
    fixture.store.plant(&key, b"condemned".to_vec());
    let result = repository.rebuild_index(RebuildOptions::default(), Arc::new(Silent), CancelToken::new()).await;
    assert!(matches!(result, Err(RebuildError::Collecting(named)) if named == key.as_str()));
    // Neither does a capture take in packs that may be on their way out.
    remove_index(&fixture);
    let index = repository.load_index().await.unwrap();
    assert_eq!(repository.adopt_orphans(&index).await.unwrap().packs, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_rebuild_changes_nothing() {
    let fixture = Fixture::new().await;
    remove_index(&fixture);
    let keys = fixture.store.keys();
    let cancel = CancelToken::new();
    cancel.cancel();
    let repository = fixture.open().await;
    let result = repository.rebuild_index(RebuildOptions::default(), Arc::new(Silent), cancel).await;
    assert!(matches!(result, Err(RebuildError::Cancelled)), "{result:?}");
    assert_eq!(fixture.store.keys(), keys);
}
