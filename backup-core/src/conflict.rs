//! What happens where a restore meets something that is already there.

use crate::entry::Entry;

/// A place where backup and local state differ.
#[derive(Debug, Clone)]
pub struct RestoreConflict<'a> {
    /// What the backup has.
    pub backup: &'a Entry,
    /// What is there now.
    pub local: &'a Entry,
}

/// What to do about a conflict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// Leave what is there.
    KeepLocal,
    /// Replace it by what the backup has.
    KeepBackup,
    /// Leave it and restore the backup's beside it, its name followed by the suffix.
    KeepBoth {
        /// What is appended to the name, at most 64 bytes, without `/` and NUL.
        suffix: String,
    },
}

/// Decides about conflicts.
///
/// Called from one thread at a time; may ask a person and wait.
pub trait ConflictResolver: std::fmt::Debug + Send + Sync {
    /// Decides about one conflict.
    fn resolve(&self, conflict: &RestoreConflict<'_>) -> Resolution;
}
