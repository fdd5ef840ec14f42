//! The fuzz targets of `fuzz/`, run here on their seeds and on many mutants of them.
//!
//! No coverage guides this, so it goes less deep than `cargo xtask fuzz`; but it needs no build of its own, is the same every
//! time, and runs with every test. `BACKUP_FUZZ_RUNS` sets how many mutants each target gets, `BACKUP_FUZZ_SEED` which.
#![expect(clippy::disallowed_methods, reason = "a test: its size is set by the environment")]
#![expect(clippy::print_stdout, reason = "a finding is of use only with its input and the seed")]

mod mutate;
#[expect(unreachable_pub, reason = "public to the fuzzers' programs, which are another crate")]
#[path = "../../fuzz/src/lib.rs"]
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use mutate::Mutator;
use targets::TARGETS;

/// Mutants for each target; all targets together take about a quarter of a minute without optimisation.
const RUNS: u64 = 50_000;

/// Memory is measured over the whole process, so that targets take turns where a runner starts them as threads.
static TURN: Mutex<()> = Mutex::new(());

fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable} is a number, not `{text}`")),
        Err(_) => default,
    }
}

fn fuzz(name: &str) {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let target = TARGETS.iter().find(|target| target.name == name).expect("tests are named after targets");
    let (runs, seed) = (number("BACKUP_FUZZ_RUNS", RUNS), number("BACKUP_FUZZ_SEED", 1));
    println!("{name}: {runs} mutants, BACKUP_FUZZ_SEED={seed}");
    let seeds = (target.seeds)();
    assert!(!seeds.is_empty());
    let mut mutator = Mutator::new(seed, &seeds);
    for input in seeds.iter().cloned().chain((0..runs).map(|_| mutator.next())) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| targets::run(name, &input))) {
            // The runner shows this, because the test fails.
            println!("the input, {} bytes: {}", input.len(), input.escape_ascii());
            std::panic::resume_unwind(panic);
        }
    }
}

macro_rules! targets {
    ($($test:ident: $name:literal),*) => {
        $(#[test]
        fn $test() {
            fuzz($name);
        })*

        #[test]
        fn every_target_is_run() {
            assert_eq!([$($name),*], TARGETS.map(|target| target.name));
        }
    };
}

targets! {
    numbers_and_lengths_of_any_bytes_never_panic: "wire",
    sealed_objects_of_any_bytes_never_panic: "sealed",
    blocks_of_any_bytes_never_panic: "block",
    packs_of_any_bytes_never_panic: "pack",
    index_objects_of_any_bytes_never_panic: "index",
    leaves_of_any_bytes_never_panic: "leaf",
    nodes_and_chunk_lists_of_any_bytes_never_panic: "node",
    key_objects_of_any_bytes_never_panic: "keys",
    config_of_any_bytes_never_panics: "config",
    records_of_any_bytes_never_panic: "records",
    names_of_any_bytes_never_panic: "names"
}

#[test]
fn every_target_has_a_program() {
    let manifest = include_str!("../../fuzz/Cargo.toml");
    for target in TARGETS {
        let path = format!("fuzz_targets/{}.rs", target.name);
        assert!(manifest.contains(&format!("path = \"{path}\"")), "{path} is not in fuzz/Cargo.toml");
        let program = std::fs::read_to_string(format!("{}/fuzz/{path}", env!("CARGO_MANIFEST_DIR"))).expect(&path);
        assert!(program.contains(&format!("run(\"{}\"", target.name)), "{path} runs another target");
    }
}

#[test]
fn seeds_are_written_as_files_for_the_programs() {
    let folder = tempfile::tempdir().unwrap();
    for target in TARGETS {
        targets::write_seeds(target.name, folder.path());
        let first = std::fs::read(folder.path().join("seed-00")).unwrap();
        assert_eq!(first, (target.seeds)()[0]);
    }
}

/// A frame that becomes 64 MiB: refused where less is announced, with no more memory than that; taken where it is announced.
#[test]
fn decompression_bombs_take_no_more_than_they_announce() {
    use backup_engine::compress::{Compressor, DEFAULT_LEVEL, Decompressor};
    use backup_engine::format::envelope::{MAX_RECORD_BYTES, get_payload, put_payload};
    use backup_engine::format::wire::put_varint;

    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (mut plain, mut length) = (Vec::new(), Vec::new());
    put_payload(&mut Compressor::new(DEFAULT_LEVEL), &vec![0; MAX_RECORD_BYTES], &mut plain);
    put_varint(&mut length, MAX_RECORD_BYTES as u64);
    let mut decompressor = Decompressor::new();
    let payload = targets::bounded(MAX_RECORD_BYTES + 4096, || get_payload(&mut decompressor, &plain)).unwrap();
    assert_eq!(payload.len(), MAX_RECORD_BYTES);
    drop(payload);
    for announced in [0, 1, 1000, 1 << 20, MAX_RECORD_BYTES - 1, MAX_RECORD_BYTES + 1, usize::MAX] {
        let mut bomb = vec![plain[0]];
        put_varint(&mut bomb, announced as u64);
        bomb.extend_from_slice(&plain[1 + length.len()..]);
        let allowed = if announced > MAX_RECORD_BYTES { 0 } else { announced };
        let refused = targets::bounded(allowed + 4096, || get_payload(&mut decompressor, &bomb));
        assert!(refused.is_err(), "{announced} announced");
    }
}

#[test]
fn memory_over_a_limit_is_found() {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let taken = |bytes| catch_unwind(|| targets::bounded(1 << 20, || drop(std::hint::black_box(vec![1u8; bytes]))));
    assert!(taken(1 << 19).is_ok());
    assert!(taken(1 << 21).is_err());
}
