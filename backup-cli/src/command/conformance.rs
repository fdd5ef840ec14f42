//! `backup conformance` and `backup backends test`: what a place does that a repository relies on.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use backup_conformance::live::{self, Open, Options, Profile};
use backup_conformance::{CaseReport, Report, Verdict};
use backup_core::Grade;
use backup_core::registry::ConnectContext;
use serde::Serialize;

use crate::args::conformance::ConformanceArgs;
use crate::context::{Context, Place};
use crate::error::CliError;
use crate::exit_code::Exit;
use crate::output::{Output, human};

#[derive(Serialize)]
struct Summary<'a> {
    repository: String,
    passed: usize,
    failed: usize,
    flaky: usize,
    skipped: usize,
    not_applicable: usize,
    declared: &'a Option<backup_core::Capabilities>,
    observed: Option<live::Observed>,
    /// Declared and not seen.
    overclaims: Vec<String>,
    seed: u64,
    requests: u64,
    bytes: u64,
    left_behind: &'a [String],
}

pub(crate) async fn run(context: &Context, args: &ConformanceArgs) -> Result<Exit, CliError> {
    let place = context.place()?;
    let (name, seed) = fresh()?;
    let options = args.options(name, seed);
    let output = &context.output;
    output.say(format!("trying {} with the seed {}", place.shown(), options.seed));
    let report = run_at(context, &place, options).await?;
    for (file, text) in
        [(&args.report, report.to_json()), (&args.junit, report.to_junit()), (&args.badge, report.to_badge())]
    {
        file.as_deref().map_or(Ok(()), |file| write(file, &text))?;
    }
    finish(context, &place, &report)
}

/// The short way.
pub(crate) async fn probe(context: &Context, named: Option<String>) -> Result<Exit, CliError> {
    let place = match named {
        Some(named) => context.place_named(named)?,
        None => context.place()?,
    };
    let (name, seed) = fresh()?;
    let report = run_at(context, &place, Options::new(Profile::Probe, name, seed)).await?;
    let written = match report.observed {
        Some(observed) if !context.output.is_json() => observed_lines(&observed)
            .into_iter()
            .try_for_each(|(what, seen)| context.output.report(format!("{what}: {seen}"))),
        _ => Ok(()),
    };
    context.output.finished(written, Exit::Done)?;
    quota(context, &place).await?;
    finish(context, &place, &report)
}

/// A name that no other run has, and a seed.
fn fresh() -> Result<(String, u64), CliError> {
    let number =
        || getrandom::u64().map_err(|error| CliError::from_error("the system gives no random numbers", &error));
    Ok((format!("{:016x}", number()?), number()? >> 32))
}

async fn run_at(context: &Context, place: &Place, mut options: Options) -> Result<Report, CliError> {
    options.cancel = context.interrupt.token();
    context.interrupt.listen(&context.output);
    let connect = Arc::new(ConnectContext::new(context.secrets()?, Arc::clone(&context.clock)));
    let backend = Arc::clone(&place.config.backend);
    // Without repetitions: what the service says is what counts.
    let open: Arc<Open> = Arc::new(move || {
        let (connect, backend) = (Arc::clone(&connect), Arc::clone(&backend));
        Box::pin(async move { backend.connect(&connect).await })
    });
    let output = &context.output;
    let mut closed = None;
    let report = live::run(open, options, |case| {
        if let Err(error) = show(output, case) {
            closed.get_or_insert(error);
        }
    });
    let report = report.await.map_err(|error| CliError::from_error(format!("cannot try {}", place.shown()), &error))?;
    closed.map_or(Ok(report), Err)
}

/// One line for a case that has something to say.
fn show(output: &Output, case: &CaseReport) -> Result<(), CliError> {
    output.json("case", case)?;
    match &case.verdict {
        Verdict::Failed(reason) => {
            output.report(format!("FAILED  {} ({}, seed {}): {reason}", case.name, case.clause, case.seed))
        }
        Verdict::Flaky(reason) => output.report(format!("flaky   {} ({}): {reason}", case.name, case.clause)),
        Verdict::Skipped(_) => Ok(()),
        Verdict::Passed => {
            output.detail(format!("passed  {} ({})", case.name, case.clause));
            Ok(())
        }
        Verdict::NotApplicable(reason) => {
            output.detail(format!("-       {}: {reason}", case.name));
            Ok(())
        }
    }
}

