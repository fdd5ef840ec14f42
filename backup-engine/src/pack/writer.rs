//! Assembles the blocks that many threads seal into packs.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::upload::{FinishedPack, PackRoom, Uploader};
use crate::compress::{Compressor, DEFAULT_LEVEL};
use crate::crypto::Keyring;
use crate::error::RepositoryError;
use crate::format::ObjectKind;
use crate::format::envelope::{Envelope, FRAME_PREFIX_BYTES, FrameRole, put_payload};
use crate::format::pack::{BlobEntry, BlockEntry, PackTable, TRAILER_MAGIC};
use crate::id::PackId;

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
    /// Held by the thread that waits for room for the next pack.
    opening: Mutex<()>,
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
    room: PackRoom,
}

#[derive(Debug)]
struct Frame {
    ordinal: u32,
    bytes: Bytes,
    blobs: Vec<BlobEntry>,
}

/// The right to seal one block, and the duty to deliver it: without it, its pack can't be finished.
#[derive(Debug)]
pub(super) struct Reservation<'a> {
    writer: &'a PackWriter,
    serial: u64,
    pub(super) envelope: Arc<Envelope>,
    pub(super) ordinal: u32,
    is_delivered: bool,
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if !self.is_delivered {
            self.writer.give_up(self.serial);
        }
    }
}

impl PackWriter {
    /// A writer of packs of a kind that are closed when they reach `target_bytes`.
    pub fn new(kind: ObjectKind, keyring: Arc<Keyring>, target_bytes: usize, uploader: Arc<Uploader>) -> Self {
        Self { kind, keyring, target_bytes, uploader, packs: Mutex::default(), opening: Mutex::default() }
    }

    fn packs(&self) -> MutexGuard<'_, OpenPacks> {
        self.packs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an ordinal of the open pack. Whoever has it waits for nothing before the block is delivered: the pack waits for it, and
    /// others for its room.
    pub(super) fn reserve(&self) -> Result<Reservation<'_>, RepositoryError> {
        if let Some(reserved) = self.reserve_in(&mut self.packs()) {
            return Ok(reserved);
        }
        // One thread waits for room; the others wait for the pack that it opens, which may be all they need.
        let _opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reserved) = self.reserve_in(&mut self.packs()) {
            return Ok(reserved);
        }
        let room = self.uploader.room()?;
        let mut packs = self.packs();
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
            room,
        });
        // Before anybody can close it: a pack without blocks is none.
        Ok(self.reserve_in(&mut packs).expect("it was opened under this lock"))
    }

    /// The same in the pack that is open, if one is.
    fn reserve_in(&self, packs: &mut OpenPacks) -> Option<Reservation<'_>> {
        let pack = packs.open.last_mut().filter(|pack| !pack.closed)?;
        let ordinal = pack.next_ordinal;
        pack.next_ordinal += 1;
        pack.being_sealed += 1;
        let envelope = Arc::clone(&pack.envelope);
        Some(Reservation { writer: self, serial: pack.serial, envelope, ordinal, is_delivered: false })
    }

    /// Forgets a pack of which a block will never come, so that nobody waits for its room: the run has failed.
    fn give_up(&self, serial: u64) {
        let mut packs = self.packs();
        packs.open.retain(|pack| pack.serial != serial);
        // For ever on its way: no checkpoint may name what was in it.
        packs.leaving.insert(serial);
    }

    pub(super) fn deliver(
        &self,
        mut reservation: Reservation<'_>,
        bytes: Bytes,
        blobs: Vec<BlobEntry>,
    ) -> Result<(), RepositoryError> {
        let finished = {
            let mut packs = self.packs();
            // One that was given up takes what is left of it along.
            let Some(at) = packs.open.iter().position(|pack| pack.serial == reservation.serial) else {
                return Err(RepositoryError::Cancelled);
            };
            let pack = &mut packs.open[at];
            pack.being_sealed -= 1;
            pack.frame_bytes += bytes.len();
            pack.frames.push(Frame { ordinal: reservation.ordinal, bytes, blobs });
            reservation.is_delivered = true;
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
        let OpenPack { envelope, next_ordinal, frames, room, .. } = pack;
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
        FinishedPack::new(self.kind, pieces, table, room)
    }
}

impl FinishedPack {
    fn new(kind: ObjectKind, pieces: Vec<Bytes>, table: PackTable, room: PackRoom) -> Self {
        use sha2::Digest;
        let mut hasher = sha2::Sha256::new();
        pieces.iter().for_each(|piece| hasher.update(piece));
        let id = PackId::from_bytes(hasher.finalize().into());
        Self { id, kind, body: backup_core::PutBody::from_pieces(pieces), table, room }
    }
}

#[cfg(test)]
mod tests {
    use backup_core::MemoryBackend;

    use super::*;
    use crate::crypto::SecretKey;
    use crate::format::BlobType;
    use crate::id::{BlobId, RepositoryId};
    use crate::pack::seal::{BlockBuffer, BlockSealer};
    use crate::store::ObjectStore;

    struct Fixture {
        _runtime: tokio::runtime::Runtime,
        keyring: Arc<Keyring>,
        uploader: Arc<Uploader>,
    }

    impl Fixture {
        fn new(max_packs: usize) -> Self {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let mut keyring = Keyring::new(RepositoryId::from_bytes([1; 32]), SecretKey::from_bytes(&[2; 32]));
            keyring.add_epoch(1, SecretKey::from_bytes(&[3; 32]));
            let keyring = Arc::new(keyring);
            let store = ObjectStore::new(Arc::new(MemoryBackend::new()), Arc::clone(&keyring));
            let uploader = Arc::new(Uploader::new(runtime.handle().clone(), store, max_packs));
            Self { _runtime: runtime, keyring, uploader }
        }

