//! The arguments of the commands that only look: `ls`, `find`, `diff`, `dump`, `stats`, `catalog`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use super::narrow::NarrowArgs;

#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// Which snapshot: `latest`, or the beginning of its id.
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: String,
    /// What is in this folder; everything in the snapshot without it.
    #[arg(value_name = "PATH")]
    pub(crate) path: Option<OsString>,
    /// Show mode, owner, size and time.
    #[arg(short, long)]
    pub(crate) long: bool,
    /// Everything below the folder, too.
    #[arg(short = 'R', long)]
    pub(crate) recursive: bool,
    #[command(flatten)]
    pub(crate) narrow: NarrowArgs,
}

#[derive(Debug, Args)]
pub(crate) struct FindArgs {
    /// What the name matches, as `*.odt`; a pattern with a slash in it is matched against the path.
    #[arg(value_name = "PATTERN", required = true)]
    pub(crate) patterns: Vec<String>,
    /// Only in this snapshot; may be given more than once.
    #[arg(long = "snapshot", value_name = "SNAPSHOT")]
    pub(crate) snapshots: Vec<String>,
    /// Take upper and lower case for the same.
    #[arg(short, long)]
    pub(crate) ignore_case: bool,
    /// Show mode, owner, size and time.
    #[arg(short, long)]
    pub(crate) long: bool,
    #[command(flatten)]
    pub(crate) narrow: NarrowArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// The earlier snapshot.
    #[arg(value_name = "BEFORE")]
    pub(crate) before: String,
    /// The later snapshot.
    #[arg(value_name = "AFTER")]
    pub(crate) after: String,
    /// Only at and below this path.
    #[arg(value_name = "PATH")]
    pub(crate) path: Option<OsString>,
    /// Show entries of which only mode, owner, time or attributes differ, too.
    #[arg(long)]
    pub(crate) metadata: bool,
    #[command(flatten)]
    pub(crate) narrow: NarrowArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DumpArgs {
    /// Which snapshot: `latest`, or the beginning of its id.
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: String,
    /// Which file.
    #[arg(value_name = "PATH")]
    pub(crate) path: OsString,
    /// Write into this new file instead of standard output.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) narrow: NarrowArgs,
}

#[derive(Debug, Args)]
pub(crate) struct StatsArgs {
    /// Say what each snapshot alone keeps, too; reads all trees.
    #[arg(long)]
    pub(crate) usage: bool,
    // Which snapshots have a line there: the sums are always those of all.
    #[command(flatten)]
    pub(crate) narrow: NarrowArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CatalogArgs {
    /// Where it is written; `-` is standard output.
    #[arg(short, long, value_name = "FILE", default_value = "backup_index.json")]
    pub(crate) out: PathBuf,
}
