//! Capturing a source into a snapshot.
//!
//! One thread lists the source in canonical order and compares it with the parent snapshot; workers read, hash,
//! deduplicate, compress, seal and verify; uploads run beside them; one thread puts the results back in order, builds
//! the tree, and keeps the run visible and alive while the others are busy. Everything between them is bounded, so that
//! memory does not grow with the source.

mod base;
mod build;
mod checkpoint;
mod counters;
mod parent;
mod queue;
mod run;
mod sink;
mod upkeep;
mod walk;
mod worker;

use std::sync::Arc;

use backup_core::{CancelToken, EntryError, Monitor, Snapshotter, SourceError};

use crate::compress::DEFAULT_LEVEL;
use crate::error::RepositoryError;
use crate::format::record::SnapshotRecord;
use crate::id::SnapshotId;
use crate::repository::Repository;

/// An index object of so many blobs has about 1 MiB; where files are large, they are tens of gigabytes.
const INDEX_EVERY_BLOBS: usize = 50_000;

/// How a snapshot is to be made.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CreateOptions {
    /// The host's name, as it is to stand in the snapshot.
    pub host: String,
    /// The user's name, as it is to stand in the snapshot.
    pub user: String,
    /// The program's name and version, as it is to stand in the snapshot.
    pub program: String,
    /// Labels.
    pub tags: Vec<String>,
    /// Whether every file is read, even where the parent has it unchanged.
    pub force_read: bool,
    /// zstd level, 1 to 19.
    pub compression_level: i32,
    /// Threads that read and compress.
    pub workers: usize,
    /// Bytes at which a pack is closed; `None` chooses by the store.
    pub pack_bytes: Option<usize>,
    /// Time between checkpoints from which an interrupted run is resumed.
    pub checkpoint_every: std::time::Duration,
    /// Blobs after which an index object is written while the run goes on: bounds what is held, and what a crash costs.
    pub index_every_blobs: usize,
    /// What the source leaves out because the backup itself writes there; see [`SourceContext`](backup_core::SourceContext).
    pub left_out: Vec<std::path::PathBuf>,
}

impl Default for CreateOptions {
    /// Level 3, as many workers as processors, a checkpoint every two minutes.
    fn default() -> Self {
        Self {
            host: String::new(),
            user: String::new(),
            program: concat!("backup ", env!("CARGO_PKG_VERSION")).to_owned(),
            tags: Vec::new(),
            force_read: false,
            compression_level: DEFAULT_LEVEL,
            workers: std::thread::available_parallelism().map_or(2, usize::from),
            pack_bytes: None,
            checkpoint_every: std::time::Duration::from_secs(120),
            index_every_blobs: INDEX_EVERY_BLOBS,
            left_out: Vec::new(),
        }
    }
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct CreateReport {
    /// The new snapshot.
    pub snapshot: SnapshotId,
    /// What it holds.
    pub record: SnapshotRecord,
    /// Entries that could not be read, or are torn; at most [`MAX_LISTED_PROBLEMS`] of them.
    pub problems: Vec<EntryError>,
    /// How many there were.
    pub problem_count: u64,
    /// The session whose work was taken over, if a run was resumed.
    pub resumed: Option<String>,
}

/// How many problems a report lists; the count goes on.
pub const MAX_LISTED_PROBLEMS: usize = 10_000;

/// Why no snapshot was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// The source could not be captured at all.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The repository failed.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// The caller stopped it; what was finished is kept, and the next run goes on from there.
    #[error("interrupted; {} was kept for the next run", if *checkpointed { "what was finished" } else { "nothing" })]
    Cancelled {
        /// Whether a checkpoint was written.
        checkpointed: bool,
    },
}

impl Repository {
    /// Captures a source into a new snapshot.
    ///
    /// Afterwards the snapshot and everything it refers to is durable in the store. Entries that could not be read are in the
    /// report and don't fail the run. Memory is bounded by the number of workers, not by the source. Dropping the future cancels.
    ///
    /// # Errors
    /// [`CreateError`]. After any of them the repository holds what it held before; objects that an interrupted run left are used
    /// by the next.
    pub async fn create(
        &self,
        source: Arc<dyn Snapshotter>,
        options: CreateOptions,
        monitor: Arc<dyn Monitor>,
        cancel: CancelToken,
    ) -> Result<CreateReport, CreateError> {
        let on_drop = crate::background::CancelOnDrop::new(&cancel);
        let repository = self.clone();
        let handle = tokio::runtime::Handle::current();
        let run =
            tokio::task::spawn_blocking(move || run::run(&repository, &handle, &*source, &options, &*monitor, &cancel));
        let result = run.await.map_err(|_| RepositoryError::WorkerDied)?;
        on_drop.disarm();
        result
    }
}
