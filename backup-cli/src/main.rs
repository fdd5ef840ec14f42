//! The `backup` command; everything is in the library of the same package.

use std::process::ExitCode;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[cfg(all(target_os = "linux", target_env = "gnu", not(feature = "mimalloc")))]
mod allocator;

fn main() -> ExitCode {
    #[cfg(all(target_os = "linux", target_env = "gnu", not(feature = "mimalloc")))]
    allocator::return_large_blocks();
    backup_cli::Cli::new().run(std::env::args_os())
}
