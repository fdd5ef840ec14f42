//! Real servers for tests, started on the loopback interface.
//!
//! A server belongs to the process that started it and ends with it, however that ends. `cargo xtask test` starts one for all tests and
//! tells them where it is; a test that is run by itself starts its own, which takes some seconds.

#![expect(
    clippy::disallowed_methods,
    reason = "tests are told by their environment where servers are, and wait by the machine's clock"
)]
#![expect(clippy::print_stderr, reason = "a test that fails shows the seed it was run with")]

mod process;
mod proxy;
mod rclone;
mod seaweed;
mod sshd;
mod switch;
#[cfg(target_os = "linux")]
mod tmpfs;

pub use process::{StartError, free_ports, program};
pub use proxy::{BadLine, Trouble};
pub use rclone::{RcloneS3, RcloneSftp};
pub use seaweed::SeaweedFs;
pub use sshd::{Sshd, make_key};
pub use switch::{Disturbance, SwitchedLine};
#[cfg(target_os = "linux")]
pub use tmpfs::Tmpfs;
