//! Measurements as text: a line each while they are made, a table of medians at the end, JSON for programs.

use std::fmt::Write;

use anyhow::{Context, Result};
use serde_json::json;

use super::tools::{Kind, Tool};
use super::{Operation, Record, measure};

impl Operation {
    fn title(self) -> &'static str {
        match self {
            Self::First => "first backup",
            Self::Again => "again, nothing changed",
            Self::Changed => "1 % of the files changed",
            Self::Restore => "restore",
            Self::Check => "check, all data",
        }
    }
}

/// One measurement on one line.
pub(super) fn line(record: &Record) -> String {
    let figures = &record.figures;
    let mut line = format!(
        "{:7} {:25} wall {:7.2} s  CPU {:7.2} s  peak {:5.0} MiB  repository {:8.1} MiB",
        record.tool.name(),
        record.operation.title(),
        figures.wall_s,
        figures.cpu_s,
        figures.peak_mib,
        record.repository_mib
    );
    if let Some(others) = figures.others_cpu_s {
        let _infallible = write!(line, "  others' CPU {others:.2} s");
    }
    if let Some(failure) = &record.failure {
        let _infallible = write!(line, "  FAILED: {failure}");
    }
    line
}

/// The machine, in one line.
pub(crate) fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown processor", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib =
        memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse::<u64>().ok());
    let memory = kib.map_or("unknown memory".to_owned(), |kib| format!("{:.0} GiB", measure::mib(kib << 10) / 1024.0));
    format!("Machine: {model}, {cores} cores, {memory}, {}-{}.\n", std::env::consts::OS, std::env::consts::ARCH)
}

/// The table of one data set, in Markdown.
pub(super) fn render(
    title: &str,
    files: u64,
    bytes: u64,
    repeat: u32,
    tools: &[Tool],
    operations: &[Operation],
    records: &[Record],
) -> String {
    let mut lines = vec![
        String::new(),
        format!(
            "**{title}**: {files} files, {:.0} MiB. Median of {repeat}: wall s / CPU s / peak MiB.",
            measure::mib(bytes)
        ),
        String::new(),
    ];
    let ours = tools.iter().any(|tool| tool.kind == Kind::Ours) && tools.len() > 1;
    let mut heads: Vec<String> = tools.iter().map(|tool| format!("{} {}", tool.kind.name(), tool.version)).collect();
    if ours {
        heads.push("ours ÷ best peer".to_owned());
    }
    lines.push(format!("| | {} |", heads.join(" | ")));
    lines.push(format!("|---|{}", "---|".repeat(heads.len())));

    let row = |name: &str, operation: Operation, value: fn(&Record) -> f64, cell: &dyn Fn(&[&Record]) -> String| {
        let mut cells = Vec::new();
        let (mut own, mut best) = (None, None::<f64>);
        for tool in tools {
            let of: Vec<&Record> =
                records.iter().filter(|record| record.tool == tool.kind && record.operation == operation).collect();
            if of.iter().any(|record| record.failure.is_some()) || of.is_empty() {
                cells.push("failed".to_owned());
                continue;
            }
            let middle = median(of.iter().map(|record| value(record)));
            if tool.kind == Kind::Ours {
                own = Some(middle);
            } else {
                best = Some(best.map_or(middle, |best| best.min(middle)));
            }
            cells.push(cell(&of));
        }
        if ours {
            cells.push(own.zip(best).map_or("–".to_owned(), |(own, best)| format!("{:.2}", own / best)));
        }
        format!("| {name} | {} |", cells.join(" | "))
    };
    for &operation in operations {
        lines.push(row(operation.title(), operation, |record| record.figures.wall_s, &costs));
    }
    for (name, operation) in [
        ("repository MiB, after the first backup", Operation::First),
        ("repository MiB, after the changed one", Operation::Changed),
    ] {
        if operations.contains(&operation) {
            let size = |of: &[&Record]| format!("{:.1}", median(of.iter().map(|record| record.repository_mib)));
            lines.push(row(name, operation, |record| record.repository_mib, &size));
        }
    }
    if let Some(share) = disturbance(records) {
        lines.push(format!("\nOther processes took {share:.0} % as much CPU time as the measured ones."));
    }
    lines.push(String::new());
    lines.join("\n")
}

/// CPU time of everything else in percent of the tools' own.
fn disturbance(records: &[Record]) -> Option<f64> {
    let own: f64 = records.iter().map(|record| record.figures.cpu_s).sum();
    let others: f64 = records.iter().map(|record| record.figures.others_cpu_s).sum::<Option<f64>>()?;
    (own > 0.0).then(|| 100.0 * others / own)
}

