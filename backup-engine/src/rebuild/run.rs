//! One rebuild from beginning to end.

use std::collections::{BTreeMap, HashMap};

use backup_core::{ByteRange, CancelToken, Event, Monitor, Phase, StorageErrorKind, Work};
use futures::StreamExt;

use super::{FETCHES, MAX_PACK_BYTES, PackProblem, RebuildError, RebuildOptions, RebuildReport, blob_count};
use crate::error::RepositoryError;
use crate::format::index::IndexedPack;
use crate::id::PackId;
use crate::layout;
use crate::pack::table::{LOST_BLOCK, fetch_table, open_pack, salvage};
use crate::repository::{Repository, Segments};

/// What became of one pack.
struct Indexed {
    id: PackId,
    /// `None` when nothing of it can be read, or when it is gone.
    pack: Option<IndexedPack>,
    problem: Option<PackProblem>,
}

pub(super) async fn run(
    repository: &Repository,
    options: &RebuildOptions,
    monitor: &dyn Monitor,
    cancel: &CancelToken,
) -> Result<RebuildReport, RebuildError> {
    let began = repository.clock().monotonic();
    if let Some(meta) = repository.collector_object().await? {
        return Err(RebuildError::Collecting(meta.key.to_string()));
    }
    // The old index first: a pack indexed after this is in an object that is not replaced.
    let old = repository.load_segments().await?;
    let listed = repository.store().list(&layout::packs()).await?;
    let listed: Vec<_> =
        listed.into_iter().filter_map(|meta| Some((layout::pack_of(&meta.key)?, meta.size_bytes))).collect();
    let total = Work { items: listed.len() as u64, bytes: 0 };
    monitor.event(&Event::PhaseStarted { phase: Phase::RebuildIndex, total: Some(total) });

    let known = by_pack(&old);
    let mut report = RebuildReport::default();
    let mut packs = Vec::with_capacity(listed.len());
    let mut covers_old = true;
    let mut is_same = old.damaged.is_empty();
    let fetches = futures::stream::iter(listed.iter().map(|&(id, size)| index_pack(repository, id, size, &known)));
    let mut fetches = std::pin::pin!(fetches.buffered(FETCHES));
    let mut done = Work::default();
    while let Some(indexed) = fetches.next().await {
        if cancel.is_cancelled() {
            return Err(RebuildError::Cancelled);
        }
        let Indexed { id, pack, problem } = indexed?;
        done.items += 1;
        monitor.event(&Event::Progress { phase: Phase::RebuildIndex, done, total: Some(total) });
        if let Some(problem) = problem {
            monitor.event(&Event::Problem { message: &format!("`{}`: {}", layout::pack(&id), problem.what) });
            report.problems.push(problem);
        }
        let before = known.get(&id);
        let Some(pack) = pack else { continue };
        is_same &= before.is_some_and(|tables| tables.iter().all(|table| **table == pack));
        covers_old &= before.is_none_or(|tables| tables.iter().all(|table| covers(&pack, table)));
        report.packs_added += u64::from(before.is_none());
        report.packs += 1;
        report.blobs += blob_count(&pack) as u64;
        packs.push(pack);
    }
    let now: BTreeMap<&PackId, u64> = listed.iter().map(|(id, size)| (id, *size)).collect();
    report.packs_dropped = known.keys().filter(|id| !now.contains_key(id)).count() as u64;
    is_same &= report.packs_dropped == 0;
    report.kept_old = !covers_old;
    if !is_same {
        let replaced = if covers_old { replaceable(&old) } else { Vec::new() };
        report.replaced = replaced.len() as u64;
        if !options.dry_run {
            report.written = repository.put_segments(packs, replaced).await?;
        }
    }
    report.duration = repository.clock().monotonic().saturating_sub(began);
    Ok(report)
}

