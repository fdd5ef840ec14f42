//! Which snapshots count, so that `latest` is the newest of those.

use std::ffi::OsString;

use backup_core::EntryPath;
use backup_engine::format::record::SourceRecord;
use clap::Args;

use crate::error::CliError;
use crate::paths;
use crate::unlock::quoted;

/// What a snapshot must be or have; nothing by default.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Which snapshots count")]
pub(crate) struct NarrowArgs {
    /// Only those of this host.
    #[arg(long = "host", value_name = "NAME")]
    of_host: Option<String>,
    /// Only those of this configured source.
    #[arg(long = "source", value_name = "NAME")]
    of_source: Option<String>,
    /// Only those of sources that this path belongs to; may be given more than once.
    #[arg(long = "path", value_name = "PATH")]
    of_paths: Vec<OsString>,
    /// Only those with this tag; may be given more than once.
    #[arg(long = "tag", value_name = "TAG")]
    of_tags: Vec<String>,
}

/// The same, ready to be asked.
#[derive(Debug)]
pub(crate) struct Narrow<'a> {
    args: &'a NarrowArgs,
    paths: Vec<EntryPath>,
}

impl NarrowArgs {
    /// Whether nothing is asked for, so that every snapshot counts.
    pub(crate) fn is_open(&self) -> bool {
        let Self { of_host, of_source, of_paths, of_tags } = self;
        of_host.is_none() && of_source.is_none() && of_paths.is_empty() && of_tags.is_empty()
    }

    /// What to do where no snapshot is what is asked for.
    pub(crate) fn none_hint(&self) -> String {
        let path = self.of_source.as_ref().filter(|source| source.contains('/'));
        match path {
            Some(path) => {
                format!("`--source` takes the name of a configured source; for a path it is `--path {}`", quoted(path))
            }
            None => "only those count that --host, --source, --path and --tag ask for; `backup snapshots` lists all"
                .to_owned(),
        }
    }

    /// What is asked for.
    pub(crate) fn narrow(&self) -> Result<Narrow<'_>, CliError> {
        let paths = self.of_paths.iter().map(|path| paths::entry(path)).collect::<Result<Vec<_>, _>>()?;
        // The top of everything belongs to every source.
        Ok(Narrow { args: self, paths: paths.into_iter().flatten().collect() })
    }
}

impl Narrow<'_> {
    /// Whether a snapshot counts.
    pub(crate) fn accepts(&self, host: &str, source: &SourceRecord, tags: &[String]) -> bool {
        let NarrowArgs { of_host, of_source, of_tags, of_paths: _ } = self.args;
        // A source of paths without any root is of the top of everything.
        let covers =
            |path: &EntryPath| source.roots.is_empty() || source.roots.iter().any(|root| path.is_within(&root.0));
        of_host.as_ref().is_none_or(|wanted| wanted == host)
            && of_source.as_ref().is_none_or(|wanted| Some(wanted) == source.name.as_ref())
            && of_tags.iter().all(|tag| tags.contains(tag))
            && self.paths.iter().all(covers)
    }
}
