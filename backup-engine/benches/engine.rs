//! What the parts of a backup cost, each by itself.

use std::hint::black_box;

use backup_engine::chunker::{Chunker, ChunkerParameters};
use backup_engine::compress::{Compressor, Decompressor};
use backup_engine::crypto::two_lane::digest_all;
use backup_engine::crypto::{Keyring, SecretKey, sha256};
use backup_engine::format::envelope::{Envelope, FRAME_PREFIX_BYTES, FramePrefix, FrameRole};
use backup_engine::format::index::IndexedPack;
use backup_engine::format::pack::{BlobEntry, BlockEntry, PackTable};
use backup_engine::format::{BlobType, ObjectKind};
use backup_engine::id::{BlobId, PackId, RepositoryId};
use backup_engine::index::BlobIndexBuilder;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

const MIB: usize = 1 << 20;

fn keyring() -> Keyring {
    let mut keyring = Keyring::new(RepositoryId::from_bytes([1; 32]), SecretKey::from_bytes(&[2; 32]));
    keyring.add_epoch(1, SecretKey::from_bytes(&[3; 32]));
    keyring
}

/// Bytes that look random and are the same in every run.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[5]
        })
        .collect()
}

/// Text with the redundancy of source code.
fn text(len: usize) -> Vec<u8> {
    let words =
        ["let ", "value", " = ", "self.", "index", "(", ")", ";\n    ", "if ", "return ", "0", "1", "&mut ", "// "];
    let noise = noise(len);
    let mut text: Vec<u8> = noise.iter().flat_map(|&byte| words[usize::from(byte) % words.len()].bytes()).collect();
    text.truncate(len);
    text
}

fn chunking(c: &mut Criterion) {
    let chunker = Chunker::new(&ChunkerParameters::default(), keyring().gear_table()).expect("supported");
    let data = noise(64 * MIB);
    let mut group = c.benchmark_group("chunk");
    group.throughput(Throughput::Bytes(data.len() as u64)).sample_size(10);
    group.bench_function("64 MiB", |b| {
        b.iter(|| {
            let (mut rest, mut chunks) = (&data[..], 0);
            while !rest.is_empty() {
                rest = &rest[chunker.cut(rest)..];
                chunks += 1;
            }
            chunks
        });
    });
    group.finish();
}

fn hashing(c: &mut Criterion) {
    let keyring = keyring();
    let data = noise(MIB);
    let mut group = c.benchmark_group("hash");
    group.throughput(Throughput::Bytes(data.len() as u64));
    group.bench_function("SHA-256 of 1 MiB", |b| b.iter(|| sha256(black_box(&data))));
    group.throughput(Throughput::Bytes(2 * data.len() as u64));
    group.bench_function("SHA-256 of 1 MiB twice, side by side", |b| {
        let mut digests = Vec::new();
        b.iter(|| digest_all([&data[..], &data[..]], &mut digests));
    });
    group.throughput(Throughput::Bytes(data.len() as u64));
    group.bench_function("blob id of 1 MiB", |b| b.iter(|| keyring.hasher().id(BlobType::Data, black_box(&data))));
    group.throughput(Throughput::Elements(1));
    let digest = sha256(b"x");
    group.bench_function("blob id of a digest", |b| {
        b.iter(|| keyring.hasher().id_of_digest(BlobType::Data, black_box(&digest)));
    });
    group.finish();
}

fn sealing(c: &mut Criterion) {
    let envelope = Envelope::create(&keyring(), ObjectKind::DataPack);
    let data = noise(MIB);
    let mut frame = Vec::new();
    let at = Envelope::begin_frame(&mut frame);
    frame.extend_from_slice(&data);
    let plain = frame.clone();
    let mut group = c.benchmark_group("seal");
    group.throughput(Throughput::Bytes(data.len() as u64));
    group.bench_function("seal 1 MiB", |b| {
        b.iter_batched_ref(
            || plain.clone(),
            |frame| envelope.seal_frame(FrameRole::Block, 0, frame, at),
            BatchSize::LargeInput,
        );
    });
    envelope.seal_frame(FrameRole::Block, 0, &mut frame, at);
    let prefix = FramePrefix::decode(&frame).expect("just sealed");
    group.bench_function("open 1 MiB", |b| {
        b.iter_batched_ref(
            || frame[FRAME_PREFIX_BYTES..].to_vec(),
            |sealed| envelope.open_frame(prefix, sealed).expect("authentic").len(),
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

fn compression(c: &mut Criterion) {
    let mut group = c.benchmark_group("compress");
    group.sample_size(20);
    for (name, data) in [("text", text(MIB)), ("noise", noise(MIB))] {
        group.throughput(Throughput::Bytes(data.len() as u64));
        let mut compressor = Compressor::new(3);
        let mut out = Vec::new();
        let codec = compressor.append(&data, &mut out);
        group.bench_function(format!("1 MiB of {name}"), |b| {
            let mut out = Vec::new();
            b.iter(|| {
                out.clear();
                compressor.append(black_box(&data), &mut out)
            });
        });
        let mut decompressor = Decompressor::new();
        let mut raw = Vec::new();
        group.bench_function(format!("back to 1 MiB of {name}"), |b| {
            b.iter(|| decompressor.extract(codec, black_box(&out), data.len(), &mut raw));
        });
    }
    group.finish();
}

fn look_up(c: &mut Criterion) {
    const BLOBS: u32 = 1_000_000;
    let id = |n: u32| BlobId::from_bytes(sha256(&n.to_le_bytes()));
    let mut builder = BlobIndexBuilder::default();
    for pack in 0..BLOBS / 1000 {
        let blobs =
            (pack * 1000..(pack + 1) * 1000).map(|n| BlobEntry { prefix: id(n).prefix(), len_bytes: 1 }).collect();
        let blocks = vec![BlockEntry { ordinal: 0, offset_bytes: 80, sealed_bytes: 100, blobs }];
        builder.add(&IndexedPack {
            id: PackId::from_bytes(sha256(&pack.to_be_bytes())),
            kind: ObjectKind::DataPack,
            size_bytes: 1,
            table: PackTable { blocks },
        });
    }
    let index = builder.finish().expect("memory only");
    let present: Vec<_> = (0..4096).map(|n| id(n * 239)).collect();
    let absent: Vec<_> = (0..4096).map(|n| id(BLOBS + n)).collect();
    let mut group = c.benchmark_group("look up among a million");
    group.throughput(Throughput::Elements(4096));
    group.bench_function("present", |b| b.iter(|| present.iter().filter(|id| index.contains(id)).count()));
    group.bench_function("absent", |b| b.iter(|| absent.iter().filter(|id| index.contains(id)).count()));
    group.finish();
}

criterion_group!(benches, chunking, hashing, sealing, compression, look_up);
criterion_main!(benches);
