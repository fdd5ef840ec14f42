//! `diff`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use backup_core::{EntryKind, EntryPath};
use backup_engine::id::BlobId;
use backup_engine::pack::reader::BlobReader;
use backup_engine::query::diff::{Change, DiffEntry, DiffReport};
use backup_engine::snapshots::Snapshot;
use backup_engine::tree::TreeWalk;
use backup_engine::tree::walk::Head;
use tokio::runtime::Handle;

use super::{Collected, Place, tree_packs, wide};
use crate::support::fixture::first_tree;
use crate::support::noise;
use crate::support::source::{Tree, path};

type Changes = BTreeMap<EntryPath, Change>;

async fn diff(place: &Place, before: &Snapshot, after: &Snapshot, under: Option<&str>) -> (Changes, DiffReport) {
    let collected = Collected::new();
    let mut sink = collected.sink();
    let each = move |entry: &DiffEntry| {
        sink((entry.path().clone(), entry.change));
        ControlFlow::Continue(())
    };
    let under = under.map(path);
    let report = place.repository.diff(before, after, under.as_ref(), each).await.unwrap();
    let listed: Vec<(EntryPath, Change)> = collected.take();
    assert!(listed.is_sorted_by(|one, next| one.0 < next.0), "not in order: {listed:?}");
    let of = |wanted: fn(&Change) -> bool| listed.iter().filter(|(_, change)| wanted(change)).count() as u64;
    assert_eq!(report.added, of(|change| *change == Change::Added));
    assert_eq!(report.removed, of(|change| *change == Change::Removed));
    assert_eq!(report.modified, of(|change| matches!(change, Change::Modified { .. })));
    assert_eq!(report.type_changed, of(|change| *change == Change::TypeChanged));
    (listed.into_iter().collect(), report)
}

/// The same, found out by comparing the sources.
fn expected(before: &Tree, after: &Tree) -> Changes {
    let mut changes = Changes::new();
    for (path, node) in &before.0 {
        let Some(later) = after.0.get(path) else {
            changes.insert(path.clone(), Change::Removed);
            continue;
        };
        let (one, other) = (&node.entry, &later.entry);
        let content = (&node.content, one.size_bytes, &one.link_target, &one.extents)
            != (&later.content, other.size_bytes, &other.link_target, &other.extents);
        let metadata = (one.mode, one.modified, &one.xattrs) != (other.mode, other.modified, &other.xattrs);
        if one.kind != other.kind {
            changes.insert(path.clone(), Change::TypeChanged);
        } else if content || metadata {
            changes.insert(path.clone(), Change::Modified { content, metadata });
        }
    }
    let added = after.0.keys().filter(|path| !before.0.contains_key(path));
    changes.extend(added.map(|path| (path.clone(), Change::Added)));
    changes
}

#[tokio::test(flavor = "multi_thread")]
async fn names_every_kind_of_change() {
    let place = Place::new().await;
    let before = first_tree();
    let mut after = before.clone();
    after.file("docs/07.txt", b"changed").remove("docs/20.txt").file("docs/a new one", b"new");
    after.remove("link").file("link", b"no link any more");
    after.remove("sparse").sparse("sparse", 10 << 20, 6 << 20, &noise(3, 90_000));
    let mode = &mut after.0.get_mut(&path("media/1.bin")).unwrap().entry;
    (mode.mode, mode.inode) = (0o600, 99_999);
    // A file that was restored: another inode and another time of change, and yet the same.
    let restored = &mut after.0.get_mut(&path("media/2.bin")).unwrap().entry;
    (restored.inode, restored.device, restored.changed) = (99_998, 7, restored.modified);
    let (one, other) = (place.capture(&before).await, place.capture(&after).await);

    let (changes, report) = diff(&place, &one, &other, None).await;
    assert_eq!(changes, expected(&before, &after));
    assert_eq!(changes[&path("docs/07.txt")], Change::Modified { content: true, metadata: true });
    assert_eq!(changes[&path("docs/20.txt")], Change::Removed);
    assert_eq!(changes[&path("docs/a new one")], Change::Added);
    assert_eq!(changes[&path("link")], Change::TypeChanged);
    assert!(matches!(changes[&path("sparse")], Change::Modified { content: true, .. }));
    assert_eq!(changes[&path("media/1.bin")], Change::Modified { content: false, metadata: true });
    assert!(!changes.contains_key(&path("media/2.bin")));
    assert!(report.unread_before.is_empty() && report.unread_after.is_empty());

    let (below, _) = diff(&place, &one, &other, Some("docs")).await;
    let docs = changes.iter().filter(|(at, _)| at.is_within(&path("docs")));
    assert_eq!(below, docs.map(|(path, change)| (path.clone(), *change)).collect());
    assert_eq!(diff(&place, &one, &other, Some("link")).await.0.len(), 1);
    let nothing = diff(&place, &one, &one, None).await;
    assert_eq!((nothing.0.len(), nothing.1.nodes_read), (0, 0));
}

