//! The command line as clap reads it. Each command's arguments become its options in one function.

pub(crate) mod check;
#[cfg(feature = "conformance")]
pub(crate) mod conformance;
pub(crate) mod create;
pub(crate) mod key;
pub(crate) mod narrow;
pub(crate) mod query;
pub(crate) mod quickstart;
pub(crate) mod restore;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use self::narrow::NarrowArgs;
use crate::environment::Environment;
use crate::error::CliError;
use crate::exit_code::Exit;
use crate::output::{Output, OutputOptions};

/// Encrypted, deduplicated backups with a restore that is proven.
#[derive(Debug, Parser)]
#[command(name = "backup", version, after_long_help = after_help(), max_term_width = 120)]
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

    /// Open the repository with a private key that was kept elsewhere.
    #[arg(long, global = true, value_name = "FILE", group = "unlock")]
    pub(crate) escrow_key_file: Option<PathBuf>,

    /// Open the repository with its recovery kit.
    #[arg(long, global = true, value_name = "FILE", group = "unlock")]
    pub(crate) recovery_kit: Option<PathBuf>,

    /// Where to keep what would have to be fetched again, instead of the user's cache folder.
    ///
    /// Also BACKUP_CACHE_DIR. Everything there can be deleted at any time.
    #[arg(long, global = true, value_name = "DIR", conflicts_with = "no_cache")]
    pub(crate) cache_dir: Option<PathBuf>,

    /// Keep nothing on this machine: every command fetches what it needs.
    #[arg(long, global = true)]
    pub(crate) no_cache: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Protect files in one go, and prove that they can be restored.
    ///
    /// Makes the repository if there is none, writes a recovery kit, stores a snapshot, restores a sample of it into a
    /// temporary folder and compares that with the source byte by byte.
    ///
    /// Without a password and without a terminal to ask on, a key file is made in the user's configuration folder; every
    /// later command finds it there by itself.
    #[command(after_help = "Example: backup quickstart ~/Documents --to /mnt/disk/backup")]
    Quickstart(quickstart::QuickstartArgs),
    /// Make a repository.
    #[command(after_help = "Example: backup -r /srv/backup init")]
    Init(InitArgs),
    /// Store a snapshot of files or of a configured source.
    #[command(
        after_help = "Examples:\n  backup create ~/Documents --exclude '*.tmp'\n  backup create --source documents"
    )]
    Create(create::CreateArgs),
    /// List snapshots.
    ///
    /// VERIFIED is the deepest level at which all of a snapshot was checked since it was made, and found sound: `structure` (all of it
    /// is there), `objects` (its stored bytes are those that were written) or `data` (all of it was read, decrypted and verified);
    /// `-` where no check was recorded, DAMAGED where one found damage that hurts it.
    #[command(after_help = "Example: backup snapshots --last 5")]
    Snapshots(SnapshotsArgs),
    /// List what is in a snapshot.
    #[command(after_help = "Examples:\n  backup ls latest\n  backup ls -l latest /home/ana/Documents")]
    Ls(query::LsArgs),
    /// Find files in all snapshots.
    #[command(
        after_help = "Examples:\n  backup find 'thesis*.odt'\n  backup find --snapshot latest 'Documents/**/*.pdf'"
    )]
    Find(query::FindArgs),
    /// Show what changed between two snapshots.
    #[command(after_help = "Example: backup diff 3f2a91c0 latest")]
    Diff(query::DiffArgs),
    /// Write a file's content to standard output.
    #[command(after_help = "Example: backup dump latest /home/ana/notes.txt | less")]
    Dump(query::DumpArgs),
    /// Bring files back.
    ///
    /// Entries stand under the target as they stood under their absolute path, unless `--strip` says otherwise.
    #[command(after_help = "Examples:\n  backup restore latest --target /tmp/look\n  \
                            backup restore latest --target /tmp/look home/ana/thesis.odt\n  \
                            backup restore latest --host laptop --target /tmp/look")]
    Restore(restore::RestoreArgs),
    /// Verify the repository, and say which files damage hurts.
    ///
    /// Without an option, everything is looked at but the content: records, trees, and whether all objects are there.
    #[command(after_help = "Examples:\n  backup check --read-data\n  backup check --subset next/30")]
    Check(check::CheckArgs),
    /// Show how large everything is, and what deduplication and compression save.
    ///
    /// With `--usage`, `--host` and the like choose the snapshots that are listed one by one; the sums are always those of all.
    #[command(after_help = "Example: backup stats --usage")]
    Stats(query::StatsArgs),
    /// Tag a snapshot.
    #[command(after_help = "Example: backup tag latest --add before-upgrade")]
    Tag(TagArgs),
    /// Keep snapshots whatever a retention policy says.
    #[command(after_help = "Example: backup pin 3f2a91c0")]
    Pin(PinArgs),
    /// Let retention policies decide about snapshots again.
    #[command(after_help = "Example: backup unpin 3f2a91c0")]
    Unpin(PinArgs),
    /// Manage what opens the repository: passwords, key files, recovery kits.
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Write a list of all snapshots that other programs can read.
    ///
    /// It holds names of hosts and paths in clear: keep it where that does no harm.
    #[command(after_help = "Example: backup catalog --out backup_index.json")]
    Catalog(query::CatalogArgs),
    /// List the plug-ins of this program: storage backends, sources, policies.
    #[command(
        args_conflicts_with_subcommands = true,
        after_help = "Examples:
  backup backends
  backup backends local
  backup backends test s3://bucket/folder
  backup backends trust sftp://me@nas/srv/backup"
    )]
    Backends(BackendsArgs),
    /// Try a place for a repository with the suite that storage backends must pass.
    ///
    /// Works below a folder of its own, `conformance-` and a random name, and removes what it stored there, whatever becomes of the run. What lay
    /// in the place before is neither read nor changed; nothing has to be there, and no password is needed.
    ///
    /// A run has a budget of requests and bytes that follows from its profile and says so when it is spent. Objects are never locked: they could not be
    /// removed again.
    #[cfg(feature = "conformance")]
    #[command(after_help = "Example: backup -r s3://bucket/folder conformance --profile safe --junit report.xml")]
    Conformance(conformance::ConformanceArgs),
    /// Check, show and describe the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Mend what can be mended.
    #[command(subcommand)]
    Repair(RepairCommand),
    /// Write completions for a shell.
    #[command(after_help = "Example: backup completions bash > ~/.local/share/bash-completion/completions/backup")]
    Completions(CompletionsArgs),
    /// Write the manual pages.
    #[command(after_help = "Example: backup man --out ~/.local/share/man/man1")]
    Man(ManArgs),
}

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// A label to know the first key by.
    #[arg(long, value_name = "TEXT")]
    pub(crate) label: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct SnapshotsArgs {
    /// Only the newest so many.
    #[arg(long, value_name = "N")]
    pub(crate) last: Option<usize>,
    #[command(flatten)]
    pub(crate) narrow: NarrowArgs,
}

