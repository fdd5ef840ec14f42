//! `backup snapshots`: lists them.

use backup_engine::snapshots::Snapshot;
use serde::Serialize;

use crate::args::SnapshotsArgs;
use crate::context::Context;
use crate::error::CliError;
use crate::exit_code::Exit;
use crate::output::human;
use crate::output::json::PathText;

/// A snapshot as programs see it.
#[derive(Debug, Serialize)]
pub(crate) struct SnapshotLine<'a> {
    pub(crate) id: String,
    pub(crate) time: &'a str,
    pub(crate) received: String,
    pub(crate) host: &'a str,
    pub(crate) user: &'a str,
    pub(crate) program: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) source: Option<&'a str>,
    pub(crate) roots: Vec<PathText>,
    pub(crate) parent: Option<String>,
    pub(crate) tags: &'a [String],
    pub(crate) pinned: bool,
    pub(crate) note: Option<&'a str>,
    pub(crate) files: u64,
    pub(crate) directories: u64,
    pub(crate) others: u64,
    pub(crate) size_bytes: u64,
    pub(crate) new_bytes: u64,
    pub(crate) stored_bytes: u64,
    pub(crate) duration_ms: u64,
    pub(crate) problems: u64,
}

#[derive(Serialize)]
struct Summary {
    snapshots: usize,
    damaged: usize,
}

pub(crate) async fn run(context: &Context, args: &SnapshotsArgs) -> Result<Exit, CliError> {
    let repository = context.open().await?;
    let list = context.interrupt.or_stop(repository.list_snapshots()).await?;
    let list = list.map_err(|error| CliError::from_error("cannot list the snapshots", &error))?;
    let output = &context.output;
    for (id, error) in &list.damaged {
        output.warn(CliError::from_error(format!("snapshot {} can't be read", id.short()), error).in_one_line());
    }
    let snapshots: Vec<&Snapshot> = list.snapshots.iter().filter(|snapshot| matches(args, snapshot)).collect();
    let skipped = args.last.map_or(0, |last| snapshots.len().saturating_sub(last));
    let snapshots = &snapshots[skipped..];
    if output.is_json() {
        for snapshot in snapshots {
            output.json("snapshot", &SnapshotLine::from(*snapshot))?;
        }
        output.json("summary", &Summary { snapshots: snapshots.len(), damaged: list.damaged.len() })?;
    } else if snapshots.is_empty() {
        output.say("no snapshots");
    } else {
        table(snapshots).iter().try_for_each(|line| output.line(line))?;
    }
    Ok(if list.damaged.is_empty() { Exit::Done } else { Exit::Corrupt })
}

fn matches(args: &SnapshotsArgs, snapshot: &Snapshot) -> bool {
    args.tags.iter().all(|tag| snapshot.tags.contains(tag))
        && args.host.as_ref().is_none_or(|host| snapshot.record.host == *host)
        && args.source.as_ref().is_none_or(|source| snapshot.record.source.name.as_ref() == Some(source))
}

fn table(snapshots: &[&Snapshot]) -> Vec<String> {
    let header = ["ID", "TIME", "HOST", "SOURCE", "FILES", "SIZE", "STORED", "TAGS"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for snapshot in snapshots {
        let record = &snapshot.record;
        let roots: Vec<String> = record.source.roots.iter().map(|root| format!("/{}", root.0)).collect();
        let source = record.source.name.clone().unwrap_or_else(|| roots.join(" "));
        let mut tags = snapshot.tags.clone();
        if snapshot.pinned {
            tags.push("pinned".to_owned());
        }
        if record.problems > 0 {
            tags.push(format!("({})", human::things(record.problems, "problem", "problems")));
        }
        rows.push(vec![
            snapshot.id.short(),
            human::time(snapshot.time()),
            record.host.clone(),
            if source.is_empty() { "/".to_owned() } else { source },
            human::count(record.statistics.files),
            human::size(record.tree.bytes),
            human::size(record.statistics.stored_bytes),
            tags.join(" "),
        ]);
    }
    human::columns(&rows, &[4, 5, 6])
}

impl<'a> From<&'a Snapshot> for SnapshotLine<'a> {
    fn from(snapshot: &'a Snapshot) -> Self {
        let record = &snapshot.record;
        let statistics = &record.statistics;
        Self {
            id: snapshot.id.to_string(),
            time: &record.time,
            received: snapshot.received.to_string(),
            host: &record.host,
            user: &record.user,
            program: &record.program,
            kind: &record.source.kind,
            source: record.source.name.as_deref(),
            roots: record.source.roots.iter().map(|root| PathText::from(&root.0)).collect(),
            parent: record.parent.map(|parent| parent.to_string()),
            tags: &snapshot.tags,
            pinned: snapshot.pinned,
            note: snapshot.note.as_deref(),
            files: statistics.files,
            directories: statistics.directories,
            others: statistics.others,
            size_bytes: record.tree.bytes,
            new_bytes: statistics.new_bytes,
            stored_bytes: statistics.stored_bytes,
            duration_ms: statistics.duration_ms,
            problems: record.problems,
        }
    }
}
