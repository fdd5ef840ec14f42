//! Restoring a whole source, by the protocol that the engine keeps.

use std::collections::BTreeMap;

use backup_core::{Entry, EntryError, EntryKind, EntryPath, RestoreTarget};

use super::capture::Captured;

/// Restores everything; `Err` with what was refused first.
pub(super) fn put_back(captured: &Captured, target: &dyn RestoreTarget) -> Result<(), String> {
    entries(captured, target).map_err(|error| error.to_string())?;
    target.finish().map_err(|error| error.to_string())
}

fn entries(captured: &Captured, target: &dyn RestoreTarget) -> Result<(), EntryError> {
    let mut open: Vec<&Entry> = Vec::new();
    let mut linked: BTreeMap<(u64, u64), &EntryPath> = BTreeMap::new();
    for entry in &captured.entries {
        while let Some(last) = open.pop_if(|last| !entry.path.is_within(&last.path)) {
            target.finish_directory(last)?;
        }
        let first = (entry.links > 1 && entry.kind != EntryKind::Directory)
            .then(|| *linked.entry((entry.device, entry.inode)).or_insert(&entry.path));
        match (entry.kind, first) {
            (_, Some(first)) if *first != entry.path => target.create_hard_link(entry, first)?,
            (EntryKind::Directory, _) => {
                target.create_directory(entry)?;
                open.push(entry);
            }
            (EntryKind::File, _) => {
                let writer = target.create_file(entry)?;
                for (offset, bytes) in captured.stretches(entry) {
                    let written = writer.write_at(offset, bytes);
                    written.map_err(|error| EntryError::io(&entry.path, "cannot write", &error))?;
                }
                writer.commit(entry)?;
            }
            _ => target.create_special(entry)?,
        }
    }
    open.into_iter().rev().try_for_each(|last| target.finish_directory(last))
}

/// What a file of the target holds now.
pub(super) fn read_back(target: &dyn RestoreTarget, entry: &Entry) -> Result<Vec<u8>, String> {
    let file = target.open_existing(&entry.path).map_err(|error| error.to_string())?;
    // A byte more, to see that it ends there.
    let mut bytes = vec![0; usize::try_from(entry.size_bytes).unwrap_or(0) + 1];
    let mut len = 0;
    while len < bytes.len() {
        match file.read_at(len as u64, &mut bytes[len..]).map_err(|error| error.to_string())? {
            0 => break,
            more => len += more,
        }
    }
    bytes.truncate(len);
    Ok(bytes)
}
