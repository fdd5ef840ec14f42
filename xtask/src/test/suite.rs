//! Runs the tests, shows what their runner says, and counts.
//!
//! A test that cannot run here prints one line that begins with `SKIPPED` and its reason, and returns. A runner would count that
//! as passed and hide the line; this module brings it out and counts it as skipped.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Mutex;

use anyhow::{Context, Result, bail};

use crate::process::{cargo, shown, succeeds};

/// Numbers of tests, summed over runs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) passed: usize,
    pub(super) failed: usize,
    /// Tests that left themselves, or a part of themselves, out.
    pub(super) skipping: BTreeSet<String>,
    /// What they said: name and reason, a line for each part that was left out.
    pub(super) skipped: Vec<String>,
    /// Tests that a runner left out: ignored ones.
    ignored: usize,
}

impl Counts {
    /// Adds the counts of one run.
    ///
    /// # Errors
    /// The run's own: a failed test, a build that failed, or a test that is ignored in the source.
    pub(super) fn add(&mut self, run: Result<(Counts, ExitStatus)>) -> Result<()> {
        let (counts, status) = run?;
        // A test that skipped itself, or a part of itself, was counted as passed by its runner.
        self.passed += counts.passed.saturating_sub(counts.skipping.len());
        self.skipping.extend(counts.skipping);
        self.failed += counts.failed;
        self.skipped.extend(counts.skipped);
        let parts = if counts.ignored > 0 { parts_of_other_tests(Path::new("."))? } else { 0 };
        if counts.ignored > parts {
            let more = counts.ignored - parts;
            bail!("{more} test(s) are marked #[ignore]: a test runs, or prints SKIPPED and why");
        }
        if !status.success() {
            bail!("the run ended with {status}");
        }
        Ok(())
    }
}

/// Counts the tests that another test starts in a process of its own, under limits or as another user, or that a command of ours starts:
/// their reason to be ignored begins with `runs`.
fn parts_of_other_tests(directory: &Path) -> Result<usize> {
    let mut count = 0;
    for entry in std::fs::read_dir(directory).with_context(|| format!("cannot list `{}`", directory.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            count += parts_of_other_tests(&path)?;
        } else if name.ends_with(".rs") {
            let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
            count += text.lines().filter(|line| line.trim_start().starts_with("#[ignore = \"runs ")).count();
        }
    }
    Ok(count)
}

/// Runs all tests but the ones in documentation, with nextest if it is installed.
pub(super) fn tests(mut command: Command) -> Result<(Counts, ExitStatus)> {
    if succeeds(cargo().args(["nextest", "--version"])) {
        command.args(["nextest", "run", "--workspace", "--no-fail-fast", "--success-output", "immediate"]);
        return watch(command, Nextest::default());
    }
    println!("cargo-nextest is not installed: `cargo test` runs the same tests, more slowly");
    command.args(["test", "--workspace", "--lib", "--bins", "--tests", "--no-fail-fast", "--", "--show-output"]);
    watch(command, Libtest::default())
}

/// Runs the examples in documentation.
pub(super) fn doctests(mut command: Command) -> Result<(Counts, ExitStatus)> {
    command.args(["test", "--workspace", "--doc", "--no-fail-fast", "--", "--show-output"]);
    watch(command, Libtest::default())
}

/// Reads a runner's lines.
trait Reader: Send {
    /// Takes one line, and says whether it is to be shown.
    fn line(&mut self, line: &str) -> bool;
    fn counts(self) -> Counts;
}

