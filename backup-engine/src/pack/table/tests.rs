//! Tables come back from footers, and from blocks where the footer is gone.

use proptest::prelude::*;

use super::*;
use crate::compress::Compressor;
use crate::crypto::SecretKey;
use crate::format::envelope::put_payload;
use crate::format::pack::{TRAILER_MAGIC, put_block};
use crate::id::RepositoryId;

fn keyring() -> Keyring {
    let mut keyring = Keyring::new(RepositoryId::from_bytes([1; 32]), SecretKey::from_bytes(&[2; 32]));
    keyring.add_epoch(1, SecretKey::from_bytes(&[3; 32]));
    keyring
}

/// A data pack of some blocks, whose ordinals don't follow their places.
fn pack(keyring: &Keyring, blocks: &[Vec<Vec<u8>>]) -> (Vec<u8>, PackTable) {
    let envelope = Envelope::create(keyring, ObjectKind::DataPack);
    let mut compressor = Compressor::new(3);
    let mut pack = envelope.header().to_vec();
    let mut table = PackTable::default();
    for (ordinal, blobs) in (0u32..).zip(blocks) {
        let ordinal = ordinal ^ 1;
        let at = Envelope::begin_frame(&mut pack);
        let len = |blob: &Vec<u8>| u32::try_from(blob.len()).unwrap();
        put_block(&mut compressor, &blobs.iter().map(len).collect::<Vec<_>>(), &blobs.concat(), &mut pack);
        envelope.seal_frame(FrameRole::Block, ordinal, &mut pack, at);
        let id = |blob: &Vec<u8>| keyring.hasher().id(BlobType::Data, blob).prefix();
        table.blocks.push(BlockEntry {
            ordinal,
            offset_bytes: offset(at),
            sealed_bytes: offset(pack.len() - at - FRAME_PREFIX_BYTES),
            blobs: blobs.iter().map(|blob| BlobEntry { prefix: id(blob), len_bytes: len(blob) }).collect(),
        });
    }
    let mut encoded = Vec::new();
    table.encode(&mut encoded);
    let at = Envelope::begin_frame(&mut pack);
    put_payload(&mut compressor, &encoded, &mut pack);
    envelope.seal_frame(FrameRole::Footer, 1000, &mut pack, at);
    let footer = offset(pack.len() - at);
    pack.extend_from_slice(&footer.to_le_bytes());
    pack.extend_from_slice(&TRAILER_MAGIC);
    (pack, table)
}

fn blocks() -> impl Strategy<Value = Vec<Vec<Vec<u8>>>> {
    let blob = prop::collection::vec(any::<u8>(), 0..200);
    prop::collection::vec(prop::collection::vec(blob, 1..6), 1..8)
}

