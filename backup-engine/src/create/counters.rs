//! What a capture counts while it goes on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use backup_core::{Entry, EntryError, EntryKind, Work};

use super::MAX_LISTED_PROBLEMS;
use crate::format::record::SnapshotStatistics;

/// Numbers that all threads count.
#[derive(Debug, Default)]
pub(super) struct Counters {
    files_new: AtomicU64,
    files_changed: AtomicU64,
    files_unchanged: AtomicU64,
    read_bytes: AtomicU64,
    unchanged_bytes: AtomicU64,
    new_bytes: AtomicU64,
    items: AtomicU64,
    problem_count: AtomicU64,
    problems: Mutex<Vec<EntryError>>,
}

impl Counters {
    /// Notes what could not be done with an entry.
    pub(super) fn problem(&self, problem: EntryError) {
        self.problem_count.fetch_add(1, Ordering::Relaxed);
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        if problems.len() < MAX_LISTED_PROBLEMS {
            problems.push(problem);
        }
    }

    /// Counts a file that is taken over unread.
    pub(super) fn unchanged(&self, entry: &Entry) {
        self.files_unchanged.fetch_add(1, Ordering::Relaxed);
        self.unchanged_bytes.fetch_add(entry.size_bytes, Ordering::Relaxed);
    }

    /// Counts a file that was read.
    pub(super) fn file_read(&self, is_new: bool) {
        let counter = if is_new { &self.files_new } else { &self.files_changed };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts bytes as they are read.
    pub(super) fn read(&self, bytes: u64) {
        self.read_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts bytes that no pack had before.
    pub(super) fn new_bytes(&self, bytes: u64) {
        self.new_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts an entry that is in the tree.
    pub(super) fn stored(&self) {
        self.items.fetch_add(1, Ordering::Relaxed);
    }

    /// What is done so far.
    pub(super) fn done(&self) -> Work {
        let bytes = self.read_bytes.load(Ordering::Relaxed) + self.unchanged_bytes.load(Ordering::Relaxed);
        Work { items: self.items.load(Ordering::Relaxed), bytes }
    }

    /// How many problems there are so far.
    pub(super) fn problem_count(&self) -> u64 {
        self.problem_count.load(Ordering::Relaxed)
    }

    /// The first problems.
    pub(super) fn into_problems(self) -> Vec<EntryError> {
        self.problems.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// All numbers, as they stand in a snapshot.
    pub(super) fn statistics(&self, tally: &Tally, stored_bytes: u64, duration: Duration) -> SnapshotStatistics {
        SnapshotStatistics {
            files: tally.files,
            directories: tally.directories,
            others: tally.others,
            files_new: self.files_new.load(Ordering::Relaxed),
            files_changed: self.files_changed.load(Ordering::Relaxed),
            files_unchanged: self.files_unchanged.load(Ordering::Relaxed),
            read_bytes: self.read_bytes.load(Ordering::Relaxed),
            new_bytes: self.new_bytes.load(Ordering::Relaxed),
            stored_bytes,
            duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// What the tree thread counts.
#[derive(Debug, Default)]
pub(super) struct Tally {
    files: u64,
    directories: u64,
    others: u64,
}

impl Tally {
    pub(super) fn count(&mut self, kind: EntryKind) {
        match kind {
            EntryKind::File => self.files += 1,
            EntryKind::Directory => self.directories += 1,
            EntryKind::Symlink
            | EntryKind::Fifo
            | EntryKind::Socket
            | EntryKind::CharDevice
            | EntryKind::BlockDevice => self.others += 1,
        }
    }
}
