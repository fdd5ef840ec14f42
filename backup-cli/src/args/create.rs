//! The arguments of `create`.

use std::path::PathBuf;

use backup_core::retention::ByteSize;
use backup_engine::create::CreateOptions;
use clap::Args;

use crate::context::Context;
use crate::error::CliError;
use crate::plugins::PathsOptions;

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// Files and folders to store.
    #[arg(value_name = "PATH", required_unless_present = "sources")]
    pub(crate) paths: Vec<PathBuf>,

    /// A source of the configuration; may be given more than once, each becomes a snapshot.
    #[arg(long = "source", value_name = "NAME", conflicts_with_all = [
        "paths", "exclude", "include", "templates", "exclude_caches", "exclude_larger_than", "one_file_system",
    ])]
    pub(crate) sources: Vec<String>,

    #[command(flatten)]
    pub(crate) selection: SelectionArgs,

    /// A tag for the snapshot; may be given more than once.
    #[arg(long = "tag", value_name = "TAG")]
    pub(crate) tags: Vec<String>,

    /// The host's name in the snapshot, instead of this machine's.
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Option<String>,

    /// Read every file, even those that look unchanged.
    #[arg(long)]
    pub(crate) force_read: bool,

    /// zstd level, 1 to 19; higher is smaller and slower.
    #[arg(long, value_name = "LEVEL", value_parser = clap::value_parser!(i32).range(1..=19))]
    pub(crate) compression: Option<i32>,
}

/// Which of the paths' content is stored.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct SelectionArgs {
    /// Leave out what this pattern matches, as in .gitignore; may be given more than once.
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,

    /// Store only what this pattern matches; may be given more than once.
    #[arg(long, value_name = "PATTERN")]
    include: Vec<String>,

    /// Leave out a ready-made set, as `caches` or `node`; may be given more than once.
    #[arg(long = "exclude-set", value_name = "NAME")]
    templates: Vec<String>,

    /// Leave out folders marked as caches by a CACHEDIR.TAG.
    #[arg(long)]
    exclude_caches: bool,

    /// Leave out files larger than this, as `500MB`, `16MiB` or a number of bytes.
    #[arg(long, value_name = "SIZE")]
    exclude_larger_than: Option<ByteSize>,

    /// Don't enter other file systems.
    #[arg(short = 'x', long)]
    one_file_system: bool,
}

impl SelectionArgs {
    /// The source that is these paths.
    pub(crate) fn options(self, paths: Vec<PathBuf>) -> PathsOptions {
        PathsOptions {
            paths,
            include: self.include,
            exclude: self.exclude,
            templates: self.templates,
            exclude_caches: self.exclude_caches,
            one_file_system: self.one_file_system,
            max_file_bytes: self.exclude_larger_than.map(|size| size.0),
        }
    }
}

impl CreateArgs {
    /// How the snapshot is made.
    pub(crate) fn options(&self, context: &Context) -> Result<CreateOptions, CliError> {
        let mut options = create_options(context)?;
        if let Some(host) = &self.host {
            options.host.clone_from(host);
        }
        options.tags.clone_from(&self.tags);
        options.force_read = self.force_read;
        options.compression_level = self.compression.unwrap_or(options.compression_level);
        Ok(options)
    }
}

/// How a snapshot is made when nothing is asked for.
pub(crate) fn create_options(context: &Context) -> Result<CreateOptions, CliError> {
    let mut options = CreateOptions::default();
    options.host = context.environment.host();
    options.user = context.environment.user();
    options.program = concat!("backup ", env!("CARGO_PKG_VERSION")).to_owned();
    if let Some(level) = context.config()?.defaults.compression {
        options.compression_level = level.into();
    }
    Ok(options)
}
