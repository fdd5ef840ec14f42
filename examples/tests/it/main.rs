//! The example programs against real repositories.
#![cfg(unix)]
#![expect(clippy::print_stdout, reason = "a test that is skipped says why")]

mod python_reader;
