//! Windows: handed to the workers, waited for, and what had to wait for their files.

use std::collections::HashSet;
use std::sync::Arc;

use backup_core::{EntryError, EntryPath};

use super::Restore;
use crate::error::RepositoryError;
use crate::restore::plan::{After, Latch};

/// Windows that are worked on while the next is planned.
const WINDOWS_AHEAD: usize = 2;

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
            if self.jobs.send((Arc::clone(&window), Arc::clone(&latch), task)).is_err() {
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

    /// Waits for the oldest window and does what had to wait for its files. Returns whether there was one.
    pub(super) fn settle_oldest(&mut self) -> bool {
        let Some(Running { latch, after }) = self.running.pop_front() else { return false };
        latch.wait();
        if self.options.dry_run || self.outcome.is_stopped() {
            return true;
        }
        for after in after {
            let done = match after {
                After::Special(entry) => self.target.create_special(&entry),
                After::HardLink { entry, existing } => self.target.create_hard_link(&entry, &existing),
                After::FinishDirectory(entry) => self.target.finish_directory(&entry),
                After::DeleteExtra { directory, keep } => self.delete_extra(&directory, &keep),
            };
            if let Err(problem) = done {
                self.outcome.problem(problem);
            }
        }
        true
    }

    fn delete_extra(&mut self, directory: &EntryPath, keep: &[Vec<u8>]) -> Result<(), EntryError> {
        let keep: HashSet<&[u8]> = keep.iter().map(Vec::as_slice).collect();
        for name in self.target.names(directory)? {
            if keep.contains(name.as_slice()) {
                continue;
            }
            let Ok(path) = directory.join(&name) else { continue };
            self.target.remove(&path)?;
            self.report.deleted += 1;
        }
        Ok(())
    }
}
