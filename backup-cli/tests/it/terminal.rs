//! What happens on a terminal: questions, bars, colours.

#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command};
use std::time::Duration;

use backup_core::{Clock, SystemClock};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

use crate::home::Home;

/// A run of the binary on a terminal of its own.
struct Session {
    child: Child,
    terminal: File,
    shown: String,
    /// How much of it was waited for already.
    seen: usize,
}

impl Session {
    /// Starts the binary with a terminal that is also its controlling one; `None`, and why, where that can't be had.
    fn start(home: &Home, test: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Option<Self> {
        if !Command::new("setsid").arg("--version").output().is_ok_and(|output| output.status.success()) {
            eprintln!("SKIPPED {test}: there is no `setsid` to give the program a terminal");
            return None;
        }
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let name = ptsname(&terminal, Vec::new()).unwrap();
        let side =
            || -> OwnedFd { File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap().into() };
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait"]).arg(crate::home::binary()).args(arguments);
        command.current_dir(home.path()).env_clear().env("HOME", home.path()).env("PATH", "/usr/bin:/bin");
        command.env("TERM", "xterm").envs(variables.iter().copied());
        let child = command.stdin(side()).stdout(side()).stderr(side()).spawn().unwrap();
        Some(Self { child, terminal: terminal.into(), shown: String::new(), seen: 0 })
    }

    /// Reads until a text is shown once more.
    fn wait_for(&mut self, text: &str) {
        loop {
            if let Some(at) = self.shown[self.seen..].find(text) {
                self.seen += at + text.len();
                return;
            }
            assert!(self.read(), "`{text}` was not shown once more:\n{}", self.shown);
        }
    }

    fn read(&mut self) -> bool {
        let mut buffer = [0; 4096];
        match self.terminal.read(&mut buffer) {
            // A terminal whose other side is closed says so by an error.
            Ok(0) | Err(_) => false,
            Ok(read) => {
                self.shown.push_str(&String::from_utf8_lossy(&buffer[..read]));
                true
            }
        }
    }

    /// Waits until what is typed is not shown; the question stands there a moment before that.
    fn wait_for_no_echo(&mut self) {
        /// Long beyond any machine's slowness.
        const PATIENCE: Duration = Duration::from_secs(60);
        let began = SystemClock::new();
        while tcgetattr(&self.terminal).unwrap().local_modes.contains(LocalModes::ECHO) {
            assert!(began.monotonic() < PATIENCE, "what is typed would be shown");
            std::thread::yield_now();
        }
    }

    fn type_secret(&mut self, line: &str) {
        self.wait_for_no_echo();
        self.type_line(line);
    }

    fn type_line(&mut self, line: &str) {
        self.terminal.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Reads to the end; the exit code and everything that was shown.
    fn finish(mut self) -> (i32, String) {
        while self.read() {}
        (self.child.wait().unwrap().code().unwrap(), self.shown)
    }
}

#[test]
fn new_password_is_asked_for_twice_and_never_shown() {
    let home = Home::new();
    home.write("src/a", "a");
    let test = "new_password_is_asked_for_twice_and_never_shown";
    let Some(mut session) = Session::start(&home, test, &["quickstart", "src", "--to", "disk"], &[]) else { return };
    session.wait_for("Choose a password");
    session.type_secret("canary-one");
    session.wait_for("Once more");
    session.type_secret("canary-two");
    session.wait_for("not the same");
    session.wait_for("Choose a password");
    session.type_secret("canary-one");
    session.wait_for("Once more");
    session.type_secret("canary-one");
    let (code, shown) = session.finish();
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("proven restorable: 1/1 files"), "{shown}");
    assert!(shown.contains("its code: "), "a person sees the code once: {shown}");
    assert!(!shown.contains("canary"), "{shown}");

    let Some(mut session) = Session::start(&home, test, &["-r", "disk", "snapshots"], &[]) else { return };
    session.wait_for("Password for");
    session.type_secret("canary-one");
    let (code, shown) = session.finish();
    assert_eq!(code, 0, "{shown}");
    let Some(mut session) = Session::start(&home, test, &["-r", "disk", "snapshots"], &[]) else { return };
    session.wait_for("Password for");
    session.type_secret("wrong");
    assert_eq!(session.finish().0, 12);
    let Some(session) = Session::start(&home, test, &["-r", "disk", "--no-input", "snapshots"], &[]) else { return };
    assert_eq!(session.finish().0, 2, "nothing is asked");
}

#[test]
fn interrupt_at_a_question_is_130() {
    let home = Home::with_password_and_snapshot();
    let test = "interrupt_at_a_question_is_130";
    let Some(mut session) = Session::start(&home, test, &["-r", "r", "snapshots"], &[]) else { return };
    session.wait_for("Password for");
    session.type_secret("\x03");
    assert_eq!(session.finish().0, 130);
}

#[test]
fn conflicts_are_asked_about_and_a_capital_answer_holds_for_all() {
    let home = Home::with_password_and_snapshot();
    home.done(&["-q", "restore", "latest", "--target", "out"]);
    for name in ["src/a.txt", "src/big", "src/sub/b.txt"] {
        fs::write(home.restored("out", name), "changed here").unwrap();
    }
    let repository = home.join("r").display().to_string();
    let variables = [("BACKUP_PASSWORD", crate::home::PASSWORD), ("BACKUP_REPOSITORY", repository.as_str())];
    let test = "conflicts_are_asked_about_and_a_capital_answer_holds_for_all";
    let arguments = ["restore", "latest", "--target", "out"];
    let Some(mut session) = Session::start(&home, test, &arguments, &variables) else { return };
    session.wait_for("keep [l]ocal");
    session.type_line("what?");
    session.wait_for("keep [l]ocal");
    session.type_line("l");
    session.wait_for("keep [l]ocal");
    session.type_line("B");
    let (code, shown) = session.finish();
    assert_eq!(code, 0, "{shown}");
    assert_eq!(fs::read(home.restored("out", "src/a.txt")).unwrap(), b"changed here");
    assert_eq!(fs::read(home.restored("out", "src/big")).unwrap(), vec![7; 300_000]);
    assert_eq!(fs::read(home.restored("out", "src/sub/b.txt")).unwrap(), b"beta\n");
}

#[test]
fn colours_are_only_where_they_are_wanted() {
    let home = Home::new();
    let test = "colours_are_only_where_they_are_wanted";
    let error = |variables: &[(&str, &str)], arguments: &[&str]| {
        Session::start(&home, test, arguments, variables).map(|session| session.finish().1)
    };
    let Some(coloured) = error(&[], &["-r", "none", "snapshots"]) else { return };
    assert!(coloured.contains("\x1b[1;31merror:\x1b[0m"), "{coloured:?}");
    for plain in [
        error(&[("NO_COLOR", "1")], &["-r", "none", "snapshots"]),
        error(&[("TERM", "dumb")], &["-r", "none", "snapshots"]),
        error(&[], &["--json", "-r", "none", "snapshots"]),
    ] {
        let plain = plain.unwrap();
        assert!(!plain.contains('\x1b'), "{plain:?}");
    }
}

#[test]
fn long_commands_show_a_bar_on_a_terminal_and_none_when_quiet() {
    let home = Home::with_password_and_snapshot();
    let repository = home.join("r").display().to_string();
    let variables = [("BACKUP_PASSWORD", crate::home::PASSWORD), ("BACKUP_REPOSITORY", repository.as_str())];
    let test = "long_commands_show_a_bar_on_a_terminal_and_none_when_quiet";
    let shown =
        |arguments: &[&str]| Session::start(&home, test, arguments, &variables).map(|session| session.finish().1);
    let Some(text) = shown(&["check", "--read-data"]) else { return };
    assert!(text.contains("reading"), "{text:?}");
    let quiet = shown(&["-q", "check", "--read-data"]).unwrap();
    assert_eq!(quiet, "");
}
