//! The work that waits for workers: batches of entries, and chunks of large files.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use backup_core::Entry;

use crate::format::tree::TreeEntry;
use crate::id::BlobId;

/// Batches that may be under way or finished out of order: bounds what waits for its turn in the tree.
const WINDOW: u64 = 16;

/// Chunks that may wait for a worker; each has at most the chunker's largest size.
const MAX_WAITING_CHUNKS: usize = 2;

/// What is to be done with one entry.
#[derive(Debug)]
pub(super) enum Item {
    /// Nothing: the parent has it.
    Ready(Box<TreeEntry>),
    /// Fill its metadata.
    Load(Entry),
    /// Read it.
    Read(Entry),
}

/// Neighbouring entries, in order.
#[derive(Debug)]
pub(super) struct Batch {
    /// Counts from 0 without gaps.
    pub(super) serial: u64,
    pub(super) items: Vec<Item>,
}

/// A new chunk of a large file, to be compressed and sealed.
#[derive(Debug)]
pub(super) struct ChunkTask {
    pub(super) id: BlobId,
    pub(super) bytes: Vec<u8>,
}

/// What a worker does next.
#[derive(Debug)]
pub(super) enum Work {
    Batch(Batch),
    Chunk(u64, ChunkTask),
    /// Seal what is in the block buffer; part of a checkpoint.
    Flush,
}

#[derive(Debug, Default)]
struct State {
    batches: VecDeque<Batch>,
    chunks: VecDeque<(u64, ChunkTask)>,
    next_chunk: u64,
    /// Chunks that were offered and are not sealed.
    open_chunks: BTreeSet<u64>,
    /// Batches being worked on, which may still bring chunks.
    busy: usize,
    closed: bool,
    stopped: bool,
    next_serial: u64,
    /// Batches whose entries are in the tree.
    done: u64,
    /// Counts checkpoints that were asked for.
    generation: u64,
    /// Workers that have sealed everything they read before the newest checkpoint was asked for.
    flushed: usize,
    /// Chunks from this one on came after it was asked for.
    flush_chunks_before: u64,
}

/// A queue that several threads serve.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    work: Condvar,
    room: Condvar,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a batch, once there is room. Returns `false` when everything has stopped.
    pub(super) fn push(&self, items: Vec<Item>) -> bool {
        let mut state = self.state();
        while !state.stopped && state.next_serial >= state.done + WINDOW {
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.stopped {
            return false;
        }
        let serial = state.next_serial;
        state.next_serial += 1;
        state.batches.push_back(Batch { serial, items });
        drop(state);
        self.work.notify_one();
        true
    }

    /// Says that no batch will come any more.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.work.notify_all();
    }

    /// Makes everybody stop as soon as possible.
    pub(super) fn stop(&self) {
        self.state().stopped = true;
        self.work.notify_all();
        self.room.notify_all();
    }

    /// Whether everybody should stop.
    pub(super) fn is_stopped(&self) -> bool {
        self.state().stopped
    }

    /// Offers a chunk to other workers; gets it back when too many wait already.
    pub(super) fn offer_chunk(&self, task: ChunkTask) -> Result<(), ChunkTask> {
        let mut state = self.state();
        if state.chunks.len() >= MAX_WAITING_CHUNKS {
            return Err(task);
        }
        let serial = state.next_chunk;
        state.next_chunk += 1;
        state.open_chunks.insert(serial);
        state.chunks.push_back((serial, task));
        drop(state);
        self.work.notify_one();
        Ok(())
    }

    /// The next piece of work for a worker that has flushed up to `generation`; `None` when there will be no more.
    pub(super) fn pop(&self, generation: &mut u64) -> Option<Work> {
        let mut state = self.state();
        loop {
            if state.stopped {
                return None;
            }
            if let Some((serial, task)) = state.chunks.pop_front() {
                return Some(Work::Chunk(serial, task));
            }
            if *generation < state.generation {
                *generation = state.generation;
                return Some(Work::Flush);
            }
            if let Some(batch) = state.batches.pop_front() {
                state.busy += 1;
                return Some(Work::Batch(batch));
            }
            if state.closed && state.busy == 0 {
                return None;
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Says that a worker is done with a batch.
    pub(super) fn batch_done(&self) {
        self.state().busy -= 1;
        self.work.notify_all();
    }

    /// Says that a worker is done with a chunk.
    pub(super) fn chunk_done(&self, serial: u64) {
        self.state().open_chunks.remove(&serial);
    }

    /// Whether a worker in the middle of a long file should flush now; it counts as told.
    pub(super) fn take_flush(&self, generation: &mut u64) -> bool {
        let state = self.state();
        let due = *generation < state.generation;
        *generation = state.generation;
        due
    }

    /// Says that a worker has sealed its buffer as [`Work::Flush`] asked.
    pub(super) fn flush_done(&self) {
        self.state().flushed += 1;
    }

    /// Says that the entries of so many batches are in the tree.
    pub(super) fn emitted(&self, done: u64) {
        self.state().done = done;
        self.room.notify_one();
    }

    /// Asks every worker to seal what it has.
    pub(super) fn begin_flush(&self) {
        let mut state = self.state();
        state.generation += 1;
        state.flushed = 0;
        state.flush_chunks_before = state.next_chunk;
        drop(state);
        self.work.notify_all();
    }

    /// Whether all workers have sealed what they had, and all chunks of that time are sealed.
    pub(super) fn is_flushed(&self, workers: usize) -> bool {
        let state = self.state();
        state.flushed >= workers && state.open_chunks.first().is_none_or(|&first| first >= state.flush_chunks_before)
    }
}
