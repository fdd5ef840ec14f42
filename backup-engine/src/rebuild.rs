//! Bringing the index back from the packs, which describe themselves.
//!
//! Nothing here deletes: new index objects are added, and say which older ones they replace once it is certain that they
//! name everything that those name and that is still stored. The index is gone through object by object, and one that is
//! right stays: memory is bounded however many there are, and an interruption leaves an index that is right as far as it got.

mod orphans;
mod run;
mod write;

use std::sync::Arc;
use std::time::Duration;

use backup_core::{CancelToken, Monitor, ObjectMeta};
use futures::TryStreamExt;

use crate::error::RepositoryError;
use crate::format::index::IndexedPack;
use crate::id::PackId;
use crate::layout;
use crate::repository::Repository;

pub use orphans::Adopted;

/// Packs whose footers are read at once: enough to hide latency, few enough to hold in memory.
const FETCHES: usize = 8;

/// An object under `packs/` that is larger is no pack, and not read into memory to find out.
const MAX_PACK_BYTES: u64 = 1 << 30;

/// How the index is to be rebuilt.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RebuildOptions {
    /// Whether only a report is made.
    pub dry_run: bool,
}

/// A pack that could not be indexed, or only in part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackProblem {
    /// Which.
    pub pack: PackId,
    /// What is wrong with it.
    pub what: String,
    /// How many of its blocks are named all the same.
    pub blocks: usize,
}

/// What a rebuild did, or with `dry_run` would have done.
#[derive(Debug, Clone, Default)]
pub struct RebuildReport {
    /// Packs that the index names now.
    pub packs: u64,
    /// Blobs that it names, copies counted.
    pub blobs: u64,
    /// Packs that are stored and were not in the index.
    pub packs_added: u64,
    /// Packs that were in the index and are not stored any more.
    pub packs_dropped: u64,
    /// Packs that are damaged, in order of their ids.
    pub problems: Vec<PackProblem>,
    /// Index objects that the new ones replace.
    pub replaced: u64,
    /// Index objects written; none where the index was right already.
    pub written: u64,
    /// Whether something that the old index names could not be confirmed, so that it stays in force beside the new one.
    pub kept_old: bool,
    /// How long it took.
    pub duration: Duration,
}

/// Why the index was not rebuilt to the end; what was not replaced of the old one is still in force.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RebuildError {
    /// A collector has packs on their way out, which a rebuilt index would name again.
    #[error("a prune is under way (`{0}`): finish it first, or the index would name packs that it is about to delete")]
    Collecting(String),
    /// The repository failed.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// The caller stopped it.
    #[error("interrupted")]
    Cancelled,
}

impl Repository {
    /// Makes the index what the packs say.
    ///
    /// Reads the end of every pack, and the whole of those whose footer is damaged and that no index object names. Index objects that are
    /// right already stay, the others are replaced. Runs of other writers may go on meanwhile: their index objects are not replaced.
    /// Dropping the future cancels.
    ///
    /// # Errors
    /// [`RebuildError`]. Damaged packs don't fail: they are in the report.
    pub async fn rebuild_index(
        &self,
        options: RebuildOptions,
        monitor: Arc<dyn Monitor>,
        cancel: CancelToken,
    ) -> Result<RebuildReport, RebuildError> {
        let on_drop = crate::background::CancelOnDrop::new(&cancel);
        let repository = self.clone();
        let handle = tokio::runtime::Handle::current();
        let run =
            tokio::task::spawn_blocking(move || handle.block_on(run::run(&repository, &options, &*monitor, &cancel)));
        let result = run.await.map_err(|_| RepositoryError::WorkerDied)?;
        on_drop.disarm();
        result
    }

    /// Something that a collector has stored, if there is anything.
    async fn collector_object(&self) -> Result<Option<ObjectMeta>, RepositoryError> {
        Ok(self.store().backend().list(&layout::collector()).try_next().await?)
    }
}

fn blob_count(pack: &IndexedPack) -> usize {
    pack.table.blocks.iter().map(|block| block.blobs.len()).sum()
}
