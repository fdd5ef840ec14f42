//! A list of all snapshots that other programs can read: `backup_index.json`.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use backup_core::Timestamp;
use serde::{Deserialize, Serialize};

use super::nodes::DullNodes;
use super::{Asked, QueryError};
use crate::format::record::{SnapshotStatistics, SourceRecord, TreeRoot};
use crate::format::tree::TreeEntry;
use crate::id::{PackId, RepositoryId, SnapshotId};
use crate::layout;
use crate::repository::Repository;
use crate::snapshots::{Snapshot, format_time};
use crate::tree::TreeWalk;
use crate::tree::walk::{Head, TreeDamage, chunks_of};
use crate::verification::{CheckLevel, History};

/// The version of the catalog's shape; a field that is added does not raise it.
pub const CATALOG_VERSION: u32 = 1;

/// All snapshots of a repository with what is known about them.
///
/// It holds names of hosts and paths of sources in clear: whoever keeps it beside the repository shows them to the storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalog {
    /// [`CATALOG_VERSION`].
    pub version: u32,
    /// Which repository.
    pub repository: RepositoryId,
    /// When the catalog was made, RFC 3339.
    pub generated: String,
    /// The snapshots that can be read, oldest first.
    pub snapshots: Vec<CatalogEntry>,
    /// Objects that should be snapshots and can't be read.
    pub unreadable: Vec<SnapshotId>,
}

/// A snapshot in the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogEntry {
    /// Its id, the SHA-256 of its stored bytes.
    pub id: SnapshotId,
    /// When its capture began, RFC 3339.
    pub time: String,
    /// When the store received it, RFC 3339; where the store does not tell, the time of the capture.
    pub received: String,
    /// On which host.
    pub host: String,
    /// By whom.
    pub user: String,
    /// With which program.
    pub program: String,
    /// Of what.
    pub source: SourceRecord,
    /// Labels, sorted.
    pub tags: Vec<String>,
    /// Whether it is kept whatever a policy says.
    pub pinned: bool,
    /// A remark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The snapshot that it was compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<SnapshotId>,
    /// Entries in it.
    pub entries: u64,
    /// Sizes of its files, holes included.
    pub bytes: u64,
    /// Entries that could not be read, or are torn.
    pub problems: u64,
    /// Further numbers of the capture.
    pub statistics: SnapshotStatistics,
    /// What is known of its integrity.
    pub integrity: Integrity,
}

/// What checks have found out about a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Integrity {
    /// No check has looked at all of it yet.
    Unverified,
    /// Every check so far found it sound; the deepest that looked at all of it is named.
    Verified {
        /// The level's name.
        level: String,
        /// When that check began, RFC 3339.
        at: String,
    },
    /// A check found damage that costs something in it, or what it needs is not in the index.
    Damaged,
}

impl Repository {
    /// Lists all snapshots with their annotations, numbers and integrity.
    ///
    /// Costs the index, a listing of the packs, and a request for each snapshot, mark and record of a check. Only where something is
    /// known to be wrong (damage that checks found and that still holds; packs that are missing, or that the index does not name) does
    /// it read the snapshots' trees, each node once, to see whom it hits.
    ///
    /// # Errors
    /// [`QueryError::Repository`] when the storage fails.
    pub async fn catalog(&self) -> Result<Catalog, QueryError> {
        let list = self.list_snapshots().await?;
        let history = self.check_history().await?;
        let now = self.clock().now();
        let verified = verified_levels(&history, now);
        let packs = self.store().list(&layout::packs()).await?;
        let packs: HashMap<PackId, u64> =
            packs.into_iter().filter_map(|meta| Some((layout::pack_of(&meta.key)?, meta.size_bytes))).collect();
        let roots: Vec<_> = list.snapshots.iter().map(|snapshot| (snapshot.id, snapshot.record.tree)).collect();
        let damaged = self
            .ask(move |asked| match is_suspicious(asked, &history, &packs) {
                true => damaged_snapshots(asked, &roots),
                false => Ok(BTreeSet::new()),
            })
            .await?;
        let entry = |snapshot: Snapshot| {
            let integrity =
                if damaged.contains(&snapshot.id) { Integrity::Damaged } else { integrity(&snapshot, &verified) };
            entry(snapshot, integrity)
        };
        Ok(Catalog {
            version: CATALOG_VERSION,
            repository: self.config().id,
            generated: format_time(now),
            snapshots: list.snapshots.into_iter().map(entry).collect(),
            unreadable: list.damaged.into_iter().map(|(id, _)| id).collect(),
        })
    }
}

