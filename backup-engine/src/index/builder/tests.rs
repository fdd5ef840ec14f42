use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::crypto::sha256;
use crate::format::ObjectKind;
use crate::format::pack::{BlobEntry, BlockEntry, PackTable};
use crate::id::BlobId;

const REPOSITORY: RepositoryId = RepositoryId::from_bytes([9; 32]);

/// Limits that a few records exceed.
const TINY: Limits = Limits { merge_records: 50, merge_objects: 3, sorted_records: 40 };

fn id(n: u32) -> BlobId {
    BlobId::from_bytes(sha256(&n.to_le_bytes()))
}

fn object(n: u8) -> ObjectId {
    ObjectId::from_bytes([n; 32])
}

fn pack(n: u8, ids: impl IntoIterator<Item = u32>) -> IndexedPack {
    let blobs = ids.into_iter().map(|n| BlobEntry { prefix: id(n).prefix(), len_bytes: n }).collect();
    let block = BlockEntry { ordinal: 0, offset_bytes: 80, sealed_bytes: 100, blobs };
    let table = PackTable { blocks: vec![block] };
    IndexedPack { id: PackId::from_bytes([n; 32]), kind: ObjectKind::DataPack, size_bytes: 300 + u64::from(n), table }
}

fn place(folder: &TempDir) -> IndexPlace {
    place_in(folder.path(), REPOSITORY)
}

fn builder(folder: &TempDir, stored: &[ObjectId]) -> BlobIndexBuilder {
    BlobIndexBuilder { limits: TINY, ..BlobIndexBuilder::at(place(folder), stored, 0) }
}

/// All places of some blobs, with packs by id, and the number of all records.
type LookUps = (Vec<Vec<(PackId, u16)>>, usize);

fn look_ups(index: &BlobIndex, ids: std::ops::Range<u32>) -> LookUps {
    let of = |n| {
        let mut places: Vec<_> =
            index.locations(&id(n)).iter().map(|place| (index.pack(place.pack).id, place.number)).collect();
        places.sort_unstable();
        places
    };
    assert_eq!(index.iter().count(), index.len());
    (ids.map(of).collect(), index.len())
}

proptest! {
    /// Whatever order packs come in, over however many runs, with copies and replaced objects: files find what memory finds.
    #[test]
    fn index_in_files_finds_what_one_in_memory_finds(
        runs in prop::collection::vec(prop::collection::vec((0u8..12, 0u32..300, 0u32..120), 1..5), 1..5),
        replace in prop::collection::vec(any::<bool>(), 30),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut all: Vec<(ObjectId, IndexedPack)> = Vec::new();
        let mut next_object = 0u8..;
        for run in runs {
            for (nth, first, count) in run {
                let number = next_object.next().unwrap();
                // The same pack always holds the same.
                let known = all.iter().find(|(_, pack)| pack.id == PackId::from_bytes([nth; 32]));
                let pack = known.map_or_else(|| pack(nth, first..first + count), |(_, known)| known.clone());
                all.push((object(number), pack));
            }
            let stored: Vec<ObjectId> = all.iter().map(|(object, _)| *object).collect();
            let mut in_files = builder(&folder, &stored);
            let mut in_memory = BlobIndexBuilder::default();
            let (mut without, mut memory_without) = (HashSet::new(), HashSet::new());
            for (nth, (object, pack)) in all.iter().enumerate() {
                let number = in_memory.begin(*object);
                in_memory.add(pack);
                let is_new = !in_files.covers(object);
                // Only what isn't in the file yet can be left out; the caller sees to that.
                let is_replaced = is_new && replace[nth % replace.len()] && in_files.base.is_none();
                if is_replaced {
                    memory_without.insert(number);
                }
                if is_new {
                    let number = in_files.begin(*object);
                    in_files.add(pack);
                    if is_replaced {
                        without.insert(number);
                    }
                }
            }
            if !memory_without.is_empty() {
                // Replaced objects leave the repository, so that later runs don't see them.
                all.retain(|(object, _)| !stored.iter().enumerate().any(|(nth, stored)| {
                    stored == object && memory_without.contains(&u32::try_from(nth + 1).unwrap())
                }));
            }
            let expected = in_memory.finish_without(&memory_without).unwrap();
            let found = in_files.finish_without(&without).unwrap();
            prop_assert_eq!(look_ups(&found, 0..430), look_ups(&expected, 0..430));
            prop_assert!(found.failure().is_ok());
        }
    }
}

