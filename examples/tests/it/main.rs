//! The example programs against real repositories.
#![cfg(unix)]
#![expect(clippy::print_stderr, reason = "a test that is skipped says why")]
#![expect(clippy::unwrap_used, reason = "all of this is tests")]

mod flaky;
mod flat;
mod guide;
mod python_reader;
