//! The command line as clap reads it. Each command's arguments become its options in one function.

pub(crate) mod create;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::environment::Environment;
use crate::error::CliError;
use crate::exit_code::Exit;
use crate::output::{Output, OutputOptions};

/// Encrypted, deduplicated backups with a restore that is proven.
#[derive(Debug, Parser)]
#[command(name = "backup", version, about, after_long_help = after_help(), max_term_width = 120)]
#[command(disable_help_subcommand = true, infer_long_args = false)]
pub(crate) struct CommandLine {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct GlobalArgs {
    /// The repository: a path, a URL, or a name of the configuration.
    ///
    /// Without it: BACKUP_REPOSITORY, the only repository of the configuration, or `backups` in the user's data folder.
    #[arg(short = 'r', long = "repository", global = true, value_name = "PATH|URL|NAME")]
    pub(crate) repository: Option<String>,

    /// A configuration file, read after those of the system and the user.
    #[arg(short = 'c', long = "config", global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Write JSON lines instead of text.
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Write nothing but what was asked for, warnings and errors.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Write more.
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,

    /// Never ask anything, even on a terminal.
    #[arg(long, global = true)]
    pub(crate) no_input: bool,

    /// Read the password from a file that only its owner can read.
    #[arg(long, global = true, value_name = "FILE", group = "unlock")]
    pub(crate) password_file: Option<PathBuf>,

    /// Take the password from what a program prints.
    #[arg(long, global = true, value_name = "COMMAND", group = "unlock")]
    pub(crate) password_command: Option<String>,

    /// Open the repository with a key file.
    #[arg(long, global = true, value_name = "FILE", group = "unlock")]
    pub(crate) key_file: Option<PathBuf>,

    /// Open the repository with its recovery kit.
    #[arg(long, global = true, value_name = "FILE", group = "unlock")]
    pub(crate) recovery_kit: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a repository.
    #[command(after_help = "Example: backup -r /srv/backup init")]
    Init(InitArgs),
    /// Store a snapshot of files or of a configured source.
    #[command(after_help = "Example: backup -r /srv/backup create ~/Documents --exclude '*.tmp'")]
    Create(create::CreateArgs),
    /// List snapshots.
    #[command(after_help = "Example: backup -r /srv/backup snapshots --last 5")]
    Snapshots(SnapshotsArgs),
}

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// A label to know the first key by.
    #[arg(long, value_name = "TEXT")]
    pub(crate) label: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct SnapshotsArgs {
    /// Only those with this label; may be given more than once.
    #[arg(long = "tag", value_name = "LABEL")]
    pub(crate) tags: Vec<String>,
    /// Only those of this host.
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Option<String>,
    /// Only those of this configured source.
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Option<String>,
    /// Only the newest so many.
    #[arg(long, value_name = "N")]
    pub(crate) last: Option<usize>,
}

fn after_help() -> String {
    let mut text = String::from("Exit codes:\n");
    for exit in Exit::ALL {
        text.push_str(&format!("  {:>3}  {}\n", exit.code(), exit.meaning()));
    }
    text
}

/// Says what is wrong with the command line, or what was asked for: help or the version.
pub(crate) fn refused(error: &clap::Error, arguments: &[OsString], environment: Environment) -> Exit {
    let is_help = !error.use_stderr();
    let json = arguments.iter().any(|argument| argument == "--json");
    if json && !is_help {
        let output = Output::new(OutputOptions::new(true, false, false, environment));
        let text = error.render().to_string();
        let message = text.trim().trim_start_matches("error: ");
        output.error(&CliError::usage(message));
        // The reader may be gone; the exit code says it too.
        let _ = output.flush();
    } else {
        // As above.
        let _ = error.print();
    }
    if is_help { Exit::Done } else { Exit::Usage }
}