/// A file of four objects with 80 blobs.
fn made(folder: &TempDir) -> BlobIndex {
    let mut builder = builder(folder, &[]);
    for n in 0..4 {
        builder.begin(object(n));
        builder.add(&pack(n, u32::from(n) * 20..u32::from(n + 1) * 20));
    }
    builder.finish().unwrap()
}

#[test]
fn what_the_file_has_is_covered_until_one_of_its_objects_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let index = made(&folder);
    assert!(index.file.is_some() && index.memory.all().is_empty());
    let stored = [0, 1, 2, 3, 4].map(object);
    let again = builder(&folder, &stored);
    assert!([0, 1, 2, 3].map(object).iter().all(|object| again.covers(object)) && !again.covers(&object(4)));
    assert_eq!(look_ups(&again.finish().unwrap(), 0..100), look_ups(&index, 0..100));
    let without_one = builder(&folder, &stored[1..]);
    assert!(!stored.iter().any(|object| without_one.covers(object)));
    assert!(without_one.finish().unwrap().is_empty());
}

#[test]
fn few_new_blobs_stay_in_memory_and_many_go_into_the_file() {
    let folder = tempfile::tempdir().unwrap();
    made(&folder);
    let with = |ids: std::ops::Range<u32>| {
        let mut builder = builder(&folder, &[0, 1, 2, 3].map(object));
        builder.begin(object(7));
        builder.add(&pack(7, ids));
        builder.finish().unwrap()
    };
    let few = with(1000..1010);
    assert_eq!((few.file.as_ref().unwrap().len(), few.memory.all().len()), (80, 10));
    let many = with(1000..1060);
    assert_eq!((many.file.as_ref().unwrap().len(), many.memory.all().len()), (140, 0));
    assert!(many.contains(&id(1059)) && many.contains(&id(0)) && !many.contains(&id(1060)));
    // The one opened before goes on with the file that it has.
    assert!(few.contains(&id(1009)) && few.contains(&id(79)) && !few.contains(&id(1010)));
}

#[test]
fn file_of_another_repository_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    made(&folder);
    let other = RepositoryId::from_bytes([8; 32]);
    assert!(FileRecords::open(&place(&folder).path, &other).is_err());
}

#[test]
fn damage_at_any_byte_is_noticed_and_never_gives_a_wrong_place() {
    let folder = tempfile::tempdir().unwrap();
    let expected = look_ups(&made(&folder), 0..80).0;
    let path = place(&folder).path;
    let sound = std::fs::read(&path).unwrap();
    for at in 0..sound.len() {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x10;
        std::fs::write(&path, &bytes).unwrap();
        let stored = [0, 1, 2, 3].map(object);
        let builder = builder(&folder, &stored);
        if !builder.covers(&object(0)) {
            continue;
        }
        let index = builder.finish().unwrap();
        for (n, expected) in (0u32..).zip(&expected) {
            let found: Vec<_> =
                index.locations(&id(n)).iter().map(|place| (index.pack(place.pack).id, place.number)).collect();
            assert!(found == *expected || found.is_empty(), "byte {at}: blob {n}");
        }
        assert!(index.failure().is_err(), "byte {at} is used by no look-up");
        assert!(!path.exists(), "the next run makes it again");
    }
    for len in (0..sound.len()).step_by(97) {
        std::fs::write(&path, &sound[..len]).unwrap();
        assert!(FileRecords::open(&path, &REPOSITORY).is_err());
    }
}

#[test]
fn folder_that_can_not_be_written_leaves_the_index_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(REPOSITORY.to_string()), "a file where the folder goes").unwrap();
    let mut builder = BlobIndexBuilder { limits: Limits { sorted_records: 1000, ..TINY }, ..builder(&folder, &[]) };
    builder.begin(object(1));
    builder.add(&pack(1, 0..200));
    let index = builder.finish().unwrap();
    assert!(index.file.is_none());
    assert_eq!(index.len(), 200);
    assert!((0..200).all(|n| index.contains(&id(n))));
}
