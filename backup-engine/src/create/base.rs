//! What a run goes on from: what earlier runs stored, and the source as it is now.

use std::collections::BTreeMap;
use std::sync::Arc;

use backup_core::{CancelToken, Snapshotter, SourceContext, SourceView};
use tokio::runtime::Handle;

use super::checkpoint::{Interrupted, Session, find_interrupted, sweep_uploads};
use super::{CreateError, CreateOptions};
use crate::error::RepositoryError;
use crate::format::record::SourceRecord;
use crate::id::PackId;
use crate::index::BlobIndex;
use crate::layout;
use crate::pack::reader::BlobReader;
use crate::repository::Repository;
use crate::snapshots::Snapshot;

/// The parts of the repository that a run reads before it begins.
pub(super) struct Base {
    pub(super) reader: Arc<BlobReader>,
    pub(super) parent: Option<Snapshot>,
}

/// What a run goes on from.
pub(super) struct Prepared {
    pub(super) interrupted: Vec<Interrupted>,
    pub(super) base: Base,
    pub(super) view: Box<dyn SourceView>,
}

/// Reads what there is and opens the source; the session has been announced.
pub(super) fn prepare(
    repository: &Repository,
    handle: &Handle,
    source: &dyn Snapshotter,
    options: &CreateOptions,
    record: &SourceRecord,
    session: &mut Session<'_>,
    cancel: &CancelToken,
) -> Result<Prepared, CreateError> {
    let interrupted = find_interrupted(repository, handle, session)?;
    sweep_uploads(repository, handle, &interrupted);
    let base = read_base(repository, session, options, record, !interrupted.is_empty())?;
    let clock = &**repository.clock();
    let view = source.begin(&SourceContext { clock, cancel, left_out: &options.left_out })?;
    Ok(Prepared { interrupted, base, view })
}

fn read_base(
    repository: &Repository,
    session: &mut Session<'_>,
    options: &CreateOptions,
    source: &SourceRecord,
    is_resumed: bool,
) -> Result<Base, RepositoryError> {
    let mut loaded = session.alive_while(repository.load_index())?;
    // Packs that an interrupted run stored last, or that only a damaged index object named, need not be stored again.
    if (is_resumed || !loaded.damaged.is_empty() || loaded.objects == 0)
        && session.alive_while(repository.adopt_orphans(&loaded))?.packs > 0
    {
        loaded = session.alive_while(repository.load_index())?;
    }
    let index = loaded.index;
    mark_known_damage(repository, session, &index)?;
    let reader = Arc::new(BlobReader::new(session.handle().clone(), repository.store().clone(), Arc::new(index)));
    let snapshots = session.alive_while(repository.list_snapshots())?.snapshots;
    let parent = snapshots
        .into_iter()
        .filter(|snapshot| snapshot.record.host == options.host && snapshot.record.source == *source)
        .max_by_key(Snapshot::time);
    Ok(Base { reader, parent })
}

/// Treats what is known to be lost as absent, so that this run stores it again.
///
/// Packs are listed where that is cheap; damage inside packs is known from the records of earlier checks.
fn mark_known_damage(
    repository: &Repository,
    session: &mut Session<'_>,
    index: &BlobIndex,
) -> Result<(), RepositoryError> {
    /// Above this many packs, a listing takes long enough to leave it to `check`.
    const MAX_LISTED_PACKS: usize = 20_000;
    for damaged in session.alive_while(repository.known_damage())? {
        let (key, offset) =
            damaged.split_once('#').map_or((damaged.as_str(), None), |(key, offset)| (key, offset.parse().ok()));
        if let Some(pack) = backup_core::ObjectKey::new(key).ok().as_ref().and_then(layout::pack_of) {
            index.mark_damaged(&pack, offset);
        }
    }
    let is_cheap = !repository.store().backend().info().capabilities.requests_are_dear;
    if is_cheap && index.packs().len() <= MAX_LISTED_PACKS {
        let listed = session.alive_while(repository.store().list(&layout::packs()))?;
        let sizes: BTreeMap<PackId, u64> =
            listed.into_iter().filter_map(|meta| Some((layout::pack_of(&meta.key)?, meta.size_bytes))).collect();
        let lost: Vec<PackId> = index
            .packs()
            .iter()
            .filter(|pack| sizes.get(&pack.id) != Some(&pack.size_bytes))
            .map(|pack| pack.id)
            .collect();
        lost.iter().for_each(|pack| index.mark_damaged(pack, None));
    }
    Ok(())
}
