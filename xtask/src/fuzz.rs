//! Builds the fuzz targets with libFuzzer and runs them: `cargo xtask test` runs the same targets without coverage.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::process;

/// Where the targets are.
const CRATE: &str = "backup-engine/fuzz";

/// Coverage for libFuzzer. These options are stable; `-Zsanitizer`, which is not, would add address checks that code without
/// `unsafe` has little use for.
const RUSTFLAGS: &str = "--cfg=fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// The most memory a target's process may take. The largest single value is 64 MiB.
const MEMORY_MIB: u32 = 512;

/// The longest one input may take, in seconds.
const INPUT_SECONDS: u32 = 10;

/// The longest input.
const INPUT_BYTES: u32 = 64 << 10;

/// Options of `cargo xtask fuzz`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How long each target runs.
    #[arg(long, default_value_t = 2)]
    minutes: u32,
    /// Where libFuzzer's randomness begins.
    #[arg(long, default_value_t = 1)]
    seed: u32,
    /// Only these targets; without any, all.
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
}

/// Runs the targets one after the other, and fails at the end if any has a finding.
pub(crate) fn run(options: &Options) -> Result<()> {
    let known = targets(&process::root().join(CRATE).join("fuzz_targets"))?;
    if let Some(unknown) = options.targets.iter().find(|name| !known.contains(name)) {
        bail!("there is no target `{unknown}`; there are {}", known.join(", "));
    }
    if process::find("c++").is_none() {
        bail!("libFuzzer is C++ and there is no `c++` here; on Debian the package g++ has it");
    }
    let programs = build()?;
    let mut findings = Vec::new();
    let chosen = if options.targets.is_empty() { &known } else { &options.targets };
    for name in chosen {
        let log = process::root().join(CRATE).join(format!("artifacts/{name}.log"));
        let sound = fuzz(&programs.join(name), name, &log, options)?;
        let text = std::fs::read_to_string(&log).with_context(|| format!("cannot read {}", log.display()))?;
        let (runs, coverage) = (statistic(&text, "number_of_executed_units"), coverage(&text));
        println!("{name:10} {runs:>12} runs  {coverage:>6} edges  {}", if sound { "ok" } else { "FINDING" });
        if !sound {
            let lines: Vec<&str> = text.lines().collect();
            println!("{}", lines[lines.len().saturating_sub(40)..].join("\n"));
            findings.push(name.as_str());
        }
    }
    if !findings.is_empty() {
        bail!("findings in {}; the inputs are in {CRATE}/artifacts", findings.join(", "));
    }
    Ok(())
}

/// The names of all targets, in order: each has a program.
fn targets(directory: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}

/// Builds all programs; gives back where they are.
fn build() -> Result<PathBuf> {
    let host = process::output(Command::new("rustc").arg("-vV"))?;
    let host = host.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc does not name its host")?;
    let directory = process::root().join("target/fuzz");
    let mut cargo = process::cargo();
    // With `--target`, build scripts and macros are spared.
    cargo.args(["build", "--release", "--bins", "--target", host, "--manifest-path"]);
    cargo.arg(format!("{CRATE}/Cargo.toml")).arg("--target-dir").arg(&directory).env("RUSTFLAGS", RUSTFLAGS);
    process::run(&mut cargo)?;
    Ok(directory.join(host).join("release"))
}

/// Runs one program; `false` when it found something.
fn fuzz(program: &Path, name: &str, log: &Path, options: &Options) -> Result<bool> {
    let corpus = process::root().join(CRATE).join("corpus").join(name);
    let artifacts = process::root().join(CRATE).join("artifacts").join(name);
    for directory in [&corpus, &artifacts] {
        std::fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    }
    let output = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let mut command = Command::new(program);
    command
        .arg(&corpus)
        .arg(format!("-max_total_time={}", options.minutes.saturating_mul(60)))
        .arg(format!("-seed={}", options.seed))
        .arg(format!("-rss_limit_mb={MEMORY_MIB}"))
        .arg(format!("-timeout={INPUT_SECONDS}"))
        .arg(format!("-max_len={INPUT_BYTES}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg("-print_final_stats=1")
        .env("BACKUP_FUZZ_SEEDS", &corpus)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(output);
    let status = command.status().with_context(|| format!("cannot start {}", program.display()))?;
    Ok(status.success())
}

/// A number of libFuzzer's last lines, such as `stat::number_of_executed_units: 1234`.
fn statistic(log: &str, name: &str) -> u64 {
    let value = log.lines().rev().find_map(|line| line.strip_prefix("stat::")?.strip_prefix(name)?.strip_prefix(':'));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

/// How many edges of the program were reached, from the last line that says `cov: 1234`.
fn coverage(log: &str) -> u64 {
    let after = log.lines().rev().find_map(|line| line.split_once(" cov: ").map(|(_, rest)| rest));
    after.and_then(|rest| rest.split(' ').next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_what_libfuzzer_says() {
        let log = "#2\tINITED cov: 31 ft: 42 corp: 1/1b\n#9\tDONE   cov: 377 ft: 900 corp: 5/9b\n\
                   stat::number_of_executed_units: 4194304\nstat::peak_rss_mb:                40\n";
        assert_eq!(statistic(log, "number_of_executed_units"), 4_194_304);
        assert_eq!(statistic(log, "peak_rss_mb"), 40);
        assert_eq!(coverage(log), 377);
        assert_eq!((statistic("", "peak_rss_mb"), coverage("")), (0, 0));
    }

    #[test]
    fn targets_are_the_programs_of_the_crate() {
        let found = targets(&process::root().join(CRATE).join("fuzz_targets")).unwrap();
        assert!(found.len() > 5 && found.contains(&"pack".to_owned()), "{found:?}");
    }
}
