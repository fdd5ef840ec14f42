//! Trees: the nodes that hold a snapshot's entries in canonical order (§8.1).

mod leaf;

pub use leaf::{LeafBuilder, LeafReader};

use backup_core::{Entry, EntryPath};

use super::wire::{Cursor, put_bytes, put_varint};
use super::{FormatError, malformed};
use crate::id::BlobId;

/// The longest node a reader takes.
pub const MAX_NODE_BYTES: usize = super::pack::MAX_BLOCK_BYTES;

/// More levels than any tree of 2^64 entries has.
pub const MAX_TREE_LEVEL: u8 = 16;

/// The longest path a reader takes: 4 096 levels of 255 bytes and the separators between them.
pub const MAX_PATH_BYTES: usize = 1 << 20;

/// An entry and where its content is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeEntry {
    /// Everything about it but the content.
    pub entry: Entry,
    /// The content; [`Content::None`] for all but regular files of more than zero bytes of data.
    pub content: Content,
}

/// The content of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// No bytes.
    None,
    /// One blob, which is the whole content.
    Single {
        /// SHA-256 of the content; the blob's id follows from it.
        digest: [u8; 32],
    },
    /// Many blobs.
    List {
        /// SHA-256 of the content.
        digest: [u8; 32],
        /// What the list names.
        list: ChunkList,
    },
}

/// A list of chunks, or of lists of chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkList {
    /// 1: content blobs; k: blobs of type list, each holding a list of form k − 1.
    pub form: u8,
    /// What it names, in order.
    pub chunks: Vec<ChunkRef>,
}

/// A blob and how much content it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkRef {
    /// The blob.
    pub id: BlobId,
    /// Bytes of content.
    pub len_bytes: u64,
}

/// The most forms of lists within lists; 1 MiB chunks in lists of 1 000 reach past 2^64 bytes long before.
const MAX_LIST_FORM: u8 = 8;

impl Content {
    /// SHA-256 of the content, `None` where there is none.
    pub fn digest(&self) -> Option<&[u8; 32]> {
        match self {
            Self::None => None,
            Self::Single { digest } | Self::List { digest, .. } => Some(digest),
        }
    }
}

impl ChunkList {
    fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.chunks.len() as u64);
        for chunk in &self.chunks {
            out.extend_from_slice(chunk.id.as_bytes());
            put_varint(out, chunk.len_bytes);
        }
    }

    fn get(form: u8, cursor: &mut Cursor<'_>) -> Result<Self, FormatError> {
        if !(1..=MAX_LIST_FORM).contains(&form) {
            return Err(cursor.malformed("impossible form of chunk list"));
        }
        let count = cursor.count(33)?;
        let chunks = (0..count)
            .map(|_| Ok(ChunkRef { id: BlobId::from_bytes(cursor.array()?), len_bytes: cursor.varint()? }))
            .collect::<Result<_, FormatError>>()?;
        Ok(Self { form, chunks })
    }

    /// The plaintext of a list blob.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.chunks.len() * 36 + 8);
        put_varint(&mut out, u64::from(self.form));
        self.put(&mut out);
        out
    }

    /// Decodes a list blob.
    pub fn decode(blob: &[u8]) -> Result<Self, FormatError> {
        let mut cursor = Cursor::new(blob, "chunk list");
        let form = u8::try_from(cursor.varint()?).map_err(|_| cursor.malformed("impossible form of chunk list"))?;
        let list = Self::get(form, &mut cursor)?;
        cursor.finish()?;
        Ok(list)
    }
}

/// A child of an inner node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeChild {
    /// The child's blob.
    pub id: BlobId,
    /// Entries below it.
    pub entries: u64,
    /// Bytes of content below it.
    pub bytes: u64,
    /// The first path below it.
    pub first: EntryPath,
}

/// An inner node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InnerNode {
    /// Its level, from 1.
    pub level: u8,
    /// Its children in order.
    pub children: Vec<NodeChild>,
}

