//! What is authentic and wrong all the same, and stores that don't do what they should: a check sees through both.

use std::collections::BTreeSet;

use backup_core::{ObjectKey, StorageErrorKind};
use backup_engine::check::{CheckError, CheckLevel, CheckOptions, CheckReport, Severity};
use backup_engine::format::ObjectKind;
use backup_engine::format::index::IndexSegment;
use backup_engine::format::record::SnapshotRecord;
use backup_engine::id::{BlobPrefix, SnapshotId};
use backup_engine::rebuild::RebuildOptions;
use backup_engine::repository::Repository;
use backup_engine::snapshots::parse_time;

use crate::support::fixture::{Fixture, check, check_with};
use crate::support::oracle::{Expected, lost, victims};
use crate::support::source::Tree;
use crate::support::veil::{Veil, VeiledBackend};
use crate::support::{CHUNK_BYTES, clock, create, init, noise, open_over};

fn objects(report: &CheckReport) -> Vec<&str> {
    report.findings.iter().map(|finding| finding.object.as_str()).collect()
}

/// Replaces the index object that names a pack by one that says something else about it.
async fn falsify(fixture: &Fixture, (pack, offset): &(ObjectKey, u32), change: impl FnOnce(&mut [BlobPrefix])) {
    let repository = fixture.open().await;
    for key in fixture.keys("index/") {
        let id = key.name().parse().unwrap();
        let payload = repository.store().get_record(ObjectKind::Index, &id).await.unwrap();
        let mut segment = IndexSegment::decode(&payload).unwrap();
        let Some(at) = segment.packs.iter().position(|indexed| indexed.id.to_string() == pack.name()) else { continue };
        let blocks = &mut segment.packs[at].table.blocks;
        let block = blocks.iter_mut().find(|block| block.offset_bytes == *offset).unwrap();
        let mut prefixes: Vec<_> = block.blobs.iter().map(|blob| blob.prefix).collect();
        change(&mut prefixes);
        block.blobs.iter_mut().zip(prefixes).for_each(|(blob, prefix)| blob.prefix = prefix);
        segment.supersedes = vec![id];
        repository.store().put_record(ObjectKind::Index, &segment.encode()).await.unwrap();
        return;
    }
    panic!("no index object names {pack}");
}

/// The block with most blobs: its pack and its place.
async fn block_of_small_files(fixture: &Fixture) -> (ObjectKey, u32) {
    let index = fixture.open().await.load_index().await.unwrap().index;
    let (number, pack, offset) = index.iter().map(|(_, at)| (at.number, at.pack, at.offset_bytes)).max().unwrap();
    assert!(number > 5);
    (backup_engine::layout::pack(&index.pack(pack).id), offset)
}

