//! Where blobs are: look-up by the first half of an id.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use crate::format::ObjectKind;
use crate::format::index::IndexedPack;
use crate::id::{BlobId, BlobPrefix, PackId};

/// Where one copy of a blob is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobLocation {
    /// Which pack, by its number in the index.
    pub pack: u32,
    /// Where the block's frame begins in the pack.
    pub offset_bytes: u32,
    /// Length of the block's sealed part.
    pub sealed_bytes: u32,
    /// The blob's place in the block.
    pub number: u16,
}

impl BlobLocation {
    /// The damage that a block that can't be read is.
    pub fn damage(&self) -> Damage {
        Damage { pack: self.pack, offset_bytes: Some(self.offset_bytes) }
    }
}

/// A pack that the index names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackInfo {
    /// The pack.
    pub id: PackId,
    /// Data or tree.
    pub kind: ObjectKind,
    /// Size of the whole object.
    pub size_bytes: u64,
}

#[derive(Debug, Clone, Copy)]
struct Record {
    prefix: BlobPrefix,
    location: BlobLocation,
}

/// All blobs of a repository in memory: 32 bytes each, found by interpolation because keyed ids are evenly spread.
#[derive(Debug, Default)]
pub struct BlobIndex {
    packs: Vec<PackInfo>,
    numbers: HashMap<PackId, u32>,
    records: Vec<Record>,
    /// What is known to be damaged. Readers add what they meet, so it changes while the index is shared.
    damaged: RwLock<HashSet<Damage>>,
    /// Whether there is any, so that look-ups needn't take the lock where there is none.
    any_damaged: AtomicBool,
}

/// A block, or a whole pack, that can't be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Damage {
    /// Which pack, by its number in the index.
    pub pack: u32,
    /// Where the block's frame begins; `None` for the whole pack.
    pub offset_bytes: Option<u32>,
}

/// Collects packs for an index.
#[derive(Debug, Default)]
pub struct BlobIndexBuilder {
    index: BlobIndex,
}

impl BlobIndexBuilder {
    /// Adds a pack; one that was added before is ignored.
    pub fn add(&mut self, pack: &IndexedPack) {
        let number = u32::try_from(self.index.packs.len()).expect("a repository has less than 2^32 packs");
        if self.index.numbers.contains_key(&pack.id) {
            return;
        }
        self.index.numbers.insert(pack.id, number);
        self.index.packs.push(PackInfo { id: pack.id, kind: pack.kind, size_bytes: pack.size_bytes });
        for block in &pack.table.blocks {
            for (nth, blob) in block.blobs.iter().enumerate() {
                let location = BlobLocation {
                    pack: number,
                    offset_bytes: block.offset_bytes,
                    sealed_bytes: block.sealed_bytes,
                    number: u16::try_from(nth).expect("the decoder limits blobs in a block"),
                };
                self.index.records.push(Record { prefix: blob.prefix, location });
            }
        }
    }

    /// The finished index.
    pub fn finish(mut self) -> BlobIndex {
        self.index
            .records
            .sort_unstable_by_key(|record| (record.prefix, record.location.pack, record.location.offset_bytes));
        self.index
    }
}

impl BlobIndex {
    /// How many blobs it names, copies counted.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether it names none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The packs, by number.
    pub fn packs(&self) -> &[PackInfo] {
        &self.packs
    }

    /// A pack by its number.
    pub fn pack(&self, number: u32) -> &PackInfo {
        &self.packs[number as usize]
    }

    /// The number of a pack, if the index names it.
    pub fn number_of(&self, pack: &PackId) -> Option<u32> {
        self.numbers.get(pack).copied()
    }

    /// Every known copy of a blob, sound ones first.
    pub fn locations(&self, id: &BlobId) -> Vec<BlobLocation> {
        let mut found: Vec<_> = self.copies(id.prefix()).map(|record| record.location).collect();
        if found.len() > 1 && self.any_damaged.load(Ordering::Acquire) {
            found.sort_by_cached_key(|location| self.damage_at(location).is_some());
        }
        found
    }

    /// The first copy of a blob that is not known to be damaged.
    pub fn find(&self, id: &BlobId) -> Option<BlobLocation> {
        self.copies(id.prefix()).map(|record| record.location).find(|location| self.damage_at(location).is_none())
    }

    /// Whether a copy is there that is not known to be damaged.
    pub fn contains(&self, id: &BlobId) -> bool {
        self.find(id).is_some()
    }

    /// Notes that a block, or a whole pack, can't be relied on, so that its blobs count as absent and are stored again.
    ///
    /// Does nothing for packs that the index doesn't name.
    pub fn mark_damaged(&self, pack: &PackId, offset_bytes: Option<u32>) {
        if let Some(pack) = self.number_of(pack) {
            self.mark(Damage { pack, offset_bytes });
        }
    }

