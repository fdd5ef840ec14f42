//! Reads packs and verifies their bytes: one pass over each serves the object's hash and its blocks.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backup_core::{ByteRange, CancelToken, Event, Monitor, Phase, Work as Amount};
use futures::StreamExt;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::CheckError;
use super::inventory::words;
use super::queue::{FetchedPack, Queue};
use super::worker::Worker;
use crate::error::RepositoryError;
use crate::format::pack::PackTable;
use crate::id::{BlobPrefix, PackId};
use crate::index::{BlobIndex, BlobLocation, Damage};
use crate::layout;
use crate::store::ObjectStore;

/// Memory for packs that were fetched and are not done: two of the usual size and a small one, or one of the largest. With three, a
/// check passed 128 MiB where nothing compresses.
const ROOM_BYTES: u64 = 40 << 20;

/// Room is given out in pieces of this size.
const ROOM_UNIT_BYTES: u64 = 64 << 10;

/// Packs that are being fetched at once: small ones would else wait for each other's latency.
const FETCHES: usize = 8;

/// Progress is reported at most so often.
const PROGRESS_EVERY: Duration = Duration::from_millis(50);

/// A pack to be read.
#[derive(Debug, Clone)]
pub(super) struct PackTask {
    pub(super) id: PackId,
    /// Its number in the index; `None` for packs that the index doesn't name.
    pub(super) number: Option<u32>,
    /// Its size as it is listed.
    pub(super) stored_bytes: u64,
    /// Whether the blocks are looked at though the hash is right.
    pub(super) blocks: bool,
}

impl PackTask {
    /// A read that never takes more memory than the index says the pack has.
    fn range(&self, index: &BlobIndex) -> (ByteRange, u64) {
        match self.number.map(|number| index.pack(number).size_bytes) {
            Some(expected) if expected < self.stored_bytes => {
                (ByteRange::Span { offset_bytes: 0, len_bytes: expected }, expected)
            }
            _ => (ByteRange::Full, self.stored_bytes),
        }
    }
}

/// Where the blocks of a pack are and what they hold.
#[derive(Debug, Clone)]
pub(super) enum Table {
    /// By the pack itself.
    Footer(PackTable),
    /// By the index, which keeps less.
    Index(Vec<IndexedBlock>),
}

/// A block as the index names it.
#[derive(Debug, Clone)]
pub(super) struct IndexedBlock {
    pub(super) offset_bytes: u32,
    pub(super) sealed_bytes: u32,
    pub(super) blobs: Vec<BlobPrefix>,
}

impl Table {
    /// Place and sealed length of each block.
    pub(super) fn places(&self) -> Vec<(u32, u32)> {
        match self {
            Self::Footer(table) => table.blocks.iter().map(|block| (block.offset_bytes, block.sealed_bytes)).collect(),
            Self::Index(blocks) => blocks.iter().map(|block| (block.offset_bytes, block.sealed_bytes)).collect(),
        }
    }

    /// Where a block is.
    pub(super) fn offset_bytes(&self, nth: usize) -> u32 {
        match self {
            Self::Footer(table) => table.blocks[nth].offset_bytes,
            Self::Index(blocks) => blocks[nth].offset_bytes,
        }
    }
}

/// What reading packs brought to light.
#[derive(Debug, Default)]
pub(super) struct Verified {
    pub(super) packs: u64,
    pub(super) bytes: u64,
    /// Blocks, and packs as a whole, that can't be relied on.
    pub(super) damage: Vec<(Damage, String)>,
    /// What is wrong with a pack's hash or footer; one note for each pack at most.
    pub(super) notes: Vec<(u32, String)>,
    /// Packs that the index doesn't name and whose hash is wrong.
    pub(super) unindexed: Vec<PackId>,
    /// Packs whose footer can't be used: their blocks have not been looked at.
    pub(super) without_footer: Vec<u32>,
}

/// What is needed to read packs.
pub(super) struct DataCheck<'a> {
    pub(super) handle: &'a Handle,
    pub(super) store: &'a ObjectStore,
    pub(super) index: &'a BlobIndex,
    /// For each pack of the index, the SHA-256 of its table there.
    pub(super) table_digests: &'a [[u8; 32]],
    pub(super) workers: usize,
    pub(super) monitor: &'a dyn Monitor,
    pub(super) cancel: &'a CancelToken,
    pub(super) clock: &'a dyn backup_core::Clock,
}

/// What the threads of one pass share.
pub(super) struct Shared<'a> {
    pub(super) check: &'a DataCheck<'a>,
    /// Tables of packs whose footer can't be used.
    pub(super) tables: BTreeMap<u32, Vec<IndexedBlock>>,
    pub(super) queue: Queue,
    verified: Mutex<Verified>,
    pub(super) bytes: AtomicU64,
}

