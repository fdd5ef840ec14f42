//! `stats`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use backup_engine::format::BlobType;
use backup_engine::format::tree::Content;
use backup_engine::id::BlobId;
use backup_engine::pack::reader::BlobReader;
use backup_engine::snapshots::Snapshot;
use backup_engine::tree::TreeWalk;
use backup_engine::tree::walk::{Head, chunks_of};
use tokio::runtime::Handle;

use super::Place;
use crate::support::fixture::first_tree;
use crate::support::noise;
use crate::support::source::Tree;

/// Lengths of the blobs that each snapshot needs, found out by reading all of it.
async fn needed(place: &Place, snapshots: &[Snapshot]) -> Vec<BTreeMap<BlobId, u64>> {
    let index = Arc::new(place.repository.load_index().await.unwrap().index);
    let (store, roots) =
        (place.repository.store().clone(), snapshots.iter().map(|s| s.record.tree).collect::<Vec<_>>());
    let handle = Handle::current();
    let run = move || {
        let reader = Arc::new(BlobReader::new(handle, store, index));
        roots.iter().map(|root| needed_by(&reader, TreeWalk::new(Arc::clone(&reader), root))).collect()
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

fn needed_by(reader: &BlobReader, mut walk: TreeWalk) -> BTreeMap<BlobId, u64> {
    let mut blobs = BTreeMap::new();
    let len = |blob_type, id: &BlobId| reader.read(blob_type, id).unwrap().len() as u64;
    while let Some(head) = walk.head() {
        match head {
            Head::Node { id, .. } => {
                blobs.insert(id, len(BlobType::Tree, &id));
                walk.open_node().unwrap();
            }
            Head::Entry(item) => {
                let stored = item
                    .entry
                    .extents
                    .as_ref()
                    .map_or(item.entry.size_bytes, |extents| extents.iter().map(|extent| extent.len_bytes).sum());
                for chunk in chunks_of(reader, stored, &item.content).unwrap() {
                    blobs.insert(chunk.id, chunk.len_bytes);
                }
                if let Content::List { list, .. } = &item.content
                    && list.form > 1
                {
                    assert_eq!(list.form, 2, "deeper lists are not looked at here");
                    blobs.extend(list.chunks.iter().map(|chunk| (chunk.id, len(BlobType::List, &chunk.id))));
                }
                walk.next();
            }
        }
    }
    blobs
}

#[tokio::test(flavor = "multi_thread")]
async fn sums_are_those_of_what_is_there() {
    let place = Place::new().await;
    let mut tree = first_tree();
    place.capture(&tree).await;
    tree.file("more", &noise(5, 300_000)).file("the same", &noise(5, 300_000));
    place.capture(&tree).await;
    let snapshots = place.snapshots().await;
    let stats = place.repository.stats(snapshots.clone(), false).await.unwrap();
    assert_eq!(stats.snapshots, 2);
    assert_eq!(stats.entries, snapshots.iter().map(|snapshot| snapshot.record.tree.entries).sum::<u64>());
    assert_eq!(stats.logical_bytes, snapshots.iter().map(|snapshot| snapshot.record.tree.bytes).sum::<u64>());
    assert_eq!((stats.objects, stats.stored_bytes), (place.store.object_count() as u64, place.store.stored_bytes()));
    let packs = place.store.keys().into_iter().filter(|key| key.as_str().starts_with("packs/"));
    let sizes: Vec<u64> = packs.map(|key| place.store.peek(&key).unwrap().len() as u64).collect();
    assert_eq!((stats.packs, stats.pack_bytes), (sizes.len() as u64, sizes.iter().sum()));

    let needed = needed(&place, &snapshots).await;
    let all: BTreeMap<BlobId, u64> = needed.into_iter().flatten().collect();
    assert_eq!(stats.blobs, all.len() as u64);
    assert_eq!(stats.unique_bytes + stats.tree_bytes, all.values().sum::<u64>());
    // Content that does not repeat: each file's, the two equal ones counted once.
    let contents: BTreeSet<_> = tree.0.values().map(|node| node.content.to_vec()).collect();
    assert_eq!(stats.unique_bytes, contents.iter().map(|content| content.len() as u64).sum::<u64>());
    assert_eq!((stats.copied_bytes, stats.damaged_index_objects, &stats.usage), (0, 0, &None));
    assert!(stats.deduplication_ratio().unwrap() > 2.0 && stats.total_ratio().unwrap() > 2.0);
    assert!((0.9..1.5).contains(&stats.compression_ratio().unwrap()), "{stats:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_each_snapshot_alone_keeps_is_exact() {
    let place = Place::new().await;
    let mut tree = first_tree();
    // More chunks than stand in a leaf; equal ones, so that they take no room.
    tree.file("long", &vec![7; 1100 * 64 * 1024]);
    place.capture(&tree).await;
    tree.remove("media/3.bin").file("docs/07.txt", b"changed").file("new", &noise(9, 200_000));
    place.capture(&tree).await;
    tree.file("newer", &noise(10, 100_000));
    place.capture(&tree).await;
    let snapshots = place.snapshots().await;
    for given in [&snapshots[..], &snapshots[1..], &snapshots[..1], &[]] {
        let needed = needed(&place, given).await;
        let stats = place.repository.stats(given.to_vec(), true).await.unwrap();
        let usage = stats.usage.clone().unwrap();
        assert_eq!(usage.unread_parts, 0);
        let all: BTreeMap<BlobId, u64> = needed.iter().flatten().map(|(id, len)| (*id, *len)).collect();
        assert_eq!(usage.needed_bytes, all.values().sum::<u64>());
        for (at, own) in usage.snapshots.iter().enumerate() {
            let others =
                |id: &BlobId| needed.iter().enumerate().any(|(other, blobs)| other != at && blobs.contains_key(id));
            let alone: u64 = needed[at].iter().filter(|(id, _)| !others(id)).map(|(_, len)| len).sum();
            assert_eq!((own.id, own.own_bytes), (given[at].id, alone));
            // Noise does not compress; the trees do a little.
            assert!(own.own_stored_bytes > alone / 2 && own.own_stored_bytes < alone + 4096, "{own:?}");
        }
        let unneeded = usage.unneeded_stored_bytes;
        match given.len() {
            3 => assert!(unneeded < stats.pack_bytes / 20, "{unneeded} of {}", stats.pack_bytes),
            0 => assert_eq!(unneeded, stats.pack_bytes),
            _ => assert!(unneeded > 100_000, "{unneeded}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_repository_has_no_ratios() {
    let place = Place::new().await;
    let stats = place.repository.stats(Vec::new(), true).await.unwrap();
    assert_eq!((stats.deduplication_ratio(), stats.compression_ratio()), (None, None));
    assert_eq!((stats.blobs, stats.packs), (0, 0));
    let empty = place.capture(&Tree::default()).await;
    assert_eq!(place.repository.stats(vec![empty], true).await.unwrap().entries, 0);
}
