//! A repository whose entries lead out of the target: only somebody with its keys can write one, and a reader must not trust even
//! them.

use std::path::Path;
use std::sync::Arc;

use backup_core::{
    Entry, EntryError, EntryKind, EntryPath, EntryReader, RestoreTarget, Snapshotter, SourceContext, SourceDescription,
    SourceError, SourceView, Stability, TargetOptions,
};

use super::tree::fnv1a;

/// Lists a link to a folder, and a file as if it were in that folder.
#[derive(Debug, Clone)]
struct Hostile {
    entries: Vec<Entry>,
}

/// A source whose link leads to `outside`.
pub(crate) fn source(outside: &Path) -> Arc<dyn Snapshotter> {
    Arc::new(Hostile { entries: link_and_file("link", outside).into() })
}

/// The same with the link at the end of one leaf and the file at the beginning of the next, so that whoever reads leaf by leaf
/// meets the link before anything is wrong.
pub(crate) fn source_across_leaves(outside: &Path) -> Arc<dyn Snapshotter> {
    // Writers end a leaf of at least 64 entries after a path whose hash has ten low zero bits.
    let ends_leaf = |name: &String| fnv1a(name.as_bytes()).trailing_zeros() >= 10;
    let before = (0..).map(|nth| format!("a{nth:03}")).filter(|name| !ends_leaf(name)).take(64);
    let link = (0..).map(|nth| format!("link{nth}")).find(ends_leaf).unwrap();
    let mut entries: Vec<_> = before.map(|name| Entry::new(path(&name), EntryKind::Directory)).collect();
    entries.extend(link_and_file(&link, outside));
    Arc::new(Hostile { entries })
}

fn path(text: &str) -> EntryPath {
    EntryPath::new(text.as_bytes()).unwrap()
}

fn link_and_file(name: &str, outside: &Path) -> [Entry; 2] {
    let mut link = Entry::new(path(name), EntryKind::Symlink);
    link.link_target = outside.to_str().unwrap().as_bytes().to_vec();
    let mut file = Entry::new(path(&format!("{name}/file")), EntryKind::File);
    file.size_bytes = 4;
    [link, file]
}

impl Snapshotter for Hostile {
    fn describe(&self) -> SourceDescription {
        SourceDescription { kind: "hostile".to_owned(), name: None, roots: Vec::new() }
    }

    fn begin(&self, _: &SourceContext<'_>) -> Result<Box<dyn SourceView>, SourceError> {
        Ok(Box::new(self.clone()))
    }

    fn target(&self, _: &TargetOptions) -> Result<Box<dyn RestoreTarget>, SourceError> {
        Err(SourceError::Unsupported("restoring"))
    }
}

impl SourceView for Hostile {
    fn entries(&self) -> Box<dyn Iterator<Item = Result<Entry, EntryError>> + Send + '_> {
        Box::new(self.entries.iter().cloned().map(Ok))
    }

    fn open(&self, _: &mut Entry) -> Result<Box<dyn EntryReader>, EntryError> {
        Ok(Box::new(Content(b"evil")))
    }

    fn load(&self, _: &mut Entry) -> Result<(), EntryError> {
        Ok(())
    }
}

struct Content(&'static [u8]);

impl EntryReader for Content {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        std::io::Read::read(&mut self.0, buffer)
    }

    fn stability(&mut self) -> std::io::Result<Stability> {
        Ok(Stability::Stable)
    }
}
