//! Dropbox as storage, on an emulated Dropbox.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod account;
mod conformance;
mod errors;
mod tokens;
mod uploads;
