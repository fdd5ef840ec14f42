//! The real binary in folders of its own: every verb, every exit code, every line of JSON.

#![expect(clippy::print_stderr, reason = "a test that can't run on this machine says why")]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod bad_input;
#[cfg(target_os = "linux")]
mod changing;
mod configured;
#[cfg(all(feature = "conformance", feature = "local"))]
mod conformance;
#[cfg(target_os = "linux")]
mod fidelity;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod flush;
#[cfg(target_os = "linux")]
mod full_disk;
mod golden;
mod help;
mod home;
#[cfg(feature = "local")]
mod index_scale;
mod interrupt;
mod json;
mod keys;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod killed;
mod latest;
#[cfg(target_os = "linux")]
mod listing;
#[cfg(target_os = "linux")]
mod one_name;
#[cfg(target_os = "linux")]
mod promises;
#[cfg(target_os = "linux")]
mod python;
mod query;
mod quickstart;
#[cfg(target_os = "linux")]
mod racing;
#[cfg(target_os = "linux")]
mod random;
#[cfg(target_os = "linux")]
mod remote;
mod restore;
#[cfg(target_os = "linux")]
mod scale;
mod secrecy;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod stepwise;
mod terminal;
#[cfg(target_os = "linux")]
#[path = "../../../snapshotters/files/tests/it/tree.rs"]
mod tree;
mod verbs;
mod way_out;

/// Says why a test did not look at something.
#[cfg(target_os = "linux")]
fn skip(what: &str, why: &str) {
    eprintln!("SKIPPED {what}: {why}");
}

#[cfg(target_os = "linux")]
use home::is_root;
