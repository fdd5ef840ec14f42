//! What a worker does with packs and blocks: hash, cut, open, decompress, compare.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::data::{Shared, Table};
use super::findings::WRONG_HASH;
use super::queue::{BlockTask, FetchedPack, OpenPack, Work};
use crate::compress::Decompressor;
use crate::crypto::two_lane::{Digest, LANES, digest_all};
use crate::crypto::{BlobHasher, sha256};
use crate::format::envelope::{Envelope, FRAME_PREFIX_BYTES, FramePrefix, FrameRole};
use crate::format::pack::{Block, PackTable};
use crate::format::{BlobType, FormatError, ObjectKind, malformed};
use crate::id::BlobPrefix;
use crate::pack::reader::into_own;
use crate::pack::table::read_footer;

/// One thread's tables and memory.
pub(super) struct Worker<'a> {
    shared: &'a Shared<'a>,
    hasher: BlobHasher,
    decompressor: Decompressor,
    /// The blocks at hand, as many as are taken at a time.
    opened: [Block; LANES],
    digests: Vec<Digest>,
}

impl<'a> Worker<'a> {
    pub(super) fn new(shared: &'a Shared<'a>) -> Self {
        let hasher = shared.check.store.keyring().hasher().clone();
        let (opened, digests) = (Default::default(), Vec::new());
        Self { shared, hasher, decompressor: Decompressor::new(), opened, digests }
    }

    /// Works until there is nothing left to do.
    pub(super) fn work(&mut self) {
        while let Some(work) = self.shared.queue.pop() {
            match work {
                Work::Pack(pack) => {
                    self.pack(pack);
                    self.shared.queue.pack_done();
                }
                Work::Blocks(tasks) => self.blocks(tasks),
            }
        }
    }

    fn pack(&self, FetchedPack { task, bytes, room }: FetchedPack) {
        let index = self.shared.check.index;
        self.shared.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let expected = task.number.map_or(task.stored_bytes, |number| index.pack(number).size_bytes);
        let is_whole = task.stored_bytes == expected && bytes.len() as u64 == expected;
        let is_right = is_whole && sha256(&bytes) == *task.id.as_bytes();
        self.shared.verified().packs += 1;
        let Some(number) = task.number else {
            if !is_right {
                self.shared.verified().unindexed.push(task.id);
            }
            return;
        };
        if is_right && !task.blocks {
            return;
        }
        let note = |what: String| self.shared.verified().notes.push((number, what));
        let kind = index.pack(number).kind;
        let envelope = match Envelope::open(self.shared.check.store.keyring(), kind, &bytes) {
            Ok(envelope) => envelope,
            Err(error) => return self.shared.damage(number, None, error.to_string()),
        };
        let table = match self.shared.tables.get(&number) {
            Some(blocks) => Table::Index(blocks.clone()),
            None => match self.footer(&envelope, number, &bytes) {
                Ok(table) => Table::Footer(table),
                Err(why) => {
                    self.shared.verified().without_footer.push(number);
                    return note(why);
                }
            },
        };
        if !is_right {
            note(WRONG_HASH.to_owned());
        }
        self.cut(OpenPack { number, kind, envelope, table, _room: room }, bytes);
    }

    /// The table from the footer, provided that it is the one in the index.
    fn footer(&self, envelope: &Envelope, number: u32, bytes: &Bytes) -> Result<PackTable, String> {
        let size_bytes = self.shared.check.index.pack(number).size_bytes;
        let table =
            read_footer(envelope, bytes, size_bytes).map_err(|error| format!("its footer can't be read: {error}"))?;
        let mut encoded = Vec::new();
        table.encode(&mut encoded);
        if sha256(&encoded) != self.shared.check.table_digests[number as usize] {
            return Err("its footer and the index don't say the same about it".to_owned());
        }
        Ok(table)
    }

