//! `backup restore`: brings entries back.

mod ask;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use backup_core::conflict::KeepBoth;
use backup_core::registry::OpenContext;
use backup_core::{ConflictResolver, EntryPath, Resolution, RestoreTarget, Snapshotter, TargetOptions};
use backup_engine::repository::Repository;
use backup_engine::restore::{ConflictOutcome, RestoreError, RestoreOptions, RestoreReport};
use backup_engine::snapshots::Snapshot;
use serde::Serialize;

use super::create::{show_problems, source_failed};
use crate::args::restore::{Conflict, RestoreArgs};
use crate::configuration;
use crate::context::Context;
use crate::error::CliError;
use crate::exit_code::Exit;
use crate::output::human;
use crate::output::json::{PathText, text_and_twin};
use crate::paths;
use crate::plugins;
use ask::AskOnTerminal;

/// More conflicts than this are counted and not shown, unless more words are asked for.
const SHOWN_CONFLICTS: usize = 20;

#[derive(Serialize)]
struct Summary {
    snapshot: String,
    dry_run: bool,
    files: u64,
    others: u64,
    unchanged: u64,
    skipped: u64,
    kept_both: u64,
    deleted: u64,
    restored_bytes: u64,
    read_bytes: u64,
    problems: u64,
    duration_ms: u128,
}

#[derive(Serialize)]
struct ConflictLine {
    #[serde(flatten)]
    path: PathText,
    resolution: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    suffix: Option<String>,
    /// Where the backup's is put if both are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    beside: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    beside_base64: Option<String>,
}

pub(crate) async fn run(context: &Context, args: &RestoreArgs) -> Result<Exit, CliError> {
    let options = args.options()?;
    let mut target_options = args.target_options()?;
    let resolver = resolver(context, args)?;
    let repository = context.open().await?;
    let snapshot = context.snapshot(&repository, &args.snapshot, &args.narrow).await?;
    refuse_empty_strip(context, args, &options, &repository, &snapshot).await?;
    target_options.kept.extend(context.own_folders(&context.place()?));
    let target = target(context, &target_options, &snapshot)?;
    let progress = context.progress();
    let monitor = Arc::clone(&progress);
    let restored = repository.restore(&snapshot, target, resolver, options, monitor, context.interrupt.token()).await;
    progress.finish();
    let report = restored.map_err(|error| {
        let failed = CliError::from_error(format!("cannot restore the snapshot {}", snapshot.id.short()), &error);
        match error {
            RestoreError::NotInSnapshot(path) => failed.hint(paths::missing_hint(&args.snapshot, &path)),
            RestoreError::SeveralPlaces => failed.exit(Exit::Usage).hint(
                "with `--strip` and `--delete`, name the one folder that is to be restored, as long as `--strip` says",
            ),
            RestoreError::Incomplete(_) => failed.hint("restore without `--delete`, or a snapshot without problems"),
            RestoreError::Cancelled => failed.hint(
                "run the same command again: every file is whole or as it was, and what is there is not written again",
            ),
            _ => failed,
        }
    })?;
    show(context, args, &snapshot, &report)
}

/// Fails where so many folders are to be taken off every path that nothing is left of any.
async fn refuse_empty_strip(
    context: &Context,
    args: &RestoreArgs,
    options: &RestoreOptions,
    repository: &Repository,
    snapshot: &Snapshot,
) -> Result<(), CliError> {
    let strip = options.strip;
    let is_left = move |path: &EntryPath| path.components().count() > strip;
    let include = &options.selection.include;
    if strip == 0 || include.iter().any(is_left) {
        return Ok(());
    }
    let everything = [None];
    let include: Vec<_> = include.iter().map(Some).collect();
    let wanted = if include.is_empty() { &everything[..] } else { &include };
    for under in wanted {
        let found = Arc::new(AtomicBool::new(false));
        let sink = Arc::clone(&found);
        // The first that is left answers it.
        let listing = repository.list_entries(snapshot, *under, true, move |item| match is_left(&item.entry.path) {
            true => {
                sink.store(true, Ordering::Relaxed);
                ControlFlow::Break(())
            }
            false => ControlFlow::Continue(()),
        });
        // What can't be listed is the restore's own business to report.
        let Ok(listed) = context.interrupt.or_stop(listing).await? else { return Ok(()) };
        if found.load(Ordering::Relaxed) || !listed.unread.is_empty() {
            return Ok(());
        }
    }
    let folders = human::things(strip as u64, "leading folder", "leading folders");
    Err(CliError::new(Exit::Failed, format!("nothing is left to restore without {folders} of each path"))
        .hint(format!("`backup ls {}` shows the paths; give `--strip` a smaller number", args.snapshot)))
}

