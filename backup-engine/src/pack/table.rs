//! What a pack says about itself: the table in its footer, or, where that is damaged, what its blocks still tell.

use backup_core::ByteRange;

use crate::compress::Decompressor;
use crate::crypto::{BlobHasher, Keyring};
use crate::error::RepositoryError;
use crate::format::envelope::{Envelope, FRAME_PREFIX_BYTES, FramePrefix, FrameRole, HEADER_BYTES, get_payload};
use crate::format::index::IndexedPack;
use crate::format::pack::{
    BlobEntry, Block, BlockEntry, MAX_BLOCK_BYTES, PackTable, TRAILER_BYTES, footer_frame_bytes,
};
use crate::format::tree::ChunkList;
use crate::format::wire::Cursor;
use crate::format::{BlobType, FormatError, ObjectKind, malformed};
use crate::id::{BlobId, BlobPrefix, PackId};
use crate::layout;
use crate::store::ObjectStore;

/// How much of a pack's end is read at first: most footers fit, and a smaller pack is read whole with one request.
const TAIL_BYTES: u64 = 64 * 1024;

/// Frames that do not open are tried up to so many times a pack's size in bytes: bounds the work that a forged pack can cause.
const MAX_TRIED_SIZES: usize = 4;

/// What stands for a block that could not be read in a rebuilt table: no blob has this id.
pub const LOST_BLOCK: BlobEntry = BlobEntry { prefix: BlobPrefix([0; 16]), len_bytes: 0 };

/// Opens a pack of either kind from its first bytes.
///
/// # Errors
/// [`FormatError`] when it is no pack of this repository, or damaged.
pub fn open_pack(keyring: &Keyring, bytes: &[u8]) -> Result<(ObjectKind, Envelope), FormatError> {
    let kind = bytes.get(5).copied().ok_or(FormatError::Truncated("object header"))?;
    match ObjectKind::from_number(kind) {
        Some(kind @ (ObjectKind::DataPack | ObjectKind::TreePack)) => Ok((kind, Envelope::open(keyring, kind, bytes)?)),
        _ => Err(malformed("object header", "not of the expected kind")),
    }
}

/// Decodes the table from the end of a pack of `size_bytes`; the end must hold the footer.
///
/// # Errors
/// [`FormatError`] when the footer is damaged or belongs to a pack of another size.
pub fn read_footer(envelope: &Envelope, tail: &[u8], size_bytes: u64) -> Result<PackTable, FormatError> {
    let payload = read_footer_payload(envelope, tail)?;
    let mut cursor = Cursor::new(&payload, "pack table");
    let table = PackTable::decode(&mut cursor)?;
    cursor.finish()?;
    if table.end_bytes() + footer_frame_bytes(tail)? as u64 + TRAILER_BYTES as u64 != size_bytes {
        return Err(malformed("pack table", "its blocks don't fill the pack"));
    }
    Ok(table)
}

fn read_footer_payload(envelope: &Envelope, tail: &[u8]) -> Result<Vec<u8>, FormatError> {
    let frame_bytes = footer_frame_bytes(tail)?;
    let end = tail.len() - TRAILER_BYTES;
    let start = end.checked_sub(frame_bytes).ok_or_else(|| malformed("pack footer", "longer than the pack"))?;
    let frame = &tail[start..end];
    let prefix = FramePrefix::decode(frame)?;
    let sealed = &frame[FRAME_PREFIX_BYTES..];
    if prefix.role != FrameRole::Footer || sealed.len() as u64 != u64::from(prefix.sealed_bytes) {
        return Err(malformed("pack footer", "not where the trailer says"));
    }
    let mut sealed = sealed.to_vec();
    let plain = envelope.open_frame(prefix, &mut sealed)?;
    get_payload(&mut Decompressor::new(), plain)
}

/// Reads a pack's table from its footer, with one to three requests.
///
/// # Errors
/// What the storage says; `Damaged` when header or footer can't be read.
pub async fn fetch_table(store: &ObjectStore, id: &PackId, size_bytes: u64) -> Result<IndexedPack, RepositoryError> {
    let key = layout::pack(id);
    let backend = store.backend();
    // A pack of a newer version can't be in a repository of this one: a byte that says so is damaged.
    let damaged = |source| RepositoryError::Damaged { key: key.clone(), source };
    let mut tail = backend.get(&key, ByteRange::Suffix { len_bytes: TAIL_BYTES }).await?;
    let header = if size_bytes <= TAIL_BYTES {
        tail.clone()
    } else {
        backend.get(&key, ByteRange::Span { offset_bytes: 0, len_bytes: HEADER_BYTES as u64 }).await?
    };
    let (kind, envelope) = open_pack(store.keyring(), &header).map_err(damaged)?;
    let needed = footer_frame_bytes(&tail).map_err(damaged)? as u64 + TRAILER_BYTES as u64;
    if needed > tail.len() as u64 && needed <= size_bytes {
        tail = backend.get(&key, ByteRange::Suffix { len_bytes: needed }).await?;
    }
    let table = read_footer(&envelope, &tail, size_bytes).map_err(damaged)?;
    Ok(IndexedPack { id: *id, kind, size_bytes, table })
}

