//! Packs: blocks of blobs, and the table of them (§6).

use super::envelope::{FRAME_PREFIX_BYTES, HEADER_BYTES};
use super::wire::{Cursor, MAX_VARINT_U32_BYTES, put_varint};
use super::{FormatError, malformed};
use crate::compress::{Codec, Compressor, Decompressor};
use crate::crypto::TAG_BYTES;
use crate::id::BlobPrefix;

/// The last bytes of a pack.
pub const TRAILER_MAGIC: [u8; 4] = *b"BEND";

/// Length of what follows the footer.
pub const TRAILER_BYTES: usize = 8;

/// The most plaintext a block may hold; bounds what a decoder allocates.
pub const MAX_BLOCK_BYTES: usize = 16 << 20;

/// The most blobs a block may hold; a blob's place in its block fits 16 bits.
pub const MAX_BLOCK_BLOBS: usize = 65_535;

/// One blob in a pack table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobEntry {
    /// The first half of its id.
    pub prefix: BlobPrefix,
    /// Its length.
    pub len_bytes: u32,
}

/// One block in a pack table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockEntry {
    /// The block's number, which is its nonce.
    pub ordinal: u32,
    /// Where its frame begins in the pack.
    pub offset_bytes: u32,
    /// Length of its sealed part.
    pub sealed_bytes: u32,
    /// Its blobs in order.
    pub blobs: Vec<BlobEntry>,
}

impl BlockEntry {
    /// Length of the whole frame.
    pub fn frame_bytes(&self) -> u64 {
        u64::from(self.sealed_bytes) + FRAME_PREFIX_BYTES as u64
    }
}

/// What is in a pack.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PackTable {
    /// The blocks in the order of their place.
    pub blocks: Vec<BlockEntry>,
}

impl PackTable {
    /// Appends the table.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.blocks.len() as u64);
        for block in &self.blocks {
            put_varint(out, u64::from(block.ordinal));
            put_varint(out, u64::from(block.sealed_bytes));
            put_varint(out, block.blobs.len() as u64);
            for blob in &block.blobs {
                out.extend_from_slice(&blob.prefix.0);
            }
            for blob in &block.blobs {
                put_varint(out, u64::from(blob.len_bytes));
            }
        }
    }

    /// Decodes a table.
    pub fn decode(cursor: &mut Cursor<'_>) -> Result<Self, FormatError> {
        let block_count = cursor.count(3)?;
        let mut blocks = Vec::with_capacity(block_count);
        let mut offset_bytes = u32::try_from(HEADER_BYTES).expect("the header is short");
        for _ in 0..block_count {
            let ordinal = cursor.varint_u32()?;
            let sealed_bytes = cursor.varint_u32()?;
            let blob_count = cursor.count(17)?;
            if blob_count == 0 || blob_count > MAX_BLOCK_BLOBS {
                return Err(malformed("pack table", "impossible number of blobs in a block"));
            }
            let prefixes = cursor.take(blob_count * 16)?;
            let mut blobs = Vec::with_capacity(blob_count);
            for prefix in prefixes.chunks_exact(16) {
                let prefix = BlobPrefix(prefix.try_into().expect("16 bytes"));
                blobs.push(BlobEntry { prefix, len_bytes: cursor.varint_u32()? });
            }
            let block = BlockEntry { ordinal, offset_bytes, sealed_bytes, blobs };
            offset_bytes = u64::from(offset_bytes)
                .checked_add(block.frame_bytes())
                .and_then(|next| u32::try_from(next).ok())
                .ok_or_else(|| malformed("pack table", "pack over 4 GiB"))?;
            blocks.push(block);
        }
        Ok(Self { blocks })
    }

    /// Where the footer begins, were this the whole table of a pack.
    pub fn end_bytes(&self) -> u64 {
        self.blocks.iter().map(BlockEntry::frame_bytes).sum::<u64>() + HEADER_BYTES as u64
    }
}

/// Appends a block's plaintext: `codec ‖ varint n ‖ lengths ‖ payload`.
///
/// Keeps just the memory that this and the tag of the seal need: blocks are held until their pack is stored.
pub fn put_block(compressor: &mut Compressor, lengths: &[u32], raw: &[u8], out: &mut Vec<u8>) {
    out.reserve_exact(1 + (1 + lengths.len()) * MAX_VARINT_U32_BYTES + raw.len() + TAG_BYTES);
    let codec_at = out.len();
    out.push(0);
    put_varint(out, lengths.len() as u64);
    for &length in lengths {
        put_varint(out, u64::from(length));
    }
    out[codec_at] = compressor.append(raw, out).number();
    out.shrink_to(out.len() + TAG_BYTES);
}