/// Where entries are put: by a snapshotter of the type that captured them.
fn target(context: &Context, options: &TargetOptions, snapshot: &Snapshot) -> Result<Arc<dyn RestoreTarget>, CliError> {
    let snapshotter = snapshotter(context, snapshot)?;
    let target = snapshotter.target(options);
    target.map(Arc::from).map_err(|error| {
        let failed = CliError::from_error("the target can't be used", &error);
        match error {
            backup_core::SourceError::BadTarget { .. } => {
                failed.exit(Exit::Usage).hint("name a folder, or one that isn't there yet")
            }
            _ => failed,
        }
    })
}

fn snapshotter(context: &Context, snapshot: &Snapshot) -> Result<Box<dyn Snapshotter>, CliError> {
    let source = &snapshot.record.source;
    if source.kind == plugins::PATHS_KIND {
        return plugins::paths_target().map_err(|error| source_failed(&error));
    }
    let unknown = |name: &str| {
        CliError::usage(format!(
            "the snapshot is of the source `{name}` of type `{}`, which is not configured",
            source.kind
        ))
        .hint("restore it with the configuration that it was made with: `-c FILE`")
    };
    let name = source.name.as_deref().ok_or_else(|| unknown("(without a name)"))?;
    let config = context.config()?.source(name).map_err(|_| unknown(name))?;
    let open = OpenContext::new(Some(name.to_owned()), context.secrets()?);
    config.open(&open).map_err(|error| source_failed(&error))
}

/// What decides about conflicts: the flag, the configuration, a person, and else what loses nothing.
fn resolver(context: &Context, args: &RestoreArgs) -> Result<Arc<dyn ConflictResolver>, CliError> {
    let can_ask = context.environment.can_ask() && !context.global.no_input && !context.output.is_json();
    let asker: Option<Arc<dyn ConflictResolver>> =
        can_ask.then(|| Arc::new(AskOnTerminal::new(&context.output)) as Arc<dyn ConflictResolver>);
    let config = context.config()?;
    let named = args.conflict.map(Conflict::tag).or(config.defaults.conflict.as_deref());
    let Some(named) = named else {
        return Ok(match asker {
            Some(asker) if !args.dry_run => asker,
            _ => Arc::new(KeepBoth::default()),
        });
    };
    let conflict = config
        .conflict(&context.registry, named)
        .map_err(|problem| configuration::refused("the conflict resolver can't be used", problem))?;
    let resolver = conflict
        .resolver(asker)
        .map_err(|error| CliError::usage("the conflict resolver can't be used").because(error.to_string()))?;
    Ok(Arc::from(resolver))
}

