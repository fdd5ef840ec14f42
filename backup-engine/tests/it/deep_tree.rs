//! A tree of more levels than a small source makes: damage of any node is found with exactly the entries below it.

use std::sync::Arc;

use backup_core::{Entry, EntryKind};
use backup_engine::check::CheckLevel;
use backup_engine::compress::DEFAULT_LEVEL;
use backup_engine::format::record::TreeRoot;
use backup_engine::format::tree::{Content, InnerNode, LeafBuilder, NodeChild, TreeEntry};
use backup_engine::format::{BlobType, ObjectKind};
use backup_engine::id::BlobId;
use backup_engine::pack::seal::{BlockBuffer, BlockSealer};
use backup_engine::pack::upload::Uploader;
use backup_engine::pack::writer::PackWriter;
use backup_engine::repository::Repository;
use tokio::runtime::Handle;

use crate::support::fixture::{Fixture, check};
use crate::support::oracle::{Expected, lost, victims};
use crate::support::source::{Tree, path};
use crate::support::{clock, create, init};

/// Stores each node in a pack of its own.
struct NodeStore {
    sealer: BlockSealer,
    writer: PackWriter,
    repository: Repository,
}

impl NodeStore {
    fn put(&mut self, blob: &[u8]) -> BlobId {
        let id = self.repository.store().keyring().hasher().id(BlobType::Tree, blob);
        let mut block = BlockBuffer::new(1);
        block.push(BlobType::Tree, id, blob);
        self.sealer.seal(&mut block, &self.writer).unwrap();
        id
    }

    /// A leaf of some empty files.
    fn leaf(&mut self, names: &[&str], tree: &mut Tree) -> NodeChild {
        let mut leaf = LeafBuilder::default();
        for name in names {
            tree.file(name, b"");
            let mut entry: Entry = tree.0[&path(name)].entry.clone();
            entry.kind = EntryKind::File;
            leaf.push(&TreeEntry { entry, content: Content::None });
        }
        let id = self.put(&leaf.finish());
        NodeChild { id, entries: names.len() as u64, bytes: 0, first: path(names[0]) }
    }

    fn inner(&mut self, level: u8, children: Vec<NodeChild>) -> NodeChild {
        let entries = children.iter().map(|child| child.entries).sum();
        let first = children[0].first.clone();
        let id = self.put(&InnerNode { level, children }.encode());
        NodeChild { id, entries, bytes: 0, first }
    }
}

/// Three levels: a root over two nodes over two leaves each.
fn store_deep_tree(repository: &Repository, handle: Handle) -> (TreeRoot, Tree) {
    let store = repository.store();
    let uploader = Arc::new(Uploader::new(handle, store.clone(), 1));
    let keyring = Arc::clone(store.keyring());
    let writer = PackWriter::new(ObjectKind::TreePack, Arc::clone(&keyring), 1, Arc::clone(&uploader));
    let sealer = BlockSealer::new(keyring.hasher().clone(), DEFAULT_LEVEL);
    let mut nodes = NodeStore { sealer, writer, repository: repository.clone() };
    let mut tree = Tree::default();
    let mut upper = Vec::new();
    for [first, second] in [[&["a", "b"], &["c", "d"]], [&["e", "f"], &["g", "h"]]] {
        let leaves = vec![nodes.leaf(first, &mut tree), nodes.leaf(second, &mut tree)];
        upper.push(nodes.inner(1, leaves));
    }
    let root = nodes.inner(2, upper);
    nodes.writer.close().unwrap();
    uploader.wait().unwrap();
    uploader.write_index().unwrap();
    (TreeRoot { id: root.id, level: 2, entries: root.entries, bytes: 0 }, tree)
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_of_any_node_hurts_exactly_what_is_below_it() {
    let (store, clock) = (backup_core::MemoryBackend::new(), clock());
    let repository = init(&store, &clock).await;
    let mut expected = Expected::new();
    let mut one_file = Tree::default();
    one_file.file("x", b"content");
    let shallow = create(&repository, &clock, &one_file).await;
    expected.insert(shallow.snapshot, one_file);
    let blocking = repository.clone();
    let handle = Handle::current();
    let (root, tree) = tokio::task::spawn_blocking(move || store_deep_tree(&blocking, handle)).await.unwrap();
    let mut record = shallow.record.clone();
    record.tree = root;
    let payload = serde_json::to_vec(&record).unwrap();
    repository.store().put_record(ObjectKind::Snapshot, &payload).await.unwrap();
    let list = repository.list_snapshots().await.unwrap();
    let deep = list.snapshots.iter().find(|snapshot| snapshot.id != shallow.snapshot).unwrap().id;
    expected.insert(deep, tree.clone());
    assert!(check(&repository, CheckLevel::Data).await.is_sound());

    let fixture = Fixture { store, clock, expected, tree };
    let mut sizes = Vec::new();
    for key in fixture.packs(2) {
        let fixture = fixture.fork();
        fixture.store.pluck(&key);
        let repository = fixture.open().await;
        let hurt = lost(&repository, &fixture.expected).await;
        let report = check(&repository, CheckLevel::Structure).await;
        assert_eq!(victims(&report, &fixture.expected), hurt, "{report:#?}");
        sizes.push(hurt.get(&deep).map_or(0, |paths| paths.as_ref().unwrap().len()));
    }
    // The root of the other snapshot, four leaves, two nodes, the root.
    sizes.sort_unstable();
    assert_eq!(sizes, [0, 2, 2, 2, 2, 4, 4, 8]);
}