    /// The same for a pack by its number.
    pub fn mark(&self, damage: Damage) {
        self.damaged.write().unwrap_or_else(PoisonError::into_inner).insert(damage);
        self.any_damaged.store(true, Ordering::Release);
    }

    /// What is marked as damaged, in order.
    pub fn damage(&self) -> Vec<Damage> {
        let mut damage: Vec<_> = self.damaged.read().unwrap_or_else(PoisonError::into_inner).iter().copied().collect();
        damage.sort();
        damage
    }

    /// What is marked that makes a copy of a blob unreliable.
    pub fn damage_at(&self, location: &BlobLocation) -> Option<Damage> {
        if !self.any_damaged.load(Ordering::Acquire) {
            return None;
        }
        let damaged = self.damaged.read().unwrap_or_else(PoisonError::into_inner);
        [None, Some(location.offset_bytes)]
            .into_iter()
            .map(|offset_bytes| Damage { pack: location.pack, offset_bytes })
            .find(|damage| damaged.contains(damage))
    }

    /// All blobs of all blocks, for going over everything: prefix and location in look-up order.
    pub fn iter(&self) -> impl Iterator<Item = (BlobPrefix, BlobLocation)> {
        self.records.iter().map(|record| (record.prefix, record.location))
    }

    fn copies(&self, prefix: BlobPrefix) -> impl Iterator<Item = &Record> {
        let from = self.lower_bound(prefix);
        self.records[from..].iter().take_while(move |record| record.prefix == prefix)
    }

    /// The first record not below a prefix.
    ///
    /// Ids are evenly spread, so the record is near where proportion says; doubling steps from there find a small
    /// interval to search.
    fn lower_bound(&self, prefix: BlobPrefix) -> usize {
        let len = self.records.len();
        let top = u64::from_be_bytes(prefix.0[..8].try_into().expect("8 bytes"));
        let scaled = (u128::from(top) * len as u128) >> 64;
        let guess = usize::try_from(scaled).expect("not more than the length");
        let mut step = 16;
        let (mut low, mut high) = (guess, guess);
        while low > 0 && self.records[low - 1].prefix >= prefix {
            low = low.saturating_sub(step);
            step *= 2;
        }
        step = 16;
        while high < len && self.records[high].prefix < prefix {
            high = (high + step).min(len);
            step *= 2;
        }
        low + self.records[low..high].partition_point(|record| record.prefix < prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::sha256;
    use crate::format::pack::{BlobEntry, BlockEntry, PackTable};

    fn id(n: u32) -> BlobId {
        BlobId::from_bytes(sha256(&n.to_le_bytes()))
    }

    fn pack(n: u8, ids: impl Iterator<Item = u32>) -> IndexedPack {
        let blobs = ids.map(|n| BlobEntry { prefix: id(n).prefix(), len_bytes: n }).collect();
        let block = BlockEntry { ordinal: 0, offset_bytes: 80, sealed_bytes: 100, blobs };
        let table = PackTable { blocks: vec![block] };
        IndexedPack { id: PackId::from_bytes([n; 32]), kind: ObjectKind::DataPack, size_bytes: 300, table }
    }

    #[test]
    fn every_blob_is_found_and_no_other() {
        for count in [0u32, 1, 2, 3, 100, 5000] {
            let mut builder = BlobIndexBuilder::default();
            builder.add(&pack(1, 0..count));
            builder.add(&pack(1, 0..count));
            let index = builder.finish();
            assert_eq!(index.len(), count as usize);
            for n in 0..count {
                assert_eq!(index.find(&id(n)).map(|location| u32::from(location.number)), Some(n));
            }
            assert!((count..count + 1000).all(|n| !index.contains(&id(n))));
        }
    }

    #[test]
    fn a_sound_copy_is_preferred_to_a_damaged_one() {
        let mut builder = BlobIndexBuilder::default();
        builder.add(&pack(1, 0..10));
        builder.add(&pack(2, 5..15));
        let index = builder.finish();
        index.mark_damaged(&PackId::from_bytes([1; 32]), None);
        assert!(!index.contains(&id(3)));
        assert_eq!(index.find(&id(7)).unwrap().pack, 1);
        assert_eq!(index.locations(&id(7)).iter().map(|location| location.pack).collect::<Vec<_>>(), [1, 0]);
        index.mark_damaged(&PackId::from_bytes([2; 32]), Some(81));
        assert!(index.contains(&id(7)));
        index.mark_damaged(&PackId::from_bytes([2; 32]), Some(80));
        assert!(!index.contains(&id(7)));
        assert_eq!(index.locations(&id(7)).len(), 2);
    }
}
