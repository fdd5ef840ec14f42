//! How a running operation tells what it does, without printing.

use crate::entry::EntryPath;

/// An amount of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Work {
    /// Entries or objects.
    pub items: u64,
    /// Bytes.
    pub bytes: u64,
}

/// What an operation is busy with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Opening the repository and reading its index.
    Open,
    /// Capturing a source.
    Capture,
    /// Writing the last objects.
    Commit,
    /// Finding out what a restore has to do.
    Plan,
    /// Writing restored entries.
    Restore,
    /// Checking that objects are there.
    CheckStructure,
    /// Reading and checking data.
    CheckData,
    /// Rebuilding the index.
    RebuildIndex,
}

/// Something that happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A phase begins; `total` where it is known.
    PhaseStarted {
        /// Which.
        phase: Phase,
        /// How much work it is.
        total: Option<Work>,
    },
    /// Work done so far in a phase; comes at most some tens of times a second.
    Progress {
        /// Which phase.
        phase: Phase,
        /// Done since the phase began.
        done: Work,
        /// The total, where it is known by now.
        total: Option<Work>,
    },
    /// The entry that is worked on.
    Current {
        /// Which.
        path: &'a EntryPath,
    },
    /// One entry or object has a problem; the operation goes on.
    Problem {
        /// In words.
        message: &'a str,
    },
    /// Something a person should know; nothing is wrong.
    Notice {
        /// In words.
        message: &'a str,
    },
}

/// Receives events; called from several threads, must return quickly.
pub trait Monitor: Send + Sync {
    /// Takes one event.
    fn event(&self, event: &Event<'_>);
}

/// A monitor that ignores everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Monitor for Silent {
    fn event(&self, _event: &Event<'_>) {}
}
