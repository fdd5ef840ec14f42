//! `backup diff`: what changed between two snapshots.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use backup_engine::query::diff::{Change, DiffEntry};
use serde::Serialize;

use super::unread::{self, Lines};
use crate::args::query::DiffArgs;
use crate::context::Context;
use crate::error::CliError;
use crate::exit_code::Exit;
use crate::output::json::PathText;
use crate::output::{entry, human};
use crate::paths;

#[derive(Serialize)]
struct ChangeLine {
    #[serde(flatten)]
    path: PathText,
    change: &'static str,
    content: bool,
    metadata: bool,
    before: Option<Side>,
    after: Option<Side>,
}

#[derive(Serialize)]
struct Side {
    kind: &'static str,
    size_bytes: u64,
}

#[derive(Serialize)]
struct Summary {
    before: String,
    after: String,
    added: u64,
    removed: u64,
    modified: u64,
    type_changed: u64,
    /// How many of the modified have the same content.
    metadata_only: u64,
    unread_parts: u64,
}

pub(crate) async fn run(context: &Context, args: &DiffArgs) -> Result<Exit, CliError> {
    let under = args.path.as_ref().map(|path| paths::entry(path)).transpose()?.flatten();
    let repository = context.open().await?;
    let before = context.snapshot(&repository, &args.before, &args.narrow).await?;
    let after = context.snapshot(&repository, &args.after, &args.narrow).await?;
    let (output, metadata, lines) = (context.output.clone(), args.metadata, Lines::default());
    let metadata_only = Arc::new(AtomicU64::new(0));
    let (written, counted) = (lines.clone(), Arc::clone(&metadata_only));
    let comparison = repository.diff(&before, &after, under.as_ref(), move |differs| {
        if is_only_metadata(differs.change) {
            counted.fetch_add(1, Ordering::Relaxed);
            if !metadata {
                return ControlFlow::Continue(());
            }
        }
        written.written(match output.is_json() {
            true => output.json("change", &ChangeLine::from(differs)),
            false => output.line(text(differs)),
        })
    });
    let report = context.interrupt.or_stop(comparison).await?;
    let report = report.map_err(|error| unread::failed("the comparison failed", &error))?;
    lines.finish()?;
    let exit = unread::show(context, "the earlier snapshot can't be read whole", &report.unread_before);
    let exit = exit.max(unread::show(context, "the later snapshot can't be read whole", &report.unread_after));
    let metadata_only = metadata_only.load(Ordering::Relaxed);
    let summary = Summary {
        before: before.id.to_string(),
        after: after.id.to_string(),
        added: report.added,
        removed: report.removed,
        modified: report.modified,
        type_changed: report.type_changed,
        metadata_only,
        unread_parts: report.unread_before.count + report.unread_after.count,
    };
    context.output.json("summary", &summary)?;
    if !context.output.is_json() {
        context.output.say(format!(
            "{} added, {} removed, {} modified{}",
            human::count(report.added),
            human::count(report.removed),
            human::count((report.modified + report.type_changed).saturating_sub(metadata_only)),
            match (metadata_only, args.metadata) {
                (0, _) => String::new(),
                (count, true) => format!(", {} in metadata only", human::count(count)),
                (count, false) => format!(", {} in metadata only (`--metadata` shows them)", human::count(count)),
            },
        ));
    }
    Ok(exit)
}

fn is_only_metadata(change: Change) -> bool {
    matches!(change, Change::Modified { content: false, .. })
}

/// One letter and the path: added, removed, modified, only metadata, another kind of thing.
fn text(differs: &DiffEntry) -> String {
    let letter = match differs.change {
        Change::Added => '+',
        Change::Removed => '-',
        Change::Modified { content: true, .. } => 'M',
        Change::Modified { content: false, .. } => 'm',
        Change::TypeChanged => 'T',
    };
    let shown = differs.after.as_ref().or(differs.before.as_ref());
    format!("{letter} {}", shown.map(|item| entry::short(&item.entry)).unwrap_or_default())
}

impl From<&DiffEntry> for ChangeLine {
    fn from(differs: &DiffEntry) -> Self {
        let (change, content, metadata) = match differs.change {
            Change::Added => ("added", true, true),
            Change::Removed => ("removed", true, true),
            Change::Modified { content, metadata } => ("modified", content, metadata),
            Change::TypeChanged => ("type_changed", true, true),
        };
        let side = |item: &backup_engine::format::tree::TreeEntry| Side {
            kind: entry::kind(item.entry.kind),
            size_bytes: item.entry.size_bytes,
        };
        Self {
            path: differs.path().into(),
            change,
            content,
            metadata,
            before: differs.before.as_ref().map(side),
            after: differs.after.as_ref().map(side),
        }
    }
}
