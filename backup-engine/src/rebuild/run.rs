//! One rebuild from beginning to end.

use std::collections::{HashMap, HashSet};

use backup_core::{ByteRange, CancelToken, Event, Monitor, Phase, StorageErrorKind, Work};
use futures::StreamExt;

use super::write::SegmentWriter;
use super::{FETCHES, MAX_PACK_BYTES, PackProblem, RebuildError, RebuildOptions, RebuildReport, blob_count};
use crate::error::RepositoryError;
use crate::format::index::IndexedPack;
use crate::id::{ObjectId, PackId};
use crate::layout;
use crate::pack::table::{LOST_BLOCK, fetch_table, open_pack, salvage};
use crate::repository::Repository;

/// What became of one pack.
struct Indexed {
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
    let old = repository.objects_in_force().await?;
    let listed = repository.store().list(&layout::packs()).await?;
    let mut listed: Vec<_> =
        listed.into_iter().filter_map(|meta| Some((layout::pack_of(&meta.key)?, meta.size_bytes))).collect();
    listed.sort_unstable();
    let total = Work { items: listed.len() as u64, bytes: 0 };
    monitor.event(&Event::PhaseStarted { phase: Phase::RebuildIndex, total: Some(total) });

    let mut rebuild = Rebuild {
        repository,
        monitor,
        cancel,
        listed: &listed,
        seen: vec![false; listed.len()],
        gone: HashSet::new(),
        damaged: old.damaged,
        writer: SegmentWriter::new(repository, options.dry_run),
        done: Work::default(),
        report: RebuildReport::default(),
    };
    for id in old.sound {
        rebuild.compare(id).await?;
    }
    rebuild.name_the_others().await?;
    let mut report = rebuild.report;
    report.written = rebuild.writer.written;
    report.packs_dropped = rebuild.gone.len() as u64;
    report.problems.sort_by_key(|problem| problem.pack);
    report.duration = repository.clock().monotonic().saturating_sub(began);
    Ok(report)
}

/// A rebuild under way. It holds the tables of one old index object and of one new one, and of each pack no more than its id.
struct Rebuild<'a> {
    repository: &'a Repository,
    monitor: &'a dyn Monitor,
    cancel: &'a CancelToken,
    /// Packs that are stored, in order, with their sizes.
    listed: &'a [(PackId, u64)],
    /// Which of them an index object in force names, or were counted otherwise.
    seen: Vec<bool>,
    /// Packs that the old index names and that are not stored.
    gone: HashSet<PackId>,
    /// Index objects that can't be read.
    damaged: Vec<ObjectId>,
    writer: SegmentWriter<'a>,
    done: Work,
    report: RebuildReport,
}

