//! Rows as text.

use std::fmt::Write;

use super::Row;

/// One row while it is made.
pub(super) fn line(row: &Row) -> String {
    let figures = &row.figures;
    let mut line = format!(
        "{:34} wall {:8.2} s  CPU {:8.2} s  peak {:5.0} MiB  repository {:8.1} MiB",
        row.step, figures.wall_s, figures.cpu_s, figures.peak_mib, row.repository_mib
    );
    if let Some(others) = figures.others_cpu_s {
        let _infallible = write!(line, "  others' CPU {others:.2} s");
    }
    line
}

/// All rows of a data set, in Markdown.
pub(super) fn render(title: &str, rows: &[Row]) -> String {
    let mut text = format!("\n### {title}\n\n| | wall s | CPU s | peak MiB | repository MiB | others' CPU s |\n");
    text.push_str("|---|---|---|---|---|---|\n");
    for Row { step, figures, repository_mib } in rows {
        let others = figures.others_cpu_s.map_or("–".to_owned(), |others| format!("{others:.1}"));
        let _infallible = writeln!(
            text,
            "| {step} | {:.2} | {:.2} | {:.0} | {repository_mib:.1} | {others} |",
            figures.wall_s, figures.cpu_s, figures.peak_mib
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::measure::Figures;

    #[test]
    fn a_row_has_every_figure() {
        let figures = Figures { wall_s: 1.234, cpu_s: 2.0, peak_mib: 66.6, others_cpu_s: Some(0.25), success: true };
        let row = Row { step: "create".to_owned(), figures, repository_mib: 12.34 };
        assert!(line(&row).ends_with("others' CPU 0.25 s"));
        let table = render("T", &[row]);
        assert!(table.contains("\n| create | 1.23 | 2.00 | 67 | 12.3 | 0.2 |\n"), "{table}");
    }
}