/// All old index objects in force. Damaged ones too: whatever they named and is still stored has been found in the packs.
fn replaceable(old: &Segments) -> Vec<crate::id::ObjectId> {
    let sound = old.sound.iter().map(|(id, _)| *id).filter(|id| !old.superseded.contains(id));
    let mut replaced: Vec<_> = sound.chain(old.damaged.iter().map(|(id, _)| *id)).collect();
    replaced.sort();
    replaced
}

/// What the old index says about each pack, more than once where it does so.
fn by_pack(old: &Segments) -> HashMap<PackId, Vec<&IndexedPack>> {
    let mut packs: HashMap<PackId, Vec<&IndexedPack>> = HashMap::new();
    for pack in old.live().flat_map(|segment| &segment.packs) {
        packs.entry(pack.id).or_default().push(pack);
    }
    packs
}

/// Whether a pack's new table names everything that an older one does, at the same place.
fn covers(new: &IndexedPack, old: &IndexedPack) -> bool {
    let blocks: HashMap<u32, _> = new.table.blocks.iter().map(|block| (block.offset_bytes, block)).collect();
    old.table.blocks.iter().all(|block| {
        block.blobs == [LOST_BLOCK] || blocks.get(&block.offset_bytes).is_some_and(|new| new.blobs == block.blobs)
    })
}

/// Finds out what is in a pack: from its footer, else from what the old index says about it, else from its blocks.
async fn index_pack(
    repository: &Repository,
    id: PackId,
    size_bytes: u64,
    known: &HashMap<PackId, Vec<&IndexedPack>>,
) -> Result<Indexed, RepositoryError> {
    let error = match fetch_table(repository.store(), &id, size_bytes).await {
        Ok(pack) => return Ok(Indexed { id, pack: Some(pack), problem: None }),
        Err(RepositoryError::Storage(error)) if error.kind() == StorageErrorKind::NotFound => {
            return Ok(Indexed { id, pack: None, problem: None });
        }
        Err(error) if error.is_damage() => error,
        Err(error) => return Err(error),
    };
    let what = |error: &RepositoryError| match error {
        RepositoryError::Damaged { source, .. } => source.to_string(),
        error => error.to_string(),
    };
    let problem = |what, blocks| Some(PackProblem { pack: id, what, blocks });
    if let Some(&table) = known.get(&id).and_then(|tables| tables.first()) {
        let blocks = table.table.blocks.len();
        let what = format!("{}; what the index says about it is kept", what(&error));
        return Ok(Indexed { id, pack: Some(table.clone()), problem: problem(what, blocks) });
    }
    match salvage_pack(repository, id, size_bytes).await {
        Ok((pack, blocks)) if blocks > 0 => {
            let what = format!("{}; its blocks were searched", what(&error));
            Ok(Indexed { id, pack: Some(pack), problem: problem(what, blocks) })
        }
        Ok(_) => {
            Ok(Indexed { id, pack: None, problem: problem(format!("{}; it has no readable block", what(&error)), 0) })
        }
        Err(error) if error.is_damage() => Ok(Indexed { id, pack: None, problem: problem(what(&error), 0) }),
        Err(error) => Err(error),
    }
}

async fn salvage_pack(
    repository: &Repository,
    id: PackId,
    size_bytes: u64,
) -> Result<(IndexedPack, usize), RepositoryError> {
    use crate::format::malformed;
    let key = layout::pack(&id);
    let damaged = |source| RepositoryError::Damaged { key: key.clone(), source };
    if size_bytes > MAX_PACK_BYTES {
        return Err(damaged(malformed("pack", "larger than any pack")));
    }
    let store = repository.store();
    let pack = store.backend().get(&key, ByteRange::Full).await?;
    let (kind, envelope) = open_pack(store.keyring(), &pack).map_err(damaged)?;
    let salvaged = salvage(&envelope, store.keyring().hasher(), kind, &pack);
    Ok((IndexedPack { id, kind, size_bytes, table: salvaged.table }, salvaged.blocks))
}
