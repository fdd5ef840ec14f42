//! Reads blobs back: fetches a block's frame, opens it and hands out its blobs.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use backup_core::ByteRange;
use bytes::{Bytes, BytesMut};
use tokio::runtime::Handle;

use crate::compress::Decompressor;
use crate::error::RepositoryError;
use crate::format::envelope::{Envelope, FRAME_PREFIX_BYTES, FramePrefix, FrameRole, HEADER_BYTES};
use crate::format::pack::Block;
use crate::format::{BlobType, FormatError, ObjectKind};
use crate::id::{BlobId, PackId};
use crate::index::{BlobIndex, BlobLocation, Damage};
use crate::layout;
use crate::store::ObjectStore;

/// How many packs' opened headers are kept: each is a request saved, and a few hundred bytes.
const ENVELOPE_CACHE: usize = 256;

/// How many decoded blocks are kept: tree nodes are read in order and lie together.
const BLOCK_CACHE: usize = 4;

/// Which block: the pack's number and the frame's offset.
type BlockKey = (u32, u32);

/// Reads blobs through the index, with small caches; shared by threads.
#[derive(Debug)]
pub struct BlobReader {
    handle: Handle,
    store: ObjectStore,
    index: Arc<BlobIndex>,
    envelopes: Mutex<VecDeque<(PackId, Arc<Envelope>)>>,
    blocks: Mutex<VecDeque<(BlockKey, Arc<Block>)>>,
}

impl BlobReader {
    /// A reader over an index; blocks on `handle` for storage.
    pub fn new(handle: Handle, store: ObjectStore, index: Arc<BlobIndex>) -> Self {
        Self { handle, store, index, envelopes: Mutex::default(), blocks: Mutex::default() }
    }

    /// The index it reads through.
    pub fn index(&self) -> &Arc<BlobIndex> {
        &self.index
    }

    /// The store it reads from.
    pub fn store(&self) -> &ObjectStore {
        &self.store
    }

    /// Reads a blob, from another copy where the first is damaged, and verifies it against its id.
    ///
    /// # Errors
    /// `MissingBlob`, `UnreadableBlob`, or what the storage says.
    pub fn read(&self, blob_type: BlobType, id: &BlobId) -> Result<Vec<u8>, RepositoryError> {
        let mut failure = RepositoryError::MissingBlob(*id);
        let locations = self.index.locations(id);
        if locations.is_empty() {
            self.index.failure()?;
        }
        for location in locations {
            match self.read_at(blob_type, id, location) {
                Ok(blob) => return Ok(blob),
                Err(error) if error.is_damage() => {
                    let key = layout::pack(&self.index.pack(location.pack).id);
                    failure = RepositoryError::UnreadableBlob { blob: *id, key, source: Box::new(error) };
                }
                Err(error) => return Err(error),
            }
        }
        Err(failure)
    }

    fn read_at(&self, blob_type: BlobType, id: &BlobId, location: BlobLocation) -> Result<Vec<u8>, RepositoryError> {
        let block = self.block(location)?;
        let key = || layout::pack(&self.index.pack(location.pack).id);
        match block.blob(usize::from(location.number)) {
            Some(blob) if self.store.keyring().hasher().id(blob_type, blob) == *id => Ok(blob.to_vec()),
            Some(_) | None => {
                self.index.mark(location.damage());
                Err(RepositoryError::format(&key(), FormatError::WrongContent))
            }
        }
    }

    /// Marks what turned out to be damaged, so that whoever shares the index stores its blobs again rather than rely on them.
    fn marking<T>(&self, damage: Damage, read: Result<T, RepositoryError>) -> Result<T, RepositoryError> {
        if read.as_ref().is_err_and(RepositoryError::is_damage) {
            self.index.mark(damage);
        }
        read
    }

