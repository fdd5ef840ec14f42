//! What CI runs: install what the tests need, check the source, run every test, and say plainly what was not run.

mod needs;
mod suite;

use std::process::Command;
use std::time::Instant;

use anyhow::{Result, bail};
use backup_test_servers::SeaweedFs;

use crate::{layers, process, tidy};
use needs::Needs;

/// Options of `cargo xtask test`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Install nothing; what is missing is skipped and named.
    #[arg(long)]
    no_install: bool,
    /// Fail if anything that the tests need is missing. Always so when CI=true is set.
    #[arg(long)]
    strict: bool,
}

/// Steps that failed and things that were left out, for the lines at the end.
#[derive(Default)]
struct Outcome {
    steps: Vec<String>,
    failed: Vec<&'static str>,
    skipped: Vec<String>,
}

impl Outcome {
    fn step(&mut self, name: &'static str, work: impl FnOnce() -> Result<()>) {
        println!("\n== {name}");
        let start = Instant::now();
        let result = work();
        let seconds = start.elapsed().as_secs();
        match result {
            Ok(()) => self.steps.push(format!("{name} ok ({seconds} s)")),
            Err(error) => {
                println!("error: {error:#}");
                self.steps.push(format!("{name} FAILED ({seconds} s)"));
                self.failed.push(name);
            }
        }
    }
}

/// Runs every step, even after one failed, and fails if any did.
pub(crate) fn run(options: &Options) -> Result<()> {
    let start = Instant::now();
    let strict = options.strict || std::env::var_os("CI").is_some_and(|value| value == "true");
    let mut outcome = Outcome::default();

    println!("== what the tests need");
    let needs = Needs::gather(!options.no_install);
    if strict && !needs.missing.is_empty() {
        outcome.failed.push("what the tests need");
    }
    outcome.skipped.extend(needs.missing.iter().cloned());

    if needs.rustfmt {
        outcome.step("fmt", || process::run(process::cargo().args(["fmt", "--all", "--check"])));
    }
    outcome.step("layers", layers::run);
    outcome.step("tidy", tidy::run);
    if needs.clippy {
        outcome.step("clippy", || {
            process::run(process::cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
        });
    }
    outcome.step("doc", || {
        let mut doc = process::cargo();
        process::run(doc.args(["doc", "--workspace", "--no-deps", "--quiet"]).env("RUSTDOCFLAGS", "-D warnings"))
    });

    let mut counts = suite::Counts::default();
    let s3 = SeaweedFs::start();
    match &s3 {
        Ok(server) => println!("\n== SeaweedFS speaks S3 at {}", server.endpoint()),
        Err(error) => outcome.step("SeaweedFS", || bail!("{error}")),
    }
    let with_environment = |mut command: Command| {
        if let Ok(server) = &s3 {
            let (name, value) = server.variable();
            command.env(name, value);
        }
        if let Some(python) = &needs.python {
            command.env("BACKUP_TEST_PYTHON", python);
        }
        command
    };
    outcome.step("doctests", || counts.add(suite::doctests(with_environment(process::cargo()))));
    outcome.step("tests", || counts.add(suite::tests(with_environment(process::cargo()))));

    let skipping = counts.skipping.len();
    outcome.skipped.append(&mut counts.skipped);
    outcome.steps.push(format!("in all {} min", start.elapsed().as_secs().div_ceil(60)));
    summary(&outcome, counts.passed, counts.failed, skipping);
    if !outcome.failed.is_empty() {
        bail!("failed: {}", outcome.failed.join(", "));
    }
    if counts.passed == 0 {
        bail!("no test ran");
    }
    Ok(())
}

fn summary(outcome: &Outcome, passed: usize, failed: usize, skipping: usize) {
    println!("\n== summary\n{}", outcome.steps.join(" · "));
    for skipped in &outcome.skipped {
        println!("skipped: {skipped}");
    }
    println!("tests: {passed} passed, {failed} failed, {skipping} skipped");
}
