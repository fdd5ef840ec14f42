//! What all threads of a restore report.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use backup_core::{CancelToken, EntryError};

use super::{ConflictOutcome, MAX_LISTED};
use crate::error::RepositoryError;

/// Counts and lists; at the end they go into the report.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    cancel: CancelToken,
    pub(super) restored_files: AtomicU64,
    pub(super) restored_bytes: AtomicU64,
    pub(super) read_bytes: AtomicU64,
    /// Content that is written or need not be: what a bar shows.
    pub(super) done_bytes: AtomicU64,
    pub(super) kept_both: AtomicU64,
    pub(super) problem_count: AtomicU64,
    pub(super) damaged_files: AtomicU64,
    pub(super) problems: Mutex<Vec<EntryError>>,
    pub(super) conflicts: Mutex<Vec<ConflictOutcome>>,
    pub(super) fatal: Mutex<Option<RepositoryError>>,
    stopped: AtomicBool,
}

impl Outcome {
    pub(super) fn new(cancel: &CancelToken) -> Self {
        Self { cancel: cancel.clone(), ..Self::default() }
    }

    pub(super) fn problem(&self, problem: EntryError) {
        self.problem_count.fetch_add(1, Ordering::Relaxed);
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        if problems.len() < MAX_LISTED {
            problems.push(problem);
        }
    }

    pub(super) fn conflict(&self, conflict: ConflictOutcome) {
        let mut conflicts = self.conflicts.lock().unwrap_or_else(PoisonError::into_inner);
        if conflicts.len() < MAX_LISTED {
            conflicts.push(conflict);
        }
    }

    pub(super) fn kept_both(&self) {
        self.kept_both.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn fail(&self, error: RepositoryError) {
        self.fatal.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.stopped.store(true, Ordering::Release);
    }

    /// Whether workers should stop as soon as they can.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire) || self.cancel.is_cancelled()
    }
}
