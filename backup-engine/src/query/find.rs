//! Finding entries in many snapshots.

use std::ops::ControlFlow;
use std::sync::Arc;

use backup_core::Entry;

use super::nodes::DullNodes;
use super::{Asked, QueryError, UnreadParts};
use crate::format::tree::TreeEntry;
use crate::id::SnapshotId;
use crate::repository::Repository;
use crate::snapshots::Snapshot;
use crate::tree::TreeWalk;
use crate::tree::walk::Head;

/// What came of a search.
#[derive(Debug, Default)]
pub struct FindReport {
    /// Matches that were given out; an entry counts once for each snapshot.
    pub matches: u64,
    /// Snapshots that were searched.
    pub snapshots: u64,
    /// Nodes of trees that were read.
    pub nodes_read: u64,
    /// By snapshot, the parts of its tree that could not be read.
    pub unread: Vec<(SnapshotId, UnreadParts)>,
}

impl Repository {
    /// Gives out the entries of several snapshots that `matcher` accepts: snapshots as they are given, entries in canonical order.
    ///
    /// A node of the tree that many snapshots share and in which nothing matches is read once; so a search through many snapshots of
    /// one source costs little more than through one. `each` ends the search by `Break`. Both run on a thread that may block.
    ///
    /// # Errors
    /// [`QueryError::Repository`] when the storage fails.
    pub async fn find_entries(
        &self,
        snapshots: Vec<Snapshot>,
        matcher: impl Fn(&Entry) -> bool + Send + 'static,
        each: impl FnMut(&Snapshot, &TreeEntry) -> ControlFlow<()> + Send + 'static,
    ) -> Result<FindReport, QueryError> {
        self.ask(move |asked| find(asked, &snapshots, matcher, each)).await
    }
}

fn find(
    asked: &Asked,
    snapshots: &[Snapshot],
    matcher: impl Fn(&Entry) -> bool,
    mut each: impl FnMut(&Snapshot, &TreeEntry) -> ControlFlow<()>,
) -> Result<FindReport, QueryError> {
    let mut report = FindReport::default();
    let mut nodes = DullNodes::default();
    for snapshot in snapshots {
        let mut walk = TreeWalk::new(Arc::clone(&asked.reader), &snapshot.record.tree);
        let mut unread = UnreadParts::default();
        loop {
            asked.check_cancelled()?;
            match walk.head() {
                Some(Head::Entry(item)) => {
                    if matcher(&item.entry) {
                        report.matches += 1;
                        nodes.found();
                        if each(snapshot, item).is_break() {
                            return Ok(report);
                        }
                    }
                    walk.next();
                }
                Some(Head::Node { level, id, .. }) => {
                    if !nodes.arrive(level, &id) {
                        walk.skip_node();
                        continue;
                    }
                    match walk.open_node() {
                        Ok(()) => nodes.open(level, id),
                        Err(damage) => {
                            nodes.found();
                            unread.add(damage)?;
                        }
                    }
                }
                None => break,
            }
        }
        nodes.finish();
        report.nodes_read += walk.nodes_read();
        report.snapshots += 1;
        if !unread.is_empty() {
            report.unread.push((snapshot.id, unread));
        }
    }
    Ok(report)
}
