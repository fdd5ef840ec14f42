//! Which snapshot needs which blob.

use std::sync::Arc;

use super::stats::SnapshotUsage;
use super::{Asked, QueryError, UnreadParts};
use crate::error::RepositoryError;
use crate::format::index::IndexedPack;
use crate::format::tree::{ChunkList, Content};
use crate::format::{BlobType, ObjectKind};
use crate::id::{BlobId, BlobPrefix};
use crate::pack::table::LOST_BLOCK;
use crate::snapshots::Snapshot;
use crate::tree::TreeWalk;
use crate::tree::walk::{Head, TreeDamage};

/// Nobody needs the blob, as far as was looked.
const NOBODY: u32 = u32::MAX;
/// Several snapshots need it.
const SEVERAL: u32 = u32::MAX - 1;

/// All different blobs, sorted by the half of the id that the index holds.
#[derive(Debug, Default)]
pub(super) struct BlobTable {
    rows: Vec<Row>,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    prefix: BlobPrefix,
    len_bytes: u32,
    stored_bytes: u32,
    /// The number of the snapshot that alone needs it, or one of the two above.
    owner: u32,
    is_tree: bool,
}

/// What a table adds up to.
#[derive(Debug, Default)]
pub(super) struct Sums {
    pub(super) blobs: u64,
    pub(super) data_bytes: u64,
    pub(super) tree_bytes: u64,
    pub(super) copied_bytes: u64,
}

/// What was found out about snapshots.
#[derive(Debug, Default)]
pub(super) struct Usage {
    pub(super) needed_bytes: u64,
    pub(super) needed_stored_bytes: u64,
    pub(super) snapshots: Vec<SnapshotUsage>,
}

impl BlobTable {
    /// Adds the blobs of a pack, which is known by a number until [`keep`](Self::keep).
    pub(super) fn add(&mut self, pack: &IndexedPack, number: u32) {
        // A stretch that a rebuilt table can't describe holds no blob that anybody could need.
        for block in pack.table.blocks.iter().filter(|block| block.blobs != [LOST_BLOCK]) {
            let raw_bytes: u64 = block.blobs.iter().map(|blob| u64::from(blob.len_bytes)).sum();
            self.rows.extend(block.blobs.iter().map(|blob| {
                let share = u128::from(block.frame_bytes()) * u128::from(blob.len_bytes) / u128::from(raw_bytes.max(1));
                Row {
                    prefix: blob.prefix,
                    len_bytes: blob.len_bytes,
                    stored_bytes: u32::try_from(share).unwrap_or(u32::MAX),
                    owner: number,
                    is_tree: pack.kind == ObjectKind::TreePack,
                }
            }));
        }
    }

    /// Leaves the blobs of packs that count, by number, and forgets the numbers.
    pub(super) fn keep(&mut self, counts: &[bool]) {
        self.rows.retain_mut(|row| {
            let number = usize::try_from(row.owner).unwrap_or(usize::MAX);
            row.owner = NOBODY;
            counts.get(number).copied().unwrap_or(false)
        });
    }

    /// Sorts the table and leaves one row for each blob.
    pub(super) fn finish(&mut self) -> Sums {
        self.rows.sort_unstable_by_key(|row| (row.prefix, row.stored_bytes));
        let mut sums = Sums::default();
        self.rows.dedup_by(|row, before| {
            let is_copy = row.prefix == before.prefix;
            if is_copy {
                sums.copied_bytes += u64::from(row.len_bytes);
            }
            is_copy
        });
        for row in &self.rows {
            sums.blobs += 1;
            *if row.is_tree { &mut sums.tree_bytes } else { &mut sums.data_bytes } += u64::from(row.len_bytes);
        }
        sums
    }

    /// Notes that a snapshot needs a blob. Returns whether that is news for what the blob refers to as well.
    fn need(&mut self, id: &BlobId, snapshot: u32) -> bool {
        let prefix = id.prefix();
        let Ok(at) = self.rows.binary_search_by_key(&prefix, |row| row.prefix) else {
            // Not in the index; whoever reads it says so.
            return true;
        };
        let owner = &mut self.rows[at].owner;
        match *owner {
            NOBODY => *owner = snapshot,
            SEVERAL => return false,
            known if known == snapshot => return false,
            _ => *owner = SEVERAL,
        }
        true
    }
}

/// Goes over the trees of snapshots and finds out which of them needs each blob.
///
/// A node is read when the first snapshot needs it, and again when a second one does; then all below it is known to be needed by
/// several, and nobody reads it any more.
pub(super) fn usage(
    asked: &Asked,
    snapshots: &[Snapshot],
    table: &mut BlobTable,
) -> Result<(Usage, UnreadParts), QueryError> {
    let mut unread = UnreadParts::default();
    for (number, snapshot) in (0u32..SEVERAL).zip(snapshots) {
        let mut walk = TreeWalk::new(Arc::clone(&asked.reader), &snapshot.record.tree);
        loop {
            asked.check_cancelled()?;
            match walk.head() {
                Some(Head::Entry(item)) => {
                    if let Err(source) = need_content(asked, &item.content, number, table) {
                        let from = Some(item.entry.path.clone());
                        unread.add(TreeDamage { from, until: None, source })?;
                    }
                    walk.next();
                }
                Some(Head::Node { id, .. }) => {
                    if !table.need(&id, number) {
                        walk.skip_node();
                    } else if let Err(damage) = walk.open_node() {
                        unread.add(damage)?;
                    }
                }
                None => break,
            }
        }
    }
    Ok((add_up(snapshots, table), unread))
}

fn need_content(asked: &Asked, content: &Content, snapshot: u32, table: &mut BlobTable) -> Result<(), RepositoryError> {
    match content {
        Content::None => Ok(()),
        Content::Single { digest } => {
            let id = asked.reader.store().keyring().hasher().id_of_digest(BlobType::Data, digest);
            table.need(&id, snapshot);
            Ok(())
        }
        Content::List { list, .. } => need_list(asked, list, snapshot, table),
    }
}

fn need_list(asked: &Asked, list: &ChunkList, snapshot: u32, table: &mut BlobTable) -> Result<(), RepositoryError> {
    for chunk in &list.chunks {
        if table.need(&chunk.id, snapshot) && list.form > 1 {
            let below = ChunkList::decode(&asked.reader.read(BlobType::List, &chunk.id)?);
            // Forms go down by one, so that this ends.
            match below.ok().filter(|below| below.form == list.form - 1) {
                Some(below) => need_list(asked, &below, snapshot, table)?,
                None => return Err(RepositoryError::MissingBlob(chunk.id)),
            }
        }
    }
    Ok(())
}

fn add_up(snapshots: &[Snapshot], table: &BlobTable) -> Usage {
    let mut usage = Usage {
        snapshots: snapshots
            .iter()
            .map(|snapshot| SnapshotUsage {
                id: snapshot.id,
                logical_bytes: snapshot.record.tree.bytes,
                own_bytes: 0,
                own_stored_bytes: 0,
            })
            .collect(),
        ..Usage::default()
    };
    for row in table.rows.iter().filter(|row| row.owner != NOBODY) {
        usage.needed_bytes += u64::from(row.len_bytes);
        usage.needed_stored_bytes += u64::from(row.stored_bytes);
        if let Some(own) = usize::try_from(row.owner).ok().and_then(|owner| usage.snapshots.get_mut(owner)) {
            own.own_bytes += u64::from(row.len_bytes);
            own.own_stored_bytes += u64::from(row.stored_bytes);
        }
    }
    usage
}
