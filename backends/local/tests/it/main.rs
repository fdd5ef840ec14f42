//! The local backend on real file systems: the public suite, hostile surroundings, crashes and full disks.

#![expect(clippy::print_stderr, reason = "a test that can't run on this machine says why")]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod conformance;
#[cfg(target_os = "linux")]
mod crash;
mod place;
#[cfg(target_os = "linux")]
mod program;
#[cfg(unix)]
mod surroundings;
