//! Walks the trees of all snapshots, each node once.

use std::collections::HashMap;

use backup_core::{CancelToken, EntryPath};

use super::CheckError;
use super::findings::Findings;
use super::inventory::words;
use crate::error::RepositoryError;
use crate::format::BlobType;
use crate::format::record::TreeRoot;
use crate::format::tree::{ChunkList, ChunkRef, Content, InnerNode, LeafReader, MAX_TREE_LEVEL, TreeEntry};
use crate::id::BlobId;
use crate::index::Damage;
use crate::pack::reader::BlobReader;

/// What is known about a node that was visited.
#[derive(Debug, Clone, Default)]
pub(super) struct Node {
    /// Whether it and everything below it can be read, and all content is there.
    pub(super) is_sound: bool,
    /// Whether it can be read itself.
    is_readable: bool,
    entries: u64,
    first: Option<EntryPath>,
    last: Option<EntryPath>,
}

/// Goes over trees and remembers what it has seen.
pub(super) struct TreeCheck<'a> {
    pub(super) reader: &'a BlobReader,
    pub(super) findings: &'a mut Findings,
    cancel: &'a CancelToken,
    nodes: HashMap<(BlobId, u8), Node>,
    lists: HashMap<(BlobId, u8), bool>,
    /// Entries in all nodes, each node counted once.
    pub(super) entries: u64,
}

/// A node as it stands in the repository.
pub(super) enum Decoded {
    Leaf(Vec<TreeEntry>),
    Inner(InnerNode),
}

impl<'a> TreeCheck<'a> {
    pub(super) fn new(reader: &'a BlobReader, findings: &'a mut Findings, cancel: &'a CancelToken) -> Self {
        Self { reader, findings, cancel, nodes: HashMap::new(), lists: HashMap::new(), entries: 0 }
    }

    /// Visits whatever of a tree was not visited before. Returns whether all of it is sound.
    pub(super) fn tree(&mut self, root: &TreeRoot) -> Result<bool, CheckError> {
        let node = self.visit(&root.id, root.level)?;
        let is_right = node.entries == root.entries;
        if node.is_sound && !is_right {
            self.findings.malformed(root.id, "the tree has another number of entries than its snapshot says");
        }
        Ok(node.is_sound)
    }

    /// What is known about a node, if it was visited.
    pub(super) fn node(&self, id: &BlobId, level: u8) -> Option<&Node> {
        self.nodes.get(&(*id, level))
    }

    fn visit(&mut self, id: &BlobId, level: u8) -> Result<Node, CheckError> {
        if let Some(node) = self.nodes.get(&(*id, level)) {
            return Ok(node.clone());
        }
        if self.cancel.is_cancelled() {
            return Err(CheckError::Cancelled);
        }
        let node = match self.decode(id, level)? {
            None => Node::default(),
            Some(Decoded::Leaf(entries)) => self.leaf(&entries)?,
            Some(Decoded::Inner(inner)) => self.inner(id, &inner)?,
        };
        self.nodes.insert((*id, level), node.clone());
        Ok(node)
    }

    /// Reads a node; `None` where it can't be read, which is noted.
    pub(super) fn decode(&mut self, id: &BlobId, level: u8) -> Result<Option<Decoded>, CheckError> {
        if level > MAX_TREE_LEVEL {
            self.findings.malformed(*id, "a tree with too many levels");
            return Ok(None);
        }
        let Some(blob) = self.read(BlobType::Tree, id)? else { return Ok(None) };
        let decoded = match level {
            0 => LeafReader::new(&blob).and_then(Iterator::collect).map(Decoded::Leaf),
            level => InnerNode::decode(&blob, level).map(Decoded::Inner),
        };
        Ok(decoded.map_err(|error| self.findings.malformed(*id, error.to_string())).ok())
    }

