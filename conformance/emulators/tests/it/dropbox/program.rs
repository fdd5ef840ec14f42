//! Programs that talk to the emulator and end in time.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use backup_test_servers::program;

/// How long a program may run, on a machine that is busy with other tests.
const ENDS_WITHIN: Duration = Duration::from_secs(180);

/// What a program said.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) is_success: bool,
    /// What it wrote to its output.
    pub(super) output: String,
    /// What it wrote at all, output before errors.
    pub(super) text: String,
}

/// A program of the tests' environment, which must be there.
pub(super) fn installed(name: &'static str) -> Command {
    Command::new(program(name).unwrap_or_else(|error| panic!("{error}")))
}

/// Runs a program to its end.
pub(super) fn run(mut command: Command) -> Said {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let id = child.id();
    let (ended, end) = mpsc::channel();
    std::thread::spawn(move || ended.send(child.wait_with_output()));
    let Ok(output) = end.recv_timeout(ENDS_WITHIN) else {
        let killed = Command::new("kill").args(["-9", &id.to_string()]).status();
        panic!("{command:?} did not end within {ENDS_WITHIN:?}; killed: {killed:?}");
    };
    let Output { status, stdout, stderr } = output.unwrap();
    let [output, errors] = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let text = format!("{output}{errors}");
    Said { is_success: status.success(), output, text }
}

/// No settings of whoever runs the tests, and no way out but through the proxy.
pub(super) fn shut_in(command: &mut Command, home: &Path) {
    command.env_clear().env("HOME", home).env("PATH", "/usr/bin:/bin").env("LANG", "C.UTF-8");
}
