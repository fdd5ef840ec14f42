//! `backup dump`: writes a file's content.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use backup_core::EntryPath;
use backup_engine::query::QueryError;
use backup_engine::query::dump::Dumped;
use backup_engine::repository::Repository;
use backup_engine::snapshots::Snapshot;
use serde::Serialize;
use tempfile::TempPath;

use super::unread;
use crate::args::query::DumpArgs;
use crate::context::Context;
use crate::error::CliError;
use crate::exit_code::Exit;
use crate::output::human;
use crate::output::json::PathText;
use crate::paths;

#[derive(Serialize)]
struct Summary {
    snapshot: String,
    #[serde(flatten)]
    path: PathText,
    bytes: u64,
    out: String,
}

pub(crate) async fn run(context: &Context, args: &DumpArgs) -> Result<Exit, CliError> {
    let output = &context.output;
    let path = paths::entry(&args.path)?.ok_or_else(|| CliError::usage("`/` is no file"))?;
    if args.out.is_none() && output.is_json() {
        return Err(CliError::usage("with `--json`, the content has no place on standard output")
            .hint("write it into a file: `--out FILE`"));
    }
    let repository = context.open().await?;
    let snapshot = context.snapshot(&repository, &args.snapshot, &args.narrow).await?;
    let Some(file) = &args.out else {
        dump(context, &repository, (&args.snapshot, &snapshot), &path, output.writer()).await?;
        return Ok(Exit::Done);
    };
    let (out, beside) = Beside::new(file)?;
    let (out, dumped) = dump(context, &repository, (&args.snapshot, &snapshot), &path, out).await?;
    beside.becomes_whole(&out)?;
    let out = file.display().to_string();
    let text = format!("wrote {} into `{out}`", human::size(dumped.bytes));
    let summary = Summary { snapshot: snapshot.id.to_string(), path: (&path).into(), bytes: dumped.bytes, out };
    let written = output.json("summary", &summary).and_then(|()| output.report(text));
    output.finished(written, Exit::Done)
}

async fn dump<W: Write + Send + 'static>(
    context: &Context,
    repository: &Repository,
    (named, snapshot): (&str, &Snapshot),
    path: &EntryPath,
    out: W,
) -> Result<(W, Dumped), CliError> {
    let dumped = context.interrupt.or_stop(repository.dump(snapshot, path, out)).await?;
    dumped.map_err(|error| match &error {
        QueryError::Output(cause) if cause.kind() == io::ErrorKind::BrokenPipe => CliError::output_closed(),
        _ => unread::failed_in(named, format!("cannot write out `/{path}`"), &error),
    })
}

/// A new file that has no name of its own until it is whole. Whoever drops it, as an error or a request to stop does, removes what was
/// written.
struct Beside {
    wanted: PathBuf,
    /// Kept apart from the open file, which a thread may still write to when nobody waits for it any more.
    written: TempPath,
}

impl Beside {
    fn new(wanted: &Path) -> Result<(File, Self), CliError> {
        // A link to nothing is something that is there.
        if wanted.symlink_metadata().is_ok() {
            return Err(refused(wanted, &io::Error::from(io::ErrorKind::AlreadyExists)));
        }
        let folder = wanted.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        builder.prefix(".backup-dump-");
        // As any new file: what others may do with it is the umask's business.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let (file, written) = builder.tempfile_in(folder).map_err(|error| refused(wanted, &error))?.into_parts();
        Ok((file, Self { wanted: wanted.to_owned(), written }))
    }

    /// Gives it its name, unless something has that by now.
    fn becomes_whole(self, file: &File) -> Result<(), CliError> {
        file.sync_all().map_err(|error| refused(&self.wanted, &error))?;
        self.written.persist_noclobber(&self.wanted).map_err(|error| refused(&self.wanted, &error.error))
    }
}

fn refused(file: &Path, error: &io::Error) -> CliError {
    let failed = CliError::from_error(format!("cannot write `{}`", file.display()), error);
    match error.kind() {
        io::ErrorKind::AlreadyExists => failed.hint("name a file that isn't there yet"),
        _ => failed,
    }
}
