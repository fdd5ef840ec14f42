//! Leaves, chunk lists and inner nodes.

use backup_core::{Entry, EntryKind, EntryPath, Extent, Timestamp, Xattr};

use super::{assert_is, bytes, id, keyring};
use crate::format::BlobType;
use crate::format::tree::{ChunkList, ChunkRef, Content, InnerNode, LeafBuilder, LeafReader, NodeChild, TreeEntry};
use crate::format::wire::Cursor;
use crate::id::BlobId;

const MODIFIED: Timestamp = Timestamp::from_secs(1_700_000_000);

fn path(text: &str) -> EntryPath {
    EntryPath::new(text.as_bytes()).unwrap()
}

fn entry(text: &str, kind: EntryKind, mode: u32, inode: u64) -> Entry {
    let mut entry = Entry::new(path(text), kind);
    (entry.mode, entry.uid, entry.gid, entry.device, entry.inode) = (mode, 1000, 1000, 2049, inode);
    (entry.user, entry.group) = (Some("u".into()), Some("g".into()));
    (entry.modified, entry.changed) = (MODIFIED, MODIFIED);
    entry
}

fn chunk(content: &str) -> ChunkRef {
    let id = keyring().hasher().id(BlobType::Data, content.as_bytes());
    ChunkRef { id, len_bytes: content.len().try_into().unwrap() }
}

fn chunk_list() -> ChunkList {
    ChunkList { form: 1, chunks: vec![chunk("hel"), chunk("lo")] }
}

/// The five entries that the document describes.
fn entries() -> Vec<TreeEntry> {
    let digest = id("blob sha256");
    let mut folder = entry("a", EntryKind::Directory, 0o755, 10);
    folder.modified = Timestamp::new(1_700_000_000, 500_000_000).unwrap();
    folder.changed = Timestamp::new(1_700_000_001, 250_000_000).unwrap();
    folder.links = 2;
    let mut small = entry("a/b", EntryKind::File, 0o644, 11);
    small.size_bytes = 5;
    let mut sparse = entry("a/c", EntryKind::File, 0o644, 12);
    sparse.size_bytes = 8192;
    sparse.racy = true;
    sparse.extents = Some(vec![Extent { offset_bytes: 4096, len_bytes: 5 }]);
    sparse.xattrs = vec![Xattr { name: b"user.k".to_vec(), value: b"v".to_vec() }];
    let mut link = entry("a/d", EntryKind::Symlink, 0o777, 13);
    link.link_target = b"b".to_vec();
    let mut device = entry("a-e", EntryKind::CharDevice, 0o600, 3);
    (device.uid, device.gid, device.user, device.group) = (0, 0, None, None);
    device.device_number = (1, 3);
    device.modified = Timestamp::new(-1, 999_999_999).unwrap();
    vec![
        TreeEntry { entry: folder, content: Content::None },
        TreeEntry { entry: small, content: Content::Single { digest } },
        TreeEntry { entry: sparse, content: Content::List { digest, list: chunk_list() } },
        TreeEntry { entry: link, content: Content::None },
        TreeEntry { entry: device, content: Content::None },
    ]
}

#[test]
fn leaf_is_as_documented() {
    let mut builder = LeafBuilder::default();
    entries().iter().for_each(|item| builder.push(item));
    let leaf = builder.finish();
    assert_is("leaf", &leaf);
    assert_is("leaf id", keyring().hasher().id(BlobType::Tree, &leaf).as_bytes());
    let read: Vec<_> = LeafReader::new(bytes("leaf")).unwrap().map(Result::unwrap).collect();
    assert_eq!(read, entries());
    assert_is("empty-leaf", LeafBuilder::default().finish());
    assert_eq!(LeafReader::new(bytes("empty-leaf")).unwrap().count(), 0);
}

#[test]
fn columns_of_the_leaf_are_as_documented() {
    let mut cursor = Cursor::new(bytes("leaf"), "test");
    assert_eq!((cursor.u8(), cursor.varint()), (Ok(0), Ok(5)));
    for column in 1..=16 {
        assert_is(&format!("leaf column {column}"), cursor.bytes().unwrap());
    }
    assert!(cursor.is_empty());
}

#[test]
fn chunk_list_is_as_documented() {
    let list = chunk_list().encode();
    assert_is("chunk-list", &list);
    assert_is("chunk-list id", keyring().hasher().id(BlobType::List, &list).as_bytes());
    assert_eq!(ChunkList::decode(bytes("chunk-list")), Ok(chunk_list()));
}

#[test]
fn inner_node_is_as_documented() {
    let child = |name: &str, entries, bytes, first| NodeChild {
        id: BlobId::from_bytes(id(name)),
        entries,
        bytes,
        first: path(first),
    };
    let node =
        InnerNode { level: 1, children: vec![child("leaf id", 5, 8197, "a"), child("blob type 2", 300, 0, "a-f/z")] };
    assert_is("inner", node.encode());
    assert_is("inner id", keyring().hasher().id(BlobType::Tree, bytes("inner")).as_bytes());
    assert_eq!(InnerNode::decode(bytes("inner"), 1), Ok(node));
}