/// The id of a blob of a pack of a kind, from its content alone.
///
/// In tree packs, what decodes as a chunk list is one; everything else is a node. That is certain, because no node decodes as a
/// chunk list: a leaf begins with 0, which no list does; and an inner node's bytes, read as a list of as many chunks, run out too
/// late. The first chunk's length is the first child's number of entries. No later length can reach beyond the number of entries of
/// the child with the same place: it begins before that number ends, and that number's last byte ends every number. So bytes are left over
/// after the last chunk, at least those of the last child's path.
pub fn id_in_pack(hasher: &BlobHasher, kind: ObjectKind, blob: &[u8]) -> BlobId {
    let blob_type = match kind {
        ObjectKind::TreePack if ChunkList::decode(blob).is_ok() => BlobType::List,
        ObjectKind::TreePack => BlobType::Tree,
        _ => BlobType::Data,
    };
    hasher.id(blob_type, blob)
}

/// A table put together from the blocks of a pack whose footer is lost.
#[derive(Debug, Default)]
pub struct Salvaged {
    /// The blocks that can be read, each at its place; what lies between them stands as [`LOST_BLOCK`].
    pub table: PackTable,
    /// How many blocks can be read.
    pub blocks: usize,
    /// How many stretches can't.
    pub gaps: usize,
}

/// Finds the blocks of a whole pack without its footer: by their clear lengths, and after damage by searching.
///
/// # Panics
/// When the pack has 4 GiB or more, which no table can express.
pub fn salvage(envelope: &Envelope, hasher: &BlobHasher, kind: ObjectKind, pack: &[u8]) -> Salvaged {
    let mut salvaged = Salvaged::default();
    let mut decompressor = Decompressor::new();
    let (mut sealed, mut block) = (Vec::new(), Block::default());
    let mut tried_bytes = 0;
    let mut end = HEADER_BYTES;
    let mut at = HEADER_BYTES;
    while let Some(found) = find_block(pack, at) {
        at = found + 1;
        let Ok(prefix) = FramePrefix::decode(&pack[found..]) else { continue };
        let sealed_from = found + FRAME_PREFIX_BYTES;
        let Some(frame) = usize::try_from(prefix.sealed_bytes)
            .ok()
            .filter(|&len| len <= 2 * MAX_BLOCK_BYTES)
            .and_then(|len| pack.get(sealed_from..sealed_from + len))
        else {
            continue;
        };
        sealed.clear();
        sealed.extend_from_slice(frame);
        let opened = envelope.open_frame(prefix, &mut sealed);
        if opened.and_then(|plain| block.decode(&mut decompressor, plain)).is_err() {
            tried_bytes += frame.len();
            if tried_bytes > MAX_TRIED_SIZES * pack.len() {
                break;
            }
            continue;
        }
        if !salvaged.bridge(end, found) {
            break;
        }
        let blobs = block.blobs().map(|blob| BlobEntry {
            prefix: id_in_pack(hasher, kind, blob).prefix(),
            len_bytes: u32::try_from(blob.len()).expect("a block is far smaller than 4 GiB"),
        });
        salvaged.table.blocks.push(BlockEntry {
            ordinal: prefix.ordinal,
            offset_bytes: offset(found),
            sealed_bytes: prefix.sealed_bytes,
            blobs: blobs.collect(),
        });
        salvaged.blocks += 1;
        end = sealed_from + frame.len();
        at = end;
    }
    salvaged
}

fn offset(at: usize) -> u32 {
    u32::try_from(at).expect("packs over 4 GiB are refused before")
}

fn find_block(pack: &[u8], from: usize) -> Option<usize> {
    let magic = b"BLK1";
    let rest = pack.get(from..)?;
    rest.windows(magic.len()).position(|window| window == magic).map(|found| from + found)
}

impl Salvaged {
    /// Lets the table go on at `to` though the last block ended at `from`. Returns `false` where a table can't express that.
    fn bridge(&mut self, from: usize, to: usize) -> bool {
        let Some(sealed) = (to - from).checked_sub(FRAME_PREFIX_BYTES) else { return to == from };
        self.gaps += 1;
        // An ordinal that no writer reaches; nothing is ever opened with it.
        self.table.blocks.push(BlockEntry {
            ordinal: u32::MAX,
            offset_bytes: offset(from),
            sealed_bytes: offset(sealed),
            blobs: vec![LOST_BLOCK],
        });
        true
    }
}

#[cfg(test)]
mod tests;
