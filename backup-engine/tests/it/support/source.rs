//! A source that is a map from paths to content.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use backup_core::{
    Entry, EntryError, EntryKind, EntryPath, EntryReader, Extent, RestoreTarget, Snapshotter, SourceContext,
    SourceDescription, SourceError, SourceView, Stability, TargetOptions, Timestamp, Xattr,
};

use super::target::MemoryTarget;

/// An entry and the bytes of its data: all of a file, or what lies in its extents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) entry: Entry,
    pub(crate) content: Arc<[u8]>,
}

/// Entries by path. Parents are added with what is put below them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Tree(pub(crate) BTreeMap<EntryPath, Node>);

pub(crate) fn path(text: &str) -> EntryPath {
    EntryPath::new(text.as_bytes()).unwrap()
}

impl Tree {
    fn insert(&mut self, mut entry: Entry, content: &[u8]) {
        let mut parent = entry.path.parent();
        while let Some(path) = parent {
            parent = path.parent();
            if !self.0.contains_key(&path) {
                self.insert(Entry::new(path, EntryKind::Directory), b"");
            }
        }
        entry.inode = self.0.len() as u64 + 1;
        entry.modified = Timestamp::from_secs(1_000_000_000 + i64::try_from(self.0.len()).unwrap());
        entry.changed = entry.modified;
        self.0.insert(entry.path.clone(), Node { entry, content: content.into() });
    }

    /// Adds or replaces a file; replacing changes its inode, so that a capture reads it again.
    pub(crate) fn file(&mut self, name: &str, content: &[u8]) -> &mut Self {
        let mut entry = Entry::new(path(name), EntryKind::File);
        entry.size_bytes = content.len() as u64;
        self.0.remove(&entry.path);
        self.insert(entry, content);
        self
    }

    /// Adds a file of `size_bytes` with data in one place only.
    pub(crate) fn sparse(&mut self, name: &str, size_bytes: u64, at: u64, data: &[u8]) -> &mut Self {
        let mut entry = Entry::new(path(name), EntryKind::File);
        entry.size_bytes = size_bytes;
        let extent = Extent { offset_bytes: at, len_bytes: data.len() as u64 };
        entry.extents = Some(if data.is_empty() { Vec::new() } else { vec![extent] });
        self.insert(entry, data);
        self
    }

    /// Adds a symbolic link.
    pub(crate) fn link(&mut self, name: &str, target: &str) -> &mut Self {
        let mut entry = Entry::new(path(name), EntryKind::Symlink);
        entry.link_target = target.as_bytes().to_vec();
        self.insert(entry, b"");
        self
    }

    /// Adds a directory with an extended attribute.
    pub(crate) fn directory(&mut self, name: &str, xattr: &[u8]) -> &mut Self {
        let mut entry = Entry::new(path(name), EntryKind::Directory);
        entry.xattrs = vec![Xattr { name: b"user.test".to_vec(), value: xattr.to_vec() }];
        self.insert(entry, b"");
        self
    }

    pub(crate) fn remove(&mut self, name: &str) -> &mut Self {
        assert!(self.0.remove(&path(name)).is_some(), "{name}");
        self
    }
}

/// A source that shows a tree as it was when the source was made.
#[derive(Debug)]
pub(crate) struct MemorySource {
    description: SourceDescription,
    tree: Arc<Tree>,
}

impl MemorySource {
    pub(crate) fn new(name: &str, tree: Tree) -> Self {
        let description =
            SourceDescription { kind: "memory".to_owned(), name: Some(name.to_owned()), roots: Vec::new() };
        Self::described(description, tree)
    }

    /// A source that says it is another.
    pub(crate) fn described(description: SourceDescription, tree: Tree) -> Self {
        Self { description, tree: Arc::new(tree) }
    }
}

impl Snapshotter for MemorySource {
    fn describe(&self) -> SourceDescription {
        self.description.clone()
    }

    fn begin(&self, _context: &SourceContext<'_>) -> Result<Box<dyn SourceView>, SourceError> {
        Ok(Box::new(MemoryView(Arc::clone(&self.tree))))
    }

    fn target(&self, _options: &TargetOptions) -> Result<Box<dyn RestoreTarget>, SourceError> {
        Ok(Box::new(MemoryTarget::default()))
    }
}

struct MemoryView(Arc<Tree>);

impl MemoryView {
    fn fill(&self, entry: &mut Entry) -> Result<&Node, EntryError> {
        let node = self.0.0.get(&entry.path);
        let node = node.ok_or_else(|| EntryError::other(&entry.path, "cannot read", "it is not there"))?;
        *entry = node.entry.clone();
        Ok(node)
    }
}

impl SourceView for MemoryView {
    fn entries(&self) -> Box<dyn Iterator<Item = Result<Entry, EntryError>> + Send + '_> {
        Box::new(self.0.0.values().map(|node| {
            // A listing gives neither attributes nor link targets.
            let cheap = Entry { xattrs: Vec::new(), link_target: Vec::new(), extents: None, ..node.entry.clone() };
            Ok(cheap)
        }))
    }

    fn open(&self, entry: &mut Entry) -> Result<Box<dyn EntryReader>, EntryError> {
        let node = self.fill(entry)?;
        Ok(Box::new(MemoryReader { content: Arc::clone(&node.content), at: 0, torn: node.entry.torn }))
    }

    fn load(&self, entry: &mut Entry) -> Result<(), EntryError> {
        self.fill(entry).map(|_| ())
    }
}

struct MemoryReader {
    content: Arc<[u8]>,
    at: usize,
    /// Whether the file changes whenever it is read.
    torn: bool,
}

impl EntryReader for MemoryReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = buffer.len().min(self.content.len() - self.at);
        buffer[..len].copy_from_slice(&self.content[self.at..self.at + len]);
        self.at += len;
        Ok(len)
    }

    fn stability(&mut self) -> io::Result<Stability> {
        Ok(if self.torn { Stability::Changed } else { Stability::Stable })
    }
}