/// How many bytes two paths share at their beginning.
fn shared_bytes(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

/// Puts a path together from the path before and what differs; checks that it is a path and comes after it.
fn next_path(previous: Option<&EntryPath>, shared: u64, rest: &[u8]) -> Result<EntryPath, FormatError> {
    const WHAT: &str = "tree node";
    let before = previous.map_or(&b""[..], EntryPath::as_bytes);
    let shared = usize::try_from(shared)
        .ok()
        .filter(|&shared| shared <= before.len())
        .ok_or_else(|| malformed(WHAT, "impossible path"))?;
    if shared + rest.len() > MAX_PATH_BYTES {
        return Err(malformed(WHAT, "path too long"));
    }
    let mut bytes = Vec::with_capacity(shared + rest.len());
    bytes.extend_from_slice(&before[..shared]);
    bytes.extend_from_slice(rest);
    let path = EntryPath::new(bytes).map_err(|_| malformed(WHAT, "invalid path"))?;
    if previous.is_some_and(|previous| *previous >= path) {
        return Err(malformed(WHAT, "paths not in order"));
    }
    Ok(path)
}

impl InnerNode {
    /// The plaintext of the node's blob.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![self.level];
        put_varint(&mut out, self.children.len() as u64);
        let mut before: &[u8] = b"";
        for child in &self.children {
            out.extend_from_slice(child.id.as_bytes());
            put_varint(&mut out, child.entries);
            put_varint(&mut out, child.bytes);
            let path = child.first.as_bytes();
            let shared = shared_bytes(before, path);
            put_varint(&mut out, shared as u64);
            put_bytes(&mut out, &path[shared..]);
            before = path;
        }
        out
    }

    /// Decodes a node of an expected level.
    pub fn decode(blob: &[u8], level: u8) -> Result<Self, FormatError> {
        let mut cursor = Cursor::new(blob, "tree node");
        if cursor.u8()? != level || level == 0 || level > MAX_TREE_LEVEL {
            return Err(cursor.malformed("not of the expected level"));
        }
        let count = cursor.count(36)?;
        let mut children: Vec<NodeChild> = Vec::with_capacity(count);
        let mut path_bytes = 0;
        for _ in 0..count {
            let id = BlobId::from_bytes(cursor.array()?);
            let entries = cursor.varint()?;
            let bytes = cursor.varint()?;
            let shared = cursor.varint()?;
            let rest = cursor.bytes()?;
            let first = next_path(children.last().map(|child| &child.first), shared, rest)?;
            path_bytes += first.as_bytes().len();
            if path_bytes > MAX_NODE_BYTES {
                return Err(cursor.malformed("paths too long"));
            }
            children.push(NodeChild { id, entries, bytes, first });
        }
        if children.is_empty() {
            return Err(cursor.malformed("no children"));
        }
        cursor.finish()?;
        Ok(Self { level, children })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn inner_node_comes_back() {
        let child = |n: u8, path: &str| NodeChild {
            id: BlobId::from_bytes([n; 32]),
            entries: u64::from(n) << 40,
            bytes: u64::MAX,
            first: EntryPath::new(path.as_bytes()).unwrap(),
        };
        let node = InnerNode { level: 2, children: vec![child(1, "a"), child(2, "a/b"), child(3, "a-b")] };
        assert_eq!(InnerNode::decode(&node.encode(), 2), Ok(node.clone()));
        assert!(InnerNode::decode(&node.encode(), 1).is_err());
        let swapped = InnerNode { children: vec![child(3, "a-b"), child(1, "a")], ..node };
        assert!(InnerNode::decode(&swapped.encode(), 2).is_err());
    }

    #[test]
    fn chunk_list_comes_back() {
        let chunk = ChunkRef { id: BlobId::from_bytes([4; 32]), len_bytes: 1 << 33 };
        for form in 1..=MAX_LIST_FORM {
            let list = ChunkList { form, chunks: vec![chunk; 3] };
            assert_eq!(ChunkList::decode(&list.encode()), Ok(list));
        }
        assert!(ChunkList::decode(&ChunkList { form: 0, chunks: vec![] }.encode()).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(mut bytes: Vec<u8>, level in 0u8..3) {
            let _ = ChunkList::decode(&bytes);
            bytes.insert(0, level);
            let _ = InnerNode::decode(&bytes, level);
            if let Ok(reader) = LeafReader::new(&bytes) {
                let _: Vec<_> = reader.take_while(Result::is_ok).collect();
            }
        }
    }
}
