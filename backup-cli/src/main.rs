//! The `backup` command; everything is in the library of the same package.

use std::process::ExitCode;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    backup_cli::Cli::new().run(std::env::args_os())
}
