//! What is fuzzed: every decoder of stored bytes, and the parsers of keys, URLs and lengths of time.
//!
//! A target takes any bytes and must return. It fails by panicking, where a decoder does, where a decoder takes more memory
//! than [`bounded`] allows it, or where a value that was decoded does not come back from its own encoding. `fuzz_targets/` has a
//! libFuzzer program for each, `cargo xtask fuzz` builds and runs them.

mod document;
mod keys;
mod names;
mod packs;
mod records;
mod sealed;
mod seeds;
mod trees;
mod wire;

use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// One target.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, which is also that of its program.
    pub name: &'static str,
    /// Runs it on one input.
    pub run: fn(&[u8]),
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All targets.
pub const TARGETS: [Target; 11] = [
    Target { name: "wire", run: wire::run, seeds: seeds::wire },
    Target { name: "sealed", run: sealed::run, seeds: seeds::sealed },
    Target { name: "block", run: packs::block, seeds: seeds::block },
    Target { name: "pack", run: packs::pack, seeds: seeds::pack },
    Target { name: "index", run: packs::index, seeds: seeds::index },
    Target { name: "leaf", run: trees::leaf, seeds: seeds::leaf },
    Target { name: "node", run: trees::node, seeds: seeds::node },
    Target { name: "keys", run: keys::run, seeds: seeds::keys },
    Target { name: "config", run: records::config, seeds: seeds::config },
    Target { name: "records", run: records::run, seeds: seeds::records },
    Target { name: "names", run: names::run, seeds: seeds::names },
];

/// Runs the target with a name.
///
/// # Panics
/// When there is none of that name, or when the input is a finding.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.expect("programs are named after targets").run)(data);
}

/// Writes the seeds of the target with a name into a directory, which must be there; its program does so before it begins.
///
/// # Panics
/// When there is no such target, or when a file can't be written.
pub fn write_seeds(name: &str, directory: &std::path::Path) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("programs are named after targets");
    for (number, seed) in (target.seeds)().iter().enumerate() {
        let path = directory.join(format!("seed-{number:02}"));
        std::fs::write(&path, seed).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

/// What a runner's own threads may allocate meanwhile: they are measured too.
const SLACK_BYTES: usize = 64 << 10;

/// Runs `decode` and fails where it had more than `limit` bytes, and some slack, from the allocator at any time.
///
/// What libFuzzer measures is the whole process, once a second; this measures each input.
pub(crate) fn bounded<T>(limit: usize, decode: impl FnOnce() -> T) -> T {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let value = decode();
    let taken = ALLOCATOR.peak_usage().saturating_sub(before);
    assert!(taken <= limit + SLACK_BYTES, "decoding took {taken} bytes, {limit} are allowed");
    value
}

/// The first byte as a choice among `count`, and the rest.
pub(crate) fn choice(data: &[u8], count: u8) -> Option<(u8, &[u8])> {
    data.split_first().map(|(&first, rest)| (first % count, rest))
}