    /// Cuts a pack into its blocks, without a copy where nobody else holds its bytes.
    fn cut(&self, pack: OpenPack, bytes: Bytes) {
        let pack = Arc::new(pack);
        let mut rest = into_own(bytes);
        let mut at = 0;
        let mut blocks = Vec::new();
        for (nth, (offset_bytes, sealed_bytes)) in pack.table.places().into_iter().enumerate() {
            let len = sealed_bytes as usize + FRAME_PREFIX_BYTES;
            let gap = (offset_bytes as usize).checked_sub(at);
            match gap.filter(|gap| gap + len <= rest.len()) {
                Some(gap) => {
                    let _ = rest.split_to(gap);
                    let frame = rest.split_to(len);
                    at += gap + len;
                    blocks.push(BlockTask { pack: Arc::clone(&pack), nth, frame });
                }
                None => self.shared.damage(pack.number, Some(offset_bytes), "it is cut off".to_owned()),
            }
        }
        self.shared.queue.push_blocks(blocks);
    }

    /// Opens, decompresses and hashes blocks, in the memory they were fetched into.
    fn blocks(&mut self, mut tasks: Vec<BlockTask>) {
        let opened: Vec<_> = tasks
            .iter_mut()
            .zip(&mut self.opened)
            .map(|(task, block)| open(task, &mut self.decompressor, block))
            .collect();
        // One that can't be opened has no blobs, and so no digests that would shift those of the next.
        digest_all(self.opened[..tasks.len()].iter().flat_map(Block::blobs), &mut self.digests);
        let mut digests = &self.digests[..];
        for ((task, block), opened) in tasks.iter().zip(&self.opened).zip(opened) {
            let of_block;
            (of_block, digests) = digests.split_at(block.len());
            let result = opened.and_then(|()| {
                if self.is_right(task, block, of_block) { Ok(()) } else { Err(FormatError::WrongContent) }
            });
            if let Err(error) = result {
                let offset = task.pack.table.offset_bytes(task.nth);
                self.shared.damage(task.pack.number, Some(offset), error.to_string());
            }
        }
    }

    /// Whether a block holds the blobs that its pack's table says.
    fn is_right(&self, task: &BlockTask, block: &Block, digests: &[Digest]) -> bool {
        let has_id = |digest: &Digest, prefix: BlobPrefix| {
            let is = |blob_type| self.hasher.id_of_digest(blob_type, digest).prefix() == prefix;
            match task.pack.kind {
                ObjectKind::TreePack => is(BlobType::Tree) || is(BlobType::List),
                _ => is(BlobType::Data),
            }
        };
        match &task.pack.table {
            Table::Footer(table) => {
                let blobs = &table.blocks[task.nth].blobs;
                let lengths = block.blobs().map(|blob| blob.len() as u64);
                blobs.len() == block.len()
                    && lengths.zip(blobs).all(|(len, entry)| len == u64::from(entry.len_bytes))
                    && digests.iter().zip(blobs).all(|(digest, entry)| has_id(digest, entry.prefix))
            }
            Table::Index(blocks) => {
                let blobs = &blocks[task.nth].blobs;
                blobs.len() == block.len() && digests.iter().zip(blobs).all(|(digest, &prefix)| has_id(digest, prefix))
            }
        }
    }
}

/// Opens and decompresses a block; leaves an empty one where that fails.
fn open(task: &mut BlockTask, decompressor: &mut Decompressor, block: &mut Block) -> Result<(), FormatError> {
    block.clear();
    let prefix = FramePrefix::decode(&task.frame)?;
    let sealed = &mut task.frame[FRAME_PREFIX_BYTES..];
    let ordinal = match &task.pack.table {
        Table::Footer(table) => table.blocks[task.nth].ordinal,
        Table::Index(_) => prefix.ordinal,
    };
    if prefix.role != FrameRole::Block
        || prefix.ordinal != ordinal
        || sealed.len() as u64 != u64::from(prefix.sealed_bytes)
    {
        return Err(malformed("block", "not where the index says"));
    }
    let plain = task.pack.envelope.open_frame(prefix, sealed)?;
    block.decode(decompressor, plain).inspect_err(|_| block.clear())
}
