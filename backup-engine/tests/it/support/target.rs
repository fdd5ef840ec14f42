//! A target that is a map from paths to content.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use backup_core::{Entry, EntryError, EntryKind, EntryPath, EntryWriter, ReadAt, RestoreTarget, SourceError};

use super::source::{Node, Tree};

type Files = BTreeMap<EntryPath, (Entry, Vec<u8>)>;

/// Takes entries back into memory; clones share it. Holes are filled with zeros.
#[derive(Debug, Clone, Default)]
pub(crate) struct MemoryTarget {
    files: Arc<Mutex<Files>>,
}

impl MemoryTarget {
    /// Puts a file there, with the directories above it, as if somebody else had.
    pub(crate) fn put(&self, path: &EntryPath, content: &[u8]) {
        let mut files = self.files();
        for above in std::iter::successors(path.parent(), EntryPath::parent) {
            let entry = Entry::new(above.clone(), EntryKind::Directory);
            files.entry(above).or_insert((entry, Vec::new()));
        }
        let mut entry = Entry::new(path.clone(), EntryKind::File);
        entry.size_bytes = content.len() as u64;
        files.insert(path.clone(), (entry, content.to_vec()));
    }

    /// The entry at a path.
    pub(crate) fn entry(&self, path: &EntryPath) -> Option<Entry> {
        self.files().get(path).map(|(entry, _)| entry.clone())
    }

    /// Nothing can be where no directory is.
    fn within(files: &Files, path: &EntryPath) -> Result<(), EntryError> {
        let Some(parent) = path.parent() else { return Ok(()) };
        match files.get(&parent) {
            Some((entry, _)) if entry.kind == EntryKind::Directory => Ok(()),
            Some(_) => Err(EntryError::other(path, "cannot make", "what should hold it is no directory")),
            None => Err(EntryError::other(path, "cannot make", "its directory is not there")),
        }
    }

    /// Puts an entry in its place; a directory there is in the way.
    fn replace(files: &mut Files, entry: &Entry, bytes: Vec<u8>) -> Result<(), EntryError> {
        if files.get(&entry.path).is_some_and(|(there, _)| there.kind == EntryKind::Directory) {
            return Err(EntryError::other(&entry.path, "cannot make", "a directory is in its place"));
        }
        files.insert(entry.path.clone(), (entry.clone(), bytes));
        Ok(())
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap()
    }

    /// What has been restored: every entry with its whole content, holes included.
    pub(crate) fn contents(&self) -> BTreeMap<EntryPath, (EntryKind, Vec<u8>)> {
        let files = self.files();
        files.iter().map(|(path, (entry, bytes))| (path.clone(), (entry.kind, bytes.clone()))).collect()
    }

    /// What a restore of a whole tree has to give.
    pub(crate) fn expected(tree: &Tree) -> BTreeMap<EntryPath, (EntryKind, Vec<u8>)> {
        tree.0.iter().map(|(path, node)| (path.clone(), (node.entry.kind, whole_content(node)))).collect()
    }
}

/// A file's content with zeros for holes.
fn whole_content(node: &Node) -> Vec<u8> {
    let Some(extents) = &node.entry.extents else { return node.content.to_vec() };
    let mut bytes = vec![0; usize::try_from(node.entry.size_bytes).unwrap()];
    let mut from = 0;
    for extent in extents {
        let (at, len) = (usize::try_from(extent.offset_bytes).unwrap(), usize::try_from(extent.len_bytes).unwrap());
        bytes[at..at + len].copy_from_slice(&node.content[from..from + len]);
        from += len;
    }
    bytes
}

impl RestoreTarget for MemoryTarget {
    fn inspect(&self, path: &EntryPath) -> Result<Option<Entry>, EntryError> {
        Ok(self.files().get(path).map(|(entry, _)| entry.clone()))
    }