fn observed_lines(observed: &live::Observed) -> [(&'static str, &'static str); 5] {
    let yes = |seen: bool| if seen { "yes" } else { "no" };
    let creates = match observed.put_if_absent {
        Grade::Atomic => "refused, and one of several at once wins",
        Grade::BestEffort => "refused, but several at once may win",
        Grade::None => "not refused",
    };
    [
        ("puts over what is there that must not be", creates),
        ("reads show puts at once", yes(observed.reads_show_puts_at_once)),
        ("listings show puts at once", yes(observed.listings_show_puts_at_once)),
        ("SHA-256 is checked on arrival", yes(observed.verifies_sha256)),
        ("times of objects are told", yes(observed.tells_times)),
    ]
}

/// How much room there is, where the place tells.
async fn quota(context: &Context, place: &Place) -> Result<(), CliError> {
    let store = context.connect(place).await?;
    let free = match context.interrupt.or_stop(store.quota()).await? {
        Ok(quota) => quota.free_bytes,
        Err(_) => None,
    };
    context.output.report(match free {
        Some(bytes) => format!("room: {}", human::size(bytes)),
        None => "room: not told".to_owned(),
    })
}

fn finish(context: &Context, place: &Place, report: &Report) -> Result<Exit, CliError> {
    let (output, overclaims) = (&context.output, report.overclaims());
    for what in &overclaims {
        output.warn(format!("declared and not seen: {what}"));
    }
    for what in report.left_behind() {
        output.warn(format!("could not be removed: {what}"));
    }
    let first = report.cases.iter().find_map(|case| match &case.verdict {
        Verdict::Skipped(reason) => Some(reason),
        _ => None,
    });
    if let Some(reason) = first {
        output.warn(format!("{} were not run: {reason}", human::things(report.skipped() as u64, "case", "cases")));
    }
    let (requests, bytes, took_ms) =
        report.run.as_ref().map_or((0, 0, 0), |run| (run.requests, run.bytes, run.took_ms));
    let summary = Summary {
        repository: place.location(),
        passed: report.passed(),
        failed: report.failed(),
        flaky: report.flaky(),
        skipped: report.skipped(),
        not_applicable: report.not_applicable(),
        declared: &report.capabilities,
        observed: report.observed,
        overclaims,
        seed: report.seed,
        requests,
        bytes,
        left_behind: report.left_behind(),
    };
    let last = format!(
        "{} passed, {} failed, {} flaky; {} don't apply; {}, {}, {}",
        human::things(summary.passed as u64, "case", "cases"),
        summary.failed,
        summary.flaky,
        summary.not_applicable,
        human::things(requests, "request", "requests"),
        human::size(bytes),
        human::span(Duration::from_millis(took_ms)),
    );
    let exit = exit_of(context, &summary);
    output.finished(output.json("summary", &summary).and_then(|()| output.report(last)), exit)
}

fn exit_of(context: &Context, summary: &Summary<'_>) -> Exit {
    let doubts = summary.flaky + summary.skipped + summary.left_behind.len() + summary.overclaims.len();
    match (context.interrupt.token().is_cancelled(), summary.failed, summary.passed) {
        (true, _, _) => Exit::Interrupted,
        (false, 0, 1..) if doubts == 0 => Exit::Done,
        (false, 0, 1..) => Exit::Incomplete,
        // Nothing of what was asked for says anything about this place.
        (false, 0, 0) => Exit::Failed,
        _ => Exit::VerificationFailed,
    }
}

fn write(file: &Path, text: &str) -> Result<(), CliError> {
    std::fs::write(file, text)
        .map_err(|error| CliError::from_error(format!("cannot write `{}`", file.display()), &error))
}
