//! The `backup` program with one more backend: linking it is all it takes.

use std::process::ExitCode;

use backup_examples as _;

fn main() -> ExitCode {
    backup_cli::Cli::new().run(std::env::args_os())
}
