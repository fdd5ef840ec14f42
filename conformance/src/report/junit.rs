//! A report as JUnit XML, which most services that run tests show.

use std::fmt::Write;

use super::{CaseReport, Report};
use crate::verdict::Verdict;

impl Report {
    /// The report as JUnit XML: a flaky case counts as a failure, one that was skipped or did not apply as skipped.
    pub fn to_junit(&self) -> String {
        let failures = self.failed() + self.flaky();
        let skipped = self.skipped() + self.not_applicable();
        let took: u64 = self.cases.iter().map(|case| case.took_ms).sum();
        let name = escaped(&format!("storage contract: {}", self.kind));
        let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
        // Writing into a text can't fail.
        let _ = writeln!(
            xml,
            "  <testsuite name=\"{name}\" tests=\"{}\" failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\" time=\"{}\">",
            self.cases.len(),
            seconds(took)
        );
        for (property, value) in self.properties() {
            let _ = write!(xml, "{}", if property == "suite" { "    <properties>\n" } else { "" });
            let _ = writeln!(xml, "      <property name=\"{property}\" value=\"{}\"/>", escaped(&value));
        }
        xml.push_str("    </properties>\n");
        for case in &self.cases {
            xml.push_str(&testcase(case));
        }
        xml.push_str("  </testsuite>\n</testsuites>\n");
        xml
    }

    fn properties(&self) -> [(&'static str, String); 4] {
        [
            ("suite", format!("{} {}", self.suite, self.suite_hash)),
            ("location", self.location.clone()),
            ("profile", self.run.as_ref().map(|run| run.profile.clone()).unwrap_or_default()),
            ("seed", self.seed.to_string()),
        ]
    }
}

fn testcase(case: &CaseReport) -> String {
    let head = format!(
        "    <testcase classname=\"{}\" name=\"{}\" time=\"{}\"",
        escaped(&case.group),
        escaped(&case.name),
        seconds(case.took_ms)
    );
    let (element, reason) = match &case.verdict {
        Verdict::Passed => return format!("{head}/>\n"),
        Verdict::Failed(reason) => ("failure", format!("{} (seed {}): {reason}", case.clause, case.seed)),
        Verdict::Flaky(reason) => ("failure", format!("{} (flaky, seed {}): {reason}", case.clause, case.seed)),
        Verdict::NotApplicable(reason) | Verdict::Skipped(reason) => ("skipped", reason.clone()),
    };
    format!("{head}>\n      <{element} message=\"{}\"/>\n    </testcase>\n", escaped(&reason))
}

fn seconds(millis: u64) -> String {
    format!("{}.{:03}", millis / 1_000, millis % 1_000)
}

/// A text for an attribute; what XML can't hold at all becomes a question mark.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('?'),
            c => out.push(c),
        }
    }
    out
}
