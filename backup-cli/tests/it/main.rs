//! The real binary in folders of its own: every verb, every exit code, every line of JSON.

#![expect(clippy::print_stderr, reason = "a test that can't run on this machine says why")]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod bad_input;
mod configured;
mod help;
mod home;
#[cfg(feature = "local")]
mod index_scale;
mod interrupt;
mod json;
mod keys;
mod query;
mod quickstart;
mod restore;
#[cfg(target_os = "linux")]
mod scale;
mod secrecy;
mod terminal;
mod verbs;
