//! `backup ls`: lists what is in a snapshot.

use serde::Serialize;

use super::unread::{self, Lines};
use crate::args::query::LsArgs;
use crate::context::Context;
use crate::error::CliError;
use crate::exit_code::Exit;
use crate::output::entry::{self, EntryLine};
use crate::paths;

#[derive(Serialize)]
struct Summary {
    snapshot: String,
    entries: u64,
    unread_parts: u64,
}

pub(crate) async fn run(context: &Context, args: &LsArgs) -> Result<Exit, CliError> {
    let under = args.path.as_ref().map(|path| paths::entry(path)).transpose()?.flatten();
    // The top of a snapshot is a folder or two that only lead to what was stored.
    let recursive = args.recursive || args.path.is_none();
    let repository = context.open().await?;
    let snapshot = context.snapshot(&repository, &args.snapshot, &args.narrow).await?;
    let (output, long, lines) = (context.output.clone(), args.long, Lines::default());
    let written = lines.clone();
    let listing = repository.list_entries(&snapshot, under.as_ref(), recursive, move |item| {
        written.written(match (output.is_json(), long) {
            (true, _) => output.json("entry", &EntryLine::from(item)),
            (false, true) => output.line(entry::long(&item.entry)),
            (false, false) => output.line(entry::short(&item.entry)),
        })
    });
    let report = context.interrupt.or_stop(listing).await?;
    let report = report.map_err(|error| unread::failed_in(&args.snapshot, "cannot list the snapshot", &error))?;
    lines.finish()?;
    let exit = unread::show(context, "the listing is not complete", &report.unread);
    let summary =
        Summary { snapshot: snapshot.id.to_string(), entries: report.entries, unread_parts: report.unread.count };
    context.output.json("summary", &summary)?;
    Ok(exit)
}
