//! An index of very many blobs, opened by the real binary: what it takes of memory is asserted, what it takes of time is printed.
//!
//! `BACKUP_SCALE_BLOBS=10000000` runs it at its full size, `BACKUP_TEST_BINARY=…` with another binary.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::Arc;

use backup_backend_local::LocalBackend;
use backup_core::{Clock, SystemClock};
use backup_engine::format::ObjectKind;
use backup_engine::format::index::{IndexSegment, IndexedPack};
use backup_engine::format::pack::{BlobEntry, BlockEntry, PackTable};
use backup_engine::id::{BlobPrefix, PackId};
use backup_engine::repository::{Repository, Unlock};
use wait4::Wait4;

use crate::home::{Home, PASSWORD};

/// How many blobs CI can carry; in memory they would take 64 MiB, and the pack tables that name them about as much.
const BLOBS: u64 = 2_000_000;

/// What opening may take, however many blobs there are.
const PEAK_LIMIT_KIB: u64 = 150 << 10;

const BLOBS_IN_BLOCK: u64 = 256;
const BLOCKS_IN_PACK: u64 = 16;
const PACKS_IN_OBJECT: u64 = 32;
const BLOCK_BYTES: u32 = 300_000;

/// The first 16 bytes of the id of a blob of this number: spread evenly, as keyed hashes are.
fn prefix(number: u64) -> BlobPrefix {
    let mix = |seed: u64| {
        let mut word = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    };
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&mix(number).to_be_bytes());
    bytes[8..].copy_from_slice(&mix(!number).to_be_bytes());
    BlobPrefix(bytes)
}

fn pack(number: u64) -> IndexedPack {
    let block = |nth: u64| BlockEntry {
        ordinal: u32::try_from(nth).unwrap(),
        offset_bytes: 80 + u32::try_from(nth).unwrap() * (BLOCK_BYTES + 32),
        sealed_bytes: BLOCK_BYTES,
        blobs: (0..BLOBS_IN_BLOCK)
            .map(|blob| BlobEntry {
                prefix: prefix((number * BLOCKS_IN_PACK + nth) * BLOBS_IN_BLOCK + blob),
                len_bytes: 4096,
            })
            .collect(),
    };
    let mut id = [0; 32];
    id[..16].copy_from_slice(&prefix(u64::MAX - number).0);
    IndexedPack {
        id: PackId::from_bytes(id),
        kind: ObjectKind::DataPack,
        size_bytes: 5_000_000,
        table: PackTable { blocks: (0..BLOCKS_IN_PACK).map(block).collect() },
    }
}

/// Adds so many blobs to a repository, in packs that have the right size and nothing in them.
async fn add_blobs(home: &Home, blobs: u64) {
    let backend = Arc::new(LocalBackend::open(home.join("r")).unwrap());
    let unlock = Unlock::Password(PASSWORD.to_owned().into());
    let repository = Repository::open(backend, &unlock, Arc::new(SystemClock::new())).await.unwrap();
    let packs: Vec<u64> = (0..blobs.div_ceil(BLOBS_IN_BLOCK * BLOCKS_IN_PACK)).collect();
    for numbers in packs.chunks(usize::try_from(PACKS_IN_OBJECT).unwrap()) {
        let segment =
            IndexSegment { supersedes: Vec::new(), packs: numbers.iter().map(|&number| pack(number)).collect() };
        for pack in &segment.packs {
            let file = home.join("r").join(backup_engine::layout::pack(&pack.id).as_str());
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::File::create(file).unwrap().set_len(pack.size_bytes).unwrap();
        }
        repository.store().put_record(ObjectKind::Index, &segment.encode()).await.unwrap();
    }
}

/// Runs what has to succeed; says what it wrote and how much memory it had at its highest.
fn measured(home: &Home, arguments: &[&str]) -> (String, u64) {
    let log = home.join("log");
    let mut command: Command = home.command(arguments);
    command.stdin(Stdio::null()).stdout(fs::File::create(&log).unwrap()).stderr(Stdio::inherit());
    let clock = SystemClock::new();
    let began = clock.monotonic();
    let mut child = command.spawn().unwrap();
    let used = child.wait4().unwrap();
    let peak_kib = used.rusage.maxrss >> 10;
    eprintln!(
        "{arguments:?}: {:?}, {:?} + {:?} of CPU, {} MiB",
        clock.monotonic().saturating_sub(began),
        used.rusage.utime,
        used.rusage.stime,
        peak_kib >> 10
    );
    let written = fs::read_to_string(&log).unwrap();
    assert!(used.status.success(), "{arguments:?}: {written}");
    (written, peak_kib)
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_for_the_index_does_not_grow_with_the_number_of_blobs() {
    #[expect(clippy::disallowed_methods, reason = "the size of the test is its caller's choice")]
    let blobs = std::env::var("BACKUP_SCALE_BLOBS").map_or(BLOBS, |text| text.parse().unwrap());
    let home = Home::with_password();
    home.write("src/a", "some content");
    home.done(&["-q", "init"]);
    add_blobs(&home, blobs).await;
    home.settle();
    // The first makes the file, the second finds it, the third does without.
    let mut peaks = Vec::new();
    for arguments in
        [&["--json", "create", "src"][..], &["--json", "create", "src"], &["--json", "check"], &["--json", "check"]]
    {
        let (written, peak_kib) = measured(&home, arguments);
        let summary: serde_json::Value = serde_json::from_str(written.lines().last().unwrap()).unwrap();
        if arguments[1] == "check" {
            assert!(summary["blobs"].as_u64().unwrap() >= blobs, "{summary}");
        }
        peaks.push(peak_kib);
    }
    let file = fs::read_dir(home.join(".cache/backup")).unwrap().next().unwrap().unwrap().path().join("index");
    assert!(fs::metadata(&file).unwrap().len() > blobs * 30);
    let restored = home.run(&["-q", "restore", "latest", "--target", "out"]);
    assert_eq!(restored.code, 0, "{}", restored.stderr);
    assert!(peaks.iter().all(|&peak| peak < PEAK_LIMIT_KIB), "{peaks:?} KiB");
}
