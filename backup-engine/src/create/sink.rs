//! Which blobs this run has, and where tree nodes go.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Mutex, PoisonError};

use crate::crypto::BlobHasher;
use crate::error::RepositoryError;
use crate::format::BlobType;
use crate::format::pack::MAX_BLOCK_BYTES;
use crate::id::{BlobId, BlobPrefix};
use crate::index::BlobIndex;
use crate::pack::writer::{BlockBuffer, BlockSealer, PackWriter};
use crate::tree::writer::BlobSink;

/// A block of small blobs is sealed once it has so many bytes.
pub(super) const BLOCK_TARGET_BYTES: usize = 1 << 20;

/// Blobs stored by this run, beside those the index had when it began.
///
/// The first thread to claim a blob stores it; the others rely on it, because the run fails as a whole if storing it fails.
#[derive(Debug)]
pub(super) struct KnownBlobs<'a> {
    index: &'a BlobIndex,
    fresh: Mutex<HashSet<BlobPrefix, BuildHasherDefault<PrefixHasher>>>,
}

/// Takes eight bytes of a prefix as they are: keyed hashes need no further mixing.
#[derive(Debug, Default)]
pub(super) struct PrefixHasher(u64);

impl Hasher for PrefixHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk::<8>() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    fn write_usize(&mut self, _length: usize) {}
}

impl<'a> KnownBlobs<'a> {
    pub(super) fn new(index: &'a BlobIndex) -> Self {
        Self { index, fresh: Mutex::default() }
    }

    /// Whether the caller has to store the blob.
    pub(super) fn claim(&self, id: &BlobId) -> bool {
        !self.index.contains(id) && self.fresh.lock().unwrap_or_else(PoisonError::into_inner).insert(id.prefix())
    }
}

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
