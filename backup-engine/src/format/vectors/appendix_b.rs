//! The pack, and the index object that names it.

use super::{assert_is, blocks, bytes, id, keyring, unhex};
use crate::compress::{Compressor, DEFAULT_LEVEL, Decompressor};
use crate::crypto::sha256;
use crate::format::envelope::{Envelope, FramePrefix, FrameRole, get_payload, put_payload};
use crate::format::index::{IndexSegment, IndexedPack};
use crate::format::pack::{
    BlobEntry, Block, BlockEntry, PackTable, TRAILER_BYTES, TRAILER_MAGIC, footer_frame_bytes, put_block,
};
use crate::format::wire::Cursor;
use crate::format::{BlobType, ObjectKind};
use crate::id::{ObjectId, PackId};
use crate::pack::reader::decode_frame;

/// The bytes of a dump: each line is an offset, bytes up to two spaces, and what they mean.
fn dump(language: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for line in blocks(language).flat_map(str::lines) {
        let (offset, rest) = line.split_once("  ").expect(line);
        assert_eq!(usize::from_str_radix(offset, 16), Ok(out.len()), "{line}");
        out.extend(unhex(&rest.split("  ").next().unwrap_or_default().replace(' ', "")));
    }
    out
}

fn contents() -> [Vec<Vec<u8>>; 2] {
    [vec![b"hello".to_vec(), b"world!".to_vec()], vec![b"0123456789".repeat(30)]]
}

fn table() -> PackTable {
    let mut offset_bytes = 80;
    let blocks = (0u32..).zip(contents()).map(|(ordinal, blobs)| {
        let entry = |blob: &Vec<u8>| BlobEntry {
            prefix: keyring().hasher().id(BlobType::Data, blob).prefix(),
            len_bytes: blob.len().try_into().unwrap(),
        };
        let sealed_bytes = u32::try_from(bytes(&format!("pack block {ordinal}")).len()).unwrap() + 16;
        let block = BlockEntry { ordinal, offset_bytes, sealed_bytes, blobs: blobs.iter().map(entry).collect() };
        offset_bytes += sealed_bytes + 12;
        block
    });
    PackTable { blocks: blocks.collect() }
}

fn index() -> IndexSegment {
    let size_bytes = dump("pack").len().try_into().unwrap();
    let pack =
        IndexedPack { id: PackId::from_bytes(id("pack name")), kind: ObjectKind::DataPack, size_bytes, table: table() };
    IndexSegment { supersedes: vec![ObjectId::from_bytes(id("secret"))], packs: vec![pack] }
}

#[test]
fn pack_is_sealed_as_documented() {
    let envelope = Envelope::create_with_salt(&keyring(), ObjectKind::DataPack, &id("salt"));
    let mut pack = envelope.header().to_vec();
    for ordinal in [0, 1] {
        let at = Envelope::begin_frame(&mut pack);
        pack.extend_from_slice(bytes(&format!("pack block {ordinal}")));
        envelope.seal_frame(FrameRole::Block, ordinal, &mut pack, at);
    }
    let mut encoded = Vec::new();
    table().encode(&mut encoded);
    assert_is("pack table", &encoded);
    let at = Envelope::begin_frame(&mut pack);
    put_payload(&mut Compressor::new(DEFAULT_LEVEL), &encoded, &mut pack);
    envelope.seal_frame(FrameRole::Footer, 2, &mut pack, at);
    let footer = u32::try_from(pack.len() - at).unwrap();
    pack.extend_from_slice(&footer.to_le_bytes());
    pack.extend_from_slice(&TRAILER_MAGIC);
    assert_eq!(crate::id::hex(&pack), crate::id::hex(&dump("pack")));
    assert_is("pack name", sha256(&pack));
}

#[test]
fn stored_block_is_as_documented() {
    let mut plain = Vec::new();
    put_block(&mut Compressor::new(DEFAULT_LEVEL), &[5, 6], b"helloworld!", &mut plain);
    assert_is("pack block 0", &plain);
    assert_is("pack block 0", dump("block"));
}

#[test]
fn documented_pack_gives_its_blobs() {
    let pack = dump("pack");
    let envelope = Envelope::open(&keyring(), ObjectKind::DataPack, &pack).unwrap();
    let frame = footer_frame_bytes(&pack).unwrap();
    let at = pack.len() - TRAILER_BYTES - frame;
    let prefix = FramePrefix::decode(&pack[at..]).unwrap();
    assert_eq!((prefix.role, prefix.ordinal), (FrameRole::Footer, 2));
    let mut sealed = pack[at + 12..pack.len() - TRAILER_BYTES].to_vec();
    let payload = get_payload(&mut Decompressor::new(), envelope.open_frame(prefix, &mut sealed).unwrap()).unwrap();
    let read = PackTable::decode(&mut Cursor::new(&payload, "test")).unwrap();
    assert_eq!(read, table());
    assert_eq!(read.end_bytes(), u64::try_from(at).unwrap());
    for (entry, blobs) in read.blocks.iter().zip(contents()) {
        let from = usize::try_from(entry.offset_bytes).unwrap();
        let mut frame = pack[from..from + usize::try_from(entry.frame_bytes()).unwrap()].to_vec();
        let mut block = Block::default();
        decode_frame(&envelope, &mut frame, &mut Decompressor::new(), &mut block).unwrap();
        assert!(block.blobs().eq(blobs.iter().map(Vec::as_slice)));
    }
}

#[test]
fn index_object_is_as_documented() {
    assert_is("index payload", index().encode());
    assert_eq!(IndexSegment::decode(bytes("index payload")), Ok(index()));
}
