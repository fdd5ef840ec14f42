//! Blocks, packs and the index.

use backup_engine::compress::{Compressor, DEFAULT_LEVEL, Decompressor};
use backup_engine::format::ObjectKind;
use backup_engine::format::envelope::{Envelope, FRAME_PREFIX_BYTES, FrameRole, put_payload};
use backup_engine::format::index::IndexSegment;
use backup_engine::format::pack::{
    Block, MAX_BLOCK_BLOBS, MAX_BLOCK_BYTES, PackTable, TRAILER_MAGIC, footer_frame_bytes, put_block,
};
use backup_engine::format::wire::Cursor;
use backup_engine::pack::reader::decode_frame;
use backup_engine::pack::table::{LOST_BLOCK, open_pack, read_footer, salvage};

use super::document::{array, keyring};
use super::{bounded, choice};

/// One block in memory: its plaintext and where its blobs end.
const BLOCK_LIMIT: usize = MAX_BLOCK_BYTES + 4 * MAX_BLOCK_BLOBS + (64 << 10);

/// A table takes 24 bytes of memory for a blob's 17, and 40 for a block's 3.
const TABLE_FACTOR: usize = 32;

/// The input is a block's plaintext.
pub(crate) fn block(data: &[u8]) {
    let (mut decompressor, mut block) = (Decompressor::new(), Block::default());
    if bounded(BLOCK_LIMIT, || block.decode(&mut decompressor, data)).is_err() {
        return;
    }
    assert!(!block.is_empty() && block.raw.len() <= MAX_BLOCK_BYTES && block.len() <= MAX_BLOCK_BLOBS);
    assert_eq!(block.blobs().map(<[u8]>::len).sum::<usize>(), block.raw.len());
    let lengths: Vec<u32> = block.blobs().map(|blob| u32::try_from(blob.len()).unwrap_or(u32::MAX)).collect();
    let (mut plain, mut again) = (Vec::new(), Block::default());
    put_block(&mut Compressor::new(DEFAULT_LEVEL), &lengths, &block.raw, &mut plain);
    assert_eq!(again.decode(&mut decompressor, &plain), Ok(()));
    assert!(again.raw == block.raw && again.ends == block.ends, "a block changed on its way");
}

/// The input is a pack, or says how one is put together by somebody who has the keys.
pub(crate) fn pack(data: &[u8]) {
    let Some((how, data)) = choice(data, 2) else { return };
    let pack = if how == 0 { data.to_vec() } else { forged(data) };
    let _ = footer_frame_bytes(&pack);
    let Ok((kind, envelope)) = open_pack(keyring(), &pack) else { return };
    let limit = BLOCK_LIMIT + (4 + TABLE_FACTOR) * (pack.len() + BLOCK_LIMIT);
    if let Ok(table) = bounded(limit, || read_footer(&envelope, &pack, pack.len() as u64)) {
        comes_back(&table);
        assert!(table.end_bytes() <= pack.len() as u64);
    }
    let salvaged = bounded(limit, || salvage(&envelope, keyring().hasher(), kind, &pack));
    comes_back(&salvaged.table);
    let (mut decompressor, mut block) = (Decompressor::new(), Block::default());
    let mut readable = 0;
    for entry in salvaged.table.blocks.iter().filter(|entry| entry.blobs != [LOST_BLOCK]) {
        let from = usize::try_from(entry.offset_bytes).expect("within the pack");
        let mut frame = pack[from..][..usize::try_from(entry.frame_bytes()).expect("within the pack")].to_vec();
        assert_eq!(decode_frame(&envelope, &mut frame, &mut decompressor, &mut block), Ok(()));
        readable += 1;
    }
    assert_eq!(readable, salvaged.blocks);
}

fn comes_back(table: &PackTable) {
    let mut encoded = Vec::new();
    table.encode(&mut encoded);
    let mut cursor = Cursor::new(&encoded, "fuzz");
    assert_eq!(PackTable::decode(&mut cursor).as_ref(), Ok(table));
    assert!(cursor.is_empty());
}

/// A pack of pieces, each of a kind byte, a length of two bytes and that many bytes.
fn forged(mut recipe: &[u8]) -> Vec<u8> {
    let kind = if recipe.len().is_multiple_of(2) { ObjectKind::TreePack } else { ObjectKind::DataPack };
    let envelope = Envelope::create_with_salt(keyring(), kind, &array("salt"));
    let mut compressor = Compressor::new(DEFAULT_LEVEL);
    let mut pack = envelope.header().to_vec();
    let mut ordinal = 0;
    while let [piece, low, high, rest @ ..] = recipe {
        let (bytes, after) = rest.split_at(usize::from(u16::from_le_bytes([*low, *high])).min(rest.len()));
        recipe = after;
        let at = pack.len();
        match piece % 5 {
            // Bytes as they are: damage, or an attempt at a header.
            0 => pack.extend_from_slice(bytes),
            // A block of one blob, one of any plaintext, one sealed as a footer.
            1 => sealed(&envelope, FrameRole::Block, ordinal, &mut pack, |out| {
                put_block(&mut compressor, &[u32::try_from(bytes.len()).unwrap_or(u32::MAX)], bytes, out);
            }),
            2 => sealed(&envelope, FrameRole::Block, ordinal, &mut pack, |out| out.extend_from_slice(bytes)),
            3 => sealed(&envelope, FrameRole::Footer, ordinal, &mut pack, |out| out.extend_from_slice(bytes)),
            // A whole end of a pack with any table.
            _ => {
                sealed(&envelope, FrameRole::Footer, ordinal, &mut pack, |out| {
                    put_payload(&mut compressor, bytes, out);
                });
                let footer = u32::try_from(pack.len() - at).unwrap_or(u32::MAX);
                pack.extend_from_slice(&footer.to_le_bytes());
                pack.extend_from_slice(&TRAILER_MAGIC);
            }
        }
        ordinal += 1;
    }
    pack
}

fn sealed(envelope: &Envelope, role: FrameRole, ordinal: u32, pack: &mut Vec<u8>, plain: impl FnOnce(&mut Vec<u8>)) {
    let at = Envelope::begin_frame(pack);
    plain(pack);
    envelope.seal_frame(role, ordinal, pack, at);
    debug_assert!(pack.len() > at + FRAME_PREFIX_BYTES);
}

/// The input is an index object's payload.
pub(crate) fn index(data: &[u8]) {
    let decoded = bounded(TABLE_FACTOR * data.len() + 4096, || IndexSegment::decode(data));
    if let Ok(segment) = decoded {
        assert!(segment.encode() == data, "an index object has one encoding");
    }
}