    fn create_directory(&self, entry: &Entry) -> Result<bool, EntryError> {
        let mut files = self.files();
        match files.get(&entry.path) {
            Some((existing, _)) if existing.kind == EntryKind::Directory => Ok(false),
            Some(_) => Err(EntryError::other(&entry.path, "cannot make directory", "something else is there")),
            None => {
                Self::within(&files, &entry.path)?;
                files.insert(entry.path.clone(), (entry.clone(), Vec::new()));
                Ok(true)
            }
        }
    }

    fn create_file(&self, entry: &Entry) -> Result<Box<dyn EntryWriter>, EntryError> {
        let size = usize::try_from(entry.size_bytes).unwrap();
        Self::within(&self.files(), &entry.path)?;
        Ok(Box::new(MemoryWriter { target: self.clone(), bytes: Mutex::new(vec![0; size]) }))
    }

    fn create_special(&self, entry: &Entry) -> Result<(), EntryError> {
        let mut files = self.files();
        Self::within(&files, &entry.path)?;
        Self::replace(&mut files, entry, Vec::new())
    }

    fn create_hard_link(&self, entry: &Entry, existing: &EntryPath) -> Result<(), EntryError> {
        let mut files = self.files();
        let bytes = files.get(existing).map(|(_, bytes)| bytes.clone());
        let bytes = bytes.ok_or_else(|| EntryError::other(existing, "cannot link", "it is not there"))?;
        Self::within(&files, &entry.path)?;
        Self::replace(&mut files, entry, bytes)
    }

    fn open_existing(&self, path: &EntryPath) -> Result<Box<dyn ReadAt>, EntryError> {
        let files = self.files();
        let (_, bytes) = files.get(path).ok_or_else(|| EntryError::other(path, "cannot read", "it is not there"))?;
        Ok(Box::new(MemoryBytes(bytes.clone())))
    }

    fn set_metadata(&self, entry: &Entry) -> Result<(), EntryError> {
        match self.files().get_mut(&entry.path) {
            Some((existing, _)) => {
                *existing = entry.clone();
                Ok(())
            }
            None => Err(EntryError::other(&entry.path, "cannot set metadata of", "it is not there")),
        }
    }

    fn finish_directory(&self, entry: &Entry) -> Result<(), EntryError> {
        self.set_metadata(entry)
    }

    fn remove(&self, path: &EntryPath) -> Result<(), EntryError> {
        self.files().retain(|other, _| !other.is_within(path));
        Ok(())
    }

    fn extra_names(&self, directory: &EntryPath, keep: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, EntryError> {
        let files = self.files();
        let mut names: Vec<_> = files
            .keys()
            .filter(|path| path.parent().as_ref() == Some(directory))
            .map(|path| path.name().to_vec())
            .filter(|name| !keep.contains(name))
            .collect();
        names.sort();
        Ok(names)
    }

    fn finish(&self) -> Result<(), SourceError> {
        Ok(())
    }
}

struct MemoryWriter {
    target: MemoryTarget,
    bytes: Mutex<Vec<u8>>,
}

impl EntryWriter for MemoryWriter {
    fn write_at(&self, offset_bytes: u64, bytes: &[u8]) -> io::Result<()> {
        let at = usize::try_from(offset_bytes).map_err(io::Error::other)?;
        let mut content = self.bytes.lock().unwrap();
        let room = content.get_mut(at..at + bytes.len()).ok_or_else(|| io::Error::other("past the end of the file"))?;
        room.copy_from_slice(bytes);
        Ok(())
    }

    fn commit(self: Box<Self>, entry: &Entry) -> Result<(), EntryError> {
        let bytes = self.bytes.into_inner().unwrap();
        let mut files = self.target.files();
        MemoryTarget::within(&files, &entry.path)?;
        MemoryTarget::replace(&mut files, entry, bytes)
    }
}

struct MemoryBytes(Vec<u8>);

impl ReadAt for MemoryBytes {
    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let at = usize::try_from(offset_bytes).map_err(io::Error::other)?.min(self.0.len());
        let len = buffer.len().min(self.0.len() - at);
        buffer[..len].copy_from_slice(&self.0[at..at + len]);
        Ok(len)
    }
}
