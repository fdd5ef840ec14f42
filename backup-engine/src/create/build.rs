//! Puts what workers finished in order and builds the tree from it.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError};

use super::checkpoint::{Checkpoints, Parts};
use super::counters::Tally;
use super::upkeep::{TICK, Upkeep};
use super::worker::Done;
use crate::error::RepositoryError;
use crate::format::tree::{Content, TreeEntry};
use crate::tree::writer::store_chunk_list;

/// What the tree holds in the end.
#[derive(Debug, Default)]
pub(super) struct Built {
    pub(super) tally: Tally,
    /// Whether it is only the beginning of the listing, because somebody cancelled.
    pub(super) cut_short: bool,
}

/// Puts finished batches in order and their entries into the tree, until there are no more.
pub(super) fn build_tree(
    received: &Receiver<Done>,
    mut parts: Parts<'_, '_>,
    mut checkpoints: Checkpoints,
    upkeep: &mut Upkeep<'_, '_>,
) -> Result<Built, RepositoryError> {
    let mut built = Built::default();
    let mut waiting: BTreeMap<u64, Done> = BTreeMap::new();
    let mut next = 0;
    loop {
        match received.recv_timeout(TICK) {
            Ok(done) => {
                waiting.insert(done.serial, done);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        while let Some(done) = waiting.remove(&next) {
            next += 1;
            if !built.cut_short {
                for mut item in done.entries {
                    store_long_list(&mut item, &mut parts)?;
                    built.tally.count(item.entry.kind);
                    upkeep.counters.stored();
                    parts.tree.push(&item, parts.sink)?;
                }
            }
            // Nothing after a batch that was cut short may enter the tree: a tree is a beginning of the listing.
            built.cut_short |= done.cut_short;
            parts.queue.emitted(next);
        }
        checkpoints.advance(upkeep.clock.monotonic(), &mut parts, upkeep.session)?;
        upkeep.tick()?;
    }
    upkeep.all_is_read();
    Ok(built)
}

/// A list too long for a leaf goes into blobs of its own.
fn store_long_list(item: &mut TreeEntry, parts: &mut Parts<'_, '_>) -> Result<(), RepositoryError> {
    if let Content::List { list, .. } = &mut item.content
        && list.form == 1
    {
        *list = store_chunk_list(std::mem::take(&mut list.chunks), parts.sink)?;
    }
    Ok(())
}
