//! Verifying a repository.
//!
//! Every level reads all records and walks every tree, each node once however many snapshots share it. The deeper levels read
//! packs, all of them or a part: one pass over the bytes of each pack serves the hash of the object and the verification of its blocks.
//! Whatever is wrong is a finding that names the object and the snapshots and paths that it hurts.

mod data;
mod findings;
mod inventory;
mod queue;
mod records;
mod run;
mod trees;
mod victims;
mod worker;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use backup_core::{CancelToken, EntryPath, Monitor};

use crate::error::RepositoryError;
use crate::id::SnapshotId;
use crate::repository::Repository;
pub use crate::verification::{CheckLevel, InvalidStripe, Stripe};

/// Which part of the packs the deeper levels read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// This one.
    Stripe(Stripe),
    /// The one of `of` that has gone unverified for longest, by the records of earlier checks.
    Next {
        /// How many parts there are.
        of: u32,
    },
}

impl FromStr for Part {
    type Err = InvalidStripe;

    /// `3/30`, or `next/30`.
    fn from_str(text: &str) -> Result<Self, InvalidStripe> {
        match text.strip_prefix("next/") {
            Some(of) => {
                let of = of.parse().map_err(|_| InvalidStripe)?;
                Stripe::new(1, of).map(|_| Self::Next { of })
            }
            None => text.parse().map(Self::Stripe),
        }
    }
}

/// How a repository is to be checked.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CheckOptions {
    /// How deep.
    pub level: CheckLevel,
    /// Which part of the packs is read; `None` is all. Structure is always checked whole.
    pub part: Option<Part>,
    /// Threads that hash and decode.
    pub workers: usize,
    /// Whether the result is recorded, so that the next `create` stores again what is lost and the next check knows what was read.
    pub record: bool,
}

impl Default for CheckOptions {
    /// Structure of everything, as many workers as processors, recorded.
    fn default() -> Self {
        Self {
            level: CheckLevel::default(),
            part: None,
            workers: std::thread::available_parallelism().map_or(2, usize::from),
            record: true,
        }
    }
}

impl CheckOptions {
    /// A level, of everything.
    pub fn level(level: CheckLevel) -> Self {
        Self { level, ..Self::default() }
    }
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Something that snapshots hold can't be restored as the repository is now.
    Loss,
    /// An object is damaged; everything can be restored all the same.
    Damage,
    /// Nothing is wrong, or no longer; a person may want to know. Damage that an earlier check told of is only that once no snapshot needs
    /// what was there.
    Notice,
}

/// What a snapshot has lost.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LostPart {
    /// All of it: the snapshot itself can't be read.
    Snapshot,
    /// All entries of a stretch in canonical order: the node that lists them can't be read.
    Range {
        /// The first of them; `None` for the beginning.
        from: Option<EntryPath>,
        /// The first entry after them; `None` for the end.
        until: Option<EntryPath>,
        /// How many there are.
        entries: u64,
    },
    /// One entry's content, or a part of it.
    Entry(EntryPath),
}

impl fmt::Display for LostPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Snapshot => f.write_str("the whole snapshot"),
            Self::Range { from: None, until: None, .. } => f.write_str("all entries"),
            Self::Range { from, until, entries } => {
                write!(f, "{entries} entries")?;
                from.iter().try_for_each(|from| write!(f, " from `{from}` on"))?;
                until.iter().try_for_each(|until| write!(f, " before `{until}`"))
            }
            Self::Entry(path) => write!(f, "{path}"),
        }
    }
}

/// A part of a snapshot that a finding hurts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Victim {
    /// Which snapshot.
    pub snapshot: SnapshotId,
    /// What of it.
    pub part: LostPart,
}

/// How many victims a finding lists; the count goes on.
pub const MAX_LISTED_VICTIMS: usize = 1000;

/// How many findings a report lists; the counts go on.
pub const MAX_LISTED_FINDINGS: usize = 10_000;

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The object: its key, for a block of a pack followed by `#` and the offset of the block, or a folder where objects are missing.
    pub object: String,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in words.
    pub what: String,
    /// What it hurts, oldest snapshot first; at most [`MAX_LISTED_VICTIMS`]. What has another sound copy is not hurt.
    pub victims: Vec<Victim>,
    /// How many victims there are.
    pub victim_count: u64,
}

/// What a check found.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CheckReport {
    /// How deep it looked.
    pub level: CheckLevel,
    /// The part of the packs that was read, where it was not all.
    pub stripe: Option<Stripe>,
    /// Snapshots that can be read.
    pub snapshots: u64,
    /// Entries in tree nodes, each node counted once.
    pub entries: u64,
    /// Packs in the index.
    pub packs: u64,
    /// Blobs in the index, copies counted.
    pub blobs: u64,
    /// Packs whose bytes were read.
    pub packs_read: u64,
    /// Bytes of packs that were read.
    pub bytes_read: u64,
    /// What is not as it should be, the worst first, then in order of the objects; at most [`MAX_LISTED_FINDINGS`].
    pub findings: Vec<Finding>,
    /// How many findings are losses, damage and notices.
    pub counts: SeverityCounts,
    /// Why the result could not be recorded, if it could not.
    pub unrecorded: Option<String>,
    /// How long it took.
    pub duration: Duration,
}

/// How many findings there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SeverityCounts {
    /// Findings that mean loss.
    pub losses: u64,
    /// Findings that mean damage without loss.
    pub damage: u64,
    /// Findings that mean nothing bad.
    pub notices: u64,
}

impl CheckReport {
    /// Whether nothing is damaged.
    pub fn is_sound(&self) -> bool {
        self.counts.losses == 0 && self.counts.damage == 0
    }

    /// Whether everything that the snapshots hold can be restored, as far as the check looked.
    pub fn is_restorable(&self) -> bool {
        self.counts.losses == 0
    }
}

/// Why a check did not come to an end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// The repository can't be reached, or can't be read at all.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// The caller stopped it; nothing was recorded.
    #[error("interrupted")]
    Cancelled,
}

impl Repository {
    /// Verifies the repository, to the depth that the options say.
    ///
    /// Memory is bounded by the index and a few packs. Changes nothing but to store a record of the check, and to remove the records that it
    /// replaces. Dropping the future cancels.
    ///
    /// # Errors
    /// [`CheckError`] when it could not be carried out. Damage is no error: it is in the report.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use backup_core::{CancelToken, MemoryBackend, Silent, SystemClock};
    /// # use backup_engine::check::{CheckLevel, CheckOptions};
    /// # use backup_engine::repository::{InitOptions, NewKey, Repository};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let key = NewKey::KeyFile(vec![7; 32].into());
    /// # let store = Arc::new(MemoryBackend::new());
    /// let repository = Repository::init(store, &key, &InitOptions::default(), Arc::new(SystemClock::new())).await?;
    /// let options = CheckOptions::level(CheckLevel::Data);
    /// let report = repository.check(options, Arc::new(Silent), CancelToken::new()).await?;
    /// assert!(report.is_sound());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn check(
        &self,
        options: CheckOptions,
        monitor: Arc<dyn Monitor>,
        cancel: CancelToken,
    ) -> Result<CheckReport, CheckError> {
        let on_drop = crate::background::CancelOnDrop::new(&cancel);
        let repository = self.clone();
        let handle = tokio::runtime::Handle::current();
        let run = tokio::task::spawn_blocking(move || run::run(&repository, &handle, &options, &*monitor, &cancel));
        let result = run.await.map_err(|_| RepositoryError::WorkerDied)?;
        on_drop.disarm();
        result
    }
}
