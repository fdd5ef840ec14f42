//! The emulators in the hands of programs that other people wrote.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod dropbox;
