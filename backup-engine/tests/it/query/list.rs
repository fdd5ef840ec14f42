//! `list_entries`.

use std::ops::ControlFlow;

use backup_core::EntryPath;
use backup_engine::query::QueryError;
use backup_engine::query::list::ListReport;
use backup_engine::snapshots::Snapshot;

use super::{Collected, Place, names, tree_packs, wide};
use crate::support::fixture::first_tree;
use crate::support::source::path;

async fn list(place: &Place, snapshot: &Snapshot, under: Option<&str>, recursive: bool) -> (Vec<String>, ListReport) {
    let collected = Collected::new();
    let mut sink = collected.sink();
    let each = move |item: &backup_engine::format::tree::TreeEntry| {
        sink(item.entry.path.clone());
        ControlFlow::Continue(())
    };
    let under = under.map(path);
    let report = place.repository.list_entries(snapshot, under.as_ref(), recursive, each).await.unwrap();
    let paths: Vec<EntryPath> = collected.take();
    assert_eq!(report.entries, paths.len() as u64);
    (names(&paths), report)
}

#[tokio::test(flavor = "multi_thread")]
async fn gives_everything_one_level_or_a_subtree() {
    let place = Place::new().await;
    let tree = first_tree();
    let snapshot = place.capture(&tree).await;
    let all: Vec<EntryPath> = tree.0.keys().cloned().collect();
    let of =
        |keep: &dyn Fn(&EntryPath) -> bool| names(&all.iter().filter(|path| keep(path)).cloned().collect::<Vec<_>>());
    assert_eq!(list(&place, &snapshot, None, true).await.0, names(&all));
    let top = of(&|path| path.parent().is_none());
    assert_eq!(list(&place, &snapshot, None, false).await.0, top);
    assert_eq!(top, ["docs", "hole", "link", "media", "sparse", "wide", "zero"]);
    let media = of(&|entry| entry.parent() == Some(path("media")));
    for recursive in [false, true] {
        assert_eq!(list(&place, &snapshot, Some("media"), recursive).await.0, media);
        assert_eq!(list(&place, &snapshot, Some("docs/07.txt"), recursive).await.0, ["docs/07.txt"]);
        assert_eq!(list(&place, &snapshot, Some("link"), recursive).await.0, ["link"]);
        assert_eq!(list(&place, &snapshot, Some("wide/a"), recursive).await.0, [] as [&str; 0]);
    }
    let docs = of(&|entry| entry.is_within(&path("docs")) && entry.parent().is_some());
    assert_eq!(list(&place, &snapshot, Some("docs"), true).await.0, docs);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_named() {
    let place = Place::new().await;
    let snapshot = place.capture(&first_tree()).await;
    // Before, between and after what is there; and beginning like something that is.
    for missing in ["a", "docs/07", "docs/07.txt/x", "doc", "medi", "zzz"] {
        let each = |_: &_| ControlFlow::Continue(());
        let listed = place.repository.list_entries(&snapshot, Some(&path(missing)), true, each).await;
        assert!(matches!(&listed, Err(QueryError::NotInSnapshot(named)) if *named == path(missing)), "{listed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn break_ends_the_listing() {
    let place = Place::new().await;
    let snapshot = place.capture(&wide(100)).await;
    let mut left = 3;
    let each = move |_: &_| {
        left -= 1;
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let report = place.repository.list_entries(&snapshot, None, true, each).await.unwrap();
    assert_eq!(report.entries, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_only_nodes_that_hold_something_of_the_answer() {
    let place = Place::new().await;
    let mut tree = wide(30_000);
    tree.file("a", b"before").file("z", b"after");
    let snapshot = place.capture(&tree).await;
    let all = list(&place, &snapshot, None, true).await.1.nodes_read;
    assert!(all > 20, "the tree has only {all} nodes");
    // The root, and the leaves in which `a`, `wide` and `z` are.
    let (names, report) = list(&place, &snapshot, None, false).await;
    assert_eq!(names, ["a", "wide", "z"]);
    assert!(report.nodes_read <= 4, "{} nodes", report.nodes_read);
    for under in ["z", "wide/015000"] {
        let read = list(&place, &snapshot, Some(under), true).await.1.nodes_read;
        assert!(read <= 3, "{read} nodes for {under}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_said_and_the_rest_is_listed() {
    let place = Place::new().await;
    let mut tree = first_tree();
    place.capture(&tree).await;
    // Shares the leaves of `wide` with the first one, and has the rest in packs of its own.
    tree.file("docs/07.txt", b"changed");
    let snapshot = place.capture(&tree).await;
    let whole = list(&place, &snapshot, None, true).await.0;
    let mut partly = 0;
    for key in tree_packs(&place.store) {
        let sound = place.store.pluck(&key).unwrap();
        let (names, report) = list(&place, &snapshot, None, true).await;
        place.store.plant(&key, sound);
        // The nodes over the leaves of the first one lie apart, and only it needs them.
        assert_eq!(report.unread.is_empty(), names == whole, "{key}");
        assert!(names.iter().all(|name| whole.contains(name)));
        partly += usize::from(!names.is_empty() && names != whole);
    }
    assert!(partly > 0, "no pack held only a part of the tree");
}