proptest! {
    #[test]
    fn table_comes_back_from_footer_and_from_blocks(blocks in blocks()) {
        let keyring = keyring();
        let (pack, table) = pack(&keyring, &blocks);
        let (kind, envelope) = open_pack(&keyring, &pack).unwrap();
        prop_assert_eq!(kind, ObjectKind::DataPack);
        prop_assert_eq!(&read_footer(&envelope, &pack, pack.len() as u64).unwrap(), &table);
        let salvaged = salvage(&envelope, keyring.hasher(), kind, &pack);
        prop_assert_eq!((&salvaged.table, salvaged.gaps), (&table, 0));
    }

    #[test]
    fn a_flipped_bit_costs_one_block(blocks in blocks(), at: prop::sample::Index, bit in 0u8..8) {
        let keyring = keyring();
        let (mut pack, table) = pack(&keyring, &blocks);
        let (kind, envelope) = open_pack(&keyring, &pack).unwrap();
        let at = HEADER_BYTES + at.index(pack.len() - HEADER_BYTES);
        pack[at] ^= 1 << bit;
        let salvaged = salvage(&envelope, keyring.hasher(), kind, &pack).table;
        let found: Vec<_> = salvaged.blocks.iter().filter(|block| block.blobs != [LOST_BLOCK]).cloned().collect();
        let is_hit = |block: &&BlockEntry| {
            let start = u64::from(block.offset_bytes);
            (start..start + block.frame_bytes()).contains(&(at as u64))
        };
        let expected: Vec<_> = table.blocks.iter().filter(|block| !is_hit(block)).cloned().collect();
        prop_assert_eq!(found, expected);
        // What was put together can be written and read back with every block at its place.
        let mut encoded = Vec::new();
        salvaged.encode(&mut encoded);
        prop_assert_eq!(PackTable::decode(&mut Cursor::new(&encoded, "test")).unwrap(), salvaged);
    }

    #[test]
    fn truncated_and_arbitrary_bytes_never_panic(blocks in blocks(), len: prop::sample::Index, noise: Vec<u8>) {
        let keyring = keyring();
        let (mut pack, table) = pack(&keyring, &blocks);
        let (kind, envelope) = open_pack(&keyring, &pack).unwrap();
        pack.truncate(len.index(pack.len()));
        prop_assert!(read_footer(&envelope, &pack, pack.len() as u64).is_err());
        let salvaged = salvage(&envelope, keyring.hasher(), kind, &pack);
        let whole = table.blocks.iter().filter(|block| u64::from(block.offset_bytes) + block.frame_bytes() <= pack.len() as u64);
        prop_assert_eq!(salvaged.blocks, whole.count());
        let _ = open_pack(&keyring, &noise);
        let _ = read_footer(&envelope, &noise, noise.len() as u64);
        let _ = salvage(&envelope, keyring.hasher(), kind, &[&pack[..], &noise].concat());
    }

    /// Ids whose bytes are numbers that go on and end anywhere: the likeliest to make a node look like a list.
    #[test]
    fn no_inner_node_decodes_as_a_chunk_list(
        children in prop::collection::vec((prop::collection::vec(prop::sample::select(vec![0xffu8, 0x80, 1]), 32), 1u64..300, 0u64..300), 1..12),
        high in any::<bool>(),
    ) {
        use crate::format::tree::{InnerNode, NodeChild};
        let first = |at: u8| backup_core::EntryPath::new([if high { 0x80 + at } else { b'a' + at }]).unwrap();
        let child = |(at, (id, entries, bytes)): (u8, (Vec<u8>, u64, u64))| NodeChild {
            id: BlobId::from_bytes(id.try_into().unwrap()),
            entries,
            bytes,
            first: first(at),
        };
        let node = InnerNode { level: 1, children: (0u8..).zip(children).map(child).collect() }.encode();
        prop_assert!(InnerNode::decode(&node, 1).is_ok());
        prop_assert!(ChunkList::decode(&node).is_err());
    }

    /// Chunk lists and nodes are told apart by what they are.
    #[test]
    fn a_chunk_list_gets_the_id_of_a_list_and_everything_else_that_of_a_node(
        chunks in prop::collection::vec((any::<[u8; 32]>(), any::<u64>()), 0..50),
        paths in prop::collection::btree_set("[a-z]{1,8}", 1..50),
    ) {
        use crate::format::tree::{ChunkRef, InnerNode, LeafBuilder, NodeChild, TreeEntry, Content};
        use backup_core::{Entry, EntryKind, EntryPath};
        let keyring = keyring();
        let hasher = keyring.hasher();
        let chunks = chunks.into_iter().map(|(id, len_bytes)| ChunkRef { id: BlobId::from_bytes(id), len_bytes });
        let list = ChunkList { form: 1, chunks: chunks.collect() }.encode();
        prop_assert_eq!(id_in_pack(hasher, ObjectKind::TreePack, &list), hasher.id(BlobType::List, &list));
        let mut leaf = LeafBuilder::default();
        let mut children = Vec::new();
        for path in paths {
            let path = EntryPath::new(path.as_bytes()).unwrap();
            leaf.push(&TreeEntry { entry: Entry::new(path.clone(), EntryKind::File), content: Content::None });
            let id = hasher.id(BlobType::Tree, path.as_bytes());
            children.push(NodeChild { id, entries: 7, bytes: 1 << 40, first: path });
        }
        for node in [leaf.finish(), InnerNode { level: 1, children }.encode()] {
            prop_assert_eq!(id_in_pack(hasher, ObjectKind::TreePack, &node), hasher.id(BlobType::Tree, &node));
        }
    }
}
