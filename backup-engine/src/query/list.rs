//! Listing what a snapshot holds.

use std::ops::ControlFlow;
use std::sync::Arc;

use backup_core::{EntryKind, EntryPath};

use super::{Asked, QueryError, UnreadParts, after_subtree};
use crate::format::record::TreeRoot;
use crate::format::tree::TreeEntry;
use crate::repository::Repository;
use crate::snapshots::Snapshot;
use crate::tree::TreeWalk;

/// What came of a listing.
#[derive(Debug, Default)]
pub struct ListReport {
    /// Entries that were given out.
    pub entries: u64,
    /// Nodes of the tree that were read.
    pub nodes_read: u64,
    /// Parts of the tree that could not be read: the listing lacks what is there.
    pub unread: UnreadParts,
}

impl Repository {
    /// Gives out the entries of a snapshot, or of a part of it, in canonical order.
    ///
    /// Of a directory it gives what is in it, not the directory; of anything else, the entry. Without `recursive` it stays on the
    /// first level and reads only nodes of the tree that hold something of that. `each` runs on a thread that may block, and ends
    /// the listing by `Break`. Dropping the future ends it too.
    ///
    /// # Errors
    /// [`QueryError::NotInSnapshot`], or [`QueryError::Repository`] when the storage fails.
    pub async fn list_entries(
        &self,
        snapshot: &Snapshot,
        under: Option<&EntryPath>,
        recursive: bool,
        each: impl FnMut(&TreeEntry) -> ControlFlow<()> + Send + 'static,
    ) -> Result<ListReport, QueryError> {
        let (root, under) = (snapshot.record.tree, under.cloned());
        self.ask(move |asked| list(asked, &root, under.as_ref(), recursive, each)).await
    }
}

fn list(
    asked: &Asked,
    root: &TreeRoot,
    under: Option<&EntryPath>,
    recursive: bool,
    mut each: impl FnMut(&TreeEntry) -> ControlFlow<()>,
) -> Result<ListReport, QueryError> {
    let reader = Arc::clone(&asked.reader);
    let mut walk = match under {
        Some(under) => TreeWalk::from_path(reader, root, under),
        None => TreeWalk::new(reader, root),
    };
    let level = under.map_or(0, |under| under.components().count()) + 1;
    let mut report = ListReport::default();
    let mut found = under.is_none();
    while let Some(item) = walk.next() {
        asked.check_cancelled()?;
        let item = match item {
            Ok(item) => item,
            Err(damage) if is_beyond(damage.from.as_ref(), under) => break,
            Err(damage) => {
                report.unread.add(damage)?;
                continue;
            }
        };
        let path = &item.entry.path;
        if is_beyond(Some(path), under) {
            break;
        }
        found = true;
        let is_directory = item.entry.kind == EntryKind::Directory;
        if is_directory && under == Some(path) {
            continue;
        }
        // An entry deeper down comes first only where a damaged node held the directory above it.
        if recursive || path.components().count() <= level {
            report.entries += 1;
            if each(&item).is_break() {
                break;
            }
        }
        if !recursive && is_directory {
            walk.seek(&after_subtree(path));
        }
    }
    report.nodes_read = walk.nodes_read();
    match under {
        Some(under) if !found && report.unread.is_empty() => Err(QueryError::NotInSnapshot(under.clone())),
        _ => Ok(report),
    }
}

/// Whether a path lies after a subtree.
pub(super) fn is_beyond(path: Option<&EntryPath>, under: Option<&EntryPath>) -> bool {
    matches!((path, under), (Some(path), Some(under)) if path > under && !path.is_within(under))
}
