//! Where tree nodes go.

use crate::crypto::BlobHasher;
use crate::error::RepositoryError;
use crate::format::BlobType;
use crate::id::BlobId;
use crate::index::KnownBlobs;
use crate::pack::seal::{BlockBuffer, BlockSealer};
use crate::pack::writer::PackWriter;
use crate::tree::writer::BlobSink;

/// Blocks of nodes and lists are smaller than those of content: one of them is asked for more often, and damage of it hurts more.
const TREE_BLOCK_BYTES: usize = 1 << 20;

/// Stores tree nodes and chunk lists, many small ones to a block; nodes over others in blocks of their own.
pub(super) struct TreeSink<'a> {
    known: &'a KnownBlobs<'a>,
    hasher: BlobHasher,
    writer: &'a PackWriter,
    sealer: BlockSealer,
    leaves: BlockBuffer,
    inner: BlockBuffer,
}

impl<'a> TreeSink<'a> {
    pub(super) fn new(known: &'a KnownBlobs<'a>, hasher: BlobHasher, writer: &'a PackWriter, level: i32) -> Self {
        let sealer = BlockSealer::new(hasher.clone(), level);
        Self {
            known,
            hasher,
            writer,
            sealer,
            leaves: BlockBuffer::new(TREE_BLOCK_BYTES),
            inner: BlockBuffer::new(TREE_BLOCK_BYTES),
        }
    }

    /// Seals what has been collected.
    pub(super) fn flush(&mut self) -> Result<(), RepositoryError> {
        self.sealer.seal(&mut self.leaves, self.writer)?;
        self.sealer.seal(&mut self.inner, self.writer)
    }

    fn add(&mut self, blob_type: BlobType, plaintext: &[u8], is_inner: bool) -> Result<BlobId, RepositoryError> {
        let id = self.hasher.id(blob_type, plaintext);
        if self.known.claim(&id) {
            let buffer = if is_inner { &mut self.inner } else { &mut self.leaves };
            if !buffer.has_room_for(plaintext.len()) {
                self.sealer.seal(buffer, self.writer)?;
            }
            buffer.push(blob_type, id, plaintext);
            if buffer.is_full() {
                self.sealer.seal(buffer, self.writer)?;
            }
        }
        Ok(id)
    }
}

impl BlobSink for TreeSink<'_> {
    fn store(&mut self, blob_type: BlobType, plaintext: &[u8]) -> Result<BlobId, RepositoryError> {
        self.add(blob_type, plaintext, false)
    }

    fn store_inner(&mut self, plaintext: &[u8]) -> Result<BlobId, RepositoryError> {
        self.add(BlobType::Tree, plaintext, true)
    }
}