fn watch(mut command: Command, reader: impl Reader) -> Result<(Counts, ExitStatus)> {
    println!("$ {}", shown(&command));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot start `{}`", shown(&command)))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let reader = Mutex::new(reader);
    let show = |source: Option<Box<dyn Read + Send>>| -> Result<()> {
        let Some(source) = source else { return Ok(()) };
        for line in BufReader::new(source).split(b'\n') {
            let line = line.context("cannot read what the runner says")?;
            let line = String::from_utf8_lossy(&line);
            let mut reader = reader.lock().map_err(|_| anyhow::anyhow!("a thread that reads the runner panicked"))?;
            if reader.line(&line) {
                println!("{line}");
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let errors = scope.spawn(|| show(stderr.map(|pipe| Box::new(pipe) as _)));
        let result = show(stdout.map(|pipe| Box::new(pipe) as _));
        errors.join().map_err(|_| anyhow::anyhow!("a thread that reads the runner panicked"))?.and(result)
    })?;
    let status = child.wait().context("cannot wait for the runner")?;
    let reader = reader.into_inner().map_err(|_| anyhow::anyhow!("a thread that reads the runner panicked"))?;
    Ok((reader.counts(), status))
}

/// What libtest says: `test result:` closes a binary, and `successes:` opens what passing tests wrote.
#[derive(Default)]
struct Libtest {
    counts: Counts,
    in_successes: bool,
    test: String,
}

impl Reader for Libtest {
    fn line(&mut self, line: &str) -> bool {
        if let Some(result) = line.strip_prefix("test result: ") {
            self.in_successes = false;
            self.counts.passed += number_before(result, " passed");
            self.counts.failed += number_before(result, " failed");
            self.counts.ignored += number_before(result, " ignored");
            return true;
        }
        match line {
            "successes:" => self.in_successes = true,
            "failures:" => self.in_successes = false,
            _ => {}
        }
        if !self.in_successes {
            return true;
        }
        if let Some(rest) = line.strip_prefix("---- ") {
            rest.split(" stdout").next().unwrap_or(rest).clone_into(&mut self.test);
        }
        note_skip(&mut self.counts, &self.test, line)
    }

    fn counts(self) -> Counts {
        self.counts
    }
}

/// What nextest says: one status line a test, what it wrote below that, and a summary at the end.
#[derive(Default)]
struct Nextest {
    counts: Counts,
    in_passed: bool,
    test: String,
}

impl Reader for Nextest {
    fn line(&mut self, line: &str) -> bool {
        let text = line.trim_start();
        if let Some((word, rest)) = status_line(text) {
            self.in_passed = matches!(word, "PASS" | "LEAK" | "SLOW");
            if word == "Summary" {
                let result = rest.split_once(':').map_or("", |(_, result)| result);
                self.counts.passed += number_before(result, " passed");
                for bad in [" failed", " timed out", " exec failed"] {
                    self.counts.failed += number_before(result, bad);
                }
                self.counts.ignored += number_before(result, " skipped");
            } else {
                rest.clone_into(&mut self.test);
            }
            return true;
        }
        // Nextest indents what a test wrote by four spaces, and the heading over it by two.
        let written = line.is_empty()
            || line.starts_with("    ")
            || line.starts_with("  stdout ")
            || line.starts_with("  stderr ");
        self.in_passed &= written;
        !self.in_passed || note_skip(&mut self.counts, &self.test, text)
    }

    fn counts(self) -> Counts {
        self.counts
    }
}

/// Records a line by which a passing test says that it left itself out, and tells whether it was one.
fn note_skip(counts: &mut Counts, test: &str, line: &str) -> bool {
    let skip = line.starts_with("SKIPPED");
    if skip {
        let reason = line.trim_start_matches("SKIPPED").trim_start_matches([':', ' ']);
        counts.skipping.insert(test.to_owned());
        counts.skipped.push(format!("{test}: {reason}"));
    }
    skip
}

/// Splits a nextest status line such as `PASS [   0.003s] (1/9) crate test` into its word and the test's name.
fn status_line(text: &str) -> Option<(&str, &str)> {
    let (word, rest) = text.split_once(" [")?;
    let (time, rest) = rest.split_once(']')?;
    let seconds = time.trim_start_matches(['>', ' ']).strip_suffix('s')?;
    seconds.parse::<f64>().ok()?;
    let named = word.starts_with(|c: char| c.is_ascii_uppercase())
        && word.chars().all(|c| c.is_ascii_alphanumeric() || c == ' ' || c == '-');
    let rest = rest.trim_start();
    let rest = if rest.starts_with('(') { rest.split_once(") ").map_or(rest, |(_, name)| name) } else { rest };
    named.then_some((word.trim_end(), rest))
}

/// The number that stands right before the first `word`; 0 if there is none.
fn number_before(text: &str, word: &str) -> usize {
    text.find(word)
        .map(|at| text[..at].rsplit(|c: char| !c.is_ascii_digit()).next().unwrap_or_default())
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests;
