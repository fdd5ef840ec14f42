//! Blobs become blocks: compressed, sealed, and verified before anybody relies on them.

use super::writer::{PackWriter, Reservation};
use crate::compress::{Compressor, Decompressor, MAX_KEPT_BYTES};
use crate::crypto::BlobHasher;
use crate::crypto::two_lane::{Digest, digest_all};
use crate::error::RepositoryError;
use crate::format::BlobType;
use crate::format::envelope::{Envelope, FRAME_PREFIX_BYTES, FramePrefix, FrameRole};
use crate::format::pack::{BlobEntry, Block, MAX_BLOCK_BLOBS, put_block};
use crate::id::BlobId;

/// Collects blobs until they fill a block.
///
/// What stands near each other compresses together, and better the more there is of it. But who wants one blob has to fetch and
/// decompress the whole block, and damage costs all of it (decision 0011).
#[derive(Debug)]
pub struct BlockBuffer {
    max_bytes: usize,
    /// Keeps its length between blocks, so that its memory is cleared once and not for every blob.
    buffer: Vec<u8>,
    used: usize,
    lengths: Vec<u32>,
    ids: Vec<(BlobType, BlobId)>,
}

impl BlockBuffer {
    /// An empty buffer for blocks of at most so many bytes, and for longer blobs one by one.
    pub fn new(max_bytes: usize) -> Self {
        Self { max_bytes, buffer: Vec::new(), used: 0, lengths: Vec::new(), ids: Vec::new() }
    }

    /// Room for the next blob, at least `len` bytes; what it holds is undefined until it is written.
    pub fn spare(&mut self, len: usize) -> &mut [u8] {
        let needed = self.used + len;
        if self.buffer.is_empty() {
            // All at once: pages that nobody writes to cost nothing.
            self.buffer = vec![0; needed.max(self.max_bytes)];
        } else if self.buffer.len() < needed {
            self.buffer.reserve_exact(needed - self.buffer.len());
            self.buffer.resize(needed, 0);
        }
        &mut self.buffer[self.used..]
    }

    /// Takes the first `len` bytes of the spare room as a blob.
    pub fn commit(&mut self, blob_type: BlobType, id: BlobId, len: usize) {
        self.used += len;
        self.lengths.push(u32::try_from(len).expect("a blob is far smaller than 4 GiB"));
        self.ids.push((blob_type, id));
    }

    /// Appends a blob.
    pub fn push(&mut self, blob_type: BlobType, id: BlobId, bytes: &[u8]) {
        self.spare(bytes.len())[..bytes.len()].copy_from_slice(bytes);
        self.commit(blob_type, id, bytes.len());
    }

    /// Whether it is time to seal it: hardly a chunk fits what is left.
    pub fn is_full(&self) -> bool {
        self.used >= self.max_bytes - self.max_bytes / 8 || self.ids.len() >= MAX_BLOCK_BLOBS
    }

    /// Whether a blob of so many bytes belongs into this block.
    pub fn has_room_for(&self, len: usize) -> bool {
        self.ids.is_empty() || self.used + len <= self.max_bytes
    }

    /// How many bytes the blobs have together.
    pub fn bytes(&self) -> usize {
        self.used
    }

    fn clear(&mut self) {
        self.used = 0;
        self.lengths.clear();
        self.ids.clear();
        if self.buffer.len() > MAX_KEPT_BYTES {
            self.buffer = Vec::new();
        }
    }
}

/// Compresses, seals and verifies blocks; one for each thread.
pub struct BlockSealer {
    hasher: BlobHasher,
    compressor: Compressor,
    decompressor: Decompressor,
    reopened: Vec<u8>,
    /// The block as it comes back from what will be stored.
    verified: Block,
    digests: Vec<Digest>,
}

impl BlockSealer {
    /// A sealer with its own tables.
    pub fn new(hasher: BlobHasher, level: i32) -> Self {
        Self {
            hasher,
            compressor: Compressor::new(level),
            decompressor: Decompressor::new(),
            reopened: Vec::new(),
            verified: Block::default(),
            digests: Vec::new(),
        }
    }

    /// Seals what a buffer holds into a pack and empties the buffer; does nothing when it holds nothing.
    pub fn seal(&mut self, block: &mut BlockBuffer, writer: &PackWriter) -> Result<(), RepositoryError> {
        if block.ids.is_empty() {
            return Ok(());
        }
        let mut frame = Vec::new();
        Envelope::begin_frame(&mut frame);
        put_block(&mut self.compressor, &block.lengths, &block.buffer[..block.used], &mut frame);
        let reservation = writer.reserve()?;
        reservation.envelope.seal_frame(FrameRole::Block, reservation.ordinal, &mut frame, 0);
        self.verify(block, &reservation, &frame)?;
        let blobs = block.lengths.iter().zip(&block.ids);
        let blobs = blobs.map(|(&len_bytes, (_, id))| BlobEntry { prefix: id.prefix(), len_bytes }).collect();
        writer.deliver(reservation, frame.into(), blobs)?;
        block.clear();
        Ok(())
    }

    /// Opens, decompresses and hashes the very bytes that will be stored: what memory or codec spoilt must not become a backup.
    fn verify(
        &mut self,
        block: &BlockBuffer,
        reservation: &Reservation<'_>,
        frame: &[u8],
    ) -> Result<(), RepositoryError> {
        let failed = |_| RepositoryError::FailedVerification;
        let prefix = FramePrefix::decode(frame).map_err(failed)?;
        self.reopened.clear();
        self.reopened.extend_from_slice(&frame[FRAME_PREFIX_BYTES..]);
        let plain = reservation.envelope.open_frame(prefix, &mut self.reopened).map_err(failed)?;
        self.verified.decode(&mut self.decompressor, plain).map_err(failed)?;
        digest_all(self.verified.blobs(), &mut self.digests);
        let is = |digest, &(kind, id): &(BlobType, BlobId)| self.hasher.id_of_digest(kind, digest) == id;
        let is_sound = self.verified.len() == block.ids.len()
            && self.digests.iter().zip(&block.ids).all(|(digest, expected)| is(digest, expected));
        for memory in [&mut self.verified.raw, &mut self.reopened] {
            if memory.capacity() > MAX_KEPT_BYTES {
                *memory = Vec::new();
            }
        }
        if is_sound { Ok(()) } else { Err(RepositoryError::FailedVerification) }
    }

    /// How much memory it holds on to between blocks.
    #[cfg(test)]
    pub(super) fn kept_bytes(&self) -> usize {
        self.verified.raw.capacity() + self.reopened.capacity()
    }
}
