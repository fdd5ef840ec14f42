//! What happens to an entry given what stands in its place.

use backup_core::{
    ConflictResolver, Entry, EntryError, EntryKind, EntryPath, Resolution, RestoreConflict, RestoreTarget,
};

use super::ConflictOutcome;
use super::outcome::Outcome;

/// What is to be done with an entry.
#[derive(Debug)]
pub(super) enum Decision {
    /// Write it; nothing is in its place, or what is there goes.
    Write {
        /// Under which path.
        path: EntryPath,
        /// The regular file that stands there now, if one does.
        replaces: Option<Box<Entry>>,
        /// Whether a directory stands there, which goes once there is something to put in its place.
        clears: bool,
    },
    /// It is there as it should be; its metadata may not be.
    Unchanged {
        /// What is there.
        local: Box<Entry>,
    },
    /// Leave what is there.
    Skip,
}

/// How many names are tried beside a taken one.
const MAX_NAMES: u32 = 1000;

/// Decides by looking at what is there and, where it differs, asking the resolver.
pub(super) fn decide(
    entry: &Entry,
    target: &dyn RestoreTarget,
    resolver: &dyn ConflictResolver,
    outcome: &Outcome,
    dry_run: bool,
) -> Result<Decision, EntryError> {
    let Some(local) = target.inspect(&entry.path)? else {
        return Ok(Decision::Write { path: entry.path.clone(), replaces: None, clears: false });
    };
    if looks_same(entry, &local) {
        return Ok(Decision::Unchanged { local: Box::new(local) });
    }
    resolve(entry, local, target, resolver, outcome, dry_run)
}

/// Asks the resolver about an entry that is there and differs.
pub(super) fn resolve(
    entry: &Entry,
    local: Entry,
    target: &dyn RestoreTarget,
    resolver: &dyn ConflictResolver,
    outcome: &Outcome,
    dry_run: bool,
) -> Result<Decision, EntryError> {
    let resolution = resolver.resolve(&RestoreConflict { backup: entry, local: &local });
    let told = |beside| {
        outcome.conflict(ConflictOutcome { path: entry.path.clone(), resolution: resolution.clone(), beside });
    };
    match &resolution {
        Resolution::KeepLocal => {
            told(None);
            Ok(Decision::Skip)
        }
        Resolution::KeepBackup => {
            told(None);
            // A rename replaces a file by a file; a directory in the way, or what is in a directory's way, must go.
            let (is_directory, wants_directory) =
                (local.kind == EntryKind::Directory, entry.kind == EntryKind::Directory);
            if wants_directory && !is_directory && !dry_run {
                target.remove(&entry.path)?;
            }
            let replaces = (local.kind == EntryKind::File).then(|| Box::new(local));
            Ok(Decision::Write { path: entry.path.clone(), replaces, clears: is_directory && !wants_directory })
        }
        Resolution::KeepBoth { suffix } => {
            let path = free_name(entry, suffix.as_str(), target)?;
            told(Some(path.clone()));
            outcome.kept_both();
            Ok(Decision::Write { path, replaces: None, clears: false })
        }
    }
}

/// Whether an entry need not be written again, going by its kind and what identifies its state.
pub(super) fn looks_same(entry: &Entry, local: &Entry) -> bool {
    entry.kind == local.kind
        && match entry.kind {
            EntryKind::File => entry.size_bytes == local.size_bytes && entry.modified == local.modified,
            EntryKind::Symlink => entry.link_target == local.link_target,
            EntryKind::CharDevice | EntryKind::BlockDevice => entry.device_number == local.device_number,
            EntryKind::Directory | EntryKind::Fifo | EntryKind::Socket => true,
        }
}

fn free_name(entry: &Entry, suffix: &str, target: &dyn RestoreTarget) -> Result<EntryPath, EntryError> {
    let refused = |cause: &str| EntryError::other(&entry.path, "cannot restore beside", cause);
    for number in 1..=MAX_NAMES {
        let mut bytes = entry.path.as_bytes().to_vec();
        bytes.extend_from_slice(suffix.as_bytes());
        if number > 1 {
            bytes.extend_from_slice(format!("-{number}").as_bytes());
        }
        let path = EntryPath::new(bytes).map_err(|_| refused("the suffix makes no valid name"))?;
        if path.components().count() != entry.path.components().count() {
            return Err(refused("the suffix makes no valid name"));
        }
        if target.inspect(&path)?.is_none() {
            return Ok(path);
        }
    }
    Err(refused("every name beside it is taken"))
}
