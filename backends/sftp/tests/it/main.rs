//! SFTP against real servers.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]
#![expect(clippy::print_stderr, reason = "a case that is left out says why")]
#![expect(clippy::disallowed_methods, reason = "files of some age are as old as the machine's clock says")]

mod conformance;
mod line;
mod login;
mod place;
mod server_key;