    fn block(&self, location: BlobLocation) -> Result<Arc<Block>, RepositoryError> {
        let key = (location.pack, location.offset_bytes);
        {
            let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(at) = blocks.iter().position(|(cached, _)| *cached == key) {
                let hit = blocks.remove(at).expect("it was found there");
                let block = Arc::clone(&hit.1);
                blocks.push_back(hit);
                return Ok(block);
            }
        }
        let mut block = Block::default();
        self.read_block(location, &mut Decompressor::new(), &mut block)?;
        let block = Arc::new(block);
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        if blocks.len() >= BLOCK_CACHE {
            blocks.pop_front();
        }
        blocks.push_back((key, Arc::clone(&block)));
        Ok(block)
    }

    /// Reads and decodes one block, past the cache.
    pub fn read_block(
        &self,
        location: BlobLocation,
        decompressor: &mut Decompressor,
        block: &mut Block,
    ) -> Result<(), RepositoryError> {
        let pack = self.index.pack(location.pack).id;
        let envelope = self.envelope(&pack)?;
        let key = layout::pack(&pack);
        let range = ByteRange::Span {
            offset_bytes: u64::from(location.offset_bytes),
            len_bytes: u64::from(location.sealed_bytes) + FRAME_PREFIX_BYTES as u64,
        };
        let frame = self.handle.block_on(self.store.backend().get(&key, range)).map_err(RepositoryError::from);
        let decoded = frame.and_then(|frame| {
            decode_frame(&envelope, &mut into_own(frame), decompressor, block)
                .map_err(|error| RepositoryError::format(&key, error))
        });
        self.marking(location.damage(), decoded)
    }

    /// The opened header of a pack.
    pub fn envelope(&self, pack: &PackId) -> Result<Arc<Envelope>, RepositoryError> {
        {
            let envelopes = self.envelopes.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, envelope)) = envelopes.iter().find(|(cached, _)| cached == pack) {
                return Ok(Arc::clone(envelope));
            }
        }
        let number = self.index.number_of(pack);
        let kind = number.map_or(ObjectKind::DataPack, |number| self.index.pack(number).kind);
        let opened = self.open_envelope(pack, kind);
        let envelope = Arc::new(match number {
            Some(pack) => self.marking(Damage { pack, offset_bytes: None }, opened)?,
            None => opened?,
        });
        let mut envelopes = self.envelopes.lock().unwrap_or_else(PoisonError::into_inner);
        if envelopes.len() >= ENVELOPE_CACHE {
            envelopes.pop_front();
        }
        envelopes.push_back((*pack, Arc::clone(&envelope)));
        Ok(envelope)
    }

    fn open_envelope(&self, pack: &PackId, kind: ObjectKind) -> Result<Envelope, RepositoryError> {
        let key = layout::pack(pack);
        let range = ByteRange::Span { offset_bytes: 0, len_bytes: HEADER_BYTES as u64 };
        let header = self.handle.block_on(self.store.backend().get(&key, range))?;
        // A pack of a newer version can't be in a repository of this one: a byte that says so is damaged.
        Envelope::open(self.store.keyring(), kind, &header).map_err(|source| RepositoryError::Damaged { key, source })
    }
}

/// Bytes to be changed in place, without a copy where nobody else holds them.
pub(crate) fn into_own(bytes: Bytes) -> BytesMut {
    bytes.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]))
}

/// Opens one block in the bytes of its frame, which are no longer those that were stored then, and decodes it.
pub fn decode_frame(
    envelope: &Envelope,
    frame: &mut [u8],
    decompressor: &mut Decompressor,
    block: &mut Block,
) -> Result<(), FormatError> {
    let prefix = FramePrefix::decode(frame)?;
    let sealed = &mut frame[FRAME_PREFIX_BYTES..];
    if prefix.role != FrameRole::Block || sealed.len() as u64 != u64::from(prefix.sealed_bytes) {
        return Err(FormatError::Malformed { what: "block", why: "not where the index says" });
    }
    let plain = envelope.open_frame(prefix, sealed)?;
    block.decode(decompressor, plain)
}
