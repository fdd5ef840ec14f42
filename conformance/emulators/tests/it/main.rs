//! The emulators against programs that other people wrote, and against what they must refuse.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod dropbox;
mod google_client;
mod oauth;
mod programs;
mod rclone_drive;
mod rest;
