//! Where tree nodes go.

use crate::crypto::BlobHasher;
use crate::error::RepositoryError;
use crate::format::BlobType;
use crate::format::pack::MAX_BLOCK_BYTES;
use crate::id::BlobId;
use crate::index::KnownBlobs;
use crate::pack::seal::{BlockBuffer, BlockSealer};
use crate::pack::writer::PackWriter;
use crate::tree::writer::BlobSink;

/// A block of small blobs is sealed once it has so many bytes.
pub(super) const BLOCK_TARGET_BYTES: usize = 1 << 20;

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
        Self { known, hasher, writer, sealer, leaves: BlockBuffer::default(), inner: BlockBuffer::default() }
    }

    /// Seals what has been collected.
    pub(super) fn flush(&mut self) -> Result<(), RepositoryError> {
        self.sealer.seal_buffer(&mut self.leaves, self.writer)?;
        self.sealer.seal_buffer(&mut self.inner, self.writer)
    }

    fn add(&mut self, blob_type: BlobType, plaintext: &[u8], is_inner: bool) -> Result<BlobId, RepositoryError> {
        let id = self.hasher.id(blob_type, plaintext);
        if self.known.claim(&id) {
            let buffer = if is_inner { &mut self.inner } else { &mut self.leaves };
            if buffer.bytes() + plaintext.len() > MAX_BLOCK_BYTES {
                self.sealer.seal_buffer(buffer, self.writer)?;
            }
            buffer.push(blob_type, id, plaintext);
            if buffer.bytes() >= BLOCK_TARGET_BYTES {
                self.sealer.seal_buffer(buffer, self.writer)?;
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
