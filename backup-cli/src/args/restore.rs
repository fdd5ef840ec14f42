//! The arguments of `restore`.

use std::ffi::OsString;
use std::path::PathBuf;

use backup_core::TargetOptions;
use backup_engine::restore::RestoreOptions;
use clap::{Args, ValueEnum};

use super::narrow::NarrowArgs;
use crate::error::CliError;
use crate::paths;

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// Which snapshot: `latest`, or the beginning of its id.
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: String,

    /// Only these entries, each with everything below it.
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<OsString>,

    /// The folder under which entries are restored.
    #[arg(short, long, value_name = "DIR")]
    pub(crate) target: Option<PathBuf>,

    /// Restore where the entries came from.
    #[arg(long, conflicts_with_all = ["target", "strip"])]
    pub(crate) in_place: bool,

    /// What happens where something else is in the way. Without it: ask on a terminal, keep-both otherwise.
    #[arg(long, value_name = "WAY", value_enum)]
    pub(crate) conflict: Option<Conflict>,

    /// Take so many leading folders off every path.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) strip: usize,

    /// Remove what is in restored folders and not in the snapshot.
    ///
    /// Only in folders of which the snapshot has everything: not beside what was asked for, not where something had been left out. What the
    /// patterns of the source leave out and what came after the snapshot goes as well. `--dry-run` shows what would be removed.
    #[arg(long)]
    pub(crate) delete: bool,

    /// Compare the content of files that look the same, too.
    #[arg(long)]
    pub(crate) verify: bool,

    /// Only say what would be done.
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,

    #[command(flatten)]
    pub(crate) narrow: NarrowArgs,
}

/// What happens where something else is in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Conflict {
    /// Leave what is there.
    KeepLocal,
    /// Replace it by what the backup has.
    KeepBackup,
    /// Restore the backup's beside it, under another name.
    KeepBoth,
    /// Keep whichever was modified last.
    Newest,
    /// Ask each time.
    Ask,
}

impl Conflict {
    /// The type of the resolver in the configuration.
    pub(crate) fn tag(self) -> &'static str {
        match self {
            Self::KeepLocal => "keep_local",
            Self::KeepBackup => "keep_backup",
            Self::KeepBoth => "keep_both",
            Self::Newest => "newest",
            Self::Ask => "ask",
        }
    }
}

impl RestoreArgs {
    /// How entries are restored.
    pub(crate) fn options(&self) -> Result<RestoreOptions, CliError> {
        let mut options = RestoreOptions::default();
        let paths = self.paths.iter().map(|path| paths::entry(path)).collect::<Result<Vec<_>, _>>()?;
        // The top of everything among them is everything.
        if paths.iter().all(Option::is_some) {
            options.selection.include = paths.into_iter().flatten().collect();
        }
        options.strip = self.strip;
        options.dry_run = self.dry_run;
        options.delete_extra = self.delete;
        options.verify_existing = self.verify;
        Ok(options)
    }

    /// Where to.
    pub(crate) fn target_options(&self) -> Result<TargetOptions, CliError> {
        match &self.target {
            Some(folder) => Ok(TargetOptions::under(folder)),
            None if self.in_place => Ok(TargetOptions::in_place()),
            None => Err(CliError::usage("nothing says where entries are restored")
                .hint("`--target DIR` restores under a folder, `--in-place` where they came from; PATHs say what of the snapshot")),
        }
    }
}
