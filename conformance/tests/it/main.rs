//! The suite against the strict memory store, against wrong stores, and against its own contract.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod contract;
mod laws;
mod layers;
mod live;
mod memory;
mod mutants;
mod rich;
