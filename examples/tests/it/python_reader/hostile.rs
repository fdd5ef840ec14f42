//! A repository whose entries lead out of the target: only somebody with its keys can write one, and a reader must not trust even
//! them.

use std::path::Path;
use std::sync::Arc;

use backup_core::{
    Entry, EntryError, EntryKind, EntryPath, EntryReader, RestoreTarget, Snapshotter, SourceContext, SourceDescription,
    SourceError, SourceView, Stability, TargetOptions,
};

/// Lists a link to a folder, and a file as if it were in that folder.
#[derive(Debug, Clone)]
struct Hostile {
    entries: Vec<Entry>,
}

/// A source whose link leads to `outside`.
pub(crate) fn source(outside: &Path) -> Arc<dyn Snapshotter> {
    let path = |text: &str| EntryPath::new(text.as_bytes()).unwrap();
    let mut link = Entry::new(path("link"), EntryKind::Symlink);
    link.link_target = outside.to_str().unwrap().as_bytes().to_vec();
    let mut file = Entry::new(path("link/file"), EntryKind::File);
    file.size_bytes = 4;
    Arc::new(Hostile { entries: vec![link, file] })
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
