//! Runs the program.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The program with an interpreter that can run it.
pub(crate) struct Reader {
    python: OsString,
}

/// What came of a run.
pub(crate) struct Run {
    arguments: String,
    output: Output,
}

const NEEDS: &str = "import sys, zstandard, cryptography; assert sys.version_info >= (3, 11)
try: from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
except ImportError: import argon2";

impl Reader {
    /// The interpreter that `BACKUP_TEST_PYTHON` names, or `python3`; `None`, and a line that says why, where that one can't run the
    /// program. An interpreter that was named must be able to.
    #[expect(clippy::disallowed_methods, reason = "the test run tells here which interpreter it has prepared")]
    pub(crate) fn find() -> Option<Self> {
        let named = std::env::var_os("BACKUP_TEST_PYTHON").filter(|name| !name.is_empty());
        let python = named.clone().unwrap_or_else(|| "python3".into());
        let lacks = match Command::new(&python).args(["-c", NEEDS]).output() {
            Ok(output) if output.status.success() => return Some(Self { python }),
            Ok(output) => String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned(),
            Err(error) => error.to_string(),
        };
        assert!(named.is_none(), "{python:?} can't run read_repo.py: {lacks}");
        eprintln!("SKIPPED: {python:?} can't run read_repo.py: {lacks}");
        None
    }

    /// Runs a command.
    pub(crate) fn command(&self, repository: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Run {
        // The tests of another crate use this file too.
        let script: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "examples", "read_repo.py"].iter().collect();
        let output = Command::new(&self.python)
            .arg(script)
            .arg(repository)
            .args(arguments)
            .envs(variables.iter().copied())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .output()
            .expect("the interpreter was there a moment ago");
        Run { arguments: arguments.join(" "), output }
    }
}

impl Run {
    /// Expects success without a word on standard error; gives what was printed.
    #[track_caller]
    pub(crate) fn succeeds(&self) -> String {
        let Output { status, stdout, stderr } = &self.output;
        let said = String::from_utf8_lossy(stderr);
        assert!(status.success() && said.is_empty(), "{}: {status}: {said}", self.arguments);
        String::from_utf8(stdout.clone()).unwrap()
    }

    /// Expects success and nothing on standard error but lines that begin with a word.
    #[track_caller]
    pub(crate) fn succeeds_with(&self, word: &str) {
        let said = String::from_utf8_lossy(&self.output.stderr);
        assert!(self.output.status.success(), "{}: {said}", self.arguments);
        assert!(said.lines().all(|line| line.starts_with(word)), "{}: {said}", self.arguments);
    }

    /// Expects an exit code, and a text on standard error.
    #[track_caller]
    pub(crate) fn refuses(&self, code: i32, text: &str) {
        let said = String::from_utf8_lossy(&self.output.stderr);
        assert_eq!(self.output.status.code(), Some(code), "{} {text}: {said}", self.arguments);
        assert!(said.contains(text), "{}: no `{text}` in: {said}", self.arguments);
        assert!(!said.contains("Traceback"), "{}: {said}", self.arguments);
    }
}
