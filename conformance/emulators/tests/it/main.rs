//! The emulators against programs that other people wrote, and against what they must refuse.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod drive;
mod dropbox;
mod programs;
