//! What the engine promises, seen from outside.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod contradictions;
mod crash;
mod damage;
mod deep_tree;
mod golden;
mod index_file;
mod long_file;
mod missized;
mod opening;
mod panicking;
mod query;
mod rebuild;
mod remounted;
mod restoring;
mod session;
mod support;
mod verification;
