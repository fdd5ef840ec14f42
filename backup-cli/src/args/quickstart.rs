//! The arguments of `quickstart`.

use std::path::PathBuf;

use clap::Args;

use super::create::SelectionArgs;

#[derive(Debug, Args)]
pub(crate) struct QuickstartArgs {
    /// Files and folders to protect.
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<PathBuf>,

    /// Where the backup goes: a path or a URL.
    #[arg(long, value_name = "PATH|URL", conflicts_with = "repository")]
    pub(crate) to: Option<String>,

    /// Where the recovery kit is written, instead of the user's configuration folder.
    #[arg(long, value_name = "FILE")]
    pub(crate) kit: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) selection: SelectionArgs,
}
