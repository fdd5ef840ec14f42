//! Blobs become blocks: compressed, sealed, and verified before anybody relies on them.

use bytes::Bytes;

use super::writer::{PackWriter, Reservation};
use crate::compress::{Compressor, Decompressor, MAX_KEPT_BYTES};
use crate::crypto::BlobHasher;
use crate::crypto::two_lane::{Digest, LANES, digest_all};
use crate::error::RepositoryError;
use crate::format::BlobType;
use crate::format::envelope::{Envelope, FRAME_PREFIX_BYTES, FramePrefix, FrameRole};
use crate::format::pack::{BlobEntry, Block, put_block};
use crate::id::BlobId;

/// Collects blobs until they fill a block.
#[derive(Debug, Default)]
pub struct BlockBuffer {
    /// Keeps its length between blocks, so that its memory is cleared once and not for every blob.
    buffer: Vec<u8>,
    used: usize,
    lengths: Vec<u32>,
    ids: Vec<(BlobType, BlobId)>,
}

impl BlockBuffer {
    /// Room for the next blob, at least `len` bytes; what it holds is undefined until it is written.
    pub fn spare(&mut self, len: usize) -> &mut [u8] {
        if self.buffer.len() < self.used + len {
            self.buffer.resize(self.used + len, 0);
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

    /// How many bytes the blobs have together.
    pub fn bytes(&self) -> usize {
        self.used
    }

    /// How many blobs there are.
    pub fn blobs(&self) -> usize {
        self.ids.len()
    }

    fn clear(&mut self) {
        self.used = 0;
        self.lengths.clear();
        self.ids.clear();
    }
}

/// Compresses, seals and verifies blocks; one for each thread.
pub struct BlockSealer {
    hasher: BlobHasher,
    compressor: Compressor,
    decompressor: Decompressor,
    reopened: Vec<u8>,
    /// The blocks as they come back from what will be stored: as many as are sealed at a time, and hashed together.
    verified: [Block; LANES],
    digests: Vec<Digest>,
}

/// What becomes one block.
struct RawBlock<'a> {
    lengths: &'a [u32],
    ids: &'a [(BlobType, BlobId)],
    raw: &'a [u8],
}

/// A block in the form in which it will be stored.
struct SealedBlock<'a> {
    reservation: Reservation<'a>,
    bytes: Bytes,
}

impl BlockSealer {
    /// A sealer with its own tables.
    pub fn new(hasher: BlobHasher, level: i32) -> Self {
        Self {
            hasher,
            compressor: Compressor::new(level),
            decompressor: Decompressor::new(),
            reopened: Vec::new(),
            verified: Default::default(),
            digests: Vec::new(),
        }
    }

    /// Seals what a buffer holds into a pack and empties the buffer; does nothing when it holds nothing.
    pub fn seal_buffer(&mut self, buffer: &mut BlockBuffer, writer: &PackWriter) -> Result<(), RepositoryError> {
        if buffer.ids.is_empty() {
            return Ok(());
        }
        let block = RawBlock { lengths: &buffer.lengths, ids: &buffer.ids, raw: &buffer.buffer[..buffer.used] };
        self.seal(&[block], writer)?;
        buffer.clear();
        Ok(())
    }

    /// Seals large blobs, each as a block of its own, in their order.
    pub fn seal_chunks(
        &mut self,
        blob_type: BlobType,
        chunks: &[(BlobId, Vec<u8>)],
        writer: &PackWriter,
    ) -> Result<(), RepositoryError> {
        let len = |raw: &[u8]| [u32::try_from(raw.len()).expect("a chunk is far smaller than 4 GiB")];
        for chunks in chunks.chunks(LANES) {
            let of_each: Vec<_> = chunks.iter().map(|(id, raw)| (len(raw), [(blob_type, *id)], raw)).collect();
            let blocks: Vec<_> = of_each.iter().map(|(lengths, ids, raw)| RawBlock { lengths, ids, raw }).collect();
            self.seal(&blocks, writer)?;
        }
        Ok(())
    }

    fn seal(&mut self, blocks: &[RawBlock<'_>], writer: &PackWriter) -> Result<(), RepositoryError> {
        let mut frames = Vec::with_capacity(blocks.len());
        for RawBlock { lengths, raw, .. } in blocks {
            let mut frame = Vec::new();
            Envelope::begin_frame(&mut frame);
            put_block(&mut self.compressor, lengths, raw, &mut frame);
            frames.push(frame);
        }
        let reservations = writer.reserve(blocks.len())?;
        let mut sealed = Vec::with_capacity(blocks.len());
        for (reservation, mut frame) in reservations.into_iter().zip(frames) {
            reservation.envelope.seal_frame(FrameRole::Block, reservation.ordinal, &mut frame, 0);
            sealed.push(SealedBlock { reservation, bytes: frame.into() });
        }
        self.verify(blocks, &sealed)?;
        for (RawBlock { lengths, ids, .. }, SealedBlock { reservation, bytes }) in blocks.iter().zip(sealed) {
            let blobs = lengths.iter().zip(*ids);
            let blobs = blobs.map(|(&len_bytes, (_, id))| BlobEntry { prefix: id.prefix(), len_bytes }).collect();
            writer.deliver(reservation, bytes, blobs)?;
        }
        Ok(())
    }

    /// Opens, decompresses and hashes the very bytes that will be stored: what memory or codec spoilt must not become a backup.
    fn verify(&mut self, blocks: &[RawBlock<'_>], sealed: &[SealedBlock<'_>]) -> Result<(), RepositoryError> {
        let failed = |_| RepositoryError::FailedVerification;
        let verified = &mut self.verified[..blocks.len()];
        for (SealedBlock { reservation, bytes }, verified) in sealed.iter().zip(&mut *verified) {
            let prefix = FramePrefix::decode(bytes).map_err(failed)?;
            self.reopened.clear();
            self.reopened.extend_from_slice(&bytes[FRAME_PREFIX_BYTES..]);
            let plain = reservation.envelope.open_frame(prefix, &mut self.reopened).map_err(failed)?;
            verified.decode(&mut self.decompressor, plain).map_err(failed)?;
        }
        digest_all(verified.iter().flat_map(Block::blobs), &mut self.digests);
        let expected = blocks.iter().flat_map(|block| block.ids);
        let sound = verified.iter().zip(blocks).all(|(verified, block)| verified.len() == block.ids.len())
            && self
                .digests
                .iter()
                .zip(expected)
                .all(|(digest, (kind, id))| self.hasher.id_of_digest(*kind, digest) == *id);
        for memory in verified.iter_mut().map(|block| &mut block.raw).chain([&mut self.reopened]) {
            if memory.capacity() > MAX_KEPT_BYTES {
                *memory = Vec::new();
            }
        }
        if sound { Ok(()) } else { Err(RepositoryError::FailedVerification) }
    }

    /// How much memory it holds on to between blocks.
    #[cfg(test)]
    pub(super) fn kept_bytes(&self) -> usize {
        let verified: usize = self.verified.iter().map(|block| block.raw.capacity()).sum();
        verified + self.reopened.capacity() + self.compressor.kept_bytes()
    }
}
