//! Starting programs that end with this process.

use std::fmt;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take to be ready, on a machine that is busy with other tests.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// How often to look: a server tells nobody that it is ready.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long a server may take to answer whether it is ready.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Why a server did not start.
#[derive(Debug)]
pub enum StartError {
    /// The program is not on this machine.
    NotInstalled(&'static str),
    /// It ended, or was not ready in time.
    Failed(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotInstalled(program) => write!(f, "`{program}` is not installed; `cargo xtask test` installs it"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for StartError {}

/// Where a program of the tests' own environment is, or else one on the path.
///
/// # Errors
/// [`StartError::NotInstalled`].
pub fn program(name: &'static str) -> Result<PathBuf, StartError> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let own = root.join("target/test-venv/bin").join(name);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    let elsewhere = std::env::split_paths(&path).chain(system).map(|folder| folder.join(name));
    std::iter::once(own).chain(elsewhere).find(|file| file.is_file()).ok_or(StartError::NotInstalled(name))
}

/// Ports that nobody listened on just now.
///
/// # Panics
/// When the system gives none.
pub fn free_ports<const N: usize>() -> [u16; N] {
    // All are held until all are known, so that none comes twice.
    let held: [TcpListener; N] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").expect("a port is free"));
    std::array::from_fn(|at| held[at].local_addr().expect("it is bound").port())
}

/// A program that is ended when this is dropped, or when this process is gone.
#[derive(Debug)]
pub(crate) struct Owned {
    shell: Child,
    /// Open as long as the program is to run.
    alive: Option<ChildStdin>,
    log: PathBuf,
}

impl Owned {
    /// Starts a program whose output goes into a file. The file's folder is removed when this process is gone, for then nobody else does.
    pub(crate) fn start(program: &Path, arguments: &[String], log: &Path) -> Result<Self, StartError> {
        let failed = |what: &str, error: std::io::Error| StartError::Failed(format!("{what}: {error}"));
        let file = File::create(log).map_err(|error| failed("cannot make a log", error))?;
        let errors = file.try_clone().map_err(|error| failed("cannot make a log", error))?;
        // The shell's input ends when this process does, killed or not; then it ends the program. It ends with the program, too.
        let script = r#"folder=$1; shift; exec 3<&0; "$@" </dev/null & child=$!; (cat <&3 >/dev/null; kill -9 "$child"; wait "$child"; rm -rf -- "$folder") 2>/dev/null & exec 3<&-; wait "$child""#;
        let mut command = Command::new("sh");
        let folder = log.parent().unwrap_or(log);
        command.args(["-c", script, "sh"]).arg(folder).arg(program).args(arguments);
        let mut shell = command
            .stdin(Stdio::piped())
            .stdout(file)
            .stderr(errors)
            .spawn()
            .map_err(|error| failed("cannot start a shell", error))?;
        let alive = shell.stdin.take();
        Ok(Self { shell, alive, log: log.to_owned() })
    }

    /// Waits until `look` finds the server ready.
    pub(crate) fn wait_until(&mut self, look: impl Fn() -> bool) -> Result<(), StartError> {
        let begun = Instant::now();
        let mut ended = None;
        while begun.elapsed() < READY_WITHIN && ended.is_none() {
            if look() {
                return Ok(());
            }
            std::thread::sleep(LOOK_EVERY);
            ended = self.shell.try_wait().ok().flatten();
        }
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(20).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        let what = match ended {
            Some(status) => format!("it ended with {status}"),
            None => format!("not ready after {READY_WITHIN:?}"),
        };
        Err(StartError::Failed(format!("{what}; it said:\n{}", tail.join("\n"))))
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        drop(self.alive.take());
        // It is killed by then; nothing is to be done where that can't be found out.
        let _ = self.shell.wait();
    }
}

/// The status of the answer to a request without a body, where there is an answer.
pub(crate) fn http_status(port: u16, method: &str, path: &str) -> Option<u16> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(ANSWER_WITHIN)).ok()?;
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        .ok()?;
    let mut head = [0; 12];
    stream.read_exact(&mut head).ok()?;
    std::str::from_utf8(&head).ok()?.strip_prefix("HTTP/1.1 ")?.parse().ok()
}

/// The first bytes that a server sends by itself.
pub(crate) fn greeting(port: u16) -> Option<[u8; 8]> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(ANSWER_WITHIN)).ok()?;
    let mut head = [0; 8];
    stream.read_exact(&mut head).ok()?;
    Some(head)
}
