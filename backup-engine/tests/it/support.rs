//! A synthetic source, a target in memory, and a repository in memory.

pub(crate) mod fixture;
pub(crate) mod gate;
pub(crate) mod oracle;
pub(crate) mod source;
pub(crate) mod target;
pub(crate) mod veil;
pub(crate) mod watch;

use std::sync::Arc;
use std::time::Duration;

use backup_core::{CancelToken, ManualClock, MemoryBackend, Silent, StorageBackend, Timestamp};
use backup_engine::chunker::ChunkerParameters;
use backup_engine::create::{CreateOptions, CreateReport};
use backup_engine::repository::{InitError, InitOptions, NewKey, OpenError, Repository, Unlock};

use source::{MemorySource, Tree};

/// The size at which the tests' files are cut, exactly: the smallest that the format allows.
pub(crate) const CHUNK_BYTES: u32 = 64 * 1024;

/// The secret that opens the tests' repositories.
const SECRET: [u8; 32] = [7; 32];

/// A clock that stands still; every repository of a test shares it.
pub(crate) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp::from_secs(1_795_250_657)))
}

/// A new repository in memory, cutting files every [`CHUNK_BYTES`].
pub(crate) async fn init(store: &MemoryBackend, clock: &Arc<ManualClock>) -> Repository {
    try_init(Arc::new(store.clone()), clock).await.unwrap()
}

/// The same over any store.
pub(crate) async fn try_init(
    store: Arc<dyn StorageBackend>,
    clock: &Arc<ManualClock>,
) -> Result<Repository, InitError> {
    let chunker =
        ChunkerParameters { min: CHUNK_BYTES, avg: CHUNK_BYTES, max: CHUNK_BYTES, ..ChunkerParameters::default() };
    let mut options = InitOptions::default();
    options.chunker = chunker;
    let key = NewKey::KeyFile(SECRET.to_vec().into());
    Repository::init(store, &key, &options, clock.clone()).await
}

/// Opens what [`init`] made.
pub(crate) async fn open(store: &MemoryBackend, clock: &Arc<ManualClock>) -> Result<Repository, OpenError> {
    open_over(Arc::new(store.clone()), clock).await
}

/// The same over any store.
pub(crate) async fn open_over(
    store: Arc<dyn StorageBackend>,
    clock: &Arc<ManualClock>,
) -> Result<Repository, OpenError> {
    Repository::open(store, &Unlock::Key(SECRET.to_vec().into()), clock.clone()).await
}

/// Options with small packs, so that a small source makes several.
pub(crate) fn create_options() -> CreateOptions {
    let mut options = CreateOptions::default();
    options.host = "host".to_owned();
    options.pack_bytes = Some(200 * 1024);
    options.workers = 2;
    options
}

/// Captures a tree; a second passes afterwards.
pub(crate) async fn create(repository: &Repository, clock: &Arc<ManualClock>, tree: &Tree) -> CreateReport {
    let source = Arc::new(MemorySource::new("test", tree.clone()));
    let report = repository.create(source, create_options(), Arc::new(Silent), CancelToken::new()).await.unwrap();
    assert_eq!(report.problem_count, 0, "{:?}", report.problems);
    clock.advance(Duration::from_secs(1));
    report
}

/// Bytes that are the same for the same seed and compress to nothing less.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}