/// The index puts two blobs in each other's place: every hash and every seal is right.
#[tokio::test(flavor = "multi_thread")]
async fn index_that_contradicts_a_pack_is_found_with_its_victims() {
    let fixture = Fixture::new().await;
    let block = block_of_small_files(&fixture).await;
    falsify(&fixture, &block, |prefixes| prefixes.swap(1, 2)).await;
    let repository = fixture.open().await;
    assert!(check(&repository, CheckLevel::Structure).await.is_sound(), "only reading shows it");
    let report = check(&repository, CheckLevel::Data).await;
    let named = objects(&report);
    let (pack, offset) = &block;
    assert!(named.contains(&format!("{pack}#{offset}").as_str()) && named.contains(&pack.as_str()), "{report:#?}");
    let hurt = lost(&repository, &fixture.expected).await;
    assert!(!hurt.is_empty());
    // The check takes the whole block for lost, though only two of its blobs are.
    let found = victims(&report, &fixture.expected);
    for (snapshot, paths) in hurt {
        let found = found[&snapshot].as_ref().unwrap();
        assert!(paths.unwrap().is_subset(found), "{report:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rebuild_keeps_the_old_index_beside_packs_that_contradict_it() {
    let fixture = Fixture::new().await;
    let block = block_of_small_files(&fixture).await;
    falsify(&fixture, &block, |prefixes| prefixes[1] = BlobPrefix([7; 16])).await;
    let repository = fixture.open().await;
    let options = RebuildOptions::default();
    let report = repository
        .rebuild_index(options, std::sync::Arc::new(backup_core::Silent), backup_core::CancelToken::new())
        .await
        .unwrap();
    assert!(report.kept_old && report.replaced == 0 && report.written > 0, "{report:?}");
}

/// A snapshot whose root says more entries than there are, as only a program with the keys can write it.
#[tokio::test(flavor = "multi_thread")]
async fn snapshot_that_contradicts_its_tree_is_found() {
    let fixture = Fixture::new().await;
    let repository = fixture.open().await;
    let latest = repository.list_snapshots().await.unwrap().find("latest").unwrap();
    let mut record: SnapshotRecord = latest.record.clone();
    record.tree.entries += 1;
    record.time = "2027-01-01T00:00:00.000000000Z".to_owned();
    assert!(parse_time(&record.time).is_some());
    let payload = serde_json::to_vec(&record).unwrap();
    repository.store().put_record(ObjectKind::Snapshot, &payload).await.unwrap();
    let report = check(&repository, CheckLevel::Structure).await;
    assert!(!report.is_sound() && report.is_restorable(), "{report:#?}");
}

/// A file of more chunks than a leaf lists: its lists are blobs of their own.
async fn long_file() -> (Fixture, SnapshotId) {
    let (store, clock) = (backup_core::MemoryBackend::new(), clock());
    let repository = init(&store, &clock).await;
    let mut tree = Tree::default();
    let chunk = usize::try_from(CHUNK_BYTES).unwrap();
    // More than 1 024 chunks; all but one alike, so that they take no room.
    let mut content = vec![0; 1100 * chunk];
    content[600 * chunk..601 * chunk].copy_from_slice(&noise(8, chunk));
    tree.file("a", b"before").file("long", &content).file("z", b"after");
    let created = create(&repository, &clock, &tree).await;
    let expected = Expected::from([(created.snapshot, tree.clone())]);
    (Fixture { store, clock, expected, tree }, created.snapshot)
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_chunks_are_checked_and_rebuilt_like_everything_else() {
    let (fixture, snapshot) = long_file().await;
    let repository = fixture.open().await;
    let report = check(&repository, CheckLevel::Data).await;
    assert!(report.is_sound(), "{report:#?}");
    let look_ups = |repository: Repository| async move {
        repository.load_index().await.unwrap().index.iter().map(|(prefix, _)| prefix).collect::<BTreeSet<_>>()
    };
    let before = look_ups(repository.clone()).await;

    // The one chunk that is not like the others.
    for key in fixture.packs(1) {
        let fixture = fixture.fork();
        fixture.store.pluck(&key);
        let report = check(&fixture.open().await, CheckLevel::Structure).await;
        let found = victims(&report, &fixture.expected);
        assert_eq!(found, lost(&fixture.open().await, &fixture.expected).await);
        let long = crate::support::source::path("long");
        assert!(found[&snapshot].as_ref().unwrap().contains(&long));
    }
    // Nodes and lists are told apart where the footer is gone.
    let [tree_pack] = &fixture.packs(2)[..] else { panic!("one tree pack") };
    let mut bytes = fixture.store.peek(tree_pack).unwrap().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    fixture.store.plant(tree_pack, bytes);
    fixture.keys("index/").iter().for_each(|key| drop(fixture.store.pluck(key)));
    let options = RebuildOptions::default();
    let run =
        repository.rebuild_index(options, std::sync::Arc::new(backup_core::Silent), backup_core::CancelToken::new());
    assert_eq!(run.await.unwrap().problems.len(), 1);
    assert_eq!(look_ups(repository).await, before);
}

/// Stores with weak listings exist: a pack that a listing lacks is asked for by name before it is called missing.
#[tokio::test(flavor = "multi_thread")]
async fn pack_that_a_listing_lacks_is_not_missing() {
    let fixture = Fixture::new().await;
    for key in fixture.keys("packs/") {
        let store = VeiledBackend::new(&fixture.store, &key, Veil::Unlisted);
        let repository = open_over(store, &fixture.clock).await.unwrap();
        let report = check(&repository, CheckLevel::Data).await;
        assert!(report.is_sound(), "{report:#?}");
    }
}

/// A sector that a disk can't read is damage of one object; a store that can't be reached is no damage at all.
#[tokio::test(flavor = "multi_thread")]
async fn unreadable_object_is_a_finding_and_an_unreachable_store_an_error() {
    let fixture = Fixture::new().await;
    let mut options = CheckOptions::level(CheckLevel::Data);
    options.record = false;
    let keys = fixture.store.keys().into_iter().filter(|key| key.as_str() != "config");
    for key in keys.filter(|key| !key.as_str().starts_with("keys/")) {
        let store = VeiledBackend::new(&fixture.store, &key, Veil::Unreadable(StorageErrorKind::Other));
        let repository = open_over(store, &fixture.clock).await.unwrap();
        let report = check_with(&repository, options.clone()).await;
        let is_named = objects(&report).iter().any(|object| object.split('#').next() == Some(key.as_str()));
        assert!(is_named && !report.is_sound(), "{key}: {report:#?}");
        assert_eq!(victims(&report, &fixture.expected), lost(&repository, &fixture.expected).await, "{key}");

        let store = VeiledBackend::new(&fixture.store, &key, Veil::Unreadable(StorageErrorKind::Unavailable));
        let repository = open_over(store, &fixture.clock).await.unwrap();
        let monitor = std::sync::Arc::new(backup_core::Silent);
        let result = repository.check(options.clone(), monitor, backup_core::CancelToken::new()).await;
        assert!(matches!(result, Err(CheckError::Repository(_))), "{key}: {result:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn session_in_the_place_of_another_is_found() {
    let fixture = Fixture::new().await;
    let [first, second] = &fixture.keys("sessions/")[..] else { panic!("two objects of one session") };
    fixture.store.plant(second, fixture.store.peek(first).unwrap());
    let report = check(&fixture.open().await, CheckLevel::Structure).await;
    assert_eq!(objects(&report), [second.as_str()]);
}

/// Whoever holds the storage can put a pack of any size in the place of another.
#[tokio::test(flavor = "multi_thread")]
async fn swapped_packs_are_found_with_their_victims() {
    let fixture = Fixture::new().await;
    let packs = fixture.packs(1);
    let (a, b) = (fixture.store.peek(&packs[0]).unwrap(), fixture.store.peek(&packs[1]).unwrap());
    fixture.store.plant(&packs[0], b);
    fixture.store.plant(&packs[1], a);
    let repository = fixture.open().await;
    let hurt = lost(&repository, &fixture.expected).await;
    let report = check(&repository, CheckLevel::Objects).await;
    assert_eq!(victims(&report, &fixture.expected), hurt);
    assert!(report.findings.iter().any(|finding| finding.severity != Severity::Notice));
}
