//! The work that waits for workers: batches of entries, and blocks of large files.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use backup_core::Entry;

use crate::format::tree::TreeEntry;
use crate::pack::seal::BlockBuffer;

/// Batches that may be under way or finished out of order: bounds what waits for its turn in the tree.
const WINDOW: u64 = 16;

/// Blocks that may wait for a worker: one, because a block goes at once where somebody is idle.
const MAX_WAITING_BLOCKS: usize = 1;

/// Buffers of sealed blocks that wait for the next block that is offered: as many as may wait.
const MAX_SPARE_BUFFERS: usize = MAX_WAITING_BLOCKS;

/// What is to be done with one entry.
#[derive(Debug)]
pub(super) enum Item {
    /// Nothing: the parent has it.
    Ready(Box<TreeEntry>),
    /// Fill its metadata.
    Load(Entry),
    /// Read it.
    Read { entry: Entry, is_new: bool },
}

/// Neighbouring entries, in order.
#[derive(Debug)]
pub(super) struct Batch {
    /// Counts from 0 without gaps.
    pub(super) serial: u64,
    pub(super) items: Vec<Item>,
}

/// What a worker does next.
#[derive(Debug)]
pub(super) enum Work {
    Batch(Batch),
    /// Seal a block that another worker filled.
    Block(u64, BlockBuffer),
    /// Seal what is in the block buffer; part of a checkpoint.
    Flush,
}

#[derive(Debug, Default)]
struct State {
    batches: VecDeque<Batch>,
    blocks: VecDeque<(u64, BlockBuffer)>,
    next_block: u64,
    /// Blocks that were offered and are not sealed.
    open_blocks: BTreeSet<u64>,
    /// Batches being worked on, which may still bring blocks.
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
    spare_buffers: Vec<BlockBuffer>,
    /// Blocks from this one on came after the last worker had flushed.
    flush_blocks_before: u64,
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

    /// Offers a block to other workers, in exchange for an empty buffer if there is one; gets it back when too many wait already.
    pub(super) fn offer_block(&self, block: BlockBuffer) -> Result<Option<BlockBuffer>, BlockBuffer> {
        let mut state = self.state();
        if state.blocks.len() >= MAX_WAITING_BLOCKS {
            return Err(block);
        }
        let serial = state.next_block;
        state.next_block += 1;
        state.open_blocks.insert(serial);
        state.blocks.push_back((serial, block));
        let spare = state.spare_buffers.pop();
        drop(state);
        self.work.notify_one();
        Ok(spare)
    }

    /// The next piece of work for a worker that has flushed up to `generation`; `None` when there will be no more.
    pub(super) fn pop(&self, generation: &mut u64) -> Option<Work> {
        let mut state = self.state();
        loop {
            if state.stopped {
                return None;
            }
            // First, or a worker that finds a block each time would never flush; the blocks are waited for as well.
            if *generation < state.generation {
                *generation = state.generation;
                return Some(Work::Flush);
            }
            if let Some((serial, block)) = state.blocks.pop_front() {
                return Some(Work::Block(serial, block));
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

    /// A block that waits, for a worker in the middle of a long file: where all are, nobody else would take it.
    pub(super) fn take_block(&self) -> Option<(u64, BlockBuffer)> {
        self.state().blocks.pop_front()
    }

    /// Says that a worker is done with a batch.
    pub(super) fn batch_done(&self) {
        self.state().busy -= 1;
        self.work.notify_all();
    }

    /// Says that a worker has sealed a block of the queue, and takes its buffer back.
    pub(super) fn block_done(&self, serial: u64, buffer: BlockBuffer) {
        let mut state = self.state();
        state.open_blocks.remove(&serial);
        if state.spare_buffers.len() < MAX_SPARE_BUFFERS {
            state.spare_buffers.push(buffer);
        }
    }

    /// Whether a worker in the middle of a long file should flush now; it counts as told.
    pub(super) fn take_flush(&self, generation: &mut u64) -> bool {
        let state = self.state();
        let due = *generation < state.generation;
        *generation = state.generation;
        due
    }

    /// Says that a worker has sealed its buffer as [`Work::Flush`] asked, and has offered or sealed every blob that it claimed.
    pub(super) fn flush_done(&self) {
        let mut state = self.state();
        state.flushed += 1;
        // What it claimed before the flush was asked for, it may have offered after.
        state.flush_blocks_before = state.next_block;
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

    /// Whether all workers have sealed what they had, and all blocks of that time are.
    pub(super) fn is_flushed(&self, workers: usize) -> bool {
        let state = self.state();
        state.flushed >= workers && state.open_blocks.first().is_none_or(|&first| first >= state.flush_blocks_before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flush_waits_for_a_block_that_was_filled_before_and_offered_after_it_was_asked_for() {
        let queue = Queue::default();
        let (mut reading, mut idle) = (0, 0);
        queue.begin_flush();
        queue.offer_block(BlockBuffer::new(1)).unwrap();
        assert!(queue.take_flush(&mut reading));
        queue.flush_done();
        assert!(matches!(queue.pop(&mut idle), Some(Work::Flush)), "it is not put off by blocks that wait");
        queue.flush_done();
        let Some(Work::Block(serial, block)) = queue.pop(&mut idle) else { panic!("a block waits") };
        assert!(!queue.is_flushed(2), "the block is not sealed");
        queue.block_done(serial, block);
        assert!(queue.is_flushed(2));
    }

    #[test]
    fn flush_does_not_wait_for_blocks_that_come_after_it() {
        let queue = Queue::default();
        queue.begin_flush();
        queue.flush_done();
        queue.offer_block(BlockBuffer::new(1)).unwrap();
        assert!(queue.is_flushed(1));
    }
}
