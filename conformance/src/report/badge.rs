//! A report as a badge.

use serde::Serialize;

use super::Report;

/// What the endpoint of a badge service answers.
#[derive(Serialize)]
struct Badge {
    #[serde(rename = "schemaVersion")]
    schema_version: u8,
    label: &'static str,
    message: String,
    color: &'static str,
}

impl Report {
    /// The report as JSON for an endpoint badge of shields.io.
    ///
    /// Green is for a run in which every case ran to its end, none failed, nothing declared was missing and everything was removed.
    pub fn to_badge(&self) -> String {
        let applied = self.cases.len() - self.not_applicable();
        let mut parts = vec![format!("v{}", self.suite)];
        parts.extend(self.run.as_ref().map(|run| run.profile.clone()));
        parts.push(format!("{}/{applied}", self.passed()));
        parts.extend((self.flaky() > 0).then(|| format!("{} flaky", self.flaky())));
        parts.extend((self.skipped() > 0).then(|| format!("{} not run", self.skipped())));
        let badge =
            Badge { schema_version: 1, label: "storage contract", message: parts.join(" · "), color: self.color() };
        serde_json::to_string(&badge).expect("a badge has texts only")
    }

    fn color(&self) -> &'static str {
        if self.failed() > 0 || self.cases.is_empty() {
            return "red";
        }
        let doubts = self.flaky() > 0 || self.skipped() > 0 || self.passed() == 0;
        match doubts || !self.overclaims().is_empty() || !self.left_behind().is_empty() {
            true => "yellow",
            false => "brightgreen",
        }
    }
}
