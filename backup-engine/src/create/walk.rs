//! Lists the source, compares it with its parents and cuts the listing into batches.

use std::sync::Arc;

use backup_core::{CancelToken, EntryKind, SourceView};

use super::counters::Counters;
use super::parent::{Parents, Verdict};
use super::queue::{Item, Queue};
use crate::pack::reader::BlobReader;

/// A batch ends once its files have so many bytes: about a block of content.
const BATCH_BYTES: u64 = 1 << 20;

/// A batch ends once it has so many entries: they are held in memory while it waits.
const BATCH_ENTRIES: usize = 1024;

/// Goes over the whole source; ends when everything is queued, or when somebody stops it.
pub(super) fn walk(
    view: &dyn SourceView,
    mut parents: Parents,
    reader: &Arc<BlobReader>,
    queue: &Queue,
    counters: &Counters,
    cancel: &CancelToken,
) {
    let mut batch = Vec::new();
    let mut batch_bytes = 0u64;
    let mut last = None;
    for entry in view.entries() {
        if cancel.is_cancelled() {
            break;
        }
        let entry = match entry {
            Ok(entry) => entry,
            Err(problem) => {
                counters.problem(problem);
                continue;
            }
        };
        // The tree's order is part of the format; a source that breaks it must not break the repository.
        if last.as_ref().is_some_and(|last| *last >= entry.path) {
            counters.problem(backup_core::EntryError::other(
                &entry.path,
                "cannot store",
                "the source lists it out of order",
            ));
            continue;
        }
        last = Some(entry.path.clone());
        let is_file = entry.kind == EntryKind::File;
        let item = match parents.compare(&entry, reader) {
            Verdict::Unchanged(item) => {
                if is_file {
                    counters.unchanged(&item.entry);
                }
                Item::Ready(item)
            }
            verdict => {
                if is_file {
                    batch_bytes += entry.size_bytes;
                    Item::Read { entry, is_new: matches!(verdict, Verdict::New) }
                } else {
                    Item::Load(entry)
                }
            }
        };
        batch.push(item);
        if batch_bytes >= BATCH_BYTES || batch.len() >= BATCH_ENTRIES {
            batch_bytes = 0;
            if !queue.push(std::mem::take(&mut batch)) {
                break;
            }
        }
    }
    if !batch.is_empty() && !cancel.is_cancelled() {
        queue.push(batch);
    }
    queue.close();
}