    /// Reads a blob of a tree pack; `None` where it can't be read, which is noted.
    fn read(&mut self, blob_type: BlobType, id: &BlobId) -> Result<Option<Vec<u8>>, CheckError> {
        match self.reader.read(blob_type, id) {
            Ok(blob) => Ok(Some(blob)),
            Err(error) if error.is_damage() => {
                self.note(id, &error);
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Gives words to the damage that a reader met.
    fn note(&mut self, id: &BlobId, error: &RepositoryError) {
        let index = self.reader.index();
        // The error is about the last copy; with one copy, the usual case, it is about that one.
        if let [location] = index.locations(id)[..]
            && let Some(damage) = index.damage_at(&location)
        {
            self.findings.damage(damage, words(error));
        }
    }

    fn leaf(&mut self, entries: &[TreeEntry]) -> Result<Node, CheckError> {
        let mut is_sound = true;
        for item in entries {
            is_sound &= self.has_content(item)?;
        }
        self.entries += entries.len() as u64;
        let path = |item: &TreeEntry| item.entry.path.clone();
        Ok(Node {
            is_sound,
            is_readable: true,
            entries: entries.len() as u64,
            first: entries.first().map(path),
            last: entries.last().map(path),
        })
    }

    fn inner(&mut self, id: &BlobId, inner: &InnerNode) -> Result<Node, CheckError> {
        let mut node = Node {
            is_sound: true,
            is_readable: true,
            first: inner.children.first().map(|child| child.first.clone()),
            ..Node::default()
        };
        for child in &inner.children {
            let below = self.visit(&child.id, inner.level - 1)?;
            let follows = node.last.as_ref().is_none_or(|last| *last < child.first);
            if below.is_readable && (!follows || below.first.as_ref() != Some(&child.first)) {
                self.findings.malformed(*id, "a node's entries are not those that its parent says");
                node.is_sound = false;
            } else if below.is_sound && below.entries != child.entries {
                self.findings.malformed(*id, "a node has another number of entries than its parent says");
            }
            node.is_sound &= below.is_sound;
            node.entries = node.entries.saturating_add(child.entries);
            node.last = below.last.or_else(|| Some(child.first.clone()));
        }
        Ok(node)
    }

    /// Whether all content of an entry is in the index and not known to be damaged.
    pub(super) fn has_content(&mut self, item: &TreeEntry) -> Result<bool, CheckError> {
        match &item.content {
            Content::None => Ok(true),
            Content::Single { digest } => {
                let id = self.reader.store().keyring().hasher().id_of_digest(BlobType::Data, digest);
                Ok(self.reader.index().contains(&id))
            }
            Content::List { list, .. } => self.has_chunks(list),
        }
    }

    fn has_chunks(&mut self, list: &ChunkList) -> Result<bool, CheckError> {
        let mut is_sound = true;
        for chunk in &list.chunks {
            is_sound &= match list.form {
                1 => self.reader.index().contains(&chunk.id),
                form => self.list(chunk, form - 1)?,
            };
        }
        Ok(is_sound)
    }

    /// Whether a list of chunks and everything it names is sound.
    fn list(&mut self, chunk: &ChunkRef, form: u8) -> Result<bool, CheckError> {
        if let Some(&is_sound) = self.lists.get(&(chunk.id, form)) {
            return Ok(is_sound);
        }
        let is_sound = match self.decode_list(chunk, form)? {
            Some(list) => self.has_chunks(&list)?,
            None => false,
        };
        self.lists.insert((chunk.id, form), is_sound);
        Ok(is_sound)
    }

    /// Reads a list of chunks; `None` where it can't be read, which is noted.
    pub(super) fn decode_list(&mut self, chunk: &ChunkRef, form: u8) -> Result<Option<ChunkList>, CheckError> {
        let Some(blob) = self.read(BlobType::List, &chunk.id)? else { return Ok(None) };
        let sum = |list: &ChunkList| {
            list.chunks.iter().try_fold(0u64, |sum, chunk: &ChunkRef| sum.checked_add(chunk.len_bytes))
        };
        match ChunkList::decode(&blob) {
            Ok(list) if list.form == form && sum(&list) == Some(chunk.len_bytes) => Ok(Some(list)),
            Ok(_) => {
                self.findings.malformed(chunk.id, "a list of chunks is not the one that its parent says");
                Ok(None)
            }
            Err(error) => {
                self.findings.malformed(chunk.id, error.to_string());
                Ok(None)
            }
        }
    }

    /// The damage that makes a blob unreadable, if that is what does.
    pub(super) fn damage_of(&self, id: &BlobId) -> Vec<Damage> {
        let index = self.reader.index();
        index.locations(id).iter().filter_map(|location| index.damage_at(location)).collect()
    }
}
