//! `backup repair`: mends what can be mended.

use std::sync::Arc;

use backup_engine::rebuild::{RebuildError, RebuildOptions};
use serde::Serialize;

use crate::context::Context;
use crate::error::CliError;
use crate::exit_code::Exit;
use crate::output::human;

#[derive(Serialize)]
struct Summary {
    dry_run: bool,
    packs: u64,
    blobs: u64,
    packs_added: u64,
    packs_dropped: u64,
    replaced: u64,
    written: u64,
    damaged_packs: usize,
    duration_ms: u128,
}

#[derive(Serialize)]
struct Damaged {
    pack: String,
    message: String,
    blocks: usize,
}

/// Writes a new index from the packs.
pub(crate) async fn index(context: &Context, dry_run: bool) -> Result<Exit, CliError> {
    let repository = context.open().await?;
    let progress = context.progress();
    let monitor = Arc::clone(&progress);
    let mut options = RebuildOptions::default();
    options.dry_run = dry_run;
    let rebuilt = repository.rebuild_index(options, monitor, context.interrupt.token()).await;
    progress.finish();
    let report = rebuilt.map_err(|error| {
        let failed =
            CliError::from_error("the index was not rebuilt to its end; what was right of it is still there", &error);
        match error {
            RebuildError::Collecting(_) => failed.exit(Exit::Held),
            RebuildError::Cancelled => failed.exit(Exit::Interrupted),
            _ => failed,
        }
    })?;
    let output = &context.output;
    for problem in &report.problems {
        let pack = problem.pack.to_string();
        if output.is_json() {
            output.json("damaged", &Damaged { pack, message: problem.what.clone(), blocks: problem.blocks })?;
        } else {
            output.warn(format!("pack {pack}: {} ({} of its blocks can be used)", problem.what, problem.blocks));
        }
    }
    let summary = Summary {
        dry_run,
        packs: report.packs,
        blobs: report.blobs,
        packs_added: report.packs_added,
        packs_dropped: report.packs_dropped,
        replaced: report.replaced,
        written: report.written,
        damaged_packs: report.problems.len(),
        duration_ms: report.duration.as_millis(),
    };
    let text = || -> Result<(), CliError> {
        output.report(format!(
            "{} {} in {}: {} added, {} dropped",
            if dry_run { "the index would name" } else { "the index names" },
            human::things(report.packs, "pack", "packs"),
            human::span(report.duration),
            human::count(report.packs_added),
            human::count(report.packs_dropped),
        ))?;
        match (report.written, dry_run) {
            (0, false) => output.report("   it was right already; nothing was written"),
            _ => Ok(()),
        }
    };
    let exit = if report.problems.is_empty() { Exit::Done } else { Exit::Corrupt };
    output.finished(output.json("summary", &summary).and_then(|()| text()), exit)
}
