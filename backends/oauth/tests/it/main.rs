//! Consent and tokens on an emulated authorisation server.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod consent;
mod desk;
mod tokens;