/// The nodes of a snapshot's tree.
async fn nodes(place: &Place, snapshot: &Snapshot) -> BTreeSet<BlobId> {
    let index = Arc::new(place.repository.load_index().await.unwrap().index);
    let (store, root) = (place.repository.store().clone(), snapshot.record.tree);
    let handle = Handle::current();
    let run = move || {
        let mut nodes = BTreeSet::new();
        let mut walk = TreeWalk::new(Arc::new(BlobReader::new(handle, store, index)), &root);
        while let Some(head) = walk.head() {
            if let Head::Node { id, .. } = head {
                nodes.insert(id);
                walk.open_node().unwrap();
            } else {
                walk.next();
            }
        }
        nodes
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

/// Numbers that are the same in every run.
struct Random(std::vec::IntoIter<u8>);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        let bytes: Vec<u8> = self.0.by_ref().take(4).collect();
        let number = u32::from_le_bytes(bytes.try_into().expect("there is enough"));
        usize::try_from(number).unwrap() % limit
    }
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Changes something at one of the places of [`wide`].
fn edit(tree: &mut Tree, nth: usize, how: usize, serial: u64) {
    let name = format!("wide/{nth:06}");
    let at = path(&name);
    let is_file = tree.0.get(&at).is_some_and(|node| node.entry.kind == EntryKind::File);
    let file = match how {
        0 if !is_file => format!("{name}/{serial}"),
        1 => {
            tree.0.retain(|path, _| !path.is_within(&at));
            name
        }
        2 => {
            tree.0.retain(|path, _| !path.is_within(&at));
            return;
        }
        _ => {
            tree.directory(&format!("{name}-{serial}"), b"beside");
            return;
        }
    };
    tree.file(&file, &serial.to_le_bytes());
    // No two files are taken for the same one.
    tree.0.get_mut(&path(&file)).unwrap().entry.inode = 1_000_000 + serial;
}

#[tokio::test(flavor = "multi_thread")]
async fn random_edits_are_found_exactly_and_no_shared_node_is_read() {
    const SEED: u64 = 20_261_121;
    const PLACES: usize = 6000;
    let mut random = Random(noise(SEED, 1 << 16).into_iter());
    let place = Place::new().await;
    let mut tree = wide(PLACES as u64);
    // A tree of one leaf, which is the first leaf of the others: the file after which writers cut.
    let cut = (64..).find(|nth| fnv1a(format!("wide/{nth:06}").as_bytes()).trailing_zeros() >= 10).unwrap();
    let small = wide(cut + 1);
    let mut snapshots = Vec::new();
    for tree in [&small, &tree] {
        snapshots.push((place.capture(tree).await, tree.clone(), BTreeSet::new()));
    }
    let mut serial = 0;
    for _ in 0..8 {
        // A few edits or many, close together or strewn.
        let edits = [1, 3, 40, 400][random.below(4)];
        let spread = [20, PLACES][random.below(2)];
        let from = random.below(PLACES - spread + 1);
        for _ in 0..edits {
            serial += 1;
            edit(&mut tree, from + random.below(spread), random.below(4), serial);
        }
        snapshots.push((place.capture(&tree).await, tree.clone(), BTreeSet::new()));
    }
    for (snapshot, _, of_snapshot) in &mut snapshots {
        *of_snapshot = nodes(&place, snapshot).await;
    }
    assert_eq!(snapshots[0].2.intersection(&snapshots[1].2).count(), 1, "the small tree is no leaf of the large one");
    for (one, before, nodes_before) in &snapshots {
        for (other, after, nodes_after) in &snapshots {
            let (changes, report) = diff(&place, one, other, None).await;
            let not_shared = nodes_before.symmetric_difference(nodes_after).count() as u64;
            assert!(report.nodes_read <= not_shared, "seed {SEED}: {} and {}", one.id, other.id);
            assert!(changes == expected(before, after), "seed {SEED}: {} and {}", one.id, other.id);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_only_nodes_that_differ() {
    let place = Place::new().await;
    let mut tree = wide(40_000);
    let one = place.capture(&tree).await;
    tree.file("wide/020000/new", b"new").file("wide/035000/new", b"new");
    let other = place.capture(&tree).await;
    let (changes, report) = diff(&place, &one, &other, None).await;
    // The files, and the directories above, whose modification time the tree moved.
    assert!(changes.len() >= 2);
    let levels = u64::from(one.record.tree.level) + 1;
    // On each side the nodes above two leaves; and a leaf may have been cut in two.
    assert!(report.nodes_read <= 2 * 2 * levels + 2, "{} nodes of {levels} levels", report.nodes_read);
    let everything =
        place.repository.find_entries(vec![one], |_| false, |_, _| ControlFlow::Continue(())).await.unwrap();
    assert!(everything.nodes_read > 25, "the tree has only {} nodes", everything.nodes_read);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_said_about_what_cannot_be_read() {
    let place = Place::new().await;
    let before = first_tree();
    let mut after = before.clone();
    after.file("docs/07.txt", b"changed").remove("media/2.bin").file("wide/d", b"new");
    let (one, other) = (place.capture(&before).await, place.capture(&after).await);
    let whole = expected(&before, &after);
    let (mut unread_before, mut unread_after) = (0, 0);
    for key in tree_packs(&place.store) {
        let sound = place.store.pluck(&key).unwrap();
        for (from, to, expected) in [(&one, &other, &whole), (&other, &one, &expected(&after, &before))] {
            let (changes, report) = diff(&place, from, to, None).await;
            let wrong: Vec<_> = changes.iter().filter(|(path, change)| expected.get(*path) != Some(change)).collect();
            assert!(wrong.is_empty(), "{key}: {wrong:?}");
            let is_whole = report.unread_before.is_empty() && report.unread_after.is_empty();
            assert!(!is_whole || changes == *expected, "{key}");
            unread_before += report.unread_before.count;
            unread_after += report.unread_after.count;
        }
        place.store.plant(&key, sound);
    }
    assert!(unread_before > 0 && unread_after > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn break_ends_the_comparison() {
    let place = Place::new().await;
    let (one, other) = (place.capture(&wide(10)).await, place.capture(&wide(20)).await);
    let report = place.repository.diff(&one, &other, None, |_| ControlFlow::Break(())).await.unwrap();
    assert_eq!(report.added + report.removed + report.modified + report.type_changed, 1);
}