fn show(context: &Context, args: &RestoreArgs, snapshot: &Snapshot, report: &RestoreReport) -> Result<Exit, CliError> {
    let output = &context.output;
    show_conflicts(context, &report.conflicts)?;
    show_deletions(context, args.dry_run, report)?;
    show_problems(context, &report.problems, report.problem_count);
    let summary = Summary {
        snapshot: snapshot.id.to_string(),
        dry_run: args.dry_run,
        files: report.restored_files,
        others: report.restored_others,
        unchanged: report.unchanged,
        skipped: report.skipped,
        kept_both: report.kept_both,
        deleted: report.deleted,
        restored_bytes: report.restored_bytes,
        read_bytes: report.read_bytes,
        problems: report.problem_count,
        duration_ms: report.duration.as_millis(),
    };
    let text = || -> Result<(), CliError> {
        output.report(format!(
            "{} {}, {} in {}",
            if args.dry_run { "would restore" } else { "restored" },
            human::things(report.restored_files, "file", "files"),
            human::size(report.restored_bytes),
            human::span(report.duration),
        ))?;
        let rest = [
            (report.unchanged, "already there"),
            (report.skipped, "left as they are"),
            (report.kept_both, "restored beside what is there"),
            (report.deleted, if args.dry_run { "to be removed" } else { "removed" }),
            (report.problem_count, "with problems"),
        ];
        let rest: Vec<String> = rest
            .iter()
            .filter(|(number, _)| *number > 0)
            .map(|(number, what)| format!("{} {what}", human::count(*number)))
            .collect();
        if rest.is_empty() { Ok(()) } else { output.report(format!("   {}", rest.join(", "))) }
    };
    if report.damaged_files > 0 {
        output.say(
            "damage of the repository: the next `backup create` stores again what the source still has of these; \
             `backup check --read-data` finds whatever else is damaged",
        );
    }
    if let Some(reason) = &report.unrecorded {
        output.warn(format!(
            "the damage could not be recorded ({reason}): run `backup check --read-data` before the next `backup create`"
        ));
    }
    let shown = output.json("summary", &summary).and_then(|()| text());
    let exit = if report.problem_count == 0 { Exit::Done } else { Exit::Incomplete };
    let exit = output.finished(shown, exit)?;
    let Some(full) = report.problems.iter().find(|problem| is_full(problem.kind)) else { return Ok(exit) };
    let error = CliError::new(Exit::NoSpace, "not everything was restored").because(full.to_string());
    Err(error
        .hint("make room, or choose another target, and run the same command again: what is there already is kept"))
}

/// Whether an entry could not be written for want of space.
fn is_full(kind: std::io::ErrorKind) -> bool {
    matches!(kind, std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
}

/// What `--delete` removes.
fn show_deletions(context: &Context, dry_run: bool, report: &RestoreReport) -> Result<(), CliError> {
    let output = &context.output;
    if output.is_json() {
        return report.deletions.iter().try_for_each(|path| match output.json("deletion", &PathText::from(path)) {
            Err(error) if !error.output_closed => Err(error),
            Ok(()) | Err(_) => Ok(()),
        });
    }
    let shown = if output.options.verbose || dry_run { report.deletions.len() } else { SHOWN_CONFLICTS };
    let what = if dry_run { "would be removed" } else { "removed" };
    report.deletions.iter().take(shown).for_each(|path| output.say(format!("/{path}: {what}")));
    let shown = shown.min(report.deletions.len()) as u64;
    if report.deleted > shown {
        output.say(format!("and {} more", human::things(report.deleted - shown, "entry", "entries")));
    }
    Ok(())
}

fn show_conflicts(context: &Context, conflicts: &[ConflictOutcome]) -> Result<(), CliError> {
    let output = &context.output;
    if output.is_json() {
        return conflicts.iter().try_for_each(|conflict| {
            let (resolution, suffix) = match &conflict.resolution {
                Resolution::KeepLocal => ("keep_local", None),
                Resolution::KeepBackup => ("keep_backup", None),
                Resolution::KeepBoth { suffix } => ("keep_both", Some(suffix.to_string())),
            };
            let (beside, beside_base64) = conflict.beside.as_ref().map(|path| text_and_twin(path.as_bytes())).unzip();
            let beside_base64 = beside_base64.flatten();
            let line = ConflictLine { path: (&conflict.path).into(), resolution, suffix, beside, beside_base64 };
            match output.json("conflict", &line) {
                Err(error) if !error.output_closed => Err(error),
                Ok(()) | Err(_) => Ok(()),
            }
        });
    }
    let shown = if output.options.verbose { conflicts.len() } else { SHOWN_CONFLICTS.min(conflicts.len()) };
    for conflict in &conflicts[..shown] {
        let what = match (&conflict.resolution, &conflict.beside) {
            (Resolution::KeepLocal, _) => "left as it is".to_owned(),
            (Resolution::KeepBackup, _) => "gives way to the backup".to_owned(),
            (Resolution::KeepBoth { .. }, Some(path)) => format!("differs; the backup's goes to `/{path}`"),
            (Resolution::KeepBoth { suffix }, None) => format!("differs; the backup's goes beside it with `{suffix}`"),
        };
        output.say(format!("/{}: {what}", conflict.path));
    }
    if conflicts.len() > shown {
        output.say(format!("and {} more conflicts", human::count((conflicts.len() - shown) as u64)));
    }
    Ok(())
}
