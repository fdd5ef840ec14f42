//! Remembers nodes of trees below which there is nothing to find, so that trees that share them are not read again.

use std::collections::HashSet;

use crate::id::BlobId;

/// Nodes that are remembered at most: enough for a hundred million entries, in some ten MiB.
const MAX_REMEMBERED: usize = 1 << 18;

/// Nodes whose entries are all of no interest, and the nodes that are open in the walk at hand.
#[derive(Debug, Default)]
pub(super) struct DullNodes {
    dull: HashSet<BlobId>,
    open: Vec<OpenNode>,
}

/// A node whose entries are being gone through.
#[derive(Debug)]
struct OpenNode {
    level: u8,
    id: BlobId,
    is_dull: bool,
}

impl DullNodes {
    /// The walk stands before a node. Returns whether there is anything to find below it, as far as is known.
    pub(super) fn arrive(&mut self, level: u8, id: &BlobId) -> bool {
        self.close_up_to(level);
        !self.dull.contains(id)
    }

    /// The node was opened: what comes next lies below it.
    pub(super) fn open(&mut self, level: u8, id: BlobId) {
        self.open.push(OpenNode { level, id, is_dull: true });
    }

    /// Something was found, or could not be read, at the place where the walk is.
    pub(super) fn found(&mut self) {
        self.open.iter_mut().for_each(|node| node.is_dull = false);
    }

    /// The walk came to its end.
    pub(super) fn finish(&mut self) {
        self.close_up_to(u8::MAX);
    }

    /// The walk ends here, before its end: nothing is known of the nodes that are open.
    pub(super) fn abandon(&mut self) {
        self.open.clear();
    }

    fn close_up_to(&mut self, level: u8) {
        while let Some(node) = self.open.pop_if(|node| node.level <= level) {
            if node.is_dull && self.dull.len() < MAX_REMEMBERED {
                self.dull.insert(node.id);
            }
        }
    }
}
