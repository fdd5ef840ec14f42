//! `backup find`: finds entries in many snapshots.

mod pattern;

use backup_engine::id::SnapshotId;
use backup_engine::snapshots::Snapshot;
use serde::Serialize;

use super::unread::{self, Lines};
use crate::args::query::FindArgs;
use crate::context::Context;
use crate::error::CliError;
use crate::exit_code::Exit;
use crate::output::entry::{self, EntryLine};
use crate::output::human;
use pattern::Patterns;

#[derive(Serialize)]
struct MatchLine<'a> {
    snapshot: String,
    #[serde(flatten)]
    entry: EntryLine<'a>,
}

#[derive(Serialize)]
struct Summary {
    matches: u64,
    snapshots: u64,
    unread_parts: u64,
}

pub(crate) async fn run(context: &Context, args: &FindArgs) -> Result<Exit, CliError> {
    let patterns = Patterns::new(&args.patterns, args.ignore_case)?;
    let repository = context.open().await?;
    let snapshots = match args.snapshots.is_empty() {
        true => context.list_snapshots(&repository, &args.narrow).await?.0.snapshots,
        false => context.snapshots(&repository, &args.snapshots, &args.narrow).await?,
    };
    let (output, long, lines) = (context.output.clone(), args.long, Lines::default());
    let written = lines.clone();
    let mut last: Option<SnapshotId> = None;
    let search = repository.find_entries(
        snapshots,
        move |entry| patterns.accept(&entry.path),
        move |snapshot, item| {
            if output.is_json() {
                let line = MatchLine { snapshot: snapshot.id.to_string(), entry: item.into() };
                return written.written(output.json("match", &line));
            }
            let heading = match last.replace(snapshot.id) == Some(snapshot.id) {
                true => Ok(()),
                false => output.line(heading(snapshot)),
            };
            let text = if long { entry::long(&item.entry) } else { entry::short(&item.entry) };
            written.written(heading.and_then(|()| output.line(format!("   {text}"))))
        },
    );
    let report = context.interrupt.or_stop(search).await?;
    let report = report.map_err(|error| unread::failed("the search failed", &error))?;
    lines.finish()?;
    let mut exit = Exit::Done;
    let mut unread_parts = 0;
    for (id, unread) in &report.unread {
        unread_parts += unread.count;
        exit = exit.max(unread::show(context, &format!("snapshot {} was not searched whole", id.short()), unread));
    }
    let (matches, snapshots) = (report.matches, report.snapshots);
    context.output.json("summary", &Summary { matches, snapshots, unread_parts })?;
    if matches == 0 && !context.output.is_json() {
        context.output.say(format!("nothing found in {}", human::things(snapshots, "snapshot", "snapshots")));
    }
    Ok(exit)
}

fn heading(snapshot: &Snapshot) -> String {
    format!("snapshot {}  {}", snapshot.id.short(), human::time(snapshot.time()))
}
