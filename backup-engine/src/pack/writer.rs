//! Assembles blocks that many threads seal into packs.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::upload::{FinishedPack, Uploader};
use crate::compress::{Compressor, DEFAULT_LEVEL, Decompressor};
use crate::crypto::{BlobHasher, Keyring};
use crate::error::RepositoryError;
use crate::format::envelope::{Envelope, FRAME_PREFIX_BYTES, FramePrefix, FrameRole, put_payload};
use crate::format::pack::{BlobEntry, Block, BlockEntry, PackTable, TRAILER_MAGIC, put_block};
use crate::format::{BlobType, ObjectKind};
use crate::id::{BlobId, PackId};

/// A pack never has more blocks, however well they compress: its table stays small.
const MAX_PACK_BLOCKS: usize = 16 * 1024;

/// Turns sealed blocks into packs and hands each finished pack to the uploader.
///
/// A thread that seals a block takes the key and an ordinal of the open pack, works without the lock and delivers the block
/// after; so blocks of one pack are compressed by many threads at once.
#[derive(Debug)]
pub struct PackWriter {
    kind: ObjectKind,
    keyring: Arc<Keyring>,
    target_bytes: usize,
    uploader: Arc<Uploader>,
    packs: Mutex<OpenPacks>,
}

#[derive(Debug, Default)]
struct OpenPacks {
    /// The last one takes new blocks; the ones before wait for blocks that are being sealed.
    open: Vec<OpenPack>,
    /// Those that are no longer open and not yet with the uploader, which may keep them waiting.
    leaving: BTreeSet<u64>,
    next_serial: u64,
}

#[derive(Debug)]
struct OpenPack {
    serial: u64,
    envelope: Arc<Envelope>,
    next_ordinal: u32,
    being_sealed: usize,
    frame_bytes: usize,
    closed: bool,
    frames: Vec<Frame>,
}

#[derive(Debug)]
struct Frame {
    ordinal: u32,
    bytes: Bytes,
    blobs: Vec<BlobEntry>,
}

/// The right to seal one block.
#[derive(Debug)]
struct Reservation {
    serial: u64,
    envelope: Arc<Envelope>,
    ordinal: u32,
}

impl PackWriter {
    /// A writer of packs of a kind that are closed when they reach `target_bytes`.
    pub fn new(kind: ObjectKind, keyring: Arc<Keyring>, target_bytes: usize, uploader: Arc<Uploader>) -> Self {
        Self { kind, keyring, target_bytes, uploader, packs: Mutex::default() }
    }

    fn packs(&self) -> MutexGuard<'_, OpenPacks> {
        self.packs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reserve(&self) -> Reservation {
        let mut packs = self.packs();
        if packs.open.last().is_none_or(|pack| pack.closed) {
            let serial = packs.next_serial;
            packs.next_serial += 1;
            packs.open.push(OpenPack {
                serial,
                envelope: Arc::new(Envelope::create(&self.keyring, self.kind)),
                next_ordinal: 0,
                being_sealed: 0,
                frame_bytes: 0,
                closed: false,
                frames: Vec::new(),
            });
        }
        let pack = packs.open.last_mut().expect("one was just made if there was none");
        let ordinal = pack.next_ordinal;
        pack.next_ordinal += 1;
        pack.being_sealed += 1;
        Reservation { serial: pack.serial, envelope: Arc::clone(&pack.envelope), ordinal }
    }

    fn deliver(&self, reservation: &Reservation, bytes: Bytes, blobs: Vec<BlobEntry>) -> Result<(), RepositoryError> {
        let finished = {
            let mut packs = self.packs();
            let at = packs.open.iter().position(|pack| pack.serial == reservation.serial);
            let at = at.expect("a pack stays open while a block of it is being sealed");
            let pack = &mut packs.open[at];
            pack.being_sealed -= 1;
            pack.frame_bytes += bytes.len();
            pack.frames.push(Frame { ordinal: reservation.ordinal, bytes, blobs });
            pack.closed |= pack.frame_bytes >= self.target_bytes || pack.frames.len() >= MAX_PACK_BLOCKS;
            let is_finished = pack.closed && pack.being_sealed == 0;
            if is_finished {
                packs.leaving.insert(reservation.serial);
            }
            is_finished.then(|| packs.open.remove(at))
        };
        match finished {
            Some(pack) => self.hand_over(pack),
            None => Ok(()),
        }
    }

