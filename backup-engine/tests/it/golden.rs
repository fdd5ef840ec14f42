//! Repositories that earlier versions wrote, and that lie beside these tests: this version reads all of each, and adds to it.

mod content;
mod listing;
mod place;
mod write;

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

use backup_core::conflict::KeepBackup;
use backup_core::{CancelToken, EntryKind, MemoryBackend, Silent, SourceDescription};
use backup_engine::check::CheckLevel;
use backup_engine::create::{CreateOptions, CreateReport};
use backup_engine::crypto::sha256;
use backup_engine::format::tree::Content;
use backup_engine::repository::{OpenError, Repository, Unlock};
use backup_engine::restore::RestoreOptions;
use backup_engine::snapshots::Snapshot;

use crate::support::fixture::check;
use crate::support::source::{MemorySource, Node, Tree};
use crate::support::target::MemoryTarget;
use listing::{EntryLine, SnapshotLine, hex};
use place::Golden;

async fn snapshots(repository: &Repository) -> Vec<Snapshot> {
    let list = repository.list_snapshots().await.unwrap();
    assert!(list.damaged.is_empty(), "{:?}", list.damaged);
    list.snapshots
}

/// What this version reads of a snapshot.
async fn entries(repository: &Repository, snapshot: &Snapshot) -> Vec<EntryLine> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&lines);
    let each = move |item: &backup_engine::format::tree::TreeEntry| {
        sink.lock().unwrap().push(EntryLine::of_item(item));
        ControlFlow::Continue(())
    };
    let report = repository.list_entries(snapshot, None, true, each).await.unwrap();
    assert!(report.unread.is_empty());
    Arc::into_inner(lines).unwrap().into_inner().unwrap()
}

/// Restores a snapshot, and puts together what it was a capture of: the entries as they are expected, the content as it was restored.
async fn restored(repository: &Repository, snapshot: &Snapshot, expected: &[EntryLine]) -> Tree {
    let target = MemoryTarget::default();
    let (options, monitor) = (RestoreOptions::default(), Arc::new(Silent));
    let run = repository.restore(
        snapshot,
        Arc::new(target.clone()),
        Arc::new(KeepBackup {}),
        options,
        monitor,
        CancelToken::new(),
    );
    let report = run.await.unwrap();
    assert_eq!(report.problem_count, 0, "{:?}", report.problems);
    let contents = target.contents();
    assert_eq!(contents.len(), expected.len());
    let mut tree = Tree::default();
    for line in expected {
        let entry = line.entry();
        let (kind, whole) = &contents[line.path()];
        assert_eq!(*kind, entry.kind, "{}", entry.path);
        if entry.kind == EntryKind::File {
            assert_eq!(whole.len() as u64, entry.size_bytes, "{}", entry.path);
        }
        let content = data(line, whole);
        tree.0.insert(entry.path.clone(), Node { entry, content: content.into() });
    }
    tree
}

/// What lies in a file's extents. The rest has to be zeros.
fn data(line: &EntryLine, whole: &[u8]) -> Vec<u8> {
    let Some(extents) = &line.extents else { return whole.to_vec() };
    let (mut rest, mut data) = (whole.to_vec(), Vec::new());
    for &(at, len) in extents {
        let range = usize::try_from(at).unwrap()..usize::try_from(at + len).unwrap();
        data.extend_from_slice(&whole[range.clone()]);
        rest[range].fill(0);
    }
    assert!(rest.iter().all(|byte| *byte == 0), "{}: there is something in its holes", line.path());
    data
}

