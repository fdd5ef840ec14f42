//! A user with a home of their own, who runs the binary.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// The password of the repositories here.
pub(crate) const PASSWORD: &str = "correct horse";

/// A home, and what the environment of its user is.
pub(crate) struct Home {
    folder: TempDir,
    /// Where the key file lies that opens the repository; without it, the password does.
    keys: Option<TempDir>,
}

/// How a run of the binary ended.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The binary under test: this build's, or the one that `BACKUP_TEST_BINARY` names, such as a release build.
#[expect(clippy::disallowed_methods, reason = "whoever runs the tests may choose the binary")]
pub(crate) fn binary() -> PathBuf {
    std::env::var_os("BACKUP_TEST_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_backup").into(), PathBuf::from)
}

impl Home {
    /// A user with a key file: opening costs nothing, as it does with a password.
    pub(crate) fn new() -> Self {
        Self::with_key(b"0123456789abcdef0123456789abcdef")
    }

    /// The same with this in the key file.
    pub(crate) fn with_key(bytes: &[u8]) -> Self {
        let keys = tempfile::tempdir().unwrap();
        let key = keys.path().join("key");
        fs::write(&key, bytes).unwrap();
        #[cfg(unix)]
        fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        Self { folder: tempfile::tempdir().unwrap(), keys: Some(keys) }
    }

    /// The same with a home below a given folder.
    #[cfg(target_os = "linux")]
    pub(crate) fn below(folder: &Path) -> Self {
        Self { folder: tempfile::tempdir_in(folder).unwrap(), ..Self::new() }
    }

    /// The same in memory where that can be, for tests that start the binary hundreds of times: flushes cost nothing there.
    #[cfg(target_os = "linux")]
    pub(crate) fn in_memory() -> Self {
        let home = Self::new();
        match tempfile::tempdir_in("/dev/shm") {
            Ok(folder) => Self { folder, ..home },
            Err(_) => home,
        }
    }

    /// A user with a password.
    pub(crate) fn with_password() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), keys: None }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Where the key file lies.
    #[cfg(target_os = "linux")]
    pub(crate) fn key_file(&self) -> PathBuf {
        self.keys.as_ref().expect("this user has one").path().join("key")
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file with the folders above it.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// The binary in this home, with nothing of the environment of whoever runs the tests.
    pub(crate) fn bare(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments).current_dir(self.path()).env_clear().stdin(Stdio::null());
        command.env("HOME", self.path()).env("PATH", "/usr/bin:/bin").env("TZ", "UTC").env("USER", "ana");
        command
    }

    /// The same with what opens the repository, and with the repository `r`.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.bare(arguments);
        match &self.keys {
            Some(keys) => command.env("BACKUP_KEY_FILE", keys.path().join("key")),
            None => command.env("BACKUP_PASSWORD", PASSWORD),
        };
        command.env("BACKUP_REPOSITORY", self.join("r"));
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        ran(&mut self.command(arguments))
    }

    /// Runs what has to succeed.
    pub(crate) fn done(&self, arguments: &[&str]) -> Ran {
        let ran = self.run(arguments);
        assert_eq!(ran.code, 0, "{arguments:?}: {}{}", ran.stdout, ran.stderr);
        ran
    }

    /// The lines of a run with `--json` that has to succeed.
    pub(crate) fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let mut with_json = vec!["--json"];
        with_json.extend(arguments);
        self.done(&with_json).lines()
    }

    /// A repository, and one snapshot of a folder `src` with a few files.
    pub(crate) fn with_snapshot() -> Self {
        Self::new().stored()
    }

    /// The same, opened with the password.
    pub(crate) fn with_password_and_snapshot() -> Self {
        Self::with_password().stored()
    }

    /// Waits until the file system's clock has moved on so far that no file written before is too new to be relied on.
    pub(crate) fn settle(&self) {
        let probe = self.keys.as_ref().map_or(self.path(), TempDir::path).join("probe");
        let touch = || {
            fs::write(&probe, "").unwrap();
            fs::metadata(&probe).unwrap().modified().unwrap()
        };
        let began = touch();
        while touch().duration_since(began).unwrap() <= std::time::Duration::from_millis(60) {
            std::thread::yield_now();
        }
        fs::remove_file(&probe).unwrap();
    }

    fn stored(self) -> Self {
        let home = self;
        home.write("src/a.txt", "alpha\n");
        home.write("src/sub/b.txt", "beta\n");
        home.write("src/big", vec![7; 300_000]);
        home.done(&["-q", "init"]);
        home.done(&["-q", "create", "src"]);
        home
    }

    /// Where a file of this home stands below a restore's target.
    pub(crate) fn restored(&self, target: &str, name: &str) -> PathBuf {
        let home = self.path().canonicalize().unwrap();
        self.join(target).join(home.strip_prefix("/").unwrap()).join(name)
    }

    /// All files below a folder, with their content.
    pub(crate) fn files(&self, folder: &str) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        let mut folders = vec![self.join(folder)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let content = fs::read(&path).unwrap();
                    found.push((path, content));
                }
            }
        }
        found.sort();
        found
    }
}

/// Runs a command to its end.
pub(crate) fn ran(command: &mut Command) -> Ran {
    let Output { status, stdout, stderr } = command.output().unwrap();
    Ran {
        code: status.code().unwrap_or_else(|| panic!("{command:?} was ended by {status}")),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    }
}

impl Ran {
    /// Standard output as lines of JSON, each with a schema and a type.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let line = |line: &str| {
            let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert_eq!(value["schema"], 1, "{line}");
            assert!(value["type"].is_string(), "{line}");
            value
        };
        self.stdout.lines().map(line).collect()
    }
}

/// The lines of one type.
pub(crate) fn of_type<'a>(lines: &'a [Value], kind: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["type"] == kind).collect()
}

/// Whether the tests run as root.
#[cfg(unix)]
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
