//! `backup snapshots`: lists them.

use backup_engine::format::record::{SnapshotStatistics, SourceRecord};
use backup_engine::query::catalog::{CatalogEntry, Integrity};
use backup_engine::snapshots::{Snapshot, format_time, parse_time};
use serde::Serialize;

use super::unread;
use crate::args::SnapshotsArgs;
use crate::context::Context;
use crate::error::CliError;
use crate::exit_code::Exit;
use crate::output::human;
use crate::output::json::PathText;

/// A snapshot as programs see it.
#[derive(Debug, Serialize)]
pub(crate) struct SnapshotLine<'a> {
    id: String,
    time: &'a str,
    received: String,
    host: &'a str,
    user: &'a str,
    program: &'a str,
    kind: &'a str,
    source: Option<&'a str>,
    roots: Vec<PathText>,
    parent: Option<String>,
    tags: &'a [String],
    pinned: bool,
    note: Option<&'a str>,
    files: u64,
    directories: u64,
    others: u64,
    size_bytes: u64,
    new_bytes: u64,
    stored_bytes: u64,
    duration_ms: u64,
    problems: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    integrity: Option<&'a Integrity>,
}

#[derive(Serialize)]
struct Summary {
    snapshots: usize,
    damaged: usize,
}

pub(crate) async fn run(context: &Context, args: &SnapshotsArgs) -> Result<Exit, CliError> {
    let narrow = args.narrow.narrow()?;
    let repository = context.open().await?;
    let catalog = context.interrupt.or_stop(repository.catalog()).await?;
    let catalog = catalog.map_err(|error| unread::failed("cannot list the snapshots", &error))?;
    let output = &context.output;
    for id in &catalog.unreadable {
        output.warn(format!("snapshot {} can't be read; `backup check` says why", id.short()));
    }
    let counts = |entry: &&CatalogEntry| narrow.accepts(&entry.host, &entry.source, &entry.tags);
    let mut snapshots: Vec<&CatalogEntry> = catalog.snapshots.iter().filter(counts).collect();
    let skipped = args.last.map_or(0, |last| snapshots.len().saturating_sub(last));
    snapshots.drain(..skipped);
    if output.is_json() {
        for snapshot in &snapshots {
            output.json("snapshot", &SnapshotLine::from(*snapshot))?;
        }
        output.json("summary", &Summary { snapshots: snapshots.len(), damaged: catalog.unreadable.len() })?;
    } else if snapshots.is_empty() {
        output.say(match catalog.snapshots.len() {
            0 => "no snapshots".to_owned(),
            all => format!(
                "none of {} matches: {}",
                human::things(all as u64, "snapshot", "snapshots"),
                args.narrow.none_hint()
            ),
        });
    } else {
        table(&snapshots).iter().try_for_each(|line| output.line(line))?;
    }
    Ok(if catalog.unreadable.is_empty() { Exit::Done } else { Exit::Corrupt })
}

fn table(snapshots: &[&CatalogEntry]) -> Vec<String> {
    let header = ["ID", "TIME", "HOST", "SOURCE", "FILES", "SIZE", "STORED", "VERIFIED", "TAGS"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for entry in snapshots {
        let roots: Vec<String> = entry.source.roots.iter().map(|root| format!("/{}", root.0)).collect();
        let source = entry.source.name.clone().unwrap_or_else(|| roots.join(" "));
        let verified = match &entry.integrity {
            Integrity::Unverified => "-",
            Integrity::Verified { level, .. } => level,
            Integrity::Damaged => "DAMAGED",
        };
        let mut tags = entry.tags.clone();
        tags.extend(entry.pinned.then(|| "pinned".to_owned()));
        if entry.problems > 0 {
            tags.push(format!("({})", human::things(entry.problems, "problem", "problems")));
        }
        rows.push(vec![
            entry.id.short(),
            parse_time(&entry.time).map_or_else(|| entry.time.clone(), human::time),
            entry.host.clone(),
            if source.is_empty() { "/".to_owned() } else { source },
            human::count(entry.statistics.files),
            human::size(entry.bytes),
            human::size(entry.statistics.stored_bytes),
            verified.to_owned(),
            tags.join(" "),
        ]);
    }
    human::columns(&rows, &[4, 5, 6])
}

impl<'a> SnapshotLine<'a> {
    /// A line with everything that its source and its numbers tell.
    fn of(source: &'a SourceRecord, statistics: &SnapshotStatistics) -> Self {
        Self {
            id: String::new(),
            time: "",
            received: String::new(),
            host: "",
            user: "",
            program: "",
            kind: &source.kind,
            source: source.name.as_deref(),
            roots: source.roots.iter().map(|root| PathText::from(&root.0)).collect(),
            parent: None,
            tags: &[],
            pinned: false,
            note: None,
            files: statistics.files,
            directories: statistics.directories,
            others: statistics.others,
            size_bytes: 0,
            new_bytes: statistics.new_bytes,
            stored_bytes: statistics.stored_bytes,
            duration_ms: statistics.duration_ms,
            problems: 0,
            integrity: None,
        }
    }
}

impl<'a> From<&'a Snapshot> for SnapshotLine<'a> {
    fn from(snapshot: &'a Snapshot) -> Self {
        let record = &snapshot.record;
        Self {
            id: snapshot.id.to_string(),
            time: &record.time,
            received: format_time(snapshot.received),
            host: &record.host,
            user: &record.user,
            program: &record.program,
            parent: record.parent.map(|parent| parent.to_string()),
            tags: &snapshot.tags,
            pinned: snapshot.pinned,
            note: snapshot.note.as_deref(),
            size_bytes: record.tree.bytes,
            problems: record.problems,
            ..Self::of(&record.source, &record.statistics)
        }
    }
}

impl<'a> From<&'a CatalogEntry> for SnapshotLine<'a> {
    fn from(entry: &'a CatalogEntry) -> Self {
        Self {
            id: entry.id.to_string(),
            time: &entry.time,
            received: entry.received.clone(),
            host: &entry.host,
            user: &entry.user,
            program: &entry.program,
            parent: entry.parent.map(|parent| parent.to_string()),
            tags: &entry.tags,
            pinned: entry.pinned,
            note: entry.note.as_deref(),
            size_bytes: entry.bytes,
            problems: entry.problems,
            integrity: Some(&entry.integrity),
            ..Self::of(&entry.source, &entry.statistics)
        }
    }
}