        fn writer(&self, target_bytes: usize) -> PackWriter {
            PackWriter::new(ObjectKind::DataPack, Arc::clone(&self.keyring), target_bytes, Arc::clone(&self.uploader))
        }

        fn id(&self, blob: &[u8]) -> BlobId {
            self.keyring.hasher().id(BlobType::Data, blob)
        }

        /// Seals a block of blobs that are said to have these ids.
        fn seal_as(&self, blobs: &[(BlobId, &[u8])], writer: &PackWriter) -> Result<(), RepositoryError> {
            let mut block = BlockBuffer::new(4 << 20);
            blobs.iter().for_each(|(id, blob)| block.push(BlobType::Data, *id, blob));
            BlockSealer::new(self.keyring.hasher().clone(), DEFAULT_LEVEL).seal(&mut block, writer)
        }

        fn seal(&self, blobs: &[&[u8]], writer: &PackWriter) -> Result<(), RepositoryError> {
            let blobs: Vec<_> = blobs.iter().map(|blob| (self.id(blob), *blob)).collect();
            self.seal_as(&blobs, writer)
        }
    }

    #[test]
    fn sealer_holds_on_to_no_more_memory_after_the_longest_chunk_than_after_usual_ones() {
        let fixture = Fixture::new(4);
        let writer = fixture.writer(16 << 20);
        let mut sealer = BlockSealer::new(fixture.keyring.hasher().clone(), DEFAULT_LEVEL);
        let mut block = BlockBuffer::new(4 << 20);
        let mut kept_after = |len: usize| {
            // Hardly compressible: seven bits of eight are random.
            let mut chunk = vec![0; len];
            getrandom::fill(&mut chunk).unwrap();
            chunk.iter_mut().for_each(|byte| *byte &= 0x7f);
            block.push(BlobType::Data, fixture.id(&chunk), &chunk);
            sealer.seal(&mut block, &writer).unwrap();
            sealer.kept_bytes() + block.spare(0).len()
        };
        let usual = kept_after(2 << 20);
        assert!(usual < 10 << 20, "the block, what is compressed, reopened and decompressed: {usual}");
        kept_after(8 << 20);
        assert!(kept_after(2 << 20) <= usual);
    }

    #[test]
    fn pack_that_the_uploader_keeps_waiting_is_not_said_to_be_handed_over() {
        let fixture = Fixture::new(1);
        let uploader = &fixture.uploader;
        // Every block fills a pack.
        let writer = fixture.writer(1);
        let held = uploader.gate.lock().unwrap();
        std::thread::scope(|scope| {
            let sealing = scope.spawn(|| fixture.seal(&[b"blob"], &writer));
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

    #[test]
    fn pack_has_its_room_from_its_first_block_until_it_is_stored() {
        let fixture = Fixture::new(2);
        let writer = fixture.writer(1 << 20);
        assert_eq!(fixture.uploader.free_rooms(), 2);
        fixture.seal(&[b"one", b"two", b"three"], &writer).unwrap();
        fixture.seal(&[b"four"], &writer).unwrap();
        assert_eq!(fixture.uploader.free_rooms(), 1, "one pack is open");
        writer.close().unwrap();
        fixture.uploader.wait().unwrap();
        assert_eq!(fixture.uploader.packs(), 1);
        while fixture.uploader.free_rooms() < 2 {
            std::thread::yield_now();
        }
    }

    #[test]
    fn threads_that_need_the_same_pack_share_one_room() {
        let fixture = Fixture::new(1);
        let writer = fixture.writer(1 << 20);
        let held = fixture.uploader.room().unwrap();
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| writer.reserve().unwrap())).collect();
            drop(held);
            let owed: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
            assert_eq!(owed.len(), 4);
            assert_eq!(writer.packs().open.len(), 1);
        });
    }

    #[test]
    fn pack_that_is_given_up_is_never_said_to_be_handed_over() {
        let fixture = Fixture::new(1);
        let writer = fixture.writer(1 << 20);
        fixture.seal(&[b"blob"], &writer).unwrap();
        let owed = writer.reserve().unwrap();
        let until = writer.close().unwrap();
        assert!(!writer.has_handed_over(until));
        drop(owed);
        assert!(!writer.has_handed_over(until), "what was in it is lost");
    }

    #[test]
    fn pack_whose_block_will_never_come_leaves_its_room_to_others() {
        let fixture = Fixture::new(1);
        let writer = fixture.writer(1);
        let (owed, never) = (writer.reserve().unwrap(), writer.reserve().unwrap());
        drop(never);
        // The pack is given up: what still comes for it finds that the run is over, and a new one has its room.
        let left = writer.deliver(owed, Bytes::from_static(b"frame"), Vec::new());
        assert!(matches!(left, Err(RepositoryError::Cancelled)), "{left:?}");
        fixture.seal(&[b"another"], &writer).unwrap();
        fixture.uploader.wait().unwrap();
        assert_eq!(fixture.uploader.packs(), 1);
    }

    #[test]
    fn blobs_of_a_block_are_verified_each_against_its_own_id() {
        let fixture = Fixture::new(1);
        let writer = fixture.writer(1);
        let swapped: [(BlobId, &[u8]); 2] = [(fixture.id(b"one"), b"two"), (fixture.id(b"two"), b"one")];
        let second_wrong: [(BlobId, &[u8]); 2] = [(fixture.id(b"one"), b"one"), (fixture.id(b"two"), b"twp")];
        for wrong in [swapped, second_wrong] {
            assert!(matches!(fixture.seal_as(&wrong, &writer), Err(RepositoryError::FailedVerification)));
        }
        fixture.seal(&[b"one", b"two"], &writer).unwrap();
    }
}
