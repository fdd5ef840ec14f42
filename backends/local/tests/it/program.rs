//! Running the example `put_objects` as a process of its own, under `strace` where it is there.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The built example.
pub(crate) fn put_objects() -> PathBuf {
    let mut path = std::env::current_exe().expect("a test has a path");
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    path.push("examples/put_objects");
    assert!(path.exists(), "{} is not there: run `cargo build --examples` first", path.display());
    path
}

/// Whether `strace` can be used; says why not.
pub(crate) fn has_strace(test: &str) -> bool {
    let works = Command::new("strace").args(["-f", "true"]).output().is_ok_and(|output| output.status.success());
    if !works {
        eprintln!("SKIPPED {test}: strace is not installed or may not trace");
    }
    works
}

/// One run under `strace`.
pub(crate) struct Traced {
    pub(crate) output: Output,
    /// The system calls in order, without the thread they were made in.
    pub(crate) calls: Vec<String>,
}

impl Traced {
    /// The keys that were acknowledged.
    pub(crate) fn acknowledged(&self) -> Vec<String> {
        acknowledged(&self.output.stdout)
    }
}

/// The keys in a program's output; a line that isn't finished is not yet said.
pub(crate) fn acknowledged(stdout: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(stdout);
    text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).map(str::to_owned).collect()
}

/// Runs `put_objects DIR ARGS…` with these expressions for `strace -e`.
pub(crate) fn traced(dir: &Path, args: &[&str], expressions: &[&str]) -> Traced {
    let log = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    let mut command = Command::new("strace");
    command.args(["-f", "-s", "64", "-o"]).arg(log.path());
    for expression in expressions {
        command.args(["-e", expression]);
    }
    let output = command.arg(put_objects()).arg(dir).args(args).output().expect("strace runs");
    let text = std::fs::read_to_string(log.path()).expect("strace writes its log");
    let calls = text.lines().filter_map(|line| line.split_once(' ')).map(|(_, call)| call.trim_start().to_owned());
    Traced { output, calls: calls.collect() }
}
