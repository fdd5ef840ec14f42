//! The project's own commands, started as `cargo xtask COMMAND`.
//!
//! `test` is what CI runs and installs what it needs; `layers` and `tidy` are two of its steps and can be run alone; `fuzz` is the
//! long way round of the tests of decoders; `golden` writes the repositories that tests read; `bench` makes public data sets and measures this project beside restic, rustic and borg;
//! `scale` measures it where there is much of something.
#![expect(clippy::print_stdout, reason = "a command line program: its output is the point")]
#![expect(clippy::disallowed_methods, reason = "a command line program: it may read the environment and the clock")]

mod bench;
mod fuzz;
mod golden;
mod layers;
mod process;
mod scale;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's own commands", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what the tests need, then run every check and every test.
    Test(test::Options),
    /// Prove the dependency rule between the workspace's crates.
    Layers,
    /// Check file lengths, paths named in documents, numbering of decisions and the like.
    Tidy,
    /// Fuzz everything that decodes stored bytes, guided by coverage, for as long as you like.
    Fuzz(fuzz::Options),
    /// Write the golden repositories anew that no version was released with, after a change of the format.
    Golden,
    /// Measure this project beside the peers that are installed, on data sets made from this machine's public files.
    Bench(bench::Options),
    /// Measure this project on a million files, a huge directory, a huge sparse file, deep directories and many snapshots.
    Scale(scale::Options),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Test(options) => test::run(&options),
        Command::Layers => layers::run(),
        Command::Tidy => tidy::run(),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::Golden => golden::run(),
        Command::Bench(options) => bench::run(&options),
        Command::Scale(options) => scale::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
