//! Where tree nodes go.

use crate::crypto::BlobHasher;
use crate::error::RepositoryError;
use crate::format::BlobType;
use crate::format::pack::MAX_BLOCK_BYTES;
use crate::id::BlobId;
use crate::index::KnownBlobs;
use crate::pack::writer::{BlockBuffer, BlockSealer, PackWriter};
use crate::tree::writer::BlobSink;

/// A block of small blobs is sealed once it has so many bytes.
pub(super) const BLOCK_TARGET_BYTES: usize = 1 << 20;

/// Stores tree nodes and chunk lists, many small ones to a block.
pub(super) struct TreeSink<'a> {
    known: &'a KnownBlobs<'a>,
    hasher: BlobHasher,
    writer: &'a PackWriter,
    sealer: BlockSealer,
    buffer: BlockBuffer,
}

impl<'a> TreeSink<'a> {
    pub(super) fn new(known: &'a KnownBlobs<'a>, hasher: BlobHasher, writer: &'a PackWriter, level: i32) -> Self {
        let sealer = BlockSealer::new(hasher.clone(), level);
        Self { known, hasher, writer, sealer, buffer: BlockBuffer::default() }
    }

    /// Seals what has been collected.
    pub(super) fn flush(&mut self) -> Result<(), RepositoryError> {
        self.sealer.seal_buffer(&mut self.buffer, self.writer)
    }
}

impl BlobSink for TreeSink<'_> {
    fn store(&mut self, blob_type: BlobType, plaintext: &[u8]) -> Result<BlobId, RepositoryError> {
        let id = self.hasher.id(blob_type, plaintext);
        if self.known.claim(&id) {
            if self.buffer.bytes() + plaintext.len() > MAX_BLOCK_BYTES {
                self.flush()?;
            }
            self.buffer.push(blob_type, id, plaintext);
            if self.buffer.bytes() >= BLOCK_TARGET_BYTES {
                self.flush()?;
            }
        }
        Ok(id)
    }
}
