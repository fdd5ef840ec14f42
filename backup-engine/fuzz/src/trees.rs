//! Nodes of trees, and chunk lists.

use backup_core::EntryKind;
use backup_core::entry::canonical_order;
use backup_engine::format::tree::{
    ChunkList, InnerNode, LeafBuilder, LeafReader, MAX_PATH_BYTES, MAX_TREE_LEVEL, TreeEntry,
};

use super::bounded;

/// Names and values of extended attributes take two bytes at least and 48 in memory, in a list that grows by doubling.
const NODE_FACTOR: usize = 96;

/// A few paths of the greatest length, whatever the input's own.
const PATHS: usize = 4 * MAX_PATH_BYTES;

/// The input is a leaf.
pub(crate) fn leaf(data: &[u8]) {
    let entries = bounded(NODE_FACTOR * data.len() + PATHS, || entries(data));
    let Some(entries) = entries else { return };
    let mut builder = LeafBuilder::default();
    entries.iter().for_each(|entry| builder.push(entry));
    let encoded = builder.finish();
    assert!(self::entries(&encoded).as_ref() == Some(&entries), "entries changed on their way");
}

/// The entries of a leaf that is sound to its end. Entries are looked at one by one and kept while they are few.
fn entries(data: &[u8]) -> Option<Vec<TreeEntry>> {
    const KEPT: usize = 64;
    let mut kept: Vec<TreeEntry> = Vec::new();
    let mut all = true;
    let mut path_bytes = 0;
    for item in LeafReader::new(data).ok()? {
        let item = item.ok()?;
        if let Some(last) = kept.last().filter(|_| all) {
            assert!(canonical_order(last.entry.path.as_bytes(), item.entry.path.as_bytes()).is_lt());
        }
        assert!(item.entry.extents.is_none() || item.entry.kind == EntryKind::File);
        path_bytes += item.entry.path.as_bytes().len();
        all &= kept.len() < KEPT && path_bytes < MAX_PATH_BYTES;
        if all {
            kept.push(item);
        }
    }
    all.then_some(kept)
}

/// The input is an inner node or a chunk list.
pub(crate) fn node(data: &[u8]) {
    let limit = NODE_FACTOR * data.len() + backup_engine::format::tree::MAX_NODE_BYTES + PATHS;
    let list = bounded(limit, || ChunkList::decode(data)).ok();
    if let Some(list) = &list {
        assert!(list.encode() == data, "a chunk list has one encoding");
    }
    let level = data.first().copied().unwrap_or_default();
    if let Ok(node) = bounded(limit, || InnerNode::decode(data, level)) {
        assert!(list.is_none(), "a blob is a node or a list, never both");
        assert!((1..=MAX_TREE_LEVEL).contains(&node.level) && !node.children.is_empty());
        assert!(InnerNode::decode(&node.encode(), level).as_ref() == Ok(&node), "a node changed on its way");
    }
}
