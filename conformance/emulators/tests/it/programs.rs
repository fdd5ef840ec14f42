//! Running programs with an end in sight.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use backup_test_servers::program;

/// How long a program may run: many times what it needs on a busy machine.
const RUN_AT_MOST: Duration = Duration::from_secs(120);

/// What a program said, and whether it was content.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) success: bool,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// What it wrote, when it succeeded.
    pub(crate) fn ok(self) -> String {
        assert!(self.success, "it failed and said:\n{}\n{}", self.out, self.err);
        self.out
    }

    /// Everything that it said.
    pub(crate) fn said(&self) -> String {
        format!("{}{}", self.out, self.err)
    }

    /// Everything that it said, when it failed.
    pub(crate) fn failed(self) -> String {
        assert!(!self.success, "it succeeded and said:\n{}\n{}", self.out, self.err);
        self.out + &self.err
    }
}

/// A program of the tests' own environment, with nothing of this process's surroundings but a folder to call home.
pub(crate) fn command(name: &'static str, home: &Path) -> Command {
    let path = program(name).unwrap_or_else(|error| panic!("{error}"));
    let mut command = Command::new(path);
    command.env_clear().env("HOME", home).current_dir(home);
    command
}

/// Runs a program to its end, or kills it when that does not come.
pub(crate) fn run(command: &mut Command) -> Ran {
    run_with_input(command, Vec::new())
}

/// The same with bytes for it to read.
pub(crate) fn run_with_input(command: &mut Command, input: Vec<u8>) -> Ran {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut to = child.stdin.take().unwrap();
    // Whether it wants to read all of it is the program's matter.
    std::thread::spawn(move || to.write_all(&input).ok());
    let id = child.id();
    let (done, ended) = mpsc::channel();
    std::thread::spawn(move || done.send(child.wait_with_output()));
    let Ok(output) = ended.recv_timeout(RUN_AT_MOST) else {
        // It is not waited for yet, so the number is still its own.
        Command::new("kill").args(["-9", &id.to_string()]).status().unwrap();
        panic!("{command:?} did not end within {RUN_AT_MOST:?}: {:?}", ended.recv());
    };
    let output = output.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ran { success: output.status.success(), out: text(output.stdout), err: text(output.stderr) }
}
