//! Builds a tree from entries in canonical order, in memory that does not grow with it.

use backup_core::EntryPath;

use crate::error::RepositoryError;
use crate::format::BlobType;
use crate::format::record::TreeRoot;
use crate::format::tree::{ChunkList, ChunkRef, InnerNode, LeafBuilder, NodeChild, TreeEntry};
use crate::id::BlobId;

/// No leaf but the last has fewer entries.
const LEAF_MIN_ENTRIES: u64 = 64;
/// No leaf has more entries.
const LEAF_MAX_ENTRIES: u64 = 8192;
/// A leaf ends once it is that long.
const LEAF_MAX_BYTES: usize = 512 * 1024;
/// A leaf ends after a path whose hash has these bits zero: every 1024th entry on average.
const LEAF_CUT_MASK: u64 = (1 << 10) - 1;
/// No inner node but the last has fewer children.
const NODE_MIN_CHILDREN: usize = 32;
/// No inner node has more children.
const NODE_MAX_CHILDREN: usize = 512;
/// No list of chunks but the last has fewer.
const LIST_MIN_CHUNKS: usize = 128;
/// No list of chunks has more.
const LIST_MAX_CHUNKS: usize = 1024;
/// A list of chunks up to this long stands in the leaf itself.
const INLINE_CHUNKS: usize = 1024;

/// Where a tree's blobs go.
pub trait BlobSink {
    /// Stores a blob unless it is there already, and says what its id is.
    fn store(&mut self, blob_type: BlobType, plaintext: &[u8]) -> Result<BlobId, RepositoryError>;

    /// The same for a node over others, kept apart from what is under it: damage of some leaves must not cost the way to all.
    fn store_inner(&mut self, plaintext: &[u8]) -> Result<BlobId, RepositoryError>;
}

/// Takes entries in canonical order and stores the nodes over them.
#[derive(Debug, Default)]
pub struct TreeWriter {
    leaf: LeafBuilder,
    /// Children waiting for their node, by the level of that node − 1.
    levels: Vec<Vec<NodeChild>>,
    entries: u64,
    bytes: u64,
}

/// 64-bit FNV-1a, to cut where the same paths are cut in every snapshot.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Whether a list of ids ends after `id`, given how many it has and its bounds.
fn ends_after(id: &BlobId, len: usize, min: usize, max: usize) -> bool {
    // One in 64 on average once the minimum is reached: ids are random.
    len >= max || (len >= min && id.as_bytes()[0] & 0x3f == 0)
}

impl TreeWriter {
    /// Entries so far.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Adds the next entry.
    pub fn push(&mut self, item: &TreeEntry, sink: &mut impl BlobSink) -> Result<(), RepositoryError> {
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(item.entry.size_bytes);
        self.leaf.push(item);
        let entries = self.leaf.entries();
        if entries >= LEAF_MAX_ENTRIES
            || self.leaf.encoded_bytes() >= LEAF_MAX_BYTES
            || (entries >= LEAF_MIN_ENTRIES && fnv1a(item.entry.path.as_bytes()) & LEAF_CUT_MASK == 0)
        {
            self.end_leaf(sink)?;
        }
        Ok(())
    }

    fn end_leaf(&mut self, sink: &mut impl BlobSink) -> Result<(), RepositoryError> {
        let Some(first) = self.leaf.first().cloned() else { return Ok(()) };
        let (entries, bytes) = (self.leaf.entries(), self.leaf.content_bytes());
        let id = sink.store(BlobType::Tree, &self.leaf.finish())?;
        self.add_child(0, NodeChild { id, entries, bytes, first }, sink)
    }

    fn add_child(&mut self, level: usize, child: NodeChild, sink: &mut impl BlobSink) -> Result<(), RepositoryError> {
        if self.levels.len() <= level {
            self.levels.push(Vec::new());
        }
        let id = child.id;
        let children = &mut self.levels[level];
        children.push(child);
        if ends_after(&id, children.len(), NODE_MIN_CHILDREN, NODE_MAX_CHILDREN) {
            self.end_node(level, sink)
        } else {
            Ok(())
        }
    }

    fn end_node(&mut self, level: usize, sink: &mut impl BlobSink) -> Result<(), RepositoryError> {
        let children = std::mem::take(&mut self.levels[level]);
        let child = store_node(level, children, sink)?;
        self.add_child(level + 1, child, sink)
    }

    /// Stores what is left and returns the root.
    pub fn finish(mut self, sink: &mut impl BlobSink) -> Result<TreeRoot, RepositoryError> {
        self.end_leaf(sink)?;
        let (entries, bytes) = (self.entries, self.bytes);
        let mut level = 0;
        while level < self.levels.len() {
            let is_top = level + 1 == self.levels.len();
            match (is_top, self.levels[level].len()) {
                (true, 1) => {
                    let level_number = u8::try_from(level).expect("a tree has few levels");
                    return Ok(TreeRoot { id: self.levels[level][0].id, level: level_number, entries, bytes });
                }
                (false, 0) => {}
                _ => self.end_node(level, sink)?,
            }
            level += 1;
        }
        let id = sink.store(BlobType::Tree, &LeafBuilder::default().finish())?;
        Ok(TreeRoot { id, level: 0, entries, bytes })
    }

    /// Stores a root over everything so far and goes on as if nothing had happened; for checkpoints.
    ///
    /// The nodes at the right edge are stored a second time when they are complete.
    pub fn checkpoint(&mut self, sink: &mut impl BlobSink) -> Result<Option<TreeRoot>, RepositoryError> {
        if self.entries == 0 {
            return Ok(None);
        }
        // Ending the leaf early costs one cut that no other snapshot has; copying an open leaf would cost more code.
        self.end_leaf(sink)?;
        let copy = Self {
            leaf: LeafBuilder::default(),
            levels: self.levels.clone(),
            entries: self.entries,
            bytes: self.bytes,
        };
        copy.finish(sink).map(Some)
    }
}

fn store_node(level: usize, children: Vec<NodeChild>, sink: &mut impl BlobSink) -> Result<NodeChild, RepositoryError> {
    let first: EntryPath = children[0].first.clone();
    let entries = children.iter().map(|child| child.entries).sum();
    let bytes = children.iter().fold(0u64, |sum, child| sum.saturating_add(child.bytes));
    let node = InnerNode { level: u8::try_from(level + 1).expect("a tree has few levels"), children };
    let id = sink.store_inner(&node.encode())?;
    Ok(NodeChild { id, entries, bytes, first })
}

/// Makes a list that can stand in a leaf, storing lists of lists where there are many chunks.
pub fn store_chunk_list(mut chunks: Vec<ChunkRef>, sink: &mut impl BlobSink) -> Result<ChunkList, RepositoryError> {
    let mut form = 1;
    while chunks.len() > INLINE_CHUNKS {
        let mut lists = Vec::with_capacity(chunks.len() / LIST_MIN_CHUNKS + 1);
        let mut list = Vec::with_capacity(LIST_MAX_CHUNKS);
        let count = chunks.len();
        for (at, chunk) in chunks.into_iter().enumerate() {
            list.push(chunk);
            if at + 1 == count || ends_after(&chunk.id, list.len(), LIST_MIN_CHUNKS, LIST_MAX_CHUNKS) {
                let len_bytes = list.iter().map(|chunk: &ChunkRef| chunk.len_bytes).sum();
                let blob = ChunkList { form, chunks: std::mem::take(&mut list) }.encode();
                lists.push(ChunkRef { id: sink.store(BlobType::List, &blob)?, len_bytes });
            }
        }
        chunks = lists;
        form += 1;
    }
    Ok(ChunkList { form, chunks })
}
