//! The work that waits for workers: packs that were fetched, and the blocks they were cut into.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use tokio::sync::OwnedSemaphorePermit;

use super::data::{PackTask, Table};
use crate::crypto::two_lane::LANES;
use crate::format::ObjectKind;
use crate::format::envelope::Envelope;

/// A pack's bytes.
#[derive(Debug)]
pub(super) struct FetchedPack {
    pub(super) task: PackTask,
    pub(super) bytes: Bytes,
    /// The memory that the bytes take; given back when the last block of the pack is done.
    pub(super) room: OwnedSemaphorePermit,
}

/// What the blocks of one pack share.
#[derive(Debug)]
pub(super) struct OpenPack {
    pub(super) number: u32,
    pub(super) kind: ObjectKind,
    pub(super) envelope: Envelope,
    pub(super) table: Table,
    pub(super) _room: OwnedSemaphorePermit,
}

/// One block of a pack.
#[derive(Debug)]
pub(super) struct BlockTask {
    pub(super) pack: Arc<OpenPack>,
    /// Which block of the pack's table.
    pub(super) nth: usize,
    pub(super) frame: BytesMut,
}

/// What a worker does next.
#[derive(Debug)]
pub(super) enum Work {
    Pack(FetchedPack),
    /// One block or more, at most [`LANES`].
    Blocks(Vec<BlockTask>),
}

#[derive(Debug, Default)]
struct State {
    packs: VecDeque<FetchedPack>,
    blocks: VecDeque<BlockTask>,
    /// Packs being looked at, which may still bring blocks.
    busy: usize,
    closed: bool,
    stopped: bool,
}

/// A queue that several threads serve. What it holds is bounded by the permits that packs hold.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    work: Condvar,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a pack.
    pub(super) fn push_pack(&self, pack: FetchedPack) {
        self.state().packs.push_back(pack);
        self.work.notify_one();
    }

    /// Adds the blocks of a pack.
    pub(super) fn push_blocks(&self, blocks: Vec<BlockTask>) {
        self.state().blocks.extend(blocks);
        self.work.notify_all();
    }

    /// Says that the pack that was taken last brings no more blocks.
    pub(super) fn pack_done(&self) {
        self.state().busy -= 1;
        self.work.notify_all();
    }

    /// Says that no pack will come any more.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.work.notify_all();
    }

    /// Makes everybody stop as soon as possible.
    pub(super) fn stop(&self) {
        let mut state = self.state();
        state.stopped = true;
        // Whoever waits for room must not wait for what nobody will look at any more.
        state.packs.clear();
        state.blocks.clear();
        drop(state);
        self.work.notify_all();
    }

    /// Whether everybody should stop.
    pub(super) fn is_stopped(&self) -> bool {
        self.state().stopped
    }

    /// The next piece of work, blocks first because they free memory; `None` when there will be no more.
    pub(super) fn pop(&self) -> Option<Work> {
        let mut state = self.state();
        loop {
            if state.stopped {
                return None;
            }
            if !state.blocks.is_empty() {
                let taken = state.blocks.len().min(LANES);
                return Some(Work::Blocks(state.blocks.drain(..taken).collect()));
            }
            if let Some(pack) = state.packs.pop_front() {
                state.busy += 1;
                return Some(Work::Pack(pack));
            }
            if state.closed && state.busy == 0 {
                return None;
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
