//! The standard resolvers.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{ConflictResolver, Resolution, RestoreConflict, Suffix};

/// Leaves what is there.
///
/// ```
/// use backup_core::conflict::{ConflictResolver, KeepLocal, Resolution, RestoreConflict};
/// use backup_core::{Entry, EntryKind, EntryPath};
///
/// let entry = Entry::new(EntryPath::new(b"notes.txt".as_slice())?, EntryKind::File);
/// let conflict = RestoreConflict { backup: &entry, local: &entry };
/// assert_eq!(KeepLocal {}.resolve(&conflict), Resolution::KeepLocal);
/// # Ok::<(), backup_core::InvalidPath>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeepLocal {}

/// Replaces what is there by what the backup has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeepBackup {}

/// Leaves what is there and restores the backup's beside it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeepBoth {
    /// What is appended to the restored name; `.from-backup` unless given.
    #[serde(default)]
    pub suffix: Suffix,
}

/// Keeps whichever was modified last.
///
/// Compares the modification times to the nanosecond. When they are equal, what is there stays: the times then don't say
/// that the backup is newer, and leaving it changes nothing. The times are what the file system and the snapshot hold; a
/// clock that was wrong makes the answer wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Newest {}

/// Asks a function, which may ask a person and wait.
///
/// ```
/// use backup_core::conflict::{Ask, ConflictResolver, Resolution, RestoreConflict};
/// use backup_core::{Entry, EntryKind, EntryPath};
///
/// let ask = Ask::new(|conflict| {
///     if conflict.local.size_bytes == 0 { Resolution::KeepBackup } else { Resolution::KeepLocal }
/// });
/// let entry = Entry::new(EntryPath::new(b"notes.txt".as_slice())?, EntryKind::File);
/// let conflict = RestoreConflict { backup: &entry, local: &entry };
/// assert_eq!(ask.resolve(&conflict), Resolution::KeepBackup);
/// # Ok::<(), backup_core::InvalidPath>(())
/// ```
pub struct Ask<F>(F);

impl<F: Fn(&RestoreConflict<'_>) -> Resolution + Send + Sync> Ask<F> {
    /// A resolver that passes every conflict to `ask`.
    pub fn new(ask: F) -> Self {
        Self(ask)
    }
}

impl<F> fmt::Debug for Ask<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ask(..)")
    }
}

impl ConflictResolver for KeepLocal {
    fn resolve(&self, _: &RestoreConflict<'_>) -> Resolution {
        Resolution::KeepLocal
    }
}

impl ConflictResolver for KeepBackup {
    fn resolve(&self, _: &RestoreConflict<'_>) -> Resolution {
        Resolution::KeepBackup
    }
}

impl ConflictResolver for KeepBoth {
    fn resolve(&self, _: &RestoreConflict<'_>) -> Resolution {
        Resolution::KeepBoth { suffix: self.suffix.clone() }
    }
}

impl ConflictResolver for Newest {
    fn resolve(&self, conflict: &RestoreConflict<'_>) -> Resolution {
        if conflict.backup.modified > conflict.local.modified { Resolution::KeepBackup } else { Resolution::KeepLocal }
    }
}

impl<F: Fn(&RestoreConflict<'_>) -> Resolution + Send + Sync> ConflictResolver for Ask<F> {
    fn resolve(&self, conflict: &RestoreConflict<'_>) -> Resolution {
        (self.0)(conflict)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::clock::Timestamp;
    use crate::entry::{Entry, EntryKind, EntryPath};

    fn entry(modified: (i64, u32)) -> Entry {
        let mut entry = Entry::new(EntryPath::new(b"a/b".as_slice()).unwrap(), EntryKind::File);
        entry.modified = Timestamp::new(modified.0, modified.1).unwrap();
        entry
    }

    fn resolve(resolver: &dyn ConflictResolver, backup: (i64, u32), local: (i64, u32)) -> Resolution {
        resolver.resolve(&RestoreConflict { backup: &entry(backup), local: &entry(local) })
    }

    #[test]
    fn fixed_resolvers_answer_the_same_whatever_the_times() {
        let suffix = Suffix::new("~").unwrap();
        for times in [((0, 0), (1, 0)), ((1, 0), (0, 0)), ((1, 0), (1, 0))] {
            assert_eq!(resolve(&KeepLocal {}, times.0, times.1), Resolution::KeepLocal);
            assert_eq!(resolve(&KeepBackup {}, times.0, times.1), Resolution::KeepBackup);
            let both = KeepBoth { suffix: suffix.clone() };
            assert_eq!(resolve(&both, times.0, times.1), Resolution::KeepBoth { suffix: suffix.clone() });
        }
    }

    #[test]
    fn newest_compares_to_the_nanosecond_and_leaves_what_is_there_on_a_tie() {
        assert_eq!(resolve(&Newest {}, (5, 2), (5, 1)), Resolution::KeepBackup);
        assert_eq!(resolve(&Newest {}, (5, 1), (5, 2)), Resolution::KeepLocal);
        assert_eq!(resolve(&Newest {}, (5, 1), (5, 1)), Resolution::KeepLocal);
        assert_eq!(resolve(&Newest {}, (-5, 0), (-6, 999_999_999)), Resolution::KeepBackup);
        assert_eq!(resolve(&Newest {}, (i64::MIN, 0), (i64::MAX, 0)), Resolution::KeepLocal);
    }

    #[test]
    fn ask_passes_each_conflict_on_and_returns_the_answer() {
        let asked = Mutex::new(Vec::new());
        let ask = Ask::new(|conflict: &RestoreConflict<'_>| {
            asked.lock().unwrap().push((conflict.backup.modified.secs(), conflict.local.modified.secs()));
            Resolution::KeepBoth { suffix: Suffix::default() }
        });
        assert_eq!(resolve(&ask, (1, 0), (2, 0)), Resolution::KeepBoth { suffix: Suffix::default() });
        assert_eq!(resolve(&ask, (3, 0), (4, 0)), Resolution::KeepBoth { suffix: Suffix::default() });
        assert_eq!(*asked.lock().unwrap(), [(1, 2), (3, 4)]);
    }
}
