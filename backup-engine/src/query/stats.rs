//! How much there is, how much of it is stored, and what each snapshot alone keeps.

use std::collections::HashSet;

use futures::TryStreamExt;
use serde::Serialize;

use super::usage::{BlobTable, Usage, usage};
use super::{QueryError, UnreadParts};
use crate::error::RepositoryError;
use crate::format::ObjectKind;
use crate::id::{ObjectId, PackId, SnapshotId};
use crate::layout;
use crate::repository::Repository;
use crate::snapshots::Snapshot;

/// Sizes of a repository.
///
/// *Logical* is what the snapshots would take as plain copies, *unique* what is left when every blob counts once, *stored* what the
/// storage holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Snapshots that can be read.
    pub snapshots: u64,
    /// Entries of all snapshots, each counted in every snapshot that has it.
    pub entries: u64,
    /// Sizes of the files of all snapshots, holes included.
    pub logical_bytes: u64,
    /// Different blobs that the index names.
    pub blobs: u64,
    /// Bytes of different blobs of file content, before compression.
    pub unique_bytes: u64,
    /// Bytes of different blobs of trees and chunk lists, before compression.
    pub tree_bytes: u64,
    /// Bytes of further copies of blobs that are stored more than once, before compression.
    pub copied_bytes: u64,
    /// Packs that the index names.
    pub packs: u64,
    /// Bytes of those packs.
    pub pack_bytes: u64,
    /// Objects of every kind in the storage.
    pub objects: u64,
    /// Bytes of all objects in the storage.
    pub stored_bytes: u64,
    /// Index objects that can't be read; what only they name is missing in these numbers.
    pub damaged_index_objects: u64,
    /// What snapshots keep, where it was asked for.
    pub usage: Option<UsageStats>,
}

/// What snapshots keep.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct UsageStats {
    /// Bytes of blobs that some snapshot needs, before compression.
    pub needed_bytes: u64,
    /// Bytes in the storage that no snapshot needs, copies among them; a running capture's are such until it commits.
    pub unneeded_stored_bytes: u64,
    /// By snapshot, in the order in which they were given.
    pub snapshots: Vec<SnapshotUsage>,
    /// Parts of trees that can't be read: what they need is counted as not needed.
    pub unread_parts: u64,
}

/// What one snapshot keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SnapshotUsage {
    /// Which.
    pub id: SnapshotId,
    /// Sizes of its files, holes included.
    pub logical_bytes: u64,
    /// Bytes of blobs that no other of the given snapshots needs, before compression.
    pub own_bytes: u64,
    /// What of the storage those take, a block's size being shared out among its blobs by their length.
    pub own_stored_bytes: u64,
}

impl Stats {
    /// How many times the unique content goes into the logical size; `None` while nothing is stored.
    pub fn deduplication_ratio(&self) -> Option<f64> {
        ratio(self.logical_bytes, self.unique_bytes)
    }

    /// How many times the packs go into what they hold; `None` while nothing is stored.
    pub fn compression_ratio(&self) -> Option<f64> {
        ratio(self.unique_bytes + self.tree_bytes + self.copied_bytes, self.pack_bytes)
    }

    /// How many times the whole storage goes into the logical size; `None` while nothing is stored.
    pub fn total_ratio(&self) -> Option<f64> {
        ratio(self.logical_bytes, self.stored_bytes)
    }
}

fn ratio(large: u64, small: u64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a ratio is for people; bytes up to 2^53 are exact")]
    let ratio = large as f64 / small as f64;
    (small > 0).then_some(ratio)
}

impl Repository {
    /// Adds up a repository, with `snapshots` as those that count.
    ///
    /// Costs a listing of everything and the index, and 32 bytes of memory for each blob. With `usage` it reads every node of the
    /// snapshots' trees too, each at most twice, and says what each snapshot alone keeps.
    ///
    /// # Errors
    /// [`QueryError::Repository`] when the storage fails.
    pub async fn stats(&self, snapshots: Vec<Snapshot>, usage_too: bool) -> Result<Stats, QueryError> {
        let mut stats = Stats { snapshots: snapshots.len() as u64, ..Stats::default() };
        for snapshot in &snapshots {
            stats.entries += snapshot.record.tree.entries;
            stats.logical_bytes = stats.logical_bytes.saturating_add(snapshot.record.tree.bytes);
        }
        let everything = backup_core::KeyPrefix::all();
        let mut objects = self.store().backend().list(&everything);
        let mut listed_pack_bytes = 0;
        while let Some(object) = objects.try_next().await.map_err(RepositoryError::from)? {
            stats.objects += 1;
            stats.stored_bytes += object.size_bytes;
            if layout::packs().contains(&object.key) {
                listed_pack_bytes += object.size_bytes;
            }
        }
        drop(objects);
        let mut table = self.blob_table(&mut stats).await?;
        if usage_too {
            let used = self.ask(move |asked| usage(asked, &snapshots, &mut table)).await?;
            stats.usage = Some(usage_stats(used, listed_pack_bytes));
        }
        Ok(stats)
    }

    /// Every blob that the index names, with its lengths, and their sums.
    async fn blob_table(&self, stats: &mut Stats) -> Result<BlobTable, QueryError> {
        let listed = self.store().list_records(ObjectKind::Index).await?;
        let ids: Vec<ObjectId> = listed.into_iter().map(|(id, _)| id).collect();
        let mut table = BlobTable::default();
        let mut superseded: HashSet<ObjectId> = HashSet::new();
        let mut damaged = Vec::new();
        // For each pack, the first index object in force that names it; which are in force is known at the end.
        let mut packs: Vec<(u32, PackId, u64)> = Vec::new();
        let mut numbers = 0u32..;
        self.each_segment(&ids, |id, read| {
            let number = numbers.next().expect("less than 2^32 index objects");
            match read {
                Ok(segment) => {
                    superseded.extend(&segment.supersedes);
                    for pack in &segment.packs {
                        table.add(pack, u32::try_from(packs.len()).expect("less than 2^32 packs"));
                        packs.push((number, pack.id, pack.size_bytes));
                    }
                }
                Err(error) if error.is_damage() => damaged.push(id),
                Err(error) => return Err(error),
            }
            Ok(())
        })
        .await?;
        stats.damaged_index_objects = damaged.len() as u64;
        let mut seen = HashSet::new();
        let counts: Vec<bool> = packs
            .iter()
            .map(|(object, pack, _)| {
                let object = ids.get(usize::try_from(*object).unwrap_or(usize::MAX));
                object.is_some_and(|object| !superseded.contains(object)) && seen.insert(*pack)
            })
            .collect();
        for (_, (_, _, size_bytes)) in counts.iter().zip(&packs).filter(|(counts, _)| **counts) {
            stats.packs += 1;
            stats.pack_bytes += size_bytes;
        }
        table.keep(&counts);
        let sums = table.finish();
        stats.blobs = sums.blobs;
        (stats.unique_bytes, stats.tree_bytes, stats.copied_bytes) =
            (sums.data_bytes, sums.tree_bytes, sums.copied_bytes);
        Ok(table)
    }
}

fn usage_stats(used: (Usage, UnreadParts), listed_pack_bytes: u64) -> UsageStats {
    let (usage, unread) = used;
    UsageStats {
        needed_bytes: usage.needed_bytes,
        unneeded_stored_bytes: listed_pack_bytes.saturating_sub(usage.needed_stored_bytes),
        snapshots: usage.snapshots,
        unread_parts: unread.count,
    }
}
