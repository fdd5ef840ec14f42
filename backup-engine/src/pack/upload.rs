//! Stores finished packs in parallel and remembers what is confirmed.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backup_core::PutBody;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::RepositoryError;
use crate::format::ObjectKind;
use crate::format::index::{IndexSegment, IndexedPack};
use crate::format::pack::PackTable;
use crate::id::PackId;
use crate::layout;
use crate::store::{ObjectStore, put_immutable};

/// A pack that only has to be stored.
#[derive(Debug)]
pub struct FinishedPack {
    /// Its name.
    pub id: PackId,
    /// Data or tree.
    pub kind: ObjectKind,
    /// Its bytes.
    pub body: PutBody,
    /// What is in it.
    pub table: PackTable,
    /// Given back when it is stored, or has failed to be.
    pub room: PackRoom,
}

/// The right to hold one pack in memory, from its first block until it is stored, has failed or is given up.
#[derive(Debug)]
pub struct PackRoom {
    _permit: OwnedSemaphorePermit,
}

/// Uploads packs, a few at once, and writes the index of those that arrived.
#[derive(Debug)]
pub struct Uploader {
    handle: Handle,
    store: ObjectStore,
    rooms: Arc<Semaphore>,
    shared: Arc<Shared>,
    /// Held by a test that keeps packs from being submitted.
    #[cfg(test)]
    pub(super) gate: Mutex<()>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    next_serial: u64,
    in_flight: BTreeSet<u64>,
    error: Option<RepositoryError>,
    /// Confirmed and not yet in any index object.
    confirmed: Vec<IndexedPack>,
    confirmed_blobs: usize,
    stored_bytes: u64,
    packs: u64,
}

impl State {
    /// Whether the packs that were submitted first, so many of them, are not on their way any more.
    fn have_arrived(&self, first: u64) -> bool {
        self.in_flight.first().is_none_or(|&serial| serial >= first)
    }

    /// The first error, once; later callers only hear that the run is over.
    fn take_error(&mut self) -> Result<(), RepositoryError> {
        match self.error.take() {
            Some(error) => {
                self.error = Some(RepositoryError::Cancelled);
                Err(error)
            }
            None => Ok(()),
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Uploader {
    /// An uploader for at most so many packs in memory: those that are being filled and those that are on their way.
    ///
    /// Two writers need two at least, or the open pack of the one keeps the other waiting for ever.
    pub fn new(handle: Handle, store: ObjectStore, max_packs: usize) -> Self {
        Self {
            handle,
            store,
            rooms: Arc::new(Semaphore::new(max_packs.max(1))),
            shared: Arc::default(),
            #[cfg(test)]
            gate: Mutex::default(),
        }
    }

    /// Room for one more pack; waits while there are too many.
    ///
    /// # Errors
    /// The first error of any upload so far.
    pub fn room(&self) -> Result<PackRoom, RepositoryError> {
        let permit =
            self.handle.block_on(Arc::clone(&self.rooms).acquire_owned()).map_err(|_| RepositoryError::WorkerDied)?;
        self.shared.state().take_error()?;
        Ok(PackRoom { _permit: permit })
    }

    #[cfg(test)]
    pub(super) fn free_rooms(&self) -> usize {
        self.rooms.available_permits()
    }

    /// Stores a pack in the background.
    ///
    /// # Errors
    /// The first error of any upload so far.
    pub fn submit(&self, pack: FinishedPack) -> Result<(), RepositoryError> {
        #[cfg(test)]
        let _open = self.gate.lock();
        let FinishedPack { id, kind, body, table, room } = pack;
        let serial = {
            let mut state = self.shared.state();
            state.take_error()?;
            let serial = state.next_serial;
            state.next_serial += 1;
            state.in_flight.insert(serial);
            serial
        };
        let flight = Flight { shared: Arc::clone(&self.shared), serial, result: Err(RepositoryError::WorkerDied) };
        let backend = Arc::clone(self.store.backend());
        self.handle.spawn(async move {
            let mut flight = flight;
            let size_bytes = body.len_bytes();
            let stored = put_immutable(&*backend, &layout::pack(&id), body, Some(*id.as_bytes())).await;
            flight.result = stored.map(|_| IndexedPack { id, kind, size_bytes, table });
            // Over before others may begin.
            drop(flight);
            drop(room);
        });
        Ok(())
    }

    /// How many packs were submitted so far.
    pub fn submitted(&self) -> u64 {
        self.shared.state().next_serial
    }

    /// Whether the packs that were submitted first, so many of them, are stored.
    ///
    /// # Errors
    /// The first error of any upload.
    pub fn has_stored(&self, first: u64) -> Result<bool, RepositoryError> {
        let mut state = self.shared.state();
        state.take_error()?;
        Ok(state.have_arrived(first))
    }

    /// Waits until every pack submitted so far is stored or has failed; later ones may come meanwhile.
    ///
    /// # Errors
    /// The first error of any upload.
    pub fn wait(&self) -> Result<(), RepositoryError> {
        let state = self.shared.state();
        let first = state.next_serial;
        let waited = self.shared.changed.wait_while(state, |state| !state.have_arrived(first));
        waited.unwrap_or_else(PoisonError::into_inner).take_error()
    }

    /// The same, but not longer than this. Returns whether they are stored.
    ///
    /// # Errors
    /// The first error of any upload.
    pub fn wait_at_most(&self, longest: Duration) -> Result<bool, RepositoryError> {
        let state = self.shared.state();
        let first = state.next_serial;
        let waited = self.shared.changed.wait_timeout_while(state, longest, |state| !state.have_arrived(first));
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if !state.have_arrived(first) {
            return Ok(false);
        }
        state.take_error()?;
        Ok(true)
    }

    /// How many blobs are stored and not yet in any index object.
    pub fn unindexed_blobs(&self) -> usize {
        self.shared.state().confirmed_blobs
    }

    /// Writes an index object for all packs that are confirmed and not yet indexed.
    pub fn write_index(&self) -> Result<(), RepositoryError> {
        let mut packs = {
            let mut state = self.shared.state();
            state.confirmed_blobs = 0;
            std::mem::take(&mut state.confirmed)
        };
        if packs.is_empty() {
            return Ok(());
        }
        packs.sort_by_key(|pack| pack.id);
        let segment = IndexSegment { supersedes: Vec::new(), packs };
        let (_, len_bytes) = self.handle.block_on(self.store.put_record(ObjectKind::Index, &segment.encode()))?;
        self.shared.state().stored_bytes += len_bytes;
        Ok(())
    }

    /// Bytes stored so far.
    pub fn stored_bytes(&self) -> u64 {
        self.shared.state().stored_bytes
    }

    /// Packs stored so far.
    pub fn packs(&self) -> u64 {
        self.shared.state().packs
    }
}

/// A pack on its way. However it ends, a panic in the backend or the end of the runtime included, those who wait learn of it.
#[derive(Debug)]
struct Flight {
    shared: Arc<Shared>,
    serial: u64,
    result: Result<IndexedPack, RepositoryError>,
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.in_flight.remove(&self.serial);
        match std::mem::replace(&mut self.result, Err(RepositoryError::WorkerDied)) {
            Ok(pack) => {
                state.stored_bytes += pack.size_bytes;
                state.packs += 1;
                state.confirmed_blobs += pack.table.blocks.iter().map(|block| block.blobs.len()).sum::<usize>();
                state.confirmed.push(pack);
            }
            Err(error) => {
                state.error.get_or_insert(error);
            }
        }
        drop(state);
        self.shared.changed.notify_all();
    }
}
