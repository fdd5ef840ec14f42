//! `backup create`: stores snapshots.

use std::sync::Arc;
use std::time::Duration;

use backup_core::registry::OpenContext;
use backup_core::{CancelToken, EntryError, EntryKind, Snapshotter, SourceContext, SourceError, Work};
use backup_engine::create::{CreateError, CreateOptions, CreateReport};
use backup_engine::repository::Repository;
use serde::Serialize;

use crate::args::create::CreateArgs;
use crate::configuration;
use crate::context::Context;
use crate::error::CliError;
use crate::exit_code::Exit;
use crate::output::human;
use crate::output::json::PathText;
use crate::output::progress::Progress;
use crate::plugins;

/// More problems than this are counted and not shown, unless more words are asked for.
const SHOWN_PROBLEMS: usize = 20;

/// Short runs are over before counting the source would tell anything.
const COUNT_AFTER: Duration = Duration::from_secs(1);

#[derive(Serialize)]
struct Summary<'a> {
    snapshot: String,
    time: &'a str,
    parent: Option<String>,
    files: u64,
    directories: u64,
    others: u64,
    files_new: u64,
    files_changed: u64,
    files_unchanged: u64,
    size_bytes: u64,
    read_bytes: u64,
    new_bytes: u64,
    stored_bytes: u64,
    duration_ms: u64,
    problems: u64,
    resumed: bool,
}

#[derive(Serialize)]
struct Problem<'a> {
    #[serde(flatten)]
    path: PathText,
    message: &'a str,
    action: &'a str,
}

pub(crate) async fn run(context: &Context, args: CreateArgs) -> Result<Exit, CliError> {
    let place = context.place()?;
    let mut options = args.options(context)?;
    options.left_out.extend(context.own_folders(&place));
    let sources = sources(context, args)?;
    let repository = context.open_at(&place).await?;
    let mut exit = Exit::Done;
    let last = sources.len() - 1;
    for (at, source) in sources.into_iter().enumerate() {
        let report = capture(context, &repository, source, options.clone()).await?;
        let kind = if at == last { "summary" } else { "created" };
        exit = exit.max(show(context, kind, &report)?);
    }
    Ok(exit)
}

/// What is captured: each configured source by itself, or all paths together. At least one.
fn sources(context: &Context, args: CreateArgs) -> Result<Vec<Arc<dyn Snapshotter>>, CliError> {
    if args.sources.is_empty() {
        let options = args.selection.options(args.paths);
        let source = plugins::paths_source(options).map_err(|error| source_failed(&error))?;
        return Ok(vec![Arc::from(source)]);
    }
    let config = context.config()?;
    let open = |name: &String| {
        let source = config
            .source(name)
            .map_err(|problem| configuration::refused(&format!("the source `{name}` can't be used"), problem))?;
        let source = source.open(&OpenContext::new(Some(name.clone()), context.secrets()?));
        source.map(Arc::from).map_err(|error| source_failed(&error))
    };
    args.sources.iter().map(open).collect()
}

pub(crate) fn source_failed(error: &SourceError) -> CliError {
    CliError::from_error("the source can't be used", error)
}

/// Stores one snapshot, with progress.
pub(crate) async fn capture(
    context: &Context,
    repository: &Repository,
    source: Arc<dyn Snapshotter>,
    options: CreateOptions,
) -> Result<CreateReport, CliError> {
    let progress = context.progress();
    let counted = CancelToken::new();
    if progress.is_shown() {
        let (source, progress, cancel) = (Arc::clone(&source), Arc::clone(&progress), counted.clone());
        let (clock, left_out) = (Arc::clone(&context.clock), options.left_out.clone());
        tokio::spawn(async move {
            tokio::time::sleep(COUNT_AFTER).await;
            tokio::task::spawn_blocking(move || {
                let context = SourceContext { left_out: &left_out, ..SourceContext::new(&*clock, &cancel) };
                count(&*source, &context, &progress);
            });
        });
    }
    let monitor = Arc::clone(&progress);
    let made = repository.create(source, options, monitor, context.interrupt.token()).await;
    counted.cancel();
    progress.finish();
    made.map_err(|error| {
        let failed = CliError::from_error("no snapshot was made", &error);
        match error {
            CreateError::Source(SourceError::NotFound(_)) => {
                failed.hint("look for a typing error; a path that doesn't begin with `/` begins in the current folder")
            }
            _ => failed,
        }
    })
}

