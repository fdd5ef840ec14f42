//! What changed between two snapshots.

use std::ops::ControlFlow;
use std::sync::Arc;

use backup_core::{Entry, EntryKind, EntryPath};

use super::list::is_beyond;
use super::{Asked, QueryError, UnreadParts};
use crate::format::record::TreeRoot;
use crate::format::tree::TreeEntry;
use crate::id::BlobId;
use crate::repository::Repository;
use crate::snapshots::Snapshot;
use crate::tree::TreeWalk;
use crate::tree::walk::Head;

/// How an entry differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// Only the later snapshot has it.
    Added,
    /// Only the earlier snapshot has it.
    Removed,
    /// Both have it, as the same kind of thing.
    Modified {
        /// Whether content differs: a file's bytes or holes, a link's target, a device's number.
        content: bool,
        /// Whether mode, owners, modification time or extended attributes differ.
        metadata: bool,
    },
    /// Both have it, as different kinds of things.
    TypeChanged,
}

/// An entry that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiffEntry {
    /// How.
    pub change: Change,
    /// As the earlier snapshot has it; `None` when it was added.
    pub before: Option<TreeEntry>,
    /// As the later snapshot has it; `None` when it was removed.
    pub after: Option<TreeEntry>,
}

impl DiffEntry {
    /// Where it is.
    pub fn path(&self) -> &EntryPath {
        match (&self.before, &self.after) {
            (Some(item), _) | (None, Some(item)) => &item.entry.path,
            (None, None) => unreachable!("an entry that differs is in one snapshot at least"),
        }
    }
}

/// What came of a comparison.
#[derive(Debug, Default)]
pub struct DiffReport {
    /// Entries that only the later snapshot has.
    pub added: u64,
    /// Entries that only the earlier snapshot has.
    pub removed: u64,
    /// Entries that both have, differing.
    pub modified: u64,
    /// Entries that are different kinds of things.
    pub type_changed: u64,
    /// Nodes that were read of both trees.
    pub nodes_read: u64,
    /// Parts of the earlier tree that could not be read; nothing is said about paths in there.
    pub unread_before: UnreadParts,
    /// Parts of the later tree that could not be read; nothing is said about paths in there.
    pub unread_after: UnreadParts,
}

impl Repository {
    /// Gives out what differs between two snapshots, in canonical order; with `under`, only at and below a path.
    ///
    /// Reads only nodes that the two trees don't share. Times of the file system's own record, inodes and devices are no
    /// differences: a file that was restored unchanged is the same file. `each` runs on a thread that may block, and ends the
    /// comparison by `Break`.
    ///
    /// # Errors
    /// [`QueryError::Repository`] when the storage fails.
    pub async fn diff(
        &self,
        before: &Snapshot,
        after: &Snapshot,
        under: Option<&EntryPath>,
        each: impl FnMut(&DiffEntry) -> ControlFlow<()> + Send + 'static,
    ) -> Result<DiffReport, QueryError> {
        let (before, after, under) = (before.record.tree, after.record.tree, under.cloned());
        self.ask(move |asked| {
            let side = |root: &TreeRoot| Side::new(asked, root, under.as_ref());
            let merge = Merge {
                before: side(&before),
                after: side(&after),
                under: under.as_ref(),
                report: DiffReport::default(),
                each,
            };
            merge.run(asked)
        })
        .await
    }
}

/// One of the two trees.
struct Side {
    walk: TreeWalk,
    /// While something unreadable lies at the head: where it ends, `None` inside for the end of the tree.
    unknown_until: Option<Option<EntryPath>>,
    unread: UnreadParts,
}

/// What stands at the head of a side, short enough to be compared.
enum At {
    End,
    Entry(EntryPath),
    /// A node that was not read, with the first path below it.
    Node(u8, BlobId, Option<EntryPath>),
}

impl Side {
    fn new(asked: &Asked, root: &TreeRoot, under: Option<&EntryPath>) -> Self {
        let reader = Arc::clone(&asked.reader);
        let walk = match under {
            Some(under) => TreeWalk::from_path(reader, root, under),
            None => TreeWalk::new(reader, root),
        };
        Self { walk, unknown_until: None, unread: UnreadParts::default() }
    }

    fn at(&mut self, under: Option<&EntryPath>) -> At {
        match self.walk.head() {
            Some(Head::Entry(item)) if !is_beyond(Some(&item.entry.path), under) => At::Entry(item.entry.path.clone()),
            Some(Head::Node { level, id, first }) if !is_beyond(first, under) => At::Node(level, id, first.cloned()),
            Some(_) | None => At::End,
        }
    }

    fn open(&mut self) -> Result<(), QueryError> {
        match self.walk.open_node() {
            Ok(()) => Ok(()),
            Err(damage) => {
                self.unknown_until = Some(damage.until.clone());
                self.unread.add(damage)
            }
        }
    }

    fn take(&mut self) -> Option<TreeEntry> {
        self.walk.next().and_then(Result::ok)
    }

