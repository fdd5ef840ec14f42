//! The work that waits for workers: batches of entries, and chunks of large files.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use backup_core::Entry;

use crate::compress::MAX_KEPT_BYTES;
use crate::format::tree::TreeEntry;
use crate::id::BlobId;

/// Batches that may be under way or finished out of order: bounds what waits for its turn in the tree.
const WINDOW: u64 = 16;

/// Groups of chunks that may wait for a worker: one, because a group goes at once where somebody is idle.
const MAX_WAITING_GROUPS: usize = 1;

/// Buffers of sealed chunks that wait for the next one: a worker seals two at a time while another reads two.
const MAX_SPARE_BUFFERS: usize = 4;

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

/// New chunks of a large file, to be compressed and sealed together.
#[derive(Debug, Default)]
pub(super) struct ChunkGroup {
    pub(super) chunks: Vec<(BlobId, Vec<u8>)>,
}

/// What a worker does next.
#[derive(Debug)]
pub(super) enum Work {
    Batch(Batch),
    Chunks(u64, ChunkGroup),
    /// Seal what is in the block buffer; part of a checkpoint.
    Flush,
}

#[derive(Debug, Default)]
struct State {
    batches: VecDeque<Batch>,
    chunks: VecDeque<(u64, ChunkGroup)>,
    next_group: u64,
    /// Groups of chunks that were offered and are not sealed.
    open_groups: BTreeSet<u64>,
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
    /// Memory to be used again: fresh memory has to be cleared by the system, page by page.
    spare_buffers: Vec<Vec<u8>>,
    /// Groups from this one on came after the last worker had flushed.
    flush_groups_before: u64,
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

    /// Offers chunks to other workers; gets them back when too many wait already.
    pub(super) fn offer_chunks(&self, group: ChunkGroup) -> Result<(), ChunkGroup> {
        let mut state = self.state();
        if state.chunks.len() >= MAX_WAITING_GROUPS {
            return Err(group);
        }
        let serial = state.next_group;
        state.next_group += 1;
        state.open_groups.insert(serial);
        state.chunks.push_back((serial, group));
        drop(state);
        self.work.notify_one();
        Ok(())
    }

    /// A copy of a chunk, in memory that others are done with if there is any.
    pub(super) fn copy(&self, chunk: &[u8]) -> Vec<u8> {
        let mut buffer = self.state().spare_buffers.pop().unwrap_or_default();
        buffer.clear();
        // No more than it takes: chunks are far from each other in size, and there are many of them.
        buffer.reserve_exact(chunk.len());
        buffer.extend_from_slice(chunk);
        buffer
    }

    /// Takes memory back that nobody needs any more.
    pub(super) fn recycle(&self, group: ChunkGroup) {
        let mut state = self.state();
        let room = MAX_SPARE_BUFFERS - state.spare_buffers.len();
        let buffers = group.chunks.into_iter().map(|(_, buffer)| buffer);
        state.spare_buffers.extend(buffers.filter(|buffer| buffer.capacity() <= MAX_KEPT_BYTES).take(room));
    }

    /// The next piece of work for a worker that has flushed up to `generation`; `None` when there will be no more.
    pub(super) fn pop(&self, generation: &mut u64) -> Option<Work> {
        let mut state = self.state();
        loop {
            if state.stopped {
                return None;
            }
            if let Some((serial, group)) = state.chunks.pop_front() {
                return Some(Work::Chunks(serial, group));
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

    /// Says that a worker is done with a group of chunks.
    pub(super) fn chunks_done(&self, serial: u64) {
        self.state().open_groups.remove(&serial);
    }

    /// Whether a worker in the middle of a long file should flush now; it counts as told.
    pub(super) fn take_flush(&self, generation: &mut u64) -> bool {
        let state = self.state();
        let due = *generation < state.generation;
        *generation = state.generation;
        due
    }

    /// Says that a worker has sealed its buffer as [`Work::Flush`] asked, and has offered or sealed every chunk that it claimed.
    pub(super) fn flush_done(&self) {
        let mut state = self.state();
        state.flushed += 1;
        // What it claimed before the flush was asked for, it may have offered after.
        state.flush_groups_before = state.next_group;
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
        drop(state);
        self.work.notify_all();
    }

    /// Whether all workers have sealed what they had, and all chunks of that time are sealed.
    pub(super) fn is_flushed(&self, workers: usize) -> bool {
        let state = self.state();
        state.flushed >= workers && state.open_groups.first().is_none_or(|&first| first >= state.flush_groups_before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flush_waits_for_a_chunk_that_was_claimed_before_and_offered_after_it_was_asked_for() {
        let queue = Queue::default();
        let (mut reading, mut idle) = (0, 0);
        queue.begin_flush();
        queue.offer_chunks(ChunkGroup::default()).unwrap();
        assert!(queue.take_flush(&mut reading));
        queue.flush_done();
        let Some(Work::Chunks(serial, _)) = queue.pop(&mut idle) else { panic!("the chunk comes first") };
        assert!(matches!(queue.pop(&mut idle), Some(Work::Flush)));
        queue.flush_done();
        assert!(!queue.is_flushed(2), "the chunk is not sealed");
        queue.chunks_done(serial);
        assert!(queue.is_flushed(2));
    }

    #[test]
    fn flush_does_not_wait_for_chunks_that_come_after_it() {
        let queue = Queue::default();
        queue.begin_flush();
        queue.flush_done();
        queue.offer_chunks(ChunkGroup::default()).unwrap();
        assert!(queue.is_flushed(1));
    }
}
