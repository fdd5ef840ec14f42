//! Windows: handed to the workers, waited for, and what had to wait for their files.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use backup_core::EntryError;
use crossbeam_channel::SendTimeoutError;

use super::{Job, Restore};
use crate::error::RepositoryError;
use crate::restore::decide::looks_same;
use crate::restore::plan::{After, Counted, Latch, Placed};

/// Windows that are worked on while the next is planned.
const WINDOWS_AHEAD: usize = 2;

/// While the planner waits for workers, it reports progress so often.
const TICK: Duration = Duration::from_millis(50);

/// A window that workers are busy with.
pub(super) struct Running {
    latch: Arc<Latch>,
    after: Vec<After>,
}

impl Restore<'_> {
    pub(super) fn after(&mut self, after: After) {
        self.window.after.push(after);
        if self.window.is_full() {
            self.dispatch();
        }
    }

    /// Hands the window to the workers and begins the next.
    pub(super) fn dispatch(&mut self) {
        if self.window.is_empty() {
            return;
        }
        let mut window = std::mem::take(&mut self.window);
        let tasks = if self.options.dry_run { Vec::new() } else { window.take_tasks() };
        let after = std::mem::take(&mut window.after);
        let latch = Arc::new(Latch::new(tasks.len()));
        let window = Arc::new(window);
        for task in tasks {
            if !self.hand_out((Counted(Arc::clone(&latch)), Arc::clone(&window), task)) {
                // All workers are gone, which only happens when they died.
                self.outcome.fail(RepositoryError::WorkerDied);
                return;
            }
        }
        self.running.push_back(Running { latch, after });
        while self.running.len() > WINDOWS_AHEAD {
            self.settle_oldest();
        }
    }

    /// Waits for room in the queue; `false` when nobody serves it any more.
    fn hand_out(&mut self, mut job: Job) -> bool {
        loop {
            match self.jobs.send_timeout(job, TICK) {
                Ok(()) => return true,
                Err(SendTimeoutError::Timeout(back)) => {
                    job = back;
                    self.tick();
                }
                Err(SendTimeoutError::Disconnected(_)) => return false,
            }
        }
    }

    /// Waits for the oldest window and does what had to wait for its files. Returns whether there was one.
    pub(super) fn settle_oldest(&mut self) -> bool {
        let Some(Running { latch, after }) = self.running.pop_front() else { return false };
        while !latch.wait(TICK) {
            self.tick();
        }
        for after in after {
            if self.outcome.is_stopped() {
                break;
            }
            if let Err(problem) = self.finish(after) {
                self.outcome.problem(problem);
            }
        }
        true
    }

    /// Waits until everything that was planned is done.
    pub(super) fn settle(&mut self) {
        self.dispatch();
        while self.settle_oldest() {}
    }

    fn finish(&mut self, after: After) -> Result<(), EntryError> {
        match after {
            After::DeleteExtra { directory, keep, has_twin } => self.delete_extra(&directory, &keep, has_twin),
            _ if self.options.dry_run => Ok(()),
            After::Special(placed) => {
                let made = self.clear(&placed).and_then(|()| self.target.create_special(&placed.entry));
                let is_there = |entry| matches!(self.target.inspect(&placed.entry.path), Ok(Some(there)) if looks_same(entry, &there));
                if made.is_err()
                    && !is_there(&placed.entry)
                    && let Some(lost) = &placed.lost
                {
                    lost.store(true, Ordering::Release);
                }
                made
            }
            After::HardLink { placed, existing, lost } => {
                if lost.load(Ordering::Acquire) {
                    let cause = format!("it is another name of `{existing}`, which could not be restored");
                    return Err(EntryError::other(&placed.entry.path, "cannot restore", cause));
                }
                self.clear(&placed)?;
                self.target.create_hard_link(&placed.entry, &existing)
            }
            After::FinishDirectory(entry) => self.target.finish_directory(&entry),
        }
    }

    /// Removes the directory in an entry's place.
    fn clear(&self, placed: &Placed) -> Result<(), EntryError> {
        if placed.clears { self.target.remove(&placed.entry.path) } else { Ok(()) }
    }
}