#[derive(Debug, Args)]
pub(crate) struct TagArgs {
    /// Which snapshot: `latest`, or the beginning of its id.
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: String,
    /// Add a tag; may be given more than once.
    #[arg(long, value_name = "TAG", required_unless_present_any = ["remove", "set", "note"])]
    pub(crate) add: Vec<String>,
    /// Take a tag away; may be given more than once.
    #[arg(long, value_name = "TAG")]
    pub(crate) remove: Vec<String>,
    /// Replace all tags; may be given more than once.
    #[arg(long, value_name = "TAG", conflicts_with_all = ["add", "remove"])]
    pub(crate) set: Vec<String>,
    /// Replace the note; an empty one takes it away.
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Option<String>,
    #[command(flatten)]
    pub(crate) narrow: NarrowArgs,
}

#[derive(Debug, Args)]
pub(crate) struct PinArgs {
    /// Which snapshots: `latest`, or the beginning of an id.
    #[arg(value_name = "SNAPSHOT", required = true)]
    pub(crate) snapshots: Vec<String>,
    #[command(flatten)]
    pub(crate) narrow: NarrowArgs,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct BackendsArgs {
    /// Show the options of one type, with an example.
    #[arg(value_name = "TYPE")]
    pub(crate) name: Option<String>,
    #[command(subcommand)]
    pub(crate) action: Option<BackendsCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BackendsCommand {
    /// Find out in seconds whether a place can be used for a repository, and what it does.
    ///
    /// Stores a few small objects below a folder of its own and removes them again.
    #[cfg(feature = "conformance")]
    #[command(after_help = "Example: backup backends test s3://bucket/folder")]
    Test {
        /// The place: a path, a URL, or a name of the configuration; without it, the repository that every command would use.
        #[arg(value_name = "PATH|URL|NAME")]
        place: Option<String>,
    },
    /// Make a server known by its key, after a person has compared it.
    #[command(
        after_help = "Example: backup backends trust sftp://me@nas/srv/backup\n\nThe server's own fingerprint is told there by:  ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub"
    )]
    Trust(TrustArgs),
    /// Ask a person for consent, where a store's service wants it, and keep the tokens.
    #[command(
        after_help = "Example: backup backends login 'dropbox:///laptop?app_key=KEY&tokens=/home/ana/.config/backup/dropbox.json'"
    )]
    Login(LoginArgs),
}

#[derive(Debug, Args)]
pub(crate) struct LoginArgs {
    /// The repository's address or its name in the configuration; the one of `-r` by default.
    #[arg(value_name = "REPOSITORY")]
    pub(crate) repository: Option<String>,
    /// Let a browser on this machine bring the answer to this port, 0 for any that is free; otherwise a code is to be copied.
    #[arg(long, value_name = "PORT")]
    pub(crate) browser_port: Option<u16>,
}

#[derive(Debug, Args)]
pub(crate) struct TrustArgs {
    /// The repository's address or its name in the configuration; the one of `-r` by default.
    #[arg(value_name = "REPOSITORY")]
    pub(crate) repository: Option<String>,
    /// The fingerprint that the server must show; then nobody is asked.
    #[arg(long, value_name = "SHA256:…")]
    pub(crate) fingerprint: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Read the configuration and say what is wrong with it.
    Validate,
    /// Show what is set and where; secrets are shown as references.
    Show,
    /// Write a JSON schema of the configuration, for editors.
    Schema,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RepairCommand {
    /// Write a new index from the packs alone.
    #[command(after_help = "Example: backup -r /srv/backup repair index --dry-run")]
    Index {
        /// Only say what would be done.
        #[arg(short = 'n', long)]
        dry_run: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// For which shell.
    #[arg(value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Write a page for each command into this folder, instead of the first page to standard output.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
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