#[tokio::test(flavor = "multi_thread")]
async fn golden_repositories_open_with_each_of_their_keys_and_no_other() {
    let mut types = BTreeSet::new();
    for golden in place::all() {
        let (store, clock) = (golden.store(), golden.clock());
        let keys = golden.keys();
        let open = async |unlock: &Unlock| Repository::open(Arc::new(store.clone()), unlock, clock.clone()).await;
        let mut ids = BTreeSet::new();
        for (name, unlock) in &keys {
            let opened = open(unlock).await;
            let repository = opened.unwrap_or_else(|error| panic!("{}: {name}: {error}", golden.name()));
            ids.insert(repository.config().id.to_string());
            let slots = repository.list_keys().await.unwrap();
            types.extend(slots.iter().map(|slot| format!("{:?}", slot.slot_type)));
            assert!(slots.iter().any(|slot| slot.note.label.is_some()), "{}: notes are read", golden.name());
        }
        assert_eq!(ids.len(), 1, "{}", golden.name());
        for wrong in [Unlock::password("wrong"), Unlock::Key(vec![1; 32].into())] {
            assert!(matches!(open(&wrong).await, Err(OpenError::WrongKey { .. })), "{}", golden.name());
        }
    }
    assert_eq!(types.len(), 5, "a slot of every type: {types:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn golden_repositories_are_sound_to_the_last_byte_and_have_every_kind_of_object() {
    let mut kinds = BTreeSet::new();
    for golden in place::all() {
        let store = golden.store();
        let report = check(&golden.open(&store, &golden.clock()).await, CheckLevel::Data).await;
        assert!(report.is_sound(), "{}: {:?}", golden.name(), report.findings);
        let packs = store.keys().iter().filter(|key| key.as_str().starts_with("packs/")).count() as u64;
        assert_eq!(report.packs_read, packs, "{}", golden.name());
        // `config` is text and has no kind.
        let objects = store.keys().into_iter().filter(|key| key.as_str() != "config");
        kinds.extend(objects.map(|key| store.peek(&key).unwrap()[5]));
    }
    assert_eq!(kinds, BTreeSet::from([1, 2, 3, 4, 5, 6, 7, 16, 17]));
}

#[tokio::test(flavor = "multi_thread")]
async fn golden_snapshots_list_exactly_what_was_captured() {
    let mut kinds = BTreeSet::new();
    let (mut deepest_level, mut deepest_list) = (0, 0);
    for golden in place::all() {
        let repository = golden.open(&golden.store(), &golden.clock()).await;
        let found = snapshots(&repository).await;
        let lines: Vec<_> = found.iter().map(SnapshotLine::from).collect();
        assert_eq!(lines, golden.snapshots(), "{}", golden.name());
        for snapshot in &found {
            let expected = golden.entries(snapshot.id);
            let listed = entries(&repository, snapshot).await;
            assert_eq!(listed.len(), expected.len(), "{} {}", golden.name(), snapshot.id);
            for (listed, expected) in listed.iter().zip(&expected) {
                assert_eq!(listed, expected, "{} {}", golden.name(), snapshot.id);
            }
            kinds.extend(expected.iter().map(|line| line.entry().kind));
            deepest_level = deepest_level.max(snapshot.record.tree.level);
            deepest_list = deepest_list.max(deepest_form(&repository, snapshot).await);
        }
    }
    assert_eq!(kinds.len(), 7, "entries of every kind: {kinds:?}");
    assert!(deepest_level > 0, "a tree of more than one leaf");
    assert!(deepest_list > 1, "a list of lists of chunks");
}

/// The highest form of a list of chunks in a snapshot.
async fn deepest_form(repository: &Repository, snapshot: &Snapshot) -> u8 {
    let deepest = Arc::new(AtomicU8::new(0));
    let sink = Arc::clone(&deepest);
    let each = move |item: &backup_engine::format::tree::TreeEntry| {
        if let Content::List { list, .. } = &item.content {
            sink.fetch_max(list.form, Ordering::Relaxed);
        }
        ControlFlow::Continue(())
    };
    repository.list_entries(snapshot, None, true, each).await.unwrap();
    deepest.load(Ordering::Relaxed)
}

#[tokio::test(flavor = "multi_thread")]
async fn golden_snapshots_restore_to_the_bytes_that_were_captured() {
    for golden in place::all() {
        let repository = golden.open(&golden.store(), &golden.clock()).await;
        for snapshot in snapshots(&repository).await {
            let expected = golden.entries(snapshot.id);
            let tree = restored(&repository, &snapshot, &expected).await;
            for (node, line) in tree.0.values().zip(&expected) {
                let digest = (!node.content.is_empty()).then(|| hex(&sha256(&node.content)));
                assert_eq!(digest, line.sha256, "{} {}: {}", golden.name(), snapshot.id, line.path());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn capture_into_a_golden_repository_goes_on_from_what_is_there() {
    let mut resumed = Vec::new();
    for golden in place::all() {
        let (store, clock) = (golden.store(), golden.clock());
        let repository = golden.open(&store, &clock).await;
        let before = golden.snapshots();
        for snapshot in snapshots(&repository).await {
            let mut tree = restored(&repository, &snapshot, &golden.entries(snapshot.id)).await;
            tree.0.values_mut().for_each(|node| node.entry.torn = false);
            clock.advance(std::time::Duration::from_secs(60));
            let again = capture(&repository, &snapshot, &tree).await;
            let new_bytes = again.record.statistics.new_bytes;
            assert_eq!(new_bytes, 0, "{}: all content is there, and is cut as it is now", golden.name());
            resumed.extend(again.resumed);

            let content = format!("not in {}", snapshot.id);
            tree.file("new", content.as_bytes());
            let more = capture(&repository, &snapshot, &tree).await;
            assert_eq!(more.record.statistics.new_bytes, content.len() as u64, "{}", golden.name());
            let list = repository.list_snapshots().await.unwrap();
            let more = list.find(&more.snapshot.to_string()).unwrap();
            assert_eq!(entries(&repository, &more).await, listing::of_tree(&tree), "{}", golden.name());
        }
        assert_sound_with(&golden, &store, &before).await;
    }
    assert_eq!(resumed.len(), 1, "an interrupted run is taken up");
}

/// Captures a tree as the source that a snapshot is of, reading everything.
async fn capture(repository: &Repository, like: &Snapshot, tree: &Tree) -> CreateReport {
    let record = &like.record;
    let description = SourceDescription {
        kind: record.source.kind.clone(),
        name: record.source.name.clone(),
        roots: record.source.roots.iter().map(|root| root.0.clone()).collect(),
    };
    let mut options = CreateOptions::default();
    options.host.clone_from(&record.host);
    (options.workers, options.force_read) = (2, true);
    let source = Arc::new(MemorySource::described(description, tree.clone()));
    let report = repository.create(source, options, Arc::new(Silent), CancelToken::new()).await.unwrap();
    assert_eq!(report.problem_count, 0, "{:?}", report.problems);
    report
}

/// After additions the repository is sound, and the snapshots that it had are as they were.
async fn assert_sound_with(golden: &Golden, store: &MemoryBackend, before: &[SnapshotLine]) {
    let repository = golden.open(store, &golden.clock()).await;
    let report = check(&repository, CheckLevel::Data).await;
    assert!(report.is_sound(), "{}: {:?}", golden.name(), report.findings);
    let now: Vec<_> = snapshots(&repository).await.iter().map(SnapshotLine::from).collect();
    assert!(before.iter().all(|line| now.contains(line)), "{}", golden.name());
    assert_eq!(now.len(), 3 * before.len(), "{}", golden.name());
}