    /// Whether this side can't say what it has at a path that its head is already past.
    fn is_unknown(&self, path: &EntryPath) -> bool {
        self.unknown_until.as_ref().is_some_and(|until| until.as_ref().is_none_or(|until| path < until))
    }
}

struct Merge<'a, F> {
    before: Side,
    after: Side,
    under: Option<&'a EntryPath>,
    report: DiffReport,
    each: F,
}

impl<F: FnMut(&DiffEntry) -> ControlFlow<()>> Merge<'_, F> {
    fn run(mut self, asked: &Asked) -> Result<DiffReport, QueryError> {
        loop {
            asked.check_cancelled()?;
            let flow = match (self.before.at(self.under), self.after.at(self.under)) {
                (At::End, At::End) => ControlFlow::Break(()),
                (At::Node(_, one, _), At::Node(_, other, _)) if one == other => {
                    // Everything before was dealt with on both sides, and what is below is the same.
                    self.before.walk.skip_node();
                    self.after.walk.skip_node();
                    ControlFlow::Continue(())
                }
                (At::Node(level, _, first), At::Node(other_level, _, other_first)) => {
                    // The one that begins earlier; of two that begin together the higher one, below which the other may be found again.
                    let order = first.cmp(&other_first).then(other_level.cmp(&level));
                    if order.is_le() {
                        self.before.open()?;
                    }
                    if order.is_ge() {
                        self.after.open()?;
                    }
                    ControlFlow::Continue(())
                }
                (At::Node(_, _, first), At::Entry(path)) if first.as_ref().is_some_and(|first| *first > path) => {
                    self.added()
                }
                (At::Entry(path), At::Node(_, _, first)) if first.as_ref().is_some_and(|first| *first > path) => {
                    self.removed()
                }
                (At::Node(..), _) => {
                    self.before.open()?;
                    ControlFlow::Continue(())
                }
                (_, At::Node(..)) => {
                    self.after.open()?;
                    ControlFlow::Continue(())
                }
                (At::Entry(_), At::End) => self.removed(),
                (At::End, At::Entry(_)) => self.added(),
                (At::Entry(one), At::Entry(other)) => match one.cmp(&other) {
                    std::cmp::Ordering::Less => self.removed(),
                    std::cmp::Ordering::Greater => self.added(),
                    std::cmp::Ordering::Equal => self.both(),
                },
            };
            if flow.is_break() {
                let Self { before, after, report, .. } = self;
                let nodes_read = before.walk.nodes_read() + after.walk.nodes_read();
                return Ok(DiffReport {
                    nodes_read,
                    unread_before: before.unread,
                    unread_after: after.unread,
                    ..report
                });
            }
        }
    }

    fn added(&mut self) -> ControlFlow<()> {
        match self.after.take() {
            Some(item) if !self.before.is_unknown(&item.entry.path) => {
                self.report.added += 1;
                (self.each)(&DiffEntry { change: Change::Added, before: None, after: Some(item) })
            }
            Some(_) | None => ControlFlow::Continue(()),
        }
    }

    fn removed(&mut self) -> ControlFlow<()> {
        match self.before.take() {
            Some(item) if !self.after.is_unknown(&item.entry.path) => {
                self.report.removed += 1;
                (self.each)(&DiffEntry { change: Change::Removed, before: Some(item), after: None })
            }
            Some(_) | None => ControlFlow::Continue(()),
        }
    }

    fn both(&mut self) -> ControlFlow<()> {
        let (Some(before), Some(after)) = (self.before.take(), self.after.take()) else {
            return ControlFlow::Continue(());
        };
        let Some(change) = compare(&before, &after) else { return ControlFlow::Continue(()) };
        match change {
            Change::TypeChanged => self.report.type_changed += 1,
            _ => self.report.modified += 1,
        }
        (self.each)(&DiffEntry { change, before: Some(before), after: Some(after) })
    }
}

/// How two entries of one path differ, `None` when they don't.
fn compare(before: &TreeEntry, after: &TreeEntry) -> Option<Change> {
    let (one, other) = (&before.entry, &after.entry);
    if one.kind != other.kind {
        return Some(Change::TypeChanged);
    }
    let content = match one.kind {
        EntryKind::File => {
            // The digest tells; how the content is cut into blobs does not matter.
            (one.size_bytes, &one.extents, before.content.digest())
                != (other.size_bytes, &other.extents, after.content.digest())
        }
        EntryKind::Symlink => one.link_target != other.link_target,
        EntryKind::CharDevice | EntryKind::BlockDevice => one.device_number != other.device_number,
        EntryKind::Directory | EntryKind::Fifo | EntryKind::Socket => false,
    };
    let metadata = metadata(one) != metadata(other);
    (content || metadata).then_some(Change::Modified { content, metadata })
}

fn metadata(entry: &Entry) -> impl PartialEq + '_ {
    (entry.mode, entry.uid, entry.gid, &entry.user, &entry.group, entry.modified, &entry.xattrs)
}
