//! The suite against the strict memory store, against wrong stores, and against its own contract.

mod contract;
mod memory;
