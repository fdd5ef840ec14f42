//! What the last snapshot of the same source says about an entry.

use std::iter::Peekable;

use backup_core::{Entry, EntryPath};

use crate::format::BlobType;
use crate::format::tree::{Content, TreeEntry};
use crate::index::BlobIndex;
use crate::pack::reader::BlobReader;
use crate::tree::TreeWalk;
use crate::tree::walk::chunks_of;

/// Earlier trees of the same source, the most recent first, read in step with the listing.
pub(super) struct Parents {
    trees: Vec<Peekable<TreeWalk>>,
}

/// What the parents say about an entry.
pub(super) enum Verdict {
    /// They have it in the same state, with all its content.
    Unchanged(Box<TreeEntry>),
    /// They have it in another state, or its content is lost.
    Changed,
    /// They don't have it.
    New,
}

impl Parents {
    pub(super) fn new(trees: Vec<TreeWalk>) -> Self {
        Self { trees: trees.into_iter().map(Iterator::peekable).collect() }
    }

    /// Compares the next entry of the listing; entries must come in canonical order.
    pub(super) fn compare(&mut self, entry: &Entry, reader: &BlobReader) -> Verdict {
        let mut verdict = Verdict::New;
        for tree in &mut self.trees {
            let Some(mut earlier) = find(tree, &entry.path) else { continue };
            if matches!(verdict, Verdict::Unchanged(_)) {
                continue;
            }
            verdict = if entry.unchanged_since(&earlier.entry) && has_content(&earlier, reader) {
                // It tells the names of one file from those of another, and must be that of the entries that are read now.
                earlier.entry.device = entry.device;
                Verdict::Unchanged(Box::new(earlier))
            } else {
                Verdict::Changed
            };
        }
        verdict
    }
}

/// The entry with this path, if the tree has it; goes past everything before it. Damaged parts of a parent hold nothing.
fn find(tree: &mut Peekable<TreeWalk>, path: &EntryPath) -> Option<TreeEntry> {
    loop {
        match tree.peek()? {
            Err(_) => {}
            Ok(item) if item.entry.path > *path => return None,
            Ok(item) if item.entry.path == *path => return tree.next()?.ok(),
            Ok(_) => {}
        }
        tree.next();
    }
}

/// Whether all content of an entry can be relied on, as far as the index knows.
fn has_content(item: &TreeEntry, reader: &BlobReader) -> bool {
    let index: &BlobIndex = reader.index();
    match &item.content {
        Content::None => true,
        Content::Single { digest } => {
            index.contains(&reader.store().keyring().hasher().id_of_digest(BlobType::Data, digest))
        }
        Content::List { list, .. } if list.form == 1 => list.chunks.iter().all(|chunk| index.contains(&chunk.id)),
        content @ Content::List { .. } => chunks_of(reader, item.entry.size_bytes, content)
            .is_ok_and(|chunks| chunks.iter().all(|chunk| index.contains(&chunk.id))),
    }
}