impl Rebuild<'_> {
    /// Compares an old index object with the packs that it names, and writes anew what of it is wrong.
    async fn compare(&mut self, id: ObjectId) -> Result<(), RebuildError> {
        let old = match self.repository.get_segment(&id).await {
            Ok(old) => old,
            // It could be read a moment ago. Its packs are like those that no object names.
            Err(error) if error.is_damage() => {
                self.damaged.push(id);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let (repository, listed) = (self.repository, self.listed);
        let fetches = futures::stream::iter(old.packs.iter().map(|before| async move {
            let Ok(at) = listed.binary_search_by_key(&before.id, |(id, _)| *id) else { return Ok((before, None)) };
            let indexed = index_pack(repository, before.id, listed[at].1, Some(before)).await?;
            Ok::<_, RepositoryError>((before, Some((at, indexed))))
        }));
        let mut fetches = std::pin::pin!(fetches.buffered(FETCHES));
        let (mut right, mut corrected) = (Vec::new(), Vec::new());
        let (mut covers_old, mut has_gone) = (true, false);
        while let Some(fetched) = fetches.next().await {
            let (before, indexed) = fetched?;
            let Some((at, indexed)) = indexed else {
                has_gone = true;
                self.gone.insert(before.id);
                continue;
            };
            match self.count(at, indexed)? {
                Some(pack) if pack != *before => {
                    covers_old &= covers(&pack, before);
                    corrected.push(pack);
                }
                // Also what is listed and can't be found: that is no reason to forget it.
                Some(_) | None => right.push(before.clone()),
            }
        }
        if corrected.is_empty() && !has_gone {
            return Ok(());
        }
        self.report.kept_old |= !covers_old;
        // Where the old object stays in force, what is right of it needs no second name.
        let (mut packs, replaced) = if covers_old { (right, vec![id]) } else { (Vec::new(), Vec::new()) };
        packs.append(&mut corrected);
        packs.sort_by_key(|pack| pack.id);
        self.report.replaced += replaced.len() as u64;
        for pack in packs {
            self.writer.push(pack).await?;
        }
        Ok(self.writer.finish(replaced).await?)
    }

    /// Writes what no index object names that can be read.
    async fn name_the_others(&mut self) -> Result<(), RebuildError> {
        let (repository, listed) = (self.repository, self.listed);
        let others: Vec<usize> = (0..listed.len()).filter(|&at| !self.seen[at]).collect();
        let fetches = futures::stream::iter(others.into_iter().map(|at| async move {
            let (id, size_bytes) = listed[at];
            Ok::<_, RepositoryError>((at, index_pack(repository, id, size_bytes, None).await?))
        }));
        let mut fetches = std::pin::pin!(fetches.buffered(FETCHES));
        while let Some(fetched) = fetches.next().await {
            let (at, indexed) = fetched?;
            if let Some(pack) = self.count(at, indexed)? {
                self.report.packs_added += 1;
                self.writer.push(pack).await?;
            }
        }
        // Whatever the damaged ones named and is still stored has been found in the packs.
        let replaced = if self.report.kept_old { Vec::new() } else { std::mem::take(&mut self.damaged) };
        self.report.replaced += replaced.len() as u64;
        Ok(self.writer.finish(replaced).await?)
    }

    /// Counts a pack, once however many objects name it; gives what is in it, if anything is.
    fn count(&mut self, at: usize, indexed: Indexed) -> Result<Option<IndexedPack>, RebuildError> {
        if self.cancel.is_cancelled() {
            return Err(RebuildError::Cancelled);
        }
        let Indexed { pack, problem } = indexed;
        if std::mem::replace(&mut self.seen[at], true) {
            return Ok(pack);
        }
        self.done.items += 1;
        let total = Work { items: self.listed.len() as u64, bytes: 0 };
        self.monitor.event(&Event::Progress { phase: Phase::RebuildIndex, done: self.done, total: Some(total) });
        if let Some(problem) = problem {
            let message = format!("`{}`: {}", layout::pack(&problem.pack), problem.what);
            self.monitor.event(&Event::Problem { message: &message });
            self.report.problems.push(problem);
        }
        if let Some(pack) = &pack {
            self.report.packs += 1;
            self.report.blobs += blob_count(pack) as u64;
        }
        Ok(pack)
    }
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
    known: Option<&IndexedPack>,
) -> Result<Indexed, RepositoryError> {
    let error = match fetch_table(repository.store(), &id, size_bytes).await {
        Ok(pack) => return Ok(Indexed { pack: Some(pack), problem: None }),
        Err(RepositoryError::Storage(error)) if error.kind() == StorageErrorKind::NotFound => {
            return Ok(Indexed { pack: None, problem: None });
        }
        Err(error) if error.is_damage() => error,
        Err(error) => return Err(error),
    };
    let what = |error: &RepositoryError| match error {
        RepositoryError::Damaged { source, .. } => source.to_string(),
        error => error.to_string(),
    };
    let problem = |what, blocks| Some(PackProblem { pack: id, what, blocks });
    if let Some(table) = known {
        let blocks = table.table.blocks.len();
        let what = format!("{}; what the index says about it is kept", what(&error));
        return Ok(Indexed { pack: Some(table.clone()), problem: problem(what, blocks) });
    }
    match salvage_pack(repository, id, size_bytes).await {
        Ok((pack, blocks)) if blocks > 0 => {
            let what = format!("{}; its blocks were searched", what(&error));
            Ok(Indexed { pack: Some(pack), problem: problem(what, blocks) })
        }
        Ok(_) => Ok(Indexed { pack: None, problem: problem(format!("{}; it has no readable block", what(&error)), 0) }),
        Err(error) if error.is_damage() => Ok(Indexed { pack: None, problem: problem(what(&error), 0) }),
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
