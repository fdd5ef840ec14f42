//! `backup check`: verifies the repository, and says whom damage hurts.

use std::sync::Arc;

use backup_engine::check::{CheckError, CheckLevel, CheckReport, Finding, LostPart, Severity, Victim};
use serde::Serialize;

use crate::args::check::CheckArgs;
use crate::context::Context;
use crate::error::CliError;
use crate::exit_code::Exit;
use crate::output::human;
use crate::output::json::PathText;

/// More victims of one finding than this are counted and not shown, unless more words are asked for.
const SHOWN_VICTIMS: usize = 10;

#[derive(Serialize)]
struct Summary {
    sound: bool,
    restorable: bool,
    level: &'static str,
    subset: Option<String>,
    snapshots: u64,
    entries: u64,
    packs: u64,
    blobs: u64,
    packs_read: u64,
    bytes_read: u64,
    losses: u64,
    damage: u64,
    notices: u64,
    recorded: bool,
    duration_ms: u128,
}

#[derive(Serialize)]
struct FindingLine<'a> {
    object: &'a str,
    severity: &'static str,
    message: &'a str,
    victims: Vec<VictimLine>,
    victim_count: u64,
}

#[derive(Serialize)]
struct VictimLine {
    snapshot: String,
    part: &'static str,
    #[serde(flatten)]
    path: Option<PathText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<PathText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<PathText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<u64>,
}

pub(crate) async fn run(context: &Context, args: &CheckArgs) -> Result<Exit, CliError> {
    let repository = context.open().await?;
    let progress = context.progress();
    let monitor = Arc::clone(&progress);
    let checked = repository.check(args.options(), monitor, context.interrupt.token()).await;
    progress.finish();
    let report = checked.map_err(|error| {
        let failed = CliError::from_error("the check did not come to an end", &error);
        match error {
            CheckError::Cancelled => failed.exit(Exit::Interrupted),
            _ => failed,
        }
    })?;
    let exit = if report.is_sound() { Exit::Done } else { Exit::VerificationFailed };
    context.output.finished(show(context, &report), exit)
}

fn show(context: &Context, report: &CheckReport) -> Result<(), CliError> {
    let output = &context.output;
    if let Some(reason) = &report.unrecorded {
        output.warn(format!("the result could not be recorded: {reason}"));
    }
    for finding in &report.findings {
        output.json("finding", &FindingLine::from(finding))?;
        if !output.is_json() {
            show_finding(context, finding);
        }
    }
    let counts = report.counts;
    let summary = Summary {
        sound: report.is_sound(),
        restorable: report.is_restorable(),
        level: report.level.name(),
        subset: report.stripe.map(|stripe| stripe.to_string()),
        snapshots: report.snapshots,
        entries: report.entries,
        packs: report.packs,
        blobs: report.blobs,
        packs_read: report.packs_read,
        bytes_read: report.bytes_read,
        losses: counts.losses,
        damage: counts.damage,
        notices: counts.notices,
        recorded: report.unrecorded.is_none(),
        duration_ms: report.duration.as_millis(),
    };
    output.json("summary", &summary)?;
    let scope = format!(
        "{}, {}, {}",
        human::things(report.snapshots, "snapshot", "snapshots"),
        human::things(report.entries, "entry", "entries"),
        human::things(report.packs, "pack", "packs"),
    );
    let verdict = match (report.is_sound(), report.is_restorable()) {
        (true, _) => "no damage found",
        (false, true) => "damaged, but everything can be restored",
        (false, false) => "damaged: some of it can't be restored",
    };
    output.report(format!("{verdict}: {scope} in {}", human::span(report.duration)))?;
    let part = report.stripe.map(|stripe| format!(", part {stripe}")).unwrap_or_default();
    let read = human::size(report.bytes_read);
    output.report(match report.level {
        CheckLevel::Structure => "   the content was not read; `--read-data` does".to_owned(),
        CheckLevel::Objects => format!("   {read} read and compared with the names of the objects{part}"),
        CheckLevel::Data => format!("   {read} read, decrypted and verified{part}"),
    })?;
    if report.is_sound() {
        return Ok(());
    }
    output.report(
        "   `backup create` stores anew what the source still has; what it no longer has stays lost in these snapshots",
    )
}

fn show_finding(context: &Context, finding: &Finding) {
    let output = &context.output;
    if finding.severity == Severity::Notice {
        return output.say(format!("`{}`: {}", finding.object, finding.what));
    }
    let mut text = format!("`{}`: {}", finding.object, finding.what);
    let shown = if output.options.verbose { finding.victims.len() } else { SHOWN_VICTIMS.min(finding.victims.len()) };
    for Victim { snapshot, part } in &finding.victims[..shown] {
        text.push_str(&match part {
            LostPart::Entry(path) => format!("\n         lost in {}: /{path}", snapshot.short()),
            LostPart::Snapshot | LostPart::Range { .. } => format!("\n         lost in {}: {part}", snapshot.short()),
        });
    }
    let rest = finding.victim_count.saturating_sub(shown as u64);
    if rest > 0 {
        text.push_str(&format!("\n         and {} more", human::count(rest)));
    }
    output.warn(text);
}

impl<'a> From<&'a Finding> for FindingLine<'a> {
    fn from(finding: &'a Finding) -> Self {
        Self {
            object: &finding.object,
            severity: match finding.severity {
                Severity::Loss => "loss",
                Severity::Damage => "damage",
                Severity::Notice => "notice",
            },
            message: &finding.what,
            victims: finding.victims.iter().map(VictimLine::from).collect(),
            victim_count: finding.victim_count,
        }
    }
}

impl From<&Victim> for VictimLine {
    fn from(victim: &Victim) -> Self {
        let mut line = Self {
            snapshot: victim.snapshot.to_string(),
            part: "snapshot",
            path: None,
            from: None,
            until: None,
            entries: None,
        };
        match &victim.part {
            LostPart::Snapshot => {}
            LostPart::Range { from, until, entries } => {
                line.part = "range";
                line.from = from.as_ref().map(PathText::from);
                line.until = until.as_ref().map(PathText::from);
                line.entries = Some(*entries);
            }
            LostPart::Entry(path) => {
                line.part = "entry";
                line.path = Some(path.into());
            }
        }
        line
    }
}
