//! The real binary in folders of its own: every verb, every exit code, every line of JSON.

#![expect(clippy::print_stderr, reason = "a test that can't run on this machine says why")]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod bad_input;
mod configured;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod flush;
#[cfg(target_os = "linux")]
mod full_disk;
mod help;
mod home;
mod interrupt;
mod json;
mod keys;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod killed;
#[cfg(target_os = "linux")]
mod listing;
#[cfg(target_os = "linux")]
mod promises;
mod query;
mod quickstart;
#[cfg(target_os = "linux")]
mod racing;
#[cfg(target_os = "linux")]
mod random;
mod restore;
mod secrecy;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod stepwise;
mod terminal;
mod verbs;
