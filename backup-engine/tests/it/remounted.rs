//! File systems whose device numbers are others than last time.

use std::collections::BTreeMap;
use std::sync::Arc;

use backup_core::MemoryBackend;
use backup_engine::pack::reader::BlobReader;
use backup_engine::repository::Repository;
use backup_engine::snapshots::Snapshot;
use backup_engine::tree::TreeWalk;
use tokio::runtime::Handle;

use crate::support::source::Tree;
use crate::support::{clock, create, init, noise};

/// Two file systems with the same inodes.
fn tree((a, b): (u64, u64)) -> Tree {
    let mut tree = Tree::default();
    for n in 0..10 {
        tree.file(&format!("a/{n}"), &noise(n, 1000)).file(&format!("b/{n}"), &noise(100 + n, 1000));
    }
    for node in tree.0.values_mut() {
        let name = node.entry.path.to_string();
        node.entry.device = if name.starts_with('a') { a } else { b };
        node.entry.inode = name.bytes().map(u64::from).skip(1).sum();
    }
    tree
}

async fn devices(repository: &Repository, snapshot: &Snapshot) -> BTreeMap<String, u64> {
    let index = Arc::new(repository.load_index().await.unwrap().index);
    let (repository, root, handle) = (repository.clone(), snapshot.record.tree, Handle::current());
    let walk = move || {
        let reader = Arc::new(BlobReader::new(handle, repository.store().clone(), index));
        let entries = TreeWalk::new(reader, &root).map(|item| item.unwrap().entry);
        entries.map(|entry| (entry.path.to_string(), entry.device)).collect()
    };
    tokio::task::spawn_blocking(walk).await.unwrap()
}

/// The numbers are swapped, so that a stale one would name the other file system.
#[tokio::test(flavor = "multi_thread")]
async fn unchanged_files_are_not_read_again_and_have_the_device_of_now() {
    let (store, clock) = (MemoryBackend::new(), clock());
    let repository = init(&store, &clock).await;
    create(&repository, &clock, &tree((5, 7))).await;
    let mut now = tree((7, 5));
    now.file("b/new", b"read now");
    now.0.values_mut().last().unwrap().entry.device = 5;
    let statistics = create(&repository, &clock, &now).await.record.statistics;
    assert_eq!((statistics.files_unchanged, statistics.files_changed, statistics.files_new), (20, 0, 1));
    assert_eq!(statistics.read_bytes, 8);
    let snapshot = repository.list_snapshots().await.unwrap().find("latest").unwrap().clone();
    let expected = now.0.values().map(|node| (node.entry.path.to_string(), node.entry.device)).collect();
    assert_eq!(devices(&repository, &snapshot).await, expected);
}