/// Counts what the source has, so that progress has an end. Listing is cheap beside storing, and what can't be listed
/// is reported by the run itself.
fn count(source: &dyn Snapshotter, context: &SourceContext<'_>, progress: &Progress) {
    if context.cancel.is_cancelled() {
        return;
    }
    let Ok(view) = source.begin(context) else { return };
    let mut total = Work::default();
    for entry in view.entries() {
        if context.cancel.is_cancelled() {
            return;
        }
        let Ok(entry) = entry else { continue };
        total.items += 1;
        if entry.kind == EntryKind::File {
            total.bytes += entry.size_bytes;
        }
    }
    progress.estimate(total);
}

/// Says what came of a snapshot.
pub(crate) fn show(context: &Context, kind: &'static str, report: &CreateReport) -> Result<Exit, CliError> {
    let output = &context.output;
    show_problems(context, &report.problems, report.problem_count);
    let record = &report.record;
    let statistics = &record.statistics;
    let summary = Summary {
        snapshot: report.snapshot.to_string(),
        time: &record.time,
        parent: record.parent.map(|parent| parent.to_string()),
        files: statistics.files,
        directories: statistics.directories,
        others: statistics.others,
        files_new: statistics.files_new,
        files_changed: statistics.files_changed,
        files_unchanged: statistics.files_unchanged,
        size_bytes: record.tree.bytes,
        read_bytes: statistics.read_bytes,
        new_bytes: statistics.new_bytes,
        stored_bytes: statistics.stored_bytes,
        duration_ms: statistics.duration_ms,
        problems: report.problem_count,
        resumed: report.resumed.is_some(),
    };
    let text = || -> Result<(), CliError> {
        let duration = Duration::from_millis(statistics.duration_ms);
        output.report(format!(
            "snapshot {}  {}, {} in {}{}",
            report.snapshot.short(),
            human::things(statistics.files, "file", "files"),
            human::size(record.tree.bytes),
            human::span(duration),
            if report.resumed.is_some() { ", resumed" } else { "" },
        ))?;
        output.report(format!(
            "   {} new, {} changed, {} unchanged; read {}, stored {}",
            human::count(statistics.files_new),
            human::count(statistics.files_changed),
            human::count(statistics.files_unchanged),
            human::size(statistics.read_bytes),
            human::size(statistics.stored_bytes),
        ))?;
        match report.problem_count {
            0 => Ok(()),
            count => output.report(format!("   {}, told above", human::things(count, "problem", "problems"))),
        }
    };
    let exit = if report.problem_count == 0 { Exit::Done } else { Exit::Incomplete };
    output.finished(output.json(kind, &summary).and_then(|()| text()), exit)
}

/// Says what could not be done with single entries.
pub(crate) fn show_problems(context: &Context, problems: &[EntryError], count: u64) {
    let output = &context.output;
    if output.is_json() {
        for problem in problems {
            let line = Problem { path: (&problem.path).into(), message: &problem.cause, action: problem.action };
            // A reader that went away doesn't change what was done.
            let _ = output.json("problem", &line);
        }
        return;
    }
    let shown = if output.options.verbose { problems.len() } else { SHOWN_PROBLEMS.min(problems.len()) };
    for problem in &problems[..shown] {
        output.warn(problem);
    }
    let rest = count.saturating_sub(shown as u64);
    if rest > 0 {
        output.warn(format!("and {} more", human::things(rest, "problem", "problems")));
    }
}
