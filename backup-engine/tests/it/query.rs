//! Questions give what was captured, read no more than they need, and say what they could not read.

mod catalog;
mod diff;
mod dump;
mod find;
mod list;
mod stats;

use std::sync::{Arc, Mutex};

use backup_core::{EntryPath, ManualClock, MemoryBackend, ObjectKey};
use backup_engine::repository::Repository;
use backup_engine::snapshots::Snapshot;

use crate::support::source::Tree;
use crate::support::{clock, create, init, noise};

/// A repository, the clock that it shares, and its store.
struct Place {
    store: MemoryBackend,
    clock: Arc<ManualClock>,
    repository: Repository,
}

impl Place {
    async fn new() -> Self {
        let (store, clock) = (MemoryBackend::new(), clock());
        let repository = init(&store, &clock).await;
        Self { store, clock, repository }
    }

    async fn capture(&self, tree: &Tree) -> Snapshot {
        let id = create(&self.repository, &self.clock, tree).await.snapshot;
        self.snapshots().await.into_iter().find(|snapshot| snapshot.id == id).unwrap()
    }

    async fn snapshots(&self) -> Vec<Snapshot> {
        self.repository.list_snapshots().await.unwrap().snapshots
    }
}

/// So many directories in one, each with something that does not compress, so that the tree has many leaves and several levels.
fn wide(entries: u64) -> Tree {
    let mut tree = Tree::default();
    for nth in 0..entries {
        tree.directory(&format!("wide/{nth:06}"), &noise(nth, 24));
    }
    tree
}

/// Collects what a callback is given.
struct Collected<T>(Arc<Mutex<Vec<T>>>);

impl<T> Collected<T> {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Vec::new())))
    }

    fn sink(&self) -> impl FnMut(T) + Send + 'static
    where
        T: Send + 'static,
    {
        let items = Arc::clone(&self.0);
        move |item| items.lock().unwrap().push(item)
    }

    fn take(&self) -> Vec<T> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

fn names(paths: &[EntryPath]) -> Vec<String> {
    paths.iter().map(ToString::to_string).collect()
}

/// The packs that hold nodes of trees.
fn tree_packs(store: &MemoryBackend) -> Vec<ObjectKey> {
    packs(store, 2)
}

/// The packs that hold content.
fn data_packs(store: &MemoryBackend) -> Vec<ObjectKey> {
    packs(store, 1)
}

fn packs(store: &MemoryBackend, kind: u8) -> Vec<ObjectKey> {
    let is_wanted = |key: &ObjectKey| key.as_str().starts_with("packs/") && store.peek(key).unwrap()[5] == kind;
    store.keys().into_iter().filter(is_wanted).collect()
}
