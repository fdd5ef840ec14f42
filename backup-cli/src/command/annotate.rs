//! `backup tag`, `pin` and `unpin`: what people say about snapshots.

use backup_engine::repository::Repository;
use backup_engine::snapshots::Snapshot;

use super::snapshots::SnapshotLine;
use crate::args::{PinArgs, TagArgs};
use crate::context::Context;
use crate::error::CliError;
use crate::exit_code::Exit;

pub(crate) async fn tag(context: &Context, args: &TagArgs) -> Result<Exit, CliError> {
    for tag in args.add.iter().chain(&args.set) {
        if tag.trim().is_empty() || tag.chars().any(char::is_control) {
            return Err(CliError::usage("a tag is a text without control characters"));
        }
    }
    let repository = context.open().await?;
    let mut snapshot = context.snapshot(&repository, &args.snapshot, &args.narrow).await?;
    if !args.set.is_empty() {
        snapshot.tags.clone_from(&args.set);
    }
    snapshot.tags.retain(|tag| !args.remove.contains(tag));
    snapshot.tags.extend(args.add.iter().cloned());
    snapshot.tags.sort();
    snapshot.tags.dedup();
    if let Some(note) = &args.note {
        snapshot.note = Some(note.clone()).filter(|note| !note.is_empty());
    }
    annotate(context, &repository, &snapshot).await?;
    context.output.finished(show(context, &snapshot), Exit::Done)
}

pub(crate) async fn pin(context: &Context, args: &PinArgs, pinned: bool) -> Result<Exit, CliError> {
    let repository = context.open().await?;
    // All names are understood before anything is changed.
    let snapshots = context.snapshots(&repository, &args.snapshots, &args.narrow).await?;
    let mut written = Ok(());
    for mut snapshot in snapshots {
        snapshot.pinned = pinned;
        annotate(context, &repository, &snapshot).await?;
        written = written.and(show(context, &snapshot));
    }
    context.output.finished(written, Exit::Done)
}

async fn annotate(context: &Context, repository: &Repository, snapshot: &Snapshot) -> Result<(), CliError> {
    let annotated = repository.annotate(snapshot, &snapshot.tags, snapshot.pinned, snapshot.note.clone());
    context.interrupt.or_stop(annotated).await?.map_err(|error| {
        CliError::from_error(format!("cannot change what is noted with the snapshot {}", snapshot.id.short()), &error)
    })
}

fn show(context: &Context, snapshot: &Snapshot) -> Result<(), CliError> {
    let output = &context.output;
    output.json("snapshot", &SnapshotLine::from(snapshot))?;
    let mut words = snapshot.tags.clone();
    if snapshot.pinned {
        words.push("pinned".to_owned());
    }
    words.extend(snapshot.note.iter().map(|note| format!("({note})")));
    let words = if words.is_empty() { "no tags".to_owned() } else { words.join(" ") };
    output.report(format!("snapshot {}  {words}", snapshot.id.short()))
}
