//! The files source and target against real trees.
#![cfg(unix)]
#![expect(clippy::print_stdout, reason = "a test that is skipped says why")]
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod changing;
mod compare;
mod costs;
mod fidelity;
mod hostile;
mod laws;
mod limits;
mod listing;
mod order;
mod pump;
mod rules;
mod target;
mod tree;
mod unprivileged;

use std::path::Path;
use std::process::{Command, Output};

use backup_core::{CancelToken, Snapshotter, SourceContext, SourceView, SystemClock};
use backup_snapshotter_files::{FilesOptions, FilesSnapshotter};

/// A view of what some options say.
fn view(options: FilesOptions) -> Box<dyn SourceView> {
    let source = FilesSnapshotter::new(options).unwrap();
    source.begin(&SourceContext::new(&SystemClock::new(), &CancelToken::new())).unwrap()
}

/// Prints why a test did not look at something.
fn skip(what: &str, why: &str) {
    println!("skipped: {what}: {why}");
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether a program is installed.
fn has(program: &str) -> bool {
    Command::new("sh")
        .args(["-c", "command -v \"$0\" >/dev/null", program])
        .status()
        .is_ok_and(|status| status.success())
}

/// Whether strace is there and may trace.
fn can_trace() -> bool {
    has("strace") && Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status().is_ok_and(|s| s.success())
}

/// Runs one ignored test of this binary by itself, in a directory, behind a command that changes its surroundings.
fn run_apart(behind: &[&str], test: &str, directory: &Path) -> Output {
    run_copy_apart(&std::env::current_exe().unwrap(), behind, test, directory)
}

/// The same with a copy of this binary.
fn run_copy_apart(this: &Path, behind: &[&str], test: &str, directory: &Path) -> Output {
    let (program, arguments) = behind.split_first().unwrap();
    let output = Command::new(program)
        .args(arguments)
        .arg(this)
        .args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"])
        .current_dir(directory)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    // A name that matches no test would pass as well.
    assert!(output.status.success() && said.contains("1 passed"), "{test} behind {behind:?}: {output:?}");
    output
}
