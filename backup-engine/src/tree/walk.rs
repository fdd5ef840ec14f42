//! Reads a tree's entries in canonical order, from any path on.

use std::sync::Arc;

use backup_core::EntryPath;

use crate::error::RepositoryError;
use crate::format::record::TreeRoot;
use crate::format::tree::{ChunkList, ChunkRef, Content, InnerNode, LeafReader, MAX_TREE_LEVEL, NodeChild, TreeEntry};
use crate::format::{BlobType, FormatError, malformed};
use crate::id::BlobId;
use crate::layout;
use crate::pack::reader::BlobReader;

/// Entries of a tree, one after the other.
///
/// Holds one leaf and one node of each level. A damaged node is one `Err` item; the walk goes on after what lies below it.
pub struct TreeWalk {
    reader: Arc<BlobReader>,
    /// Nodes that are still to be visited, the next one last.
    pending: Vec<(u8, NodeRef)>,
    leaf: std::vec::IntoIter<TreeEntry>,
    from: Option<EntryPath>,
    nodes_read: u64,
}

#[derive(Debug, Clone)]
struct NodeRef {
    id: BlobId,
    first: Option<EntryPath>,
}

/// What a walk stands before.
#[derive(Debug)]
pub enum Head<'a> {
    /// An entry.
    Entry(&'a TreeEntry),
    /// A node that has not been read.
    Node {
        /// Its level, 0 for a leaf.
        level: u8,
        /// Its blob. Trees that share a node have the same entries below it.
        id: BlobId,
        /// The first path below it; `None` for the root.
        first: Option<&'a EntryPath>,
    },
}

/// A part of a tree that can't be read.
#[derive(Debug, thiserror::Error)]
#[error("a part of the tree can't be read, from `{}` on", from.as_ref().map_or_else(|| "its beginning".to_owned(), ToString::to_string))]
pub struct TreeDamage {
    /// The first path of the part, `None` for the whole tree.
    pub from: Option<EntryPath>,
    /// The first path after the part, `None` where it is the end.
    pub until: Option<EntryPath>,
    /// Why.
    #[source]
    pub source: RepositoryError,
}

impl TreeWalk {
    /// All entries below a root.
    pub fn new(reader: Arc<BlobReader>, root: &TreeRoot) -> Self {
        let pending = vec![(root.level, NodeRef { id: root.id, first: None })];
        Self { reader, pending, leaf: Vec::new().into_iter(), from: None, nodes_read: 0 }
    }

    /// The entries from a path on; skips nodes that lie wholly before it unread.
    pub fn from_path(reader: Arc<BlobReader>, root: &TreeRoot, path: &EntryPath) -> Self {
        Self { from: Some(path.clone()), ..Self::new(reader, root) }
    }

    /// How many nodes it has read so far.
    pub fn nodes_read(&self) -> u64 {
        self.nodes_read
    }

    /// Goes forward to the first entry at or after a path; nodes that lie wholly before it are not read. Never goes back.
    pub fn seek(&mut self, path: &EntryPath) {
        if self.from.as_ref().is_none_or(|from| from < path) {
            self.from = Some(path.clone());
        }
        let skip = self.leaf.as_slice().partition_point(|item| item.entry.path < *path);
        if let Some(last) = skip.checked_sub(1) {
            self.leaf.nth(last);
        }
    }

