//! Where blobs are: look-up by the first half of an id.

mod builder;
mod file;
mod fresh;
mod memory;
mod record;

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{OnceLock, PoisonError, RwLock};

use crate::error::RepositoryError;
use crate::format::ObjectKind;
use crate::id::{BlobId, BlobPrefix, PackId};
use file::FileRecords;
use memory::MemoryRecords;

pub use builder::BlobIndexBuilder;
pub(crate) use builder::{IndexPlace, place_in};
pub(crate) use fresh::KnownBlobs;

/// Where one copy of a blob is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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

/// All blobs of a repository: in memory, or, where they are many, in a file on this machine.
///
/// In memory a blob takes 32 bytes; in the file 30, and then less than half a byte of memory. A file that can't be read any
/// more makes look-ups find less than there is: who relies on what is not found asks [`failure`](Self::failure) afterwards.
#[derive(Debug, Default)]
pub struct BlobIndex {
    packs: Vec<PackInfo>,
    numbers: HashMap<PackId, u32>,
    file: Option<FileRecords>,
    memory: MemoryRecords,
    /// What is known to be damaged. Readers add what they meet, so it changes while the index is shared.
    damaged: RwLock<HashSet<Damage>>,
    /// Whether there is any, so that look-ups needn't take the lock where there is none.
    any_damaged: AtomicBool,
    /// What reading the file met first.
    failure: OnceLock<String>,
}

/// A block, or a whole pack, that can't be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Damage {
    /// Which pack, by its number in the index.
    pub pack: u32,
    /// Where the block's frame begins; `None` for the whole pack.
    pub offset_bytes: Option<u32>,
}

impl BlobIndex {
    /// How many blobs it names, copies counted.
    pub fn len(&self) -> usize {
        let in_file = self.file.as_ref().map_or(0, FileRecords::len);
        usize::try_from(in_file).unwrap_or(usize::MAX).saturating_add(self.memory.all().len())
    }

    /// Whether it names none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Why blobs may not be found that are there: the file of the index on this machine can't be read.
    ///
    /// # Errors
    /// [`RepositoryError::LocalIndex`]; the file is removed by then, and the next run makes it again.
    pub fn failure(&self) -> Result<(), RepositoryError> {
        match (self.failure.get(), &self.file) {
            (Some(what), Some(file)) => {
                Err(RepositoryError::LocalIndex { path: file.path().to_owned(), what: what.clone() })
            }
            _ => Ok(()),
        }
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
        let mut found = Vec::new();
        self.first_copy(id.prefix(), |location| {
            found.push(location);
            None::<()>
        });
        if found.len() > 1 && self.any_damaged.load(Ordering::Acquire) {
            found.sort_by_cached_key(|location| self.damage_at(location).is_some());
        }
        found
    }

    /// The first copy of a blob that is not known to be damaged.
    pub fn find(&self, id: &BlobId) -> Option<BlobLocation> {
        self.first_copy(id.prefix(), |location| self.damage_at(&location).is_none().then_some(location))
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

    /// All blobs of all blocks, for going over everything: prefix and location, those of the file first, each part in order.
    pub fn iter(&self) -> impl Iterator<Item = (BlobPrefix, BlobLocation)> {
        /// Buckets read at once: about 4,000 records.
        const BUCKETS: usize = 128;
        let buckets = self.file.as_ref().map_or(0, FileRecords::buckets);
        let in_file = (0..buckets).step_by(BUCKETS).flat_map(move |from| {
            let read = self.file.as_ref().map(|file| file.read_buckets(from..(from + BUCKETS).min(buckets)));
            read.map(|read| self.noting(read).unwrap_or_default()).unwrap_or_default()
        });
        in_file.chain(self.memory.all().iter().copied()).map(|record| (record.prefix, record.location))
    }

    /// Hands over copies of a blob, in order, until one is taken.
    fn first_copy<T>(&self, prefix: BlobPrefix, mut take: impl FnMut(BlobLocation) -> Option<T>) -> Option<T> {
        if let Some(file) = &self.file
            && let Some(taken) = self.noting(file.find(prefix, |record| take(record.location))).flatten()
        {
            return Some(taken);
        }
        self.memory.copies(prefix).find_map(|record| take(record.location))
    }

    /// Remembers that the file can't be read, and removes it, so that no later run relies on it.
    fn noting<T>(&self, read: io::Result<T>) -> Option<T> {
        match (read, &self.file) {
            (Ok(read), _) => Some(read),
            (Err(error), file) => {
                if self.failure.set(error.to_string()).is_ok()
                    && let Some(Err(error)) = file.as_ref().map(|file| std::fs::remove_file(file.path()))
                {
                    tracing::warn!(%error, "the damaged local index file can't be removed");
                }
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::sha256;
    use crate::format::index::IndexedPack;
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
            let index = builder.finish().unwrap();
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
        let index = builder.finish().unwrap();
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