    /// Gives a pack to the uploader. One for which that fails is never said to be handed over.
    fn hand_over(&self, pack: OpenPack) -> Result<(), RepositoryError> {
        let serial = pack.serial;
        self.uploader.submit(self.finish(pack))?;
        self.packs().leaving.remove(&serial);
        Ok(())
    }

    /// Closes every open pack. One of which a block is just being sealed goes to the uploader when that block is delivered.
    ///
    /// Returns how many packs there were up to now, for [`has_handed_over`](Self::has_handed_over).
    pub fn close(&self) -> Result<u64, RepositoryError> {
        let (finished, count) = {
            let mut packs = self.packs();
            packs.open.iter_mut().for_each(|pack| pack.closed = true);
            let (waiting, finished): (Vec<_>, Vec<_>) =
                std::mem::take(&mut packs.open).into_iter().partition(|pack| pack.being_sealed > 0);
            packs.open = waiting;
            packs.leaving.extend(finished.iter().map(|pack| pack.serial));
            (finished, packs.next_serial)
        };
        for pack in finished {
            self.hand_over(pack)?;
        }
        Ok(count)
    }

    /// Whether the uploader has the packs that were begun first, so many of them.
    pub fn has_handed_over(&self, first: u64) -> bool {
        let packs = self.packs();
        let mut held = packs.open.iter().map(|pack| pack.serial).chain(packs.leaving.iter().copied());
        held.all(|serial| serial >= first)
    }

    fn finish(&self, pack: OpenPack) -> FinishedPack {
        let OpenPack { envelope, next_ordinal, frames, .. } = pack;
        let mut pieces = Vec::with_capacity(frames.len() + 2);
        pieces.push(Bytes::copy_from_slice(envelope.header()));
        let mut offset = envelope.header().len();
        let mut table = PackTable::default();
        for Frame { ordinal, bytes, blobs } in frames {
            let small = |n: usize| u32::try_from(n).expect("a pack is far smaller than 4 GiB");
            table.blocks.push(BlockEntry {
                ordinal,
                offset_bytes: small(offset),
                sealed_bytes: small(bytes.len() - FRAME_PREFIX_BYTES),
                blobs,
            });
            offset += bytes.len();
            pieces.push(bytes);
        }
        let mut encoded = Vec::new();
        table.encode(&mut encoded);
        let mut tail = Vec::with_capacity(encoded.len() + 64);
        let at = Envelope::begin_frame(&mut tail);
        put_payload(&mut Compressor::new(DEFAULT_LEVEL), &encoded, &mut tail);
        envelope.seal_frame(FrameRole::Footer, next_ordinal, &mut tail, at);
        let footer_bytes = u32::try_from(tail.len()).expect("a footer is far smaller than 4 GiB");
        tail.extend_from_slice(&footer_bytes.to_le_bytes());
        tail.extend_from_slice(&TRAILER_MAGIC);
        pieces.push(tail.into());
        FinishedPack::new(self.kind, pieces, table)
    }
}

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
    frame: Vec<u8>,
    reopened: Vec<u8>,
    verified: Block,
}

impl BlockSealer {
    /// A sealer with its own tables.
    pub fn new(hasher: BlobHasher, level: i32) -> Self {
        Self {
            hasher,
            compressor: Compressor::new(level),
            decompressor: Decompressor::new(),
            frame: Vec::new(),
            reopened: Vec::new(),
            verified: Block::default(),
        }
    }

    /// Seals what a buffer holds into a pack and empties the buffer; does nothing when it holds nothing.
    pub fn seal_buffer(&mut self, buffer: &mut BlockBuffer, writer: &PackWriter) -> Result<(), RepositoryError> {
        if buffer.ids.is_empty() {
            return Ok(());
        }
        self.seal(&buffer.lengths, &buffer.ids, &buffer.buffer[..buffer.used], writer)?;
        buffer.clear();
        Ok(())
    }

    /// Seals one large blob as a block of its own.
    pub fn seal_single(
        &mut self,
        blob_type: BlobType,
        id: BlobId,
        raw: &[u8],
        writer: &PackWriter,
    ) -> Result<(), RepositoryError> {
        let len = u32::try_from(raw.len()).expect("a chunk is far smaller than 4 GiB");
        self.seal(&[len], &[(blob_type, id)], raw, writer)
    }

