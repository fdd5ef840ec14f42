//! The tools, and how each says the same thing.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::process;

/// Password of the repositories of a benchmark, for all tools; it protects nothing.
const PASSWORD: &str = "benchmark";

/// A backup program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    Restic,
    Rustic,
    Borg,
    Ours,
}

pub(super) const ALL: [Kind; 4] = [Kind::Restic, Kind::Rustic, Kind::Borg, Kind::Ours];

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Restic => "restic",
            Self::Rustic => "rustic",
            Self::Borg => "borg",
            Self::Ours => "ours",
        }
    }

    /// The environment variable that may hold the binary's path.
    fn variable(self) -> &'static str {
        match self {
            Self::Restic => "RESTIC",
            Self::Rustic => "RUSTIC",
            Self::Borg => "BORG",
            Self::Ours => "OURS",
        }
    }
}

/// A program that was found.
#[derive(Debug)]
pub(crate) struct Tool {
    pub(crate) kind: Kind,
    binary: PathBuf,
    pub(crate) version: String,
}

/// Finds the tools that are installed, says which are not, and builds ours unless OURS names it.
pub(super) fn find(wanted: &[Kind]) -> Result<Vec<Tool>> {
    let mut tools = Vec::new();
    for &kind in wanted {
        let named = std::env::var(kind.variable()).ok();
        let binary = match (kind, named) {
            (_, Some(named)) => {
                Some(process::find(&named).with_context(|| format!("{}={named} names no program", kind.variable()))?)
            }
            (Kind::Ours, None) => Some(build()?),
            (_, None) => process::find(kind.name()),
        };
        let Some(binary) = binary else {
            println!("{} is left out: it is not on PATH and {} is not set", kind.name(), kind.variable());
            continue;
        };
        let said =
            process::output(Command::new(&binary).arg(if kind == Kind::Restic { "version" } else { "--version" }))?;
        let version =
            said.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit())).unwrap_or("?");
        println!("{:7} {version} ({})", kind.name(), binary.display());
        tools.push(Tool { kind, version: version.to_owned(), binary });
    }
    if tools.is_empty() {
        bail!("there is nothing to measure");
    }
    Ok(tools)
}

/// Our own binary: the one that OURS names, or built now.
pub(crate) fn ours() -> Result<PathBuf> {
    match std::env::var(Kind::Ours.variable()) {
        Ok(named) => process::find(&named).with_context(|| format!("OURS={named} names no program")),
        Err(_) => build(),
    }
}

fn build() -> Result<PathBuf> {
    process::run(process::cargo().args(["build", "--release", "--package", "backup-cli"]))?;
    let binary = process::root().join("target/release/backup");
    if !binary.is_file() {
        bail!("the build left no {}; with another target directory, set OURS", binary.display());
    }
    Ok(binary)
}

/// One tool's place during a benchmark: its repository, its home with its caches, and where it restores to.
pub(super) struct Site<'a> {
    pub(super) tool: &'a Tool,
    pub(super) repository: PathBuf,
    pub(super) target: PathBuf,
    home: PathBuf,
    source: PathBuf,
    /// Backups so far; borg wants a name for each.
    backups: u32,
}

impl<'a> Site<'a> {
    pub(super) fn new(tool: &'a Tool, scratch: &Path, source: &Path) -> Self {
        let place = scratch.join(tool.kind.name());
        Self {
            tool,
            repository: place.join("repository"),
            target: place.join("restored"),
            home: place.join("home"),
            source: source.to_path_buf(),
            backups: 0,
        }
    }

    /// Makes the tool's directories, and the command that makes its repository.
    pub(super) fn init(&self) -> Result<Command> {
        std::fs::create_dir_all(&self.home).with_context(|| format!("cannot make {}", self.home.display()))?;
        Ok(match self.tool.kind {
            Kind::Restic | Kind::Rustic | Kind::Ours => self.command(&["init"]),
            Kind::Borg => {
                let mut command = self.command(&["init", "--encryption", "repokey"]);
                command.arg(&self.repository);
                command
            }
        })
    }

    pub(super) fn backup(&mut self) -> Command {
        self.backups += 1;
        let mut command = match self.tool.kind {
            Kind::Restic | Kind::Rustic => self.command(&["backup"]),
            Kind::Ours => self.command(&["create"]),
            Kind::Borg => {
                let mut command = self.command(&["create", "--compression", "zstd,3"]);
                command.arg(self.archive());
                command
            }
        };
        command.arg(&self.source);
        command
    }

    pub(super) fn restore(&self) -> Command {
        match self.tool.kind {
            Kind::Restic | Kind::Ours => {
                let mut command = self.command(&["restore", "latest", "--target"]);
                command.arg(&self.target);
                command
            }
            Kind::Rustic => {
                let mut command = self.command(&["restore", "latest"]);
                command.arg(&self.target);
                command
            }
            Kind::Borg => {
                let mut command = self.command(&["extract"]);
                command.arg(self.archive()).current_dir(&self.target);
                command
            }
        }
    }

    pub(super) fn check(&self) -> Command {
        match self.tool.kind {
            Kind::Restic | Kind::Rustic | Kind::Ours => self.command(&["check", "--read-data"]),
            Kind::Borg => {
                let mut command = self.command(&["check", "--verify-data"]);
                command.arg(&self.repository);
                command
            }
        }
    }

    /// The newest archive of a borg repository.
    fn archive(&self) -> String {
        format!("{}::a{}", self.repository.display(), self.backups)
    }

    /// The program with its repository, quiet, in an environment of its own.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.tool.binary);
        match self.tool.kind {
            Kind::Restic | Kind::Ours => {
                command.args(["-q", "-r"]).arg(&self.repository);
            }
            Kind::Rustic => {
                command.args(["--no-progress", "--log-level", "error", "-r"]).arg(&self.repository);
            }
            Kind::Borg => {}
        }
        command.args(words);
        command.env("HOME", &self.home).env("XDG_CACHE_HOME", self.home.join(".cache"));
        command.env("XDG_CONFIG_HOME", self.home.join(".config")).env("XDG_DATA_HOME", self.home.join(".local/share"));
        for variable in ["RESTIC_PASSWORD", "RUSTIC_PASSWORD", "BORG_PASSPHRASE", "BACKUP_PASSWORD"] {
            command.env(variable, PASSWORD);
        }
        // Borg asks a person about these; there is none.
        command.env("BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK", "yes");
        command.env("BORG_RELOCATED_REPO_ACCESS_IS_OK", "yes");
        command.env("NO_COLOR", "1");
        command
    }
}

#[cfg(test)]
impl Tool {
    pub(super) fn named(kind: Kind, version: &str) -> Self {
        Self { kind, binary: PathBuf::from("none"), version: version.to_owned() }
    }
}
