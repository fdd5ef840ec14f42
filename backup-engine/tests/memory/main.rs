//! What an operation holds in memory where there is much of something, counted by the allocator. A program of its own, so that nothing
//! else is counted.

use std::sync::Arc;

use backup_core::{CancelToken, ManualClock, MemoryBackend, Silent, Timestamp};
use backup_engine::format::ObjectKind;
use backup_engine::format::index::{IndexSegment, IndexedPack};
use backup_engine::format::pack::{BlobEntry, BlockEntry, PackTable};
use backup_engine::id::{BlobPrefix, PackId};
use backup_engine::layout;
use backup_engine::rebuild::RebuildOptions;
use backup_engine::repository::{InitOptions, NewKey, Repository};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const OBJECTS: u64 = 64;
const PACKS_IN_OBJECT: u64 = 8;
const BLOBS_IN_PACK: u64 = 4096;

/// What a blob takes in a table that is held.
const BLOB_BYTES: u64 = size_of::<BlobEntry>() as u64;

/// Two dozen index objects: some are fetched ahead, one is compared, one is made.
const LIMIT_BYTES: u64 = 24 * PACKS_IN_OBJECT * BLOBS_IN_PACK * BLOB_BYTES;

fn pack(number: u64) -> IndexedPack {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    let blob = |nth: u64| {
        let mut prefix = [1; 16];
        prefix[..8].copy_from_slice(&(number * BLOBS_IN_PACK + nth).to_be_bytes());
        BlobEntry { prefix: BlobPrefix(prefix), len_bytes: 1 }
    };
    let blobs = (0..BLOBS_IN_PACK).map(blob).collect();
    let block = BlockEntry { ordinal: 0, offset_bytes: 80, sealed_bytes: 5000, blobs };
    let (id, kind) = (PackId::from_bytes(id), ObjectKind::DataPack);
    IndexedPack { id, kind, size_bytes: 100, table: PackTable { blocks: vec![block] } }
}

/// Packs whose footers can't be read, so that what the index says of them is all there is.
#[tokio::test(flavor = "multi_thread")]
async fn rebuild_holds_some_index_objects_and_not_the_index() {
    let store = MemoryBackend::new();
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_795_250_657)));
    let key = NewKey::KeyFile(vec![7; 32].into());
    let repository = Repository::init(Arc::new(store.clone()), &key, &InitOptions::default(), clock).await.unwrap();
    for object in 0..OBJECTS {
        let mut segment = IndexSegment::default();
        segment.packs.extend((0..PACKS_IN_OBJECT).map(|nth| pack(object * PACKS_IN_OBJECT + nth)));
        segment.packs.iter().for_each(|pack| store.plant(&layout::pack(&pack.id), vec![0; 100]));
        repository.store().put_record(ObjectKind::Index, &segment.encode()).await.unwrap();
    }
    let before = ALLOCATOR.current_usage() as u64;
    ALLOCATOR.reset_peak_usage();
    let report =
        repository.rebuild_index(RebuildOptions::default(), Arc::new(Silent), CancelToken::new()).await.unwrap();
    let held = (ALLOCATOR.peak_usage() as u64).saturating_sub(before);
    assert_eq!((report.packs, report.written), (OBJECTS * PACKS_IN_OBJECT, 0));
    let index = report.blobs * BLOB_BYTES;
    assert!(LIMIT_BYTES < index / 2 && held < LIMIT_BYTES, "{held} of {index} bytes");
}
