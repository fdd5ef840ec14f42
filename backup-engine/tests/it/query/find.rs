//! `find_entries`.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use backup_core::{Entry, EntryKind, EntryPath};
use backup_engine::format::tree::TreeEntry;
use backup_engine::id::SnapshotId;
use backup_engine::query::find::FindReport;
use backup_engine::snapshots::Snapshot;

use super::{Collected, Place, tree_packs, wide};
use crate::support::fixture::first_tree;

type Found = Vec<(SnapshotId, EntryPath)>;

async fn find(
    place: &Place,
    snapshots: Vec<Snapshot>,
    matcher: impl Fn(&Entry) -> bool + Send + 'static,
) -> (Found, FindReport) {
    let collected = Collected::new();
    let mut sink = collected.sink();
    let each = move |snapshot: &Snapshot, item: &TreeEntry| {
        sink((snapshot.id, item.entry.path.clone()));
        ControlFlow::Continue(())
    };
    let report = place.repository.find_entries(snapshots, matcher, each).await.unwrap();
    let found: Found = collected.take();
    assert_eq!(report.matches, found.len() as u64);
    (found, report)
}

#[tokio::test(flavor = "multi_thread")]
async fn gives_matches_of_every_snapshot_in_order() {
    let place = Place::new().await;
    let mut tree = first_tree();
    let mut expected: Found = Vec::new();
    let mut snapshots = Vec::new();
    for round in 0..4 {
        let snapshot = place.capture(&tree).await;
        let matches = tree.0.values().filter(|node| is_wanted(&node.entry));
        expected.extend(matches.map(|node| (snapshot.id, node.entry.path.clone())));
        snapshots.push(snapshot);
        tree.file(&format!("docs/new {round}7.txt"), b"a new one").remove(&format!("docs/{round}7.txt"));
    }
    let (found, report) = find(&place, snapshots, is_wanted).await;
    assert!(expected.len() > 20);
    assert_eq!(found, expected);
    assert_eq!((report.snapshots, report.unread.len()), (4, 0));
}

fn is_wanted(entry: &Entry) -> bool {
    entry.kind == EntryKind::File && entry.path.as_bytes().ends_with(b"7.txt")
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_without_a_match_are_read_once_for_all_snapshots() {
    let place = Place::new().await;
    let mut tree = wide(30_000);
    let mut snapshots = vec![place.capture(&tree).await];
    let alone = find(&place, snapshots.clone(), |_| false).await.1.nodes_read;
    for round in 0..3 {
        tree.file(&format!("wide/00000{round}/changed"), b"x");
        snapshots.push(place.capture(&tree).await);
    }
    let (_, report) = find(&place, snapshots, |_| false).await;
    // Each further snapshot has a root and a leaf or two of its own.
    assert!(alone > 20 && report.nodes_read <= alone + 3 * 4, "{} and {alone}", report.nodes_read);
}

#[tokio::test(flavor = "multi_thread")]
async fn break_ends_the_search_and_what_cannot_be_read_is_said_by_snapshot() {
    let place = Place::new().await;
    let mut tree = first_tree();
    let first = place.capture(&tree).await;
    let before: BTreeSet<_> = tree_packs(&place.store).into_iter().collect();
    tree.file("docs/07.txt", b"changed");
    let second = place.capture(&tree).await;
    let snapshots = vec![first.clone(), second.clone()];

    let once = |_: &Snapshot, _: &TreeEntry| ControlFlow::Break(());
    let report = place.repository.find_entries(snapshots.clone(), |_| true, once).await.unwrap();
    assert_eq!(report.matches, 1);

    for key in tree_packs(&place.store).iter().filter(|key| !before.contains(key)) {
        place.store.pluck(key);
    }
    let (found, report) = find(&place, snapshots, is_wanted).await;
    let of = |id: SnapshotId| found.iter().filter(|(found, _)| *found == id).count();
    assert_eq!(of(first.id), 6);
    assert!(of(second.id) < 6);
    let unread: Vec<_> = report.unread.iter().map(|(id, _)| *id).collect();
    assert_eq!(unread, [second.id]);
}