    fn seal(
        &mut self,
        lengths: &[u32],
        ids: &[(BlobType, BlobId)],
        raw: &[u8],
        writer: &PackWriter,
    ) -> Result<(), RepositoryError> {
        self.frame.clear();
        let at = Envelope::begin_frame(&mut self.frame);
        put_block(&mut self.compressor, lengths, raw, &mut self.frame);
        let reservation = writer.reserve();
        reservation.envelope.seal_frame(FrameRole::Block, reservation.ordinal, &mut self.frame, at);
        let bytes = Bytes::copy_from_slice(&self.frame);
        self.verify(&reservation, ids, &bytes)?;
        let blobs =
            lengths.iter().zip(ids).map(|(&len_bytes, (_, id))| BlobEntry { prefix: id.prefix(), len_bytes }).collect();
        writer.deliver(&reservation, bytes, blobs)
    }

    /// Opens, decompresses and hashes the very bytes that will be stored: what memory or codec spoilt must not become a backup.
    fn verify(
        &mut self,
        reservation: &Reservation,
        ids: &[(BlobType, BlobId)],
        frame: &[u8],
    ) -> Result<(), RepositoryError> {
        let failed = |_| RepositoryError::FailedVerification;
        let prefix = FramePrefix::decode(frame).map_err(failed)?;
        self.reopened.clear();
        self.reopened.extend_from_slice(&frame[FRAME_PREFIX_BYTES..]);
        let plain = reservation.envelope.open_frame(prefix, &mut self.reopened).map_err(failed)?;
        self.verified.decode(&mut self.decompressor, plain).map_err(failed)?;
        let sound = self.verified.len() == ids.len()
            && self.verified.blobs().zip(ids).all(|(blob, (blob_type, id))| self.hasher.id(*blob_type, blob) == *id);
        if sound { Ok(()) } else { Err(RepositoryError::FailedVerification) }
    }
}

impl FinishedPack {
    fn new(kind: ObjectKind, pieces: Vec<Bytes>, table: PackTable) -> Self {
        use sha2::Digest;
        let mut hasher = sha2::Sha256::new();
        pieces.iter().for_each(|piece| hasher.update(piece));
        let id = PackId::from_bytes(hasher.finalize().into());
        Self { id, kind, body: backup_core::PutBody::from_pieces(pieces), table }
    }
}

#[cfg(test)]
mod tests {
    use backup_core::MemoryBackend;

    use super::*;
    use crate::crypto::SecretKey;
    use crate::id::RepositoryId;
    use crate::store::ObjectStore;

    #[test]
    fn pack_that_the_uploader_keeps_waiting_is_not_said_to_be_handed_over() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let mut keyring = Keyring::new(RepositoryId::from_bytes([1; 32]), SecretKey::from_bytes(&[2; 32]));
        keyring.add_epoch(1, SecretKey::from_bytes(&[3; 32]));
        let keyring = Arc::new(keyring);
        let store = ObjectStore::new(Arc::new(MemoryBackend::new()), Arc::clone(&keyring));
        let uploader = Arc::new(Uploader::new(runtime.handle().clone(), store, 1));
        // Every block fills a pack.
        let writer = PackWriter::new(ObjectKind::DataPack, Arc::clone(&keyring), 1, Arc::clone(&uploader));
        let seal = |blob: &[u8]| {
            let id = keyring.hasher().id(BlobType::Data, blob);
            BlockSealer::new(keyring.hasher().clone(), DEFAULT_LEVEL).seal_single(BlobType::Data, id, blob, &writer)
        };
        let held = uploader.hold();
        std::thread::scope(|scope| {
            let sealing = scope.spawn(|| seal(b"blob"));
            let is_on_its_way = || {
                let packs = writer.packs();
                packs.next_serial == 1 && packs.open.is_empty()
            };
            while !is_on_its_way() {
                std::thread::yield_now();
            }
            let until = writer.close().unwrap();
            assert!(!writer.has_handed_over(until));
            drop(held);
            sealing.join().unwrap().unwrap();
            assert!(writer.has_handed_over(until));
        });
        uploader.wait().unwrap();
        assert_eq!(uploader.packs(), 1);
    }
}