fn entry(snapshot: Snapshot, integrity: Integrity) -> CatalogEntry {
    let Snapshot { id, record, received, tags, pinned, note } = snapshot;
    CatalogEntry {
        id,
        time: record.time,
        received: format_time(received),
        host: record.host,
        user: record.user,
        program: record.program,
        source: record.source,
        tags,
        pinned,
        note,
        parent: record.parent,
        entries: record.tree.entries,
        bytes: record.tree.bytes,
        problems: record.problems,
        statistics: record.statistics,
        integrity,
    }
}

/// Levels, the deepest first, at which everything that was there at a time has been verified, with the latest such time.
fn verified_levels(history: &History, now: Timestamp) -> Vec<(CheckLevel, Timestamp)> {
    [CheckLevel::Data, CheckLevel::Objects, CheckLevel::Structure]
        .into_iter()
        .filter_map(|level| Some((level, history.everything_verified(level, now)?)))
        .collect()
}

/// The deepest level at which checks have looked at a snapshot that was there when they began.
fn integrity(snapshot: &Snapshot, verified: &[(CheckLevel, Timestamp)]) -> Integrity {
    let took = std::time::Duration::from_millis(snapshot.record.statistics.duration_ms);
    let there_since = snapshot.received.max(snapshot.time().saturating_add(took));
    match verified.iter().find(|(_, at)| *at >= there_since) {
        Some((level, at)) => Integrity::Verified { level: level.name().to_owned(), at: format_time(*at) },
        None => Integrity::Unverified,
    }
}

/// Marks what can't be relied on; whether that, or anything else, makes it likely that a snapshot lacks something.
fn is_suspicious(asked: &Asked, history: &History, packs: &HashMap<PackId, u64>) -> bool {
    let index = asked.reader.index();
    for damage in history.known_damage() {
        index.mark_damaged(&damage.pack, damage.offset_bytes);
    }
    for pack in index.packs() {
        if packs.get(&pack.id) != Some(&pack.size_bytes) {
            index.mark_damaged(&pack.id, None);
        }
    }
    // A pack that the index does not name is mostly left over from an interrupted run. But it may be that the index lost it.
    let is_unnamed = |pack| index.number_of(pack).is_none();
    asked.index_is_damaged || !index.damage().is_empty() || packs.keys().any(is_unnamed)
}

/// The snapshots that need a blob of which no sound copy is known.
fn damaged_snapshots(asked: &Asked, roots: &[(SnapshotId, TreeRoot)]) -> Result<BTreeSet<SnapshotId>, QueryError> {
    let mut sound = DullNodes::default();
    let mut damaged = BTreeSet::new();
    for (id, root) in roots {
        if !is_sound(asked, root, &mut sound)? {
            damaged.insert(*id);
        }
    }
    Ok(damaged)
}

fn is_sound(asked: &Asked, root: &TreeRoot, sound: &mut DullNodes) -> Result<bool, QueryError> {
    let index = asked.reader.index();
    let mut walk = TreeWalk::new(Arc::clone(&asked.reader), root);
    let is_whole = loop {
        asked.check_cancelled()?;
        let is_there = match walk.head() {
            None => break true,
            Some(Head::Entry(item)) => {
                let is_there = has_content(asked, item)?;
                walk.next();
                is_there
            }
            Some(Head::Node { level, id, .. }) if sound.arrive(level, &id) => {
                let is_there = index.contains(&id) && is_readable(walk.open_node())?;
                sound.open(level, id);
                is_there
            }
            Some(Head::Node { .. }) => {
                walk.skip_node();
                true
            }
        };
        if !is_there {
            break false;
        }
    };
    if is_whole {
        sound.finish();
    } else {
        sound.abandon();
    }
    Ok(is_whole)
}

fn has_content(asked: &Asked, item: &TreeEntry) -> Result<bool, QueryError> {
    match chunks_of(&asked.reader, item.entry.size_bytes, &item.content) {
        Ok(chunks) => Ok(chunks.iter().all(|chunk| asked.reader.index().contains(&chunk.id))),
        Err(error) if error.is_damage() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn is_readable(opened: Result<(), TreeDamage>) -> Result<bool, QueryError> {
    match opened {
        Ok(()) => Ok(true),
        Err(damage) if damage.source.is_damage() => Ok(false),
        Err(damage) => Err(damage.source.into()),
    }
}