impl DataCheck<'_> {
    /// Reads and verifies packs.
    pub(super) fn run(&self, tasks: &[PackTask]) -> Result<Verified, CheckError> {
        let mut verified = self.pass(tasks, BTreeMap::new())?;
        if !verified.without_footer.is_empty() {
            let tables = self.tables_from_index(&verified.without_footer);
            let again: Vec<_> = tasks
                .iter()
                .filter(|task| task.number.is_some_and(|number| tables.contains_key(&number)))
                .map(|task| PackTask { blocks: true, ..task.clone() })
                .collect();
            verified.damage.extend(self.pass(&again, tables)?.damage);
        }
        Ok(verified)
    }

    /// What the index says about the blocks of some packs; goes over the whole index once.
    fn tables_from_index(&self, packs: &[u32]) -> BTreeMap<u32, Vec<IndexedBlock>> {
        let mut tables: BTreeMap<u32, Vec<IndexedBlock>> = packs.iter().map(|&pack| (pack, Vec::new())).collect();
        let wanted = |pack: &u32| packs.binary_search(pack).is_ok();
        let mut blobs: Vec<_> = self.index.iter().filter(|(_, location)| wanted(&location.pack)).collect();
        blobs.sort_unstable_by_key(|(_, location)| (location.pack, location.offset_bytes, location.number));
        for (prefix, BlobLocation { pack, offset_bytes, sealed_bytes, .. }) in blobs {
            let blocks = tables.entry(pack).or_default();
            match blocks.last_mut() {
                Some(block) if block.offset_bytes == offset_bytes => block.blobs.push(prefix),
                _ => blocks.push(IndexedBlock { offset_bytes, sealed_bytes, blobs: vec![prefix] }),
            }
        }
        tables
    }

    fn pass(&self, tasks: &[PackTask], tables: BTreeMap<u32, Vec<IndexedBlock>>) -> Result<Verified, CheckError> {
        let shared = Shared {
            check: self,
            tables,
            queue: Queue::default(),
            verified: Mutex::default(),
            bytes: AtomicU64::new(0),
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.workers.max(1))
                .map(|_| {
                    let shared = &shared;
                    scope.spawn(move || {
                        let _stop = StopOnPanic(&shared.queue);
                        Worker::new(shared).work();
                    })
                })
                .collect();
            let fetched = self.handle.block_on(self.fetch(tasks, &shared));
            if fetched.is_err() {
                shared.queue.stop();
            }
            shared.queue.close();
            for thread in threads {
                thread.join().map_err(|_| RepositoryError::WorkerDied)?;
            }
            fetched
        })?;
        let mut verified = shared.verified.into_inner().unwrap_or_else(PoisonError::into_inner);
        verified.bytes = shared.bytes.into_inner();
        verified.without_footer.sort_unstable();
        verified.unindexed.sort_unstable();
        Ok(verified)
    }

    /// Fetches packs as long as there is room for them.
    async fn fetch(&self, tasks: &[PackTask], shared: &Shared<'_>) -> Result<(), CheckError> {
        let room = Arc::new(Semaphore::new(units(ROOM_BYTES)));
        let total =
            Amount { items: tasks.len() as u64, bytes: tasks.iter().map(|task| task.range(self.index).1).sum() };
        self.monitor.event(&Event::PhaseStarted { phase: Phase::CheckData, total: Some(total) });
        let fetches = futures::stream::iter(tasks).map(|task| {
            let room = Arc::clone(&room);
            async move {
                let (range, len_bytes) = task.range(self.index);
                let units = u32::try_from(units(len_bytes.min(ROOM_BYTES))).expect("room is counted in thousands");
                let room = room.acquire_many_owned(units).await;
                (task, room, self.store.backend().get(&layout::pack(&task.id), range).await)
            }
        });
        let mut fetches = std::pin::pin!(fetches.buffer_unordered(FETCHES));
        let mut reported = Duration::ZERO;
        let mut items = 0;
        while let Some((task, room, fetched)) = fetches.next().await {
            if self.cancel.is_cancelled() {
                return Err(CheckError::Cancelled);
            }
            if shared.queue.is_stopped() {
                return Err(RepositoryError::WorkerDied.into());
            }
            let room = room.map_err(|_| RepositoryError::WorkerDied)?;
            match fetched {
                Ok(bytes) => shared.queue.push_pack(FetchedPack { task: task.clone(), bytes, room }),
                Err(error) => {
                    let error = RepositoryError::from(error);
                    match task.number {
                        _ if !error.is_damage() => return Err(error.into()),
                        Some(pack) => shared.damage(pack, None, words(&error)),
                        // Gone since the listing, or garbage that can't be read: nothing refers to it.
                        None => {}
                    }
                }
            }
            items += 1;
            let now = self.clock.monotonic();
            if now.saturating_sub(reported) >= PROGRESS_EVERY {
                reported = now;
                self.progress(Amount { items, bytes: shared.bytes.load(Ordering::Relaxed) }, total);
            }
        }
        self.progress(total, total);
        Ok(())
    }

    fn progress(&self, done: Amount, total: Amount) {
        self.monitor.event(&Event::Progress { phase: Phase::CheckData, done, total: Some(total) });
    }
}

fn units(bytes: u64) -> usize {
    usize::try_from(bytes.div_ceil(ROOM_UNIT_BYTES)).expect("room is counted in thousands")
}

/// Keeps the others from waiting for a thread that died.
struct StopOnPanic<'a>(&'a Queue);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop();
        }
    }
}

impl Shared<'_> {
    /// What has come to light so far.
    pub(super) fn verified(&self) -> MutexGuard<'_, Verified> {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a block, or a whole pack, can't be relied on.
    pub(super) fn damage(&self, pack: u32, offset_bytes: Option<u32>, what: String) {
        self.verified().damage.push((Damage { pack, offset_bytes }, what));
    }
}