/// A decoded block: its blobs one after the other.
#[derive(Debug, Default)]
pub struct Block {
    /// The blobs' bytes.
    pub raw: Vec<u8>,
    /// Where each blob ends in `raw`.
    pub ends: Vec<u32>,
}

impl Block {
    /// Decodes a block's plaintext into this, reusing its memory.
    pub fn decode(&mut self, decompressor: &mut Decompressor, plain: &[u8]) -> Result<(), FormatError> {
        let mut cursor = Cursor::new(plain, "block");
        let codec = Codec::from_number(cursor.u8()?)?;
        let count = cursor.count(1)?;
        if count == 0 || count > MAX_BLOCK_BLOBS {
            return Err(cursor.malformed("impossible number of blobs"));
        }
        self.ends.clear();
        let mut end = 0u32;
        for _ in 0..count {
            let len = cursor.varint_u32()?;
            end = end
                .checked_add(len)
                .filter(|&end| end as usize <= MAX_BLOCK_BYTES)
                .ok_or_else(|| cursor.malformed("too long"))?;
            self.ends.push(end);
        }
        decompressor.extract(codec, cursor.rest(), end as usize, &mut self.raw)
    }

    /// Forgets the blobs and keeps the memory.
    pub fn clear(&mut self) {
        self.raw.clear();
        self.ends.clear();
    }

    /// How many blobs there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none; a decoded block has at least one.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The blob with a number.
    pub fn blob(&self, number: usize) -> Option<&[u8]> {
        let end = *self.ends.get(number)? as usize;
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        Some(&self.raw[start..end])
    }

    /// All blobs in order.
    pub fn blobs(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).filter_map(|number| self.blob(number))
    }
}

/// The length of the footer frame, from the last bytes of a pack.
pub fn footer_frame_bytes(tail: &[u8]) -> Result<usize, FormatError> {
    let trailer: &[u8; TRAILER_BYTES] = tail.last_chunk().ok_or(FormatError::Truncated("pack"))?;
    if trailer[4..] != TRAILER_MAGIC {
        return Err(malformed("pack", "no trailer at its end"));
    }
    let len = u32::from_le_bytes([trailer[0], trailer[1], trailer[2], trailer[3]]);
    usize::try_from(len).map_err(|_| malformed("pack", "footer too long"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table() -> impl Strategy<Value = PackTable> {
        let blob =
            (any::<[u8; 16]>(), any::<u32>()).prop_map(|(p, len_bytes)| BlobEntry { prefix: BlobPrefix(p), len_bytes });
        let block = (any::<u32>(), 0u32..1 << 24, prop::collection::vec(blob, 1..20));
        prop::collection::vec(block, 0..20).prop_map(|blocks| {
            let mut offset_bytes = 80;
            let blocks = blocks
                .into_iter()
                .map(|(ordinal, sealed_bytes, blobs)| {
                    let block = BlockEntry { ordinal, offset_bytes, sealed_bytes, blobs };
                    offset_bytes += sealed_bytes + 12;
                    block
                })
                .collect();
            PackTable { blocks }
        })
    }

    proptest! {
        #[test]
        fn table_comes_back(table in table()) {
            let mut out = Vec::new();
            table.encode(&mut out);
            let mut cursor = Cursor::new(&out, "test");
            prop_assert_eq!(PackTable::decode(&mut cursor).unwrap(), table);
            prop_assert!(cursor.is_empty());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = PackTable::decode(&mut Cursor::new(&bytes, "test"));
            let _ = Block::default().decode(&mut Decompressor::new(), &bytes);
            let _ = footer_frame_bytes(&bytes);
        }

        #[test]
        fn block_comes_back(blobs in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..50)) {
            let lengths: Vec<u32> = blobs.iter().map(|blob| u32::try_from(blob.len()).unwrap()).collect();
            let mut plain = Vec::new();
            put_block(&mut Compressor::new(3), &lengths, &blobs.concat(), &mut plain);
            let mut block = Block::default();
            block.decode(&mut Decompressor::new(), &plain).unwrap();
            prop_assert!(block.blobs().eq(blobs.iter().map(Vec::as_slice)));
        }
    }
}
