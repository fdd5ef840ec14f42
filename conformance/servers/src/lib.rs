//! Real servers for tests, started on the loopback interface.
//!
//! A server belongs to the process that started it and ends with it, however that ends. `cargo xtask test` starts one for all tests and
//! tells them where it is; a test that is run by itself starts its own, which takes some seconds.

#![expect(
    clippy::disallowed_methods,
    reason = "tests are told by their environment where servers are, and wait by the machine's clock"
)]

mod process;
mod seaweed;

pub use process::{StartError, free_ports, program};
pub use seaweed::SeaweedFs;