/// Medians of time, and the highest peak: a limit on memory is one that holds every time.
fn costs(of: &[&Record]) -> String {
    let peak = of.iter().map(|record| record.figures.peak_mib).fold(0.0, f64::max);
    format!(
        "{:.2} / {:.2} / {peak:.0}",
        median(of.iter().map(|record| record.figures.wall_s)),
        median(of.iter().map(|record| record.figures.cpu_s))
    )
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => values[len / 2],
        len => f64::midpoint(values[len / 2 - 1], values[len / 2]),
    }
}

/// Every single measurement.
pub(super) fn json(sets: &[(String, Vec<Record>)]) -> Result<String> {
    let sets: Vec<_> = sets
        .iter()
        .map(|(title, records)| {
            let records: Vec<_> = records
                .iter()
                .map(|record| {
                    json!({
                        "tool": record.tool.name(),
                        "operation": record.operation.title(),
                        "repeat": record.repeat,
                        "wall_s": record.figures.wall_s,
                        "cpu_s": record.figures.cpu_s,
                        "peak_mib": record.figures.peak_mib,
                        "others_cpu_s": record.figures.others_cpu_s,
                        "repository_mib": record.repository_mib,
                        "failure": record.failure,
                    })
                })
                .collect();
            json!({ "data": title, "measurements": records })
        })
        .collect();
    serde_json::to_string_pretty(&json!({ "version": 1, "sets": sets })).context("cannot write JSON")
}

#[cfg(test)]
mod tests {
    use super::super::measure::Figures;
    use super::*;

    fn record(tool: Kind, operation: Operation, wall_s: f64, repository_mib: f64) -> Record {
        let figures = Figures {
            wall_s,
            cpu_s: wall_s * 2.0,
            peak_mib: 10.0 * wall_s,
            others_cpu_s: Some(wall_s / 10.0),
            success: true,
        };
        Record { tool, operation, repeat: 0, figures, repository_mib, failure: None }
    }

    #[test]
    fn median_is_the_middle_or_between_the_two_middle_ones() {
        assert!((median([3.0, 1.0, 2.0].into_iter()) - 2.0).abs() < f64::EPSILON);
        assert!((median([4.0, 1.0, 2.0, 3.0].into_iter()) - 2.5).abs() < f64::EPSILON);
        assert!(median(std::iter::empty()).is_nan());
    }

    #[test]
    fn the_table_holds_medians_highest_peak_and_the_ratio_to_the_best_peer() {
        let tools = [Tool::named(Kind::Restic, "1.0"), Tool::named(Kind::Borg, "2.0"), Tool::named(Kind::Ours, "3.0")];
        let mut records: Vec<Record> =
            [1.0, 9.0, 2.0].map(|wall| record(Kind::Restic, Operation::First, wall, 50.0)).into();
        records.extend([8.0, 8.0, 8.0].map(|wall| record(Kind::Borg, Operation::First, wall, 40.0)));
        records.extend([1.0, 1.0, 1.0].map(|wall| record(Kind::Ours, Operation::First, wall, 30.0)));
        let table = render("T", 5, 3 << 20, 3, &tools, &[Operation::First], &records);
        for line in [
            "**T**: 5 files, 3 MiB. Median of 3: wall s / CPU s / peak MiB.",
            "| | restic 1.0 | borg 2.0 | ours 3.0 | ours ÷ best peer |",
            "|---|---|---|---|---|",
            "| first backup | 2.00 / 4.00 / 90 | 8.00 / 16.00 / 80 | 1.00 / 2.00 / 10 | 0.50 |",
            "| repository MiB, after the first backup | 50.0 | 40.0 | 30.0 | 0.75 |",
            "Other processes took 5 % as much CPU time as the measured ones.",
        ] {
            assert!(table.lines().any(|found| found == line), "{line} is not in\n{table}");
        }
    }

    #[test]
    fn a_failure_is_never_shown_as_a_figure() {
        let tools = [Tool::named(Kind::Restic, "1.0"), Tool::named(Kind::Ours, "3.0")];
        let mut bad = record(Kind::Ours, Operation::Restore, 0.1, 30.0);
        bad.failure = Some("2 files differ from the source".to_owned());
        let records = [record(Kind::Restic, Operation::Restore, 1.0, 50.0), bad];
        assert!(line(&records[1]).ends_with("FAILED: 2 files differ from the source"));
        let table = render("T", 5, 0, 1, &tools, &[Operation::Restore], &records);
        assert!(table.contains("| restore | 1.00 / 2.00 / 10 | failed | – |"), "{table}");
        assert!(json(&[("T".to_owned(), records.into())]).unwrap().contains("2 files differ"));
    }
}