    /// What comes next, without reading anything; `None` at the end.
    pub fn head(&mut self) -> Option<Head<'_>> {
        if self.leaf.as_slice().is_empty() {
            self.pass_nodes_before();
            let (level, node) = self.pending.last()?;
            return Some(Head::Node { level: *level, id: node.id, first: node.first.as_ref() });
        }
        self.leaf.as_slice().first().map(Head::Entry)
    }

    /// Goes past the node that is the head, unread; does nothing when the head is an entry.
    pub fn skip_node(&mut self) {
        if self.leaf.as_slice().is_empty() {
            self.pass_nodes_before();
            self.pending.pop();
        }
    }

    /// Reads the node that is the head, so that what is below it comes next; does nothing when the head is an entry.
    ///
    /// # Errors
    /// [`TreeDamage`] when it can't be read; the walk then stands after it.
    pub fn open_node(&mut self) -> Result<(), TreeDamage> {
        if self.leaf.as_slice().is_empty() {
            self.advance()?;
        }
        Ok(())
    }

    /// Drops nodes that lie wholly before the wanted path: the last one that begins at or before it may hold it, those before can't.
    fn pass_nodes_before(&mut self) {
        let Some(from) = &self.from else { return };
        while let [.., (_, next), _] = self.pending.as_slice()
            && next.first.as_ref().is_some_and(|first| first <= from)
        {
            self.pending.pop();
        }
    }

    /// Visits the next node. Returns `false` when there is none.
    fn advance(&mut self) -> Result<bool, TreeDamage> {
        self.pass_nodes_before();
        let Some((level, node)) = self.pending.pop() else { return Ok(false) };
        let visited = self.visit(level, &node);
        visited.map_err(|source| TreeDamage {
            from: node.first,
            until: self.pending.last().and_then(|(_, next)| next.first.clone()),
            source,
        })?;
        Ok(true)
    }

    fn visit(&mut self, level: u8, node: &NodeRef) -> Result<(), RepositoryError> {
        if level > MAX_TREE_LEVEL {
            return Err(self.damaged(node, malformed("tree", "too many levels")));
        }
        self.nodes_read += 1;
        let blob = self.reader.read(BlobType::Tree, &node.id)?;
        if level == 0 {
            let entries: Result<Vec<_>, _> = LeafReader::new(&blob).and_then(Iterator::collect);
            let mut entries = entries.map_err(|error| self.damaged(node, error))?;
            if node.first.as_ref().is_some_and(|first| entries.first().map(|item| &item.entry.path) != Some(first)) {
                return Err(
                    self.damaged(node, malformed("tree", "a node begins with another path than its parent says"))
                );
            }
            if let Some(from) = &self.from {
                let skip = entries.partition_point(|item| item.entry.path < *from);
                entries.drain(..skip);
            }
            self.leaf = entries.into_iter();
        } else {
            let inner = InnerNode::decode(&blob, level).map_err(|error| self.damaged(node, error))?;
            let children = inner.children.into_iter().rev();
            self.pending
                .extend(children.map(|NodeChild { id, first, .. }| (level - 1, NodeRef { id, first: Some(first) })));
        }
        Ok(())
    }

    fn damaged(&self, node: &NodeRef, source: FormatError) -> RepositoryError {
        match self.reader.index().find(&node.id) {
            Some(location) => {
                RepositoryError::format(&layout::pack(&self.reader.index().pack(location.pack).id), source)
            }
            None => RepositoryError::MissingBlob(node.id),
        }
    }
}

impl Iterator for TreeWalk {
    type Item = Result<TreeEntry, TreeDamage>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(item) = self.leaf.next() {
                return Some(Ok(item));
            }
            match self.advance() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(damage) => return Some(Err(damage)),
            }
        }
    }
}

/// The content blobs of a file in order, each with its length; reads lists of lists one at a time.
///
/// # Errors
/// What reading the lists says.
pub fn chunks_of(reader: &BlobReader, stored_bytes: u64, content: &Content) -> Result<Vec<ChunkRef>, RepositoryError> {
    match content {
        Content::None => Ok(Vec::new()),
        Content::Single { digest } => {
            let id = reader.store().keyring().hasher().id_of_digest(BlobType::Data, digest);
            Ok(vec![ChunkRef { id, len_bytes: stored_bytes }])
        }
        Content::List { list, .. } => {
            let mut chunks = list.chunks.clone();
            for form in (1..list.form).rev() {
                let mut below = Vec::new();
                for chunk in &chunks {
                    let blob = reader.read(BlobType::List, &chunk.id)?;
                    let list = ChunkList::decode(&blob).ok().filter(|list| {
                        list.form == form
                            && list.chunks.iter().try_fold(0u64, |sum, chunk| sum.checked_add(chunk.len_bytes))
                                == Some(chunk.len_bytes)
                    });
                    match list {
                        Some(list) => below.extend(list.chunks),
                        None => return Err(RepositoryError::MissingBlob(chunk.id)),
                    }
                }
                chunks = below;
            }
            Ok(chunks)
        }
    }
}
