//! What came out of a run.

mod badge;
mod junit;

use backup_core::{BackendInfo, Capabilities};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::contract::{CASES, Case};
use crate::live::Observed;
use crate::verdict::Verdict;

/// The outcome of a run of the suite.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// The version of the suite.
    pub suite: String,
    /// A hash of the names and clauses of all cases that the suite has: two reports with the same one are about the same cases.
    pub suite_hash: String,
    /// The backend's type, empty when it could not be opened once.
    pub kind: String,
    /// Where the store is, without secrets.
    pub location: String,
    /// Where the schedules of random cases began.
    pub seed: u64,
    /// What the backend declares, where it could be opened.
    pub capabilities: Option<Capabilities>,
    /// What it was seen to do, where somebody looked.
    pub observed: Option<Observed>,
    /// What a run against a live account was like.
    pub run: Option<Run>,
    /// Every case that was run, in the order of the suite.
    pub cases: Vec<CaseReport>,
}

/// What a run against a live account was like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Run {
    /// The profile.
    pub profile: String,
    /// The name of the run; its objects lay below `conformance-NAME/`.
    pub name: String,
    /// Requests that it made, without those that removed things.
    pub requests: u64,
    /// Bytes of objects that it sent and received.
    pub bytes: u64,
    /// How long it took.
    pub took_ms: u64,
    /// What could not be removed, in words.
    pub left_behind: Vec<String>,
}

/// The outcome of one case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CaseReport {
    /// Its group.
    pub group: String,
    /// Its name.
    pub name: String,
    /// The clause of the contract that it is about.
    pub clause: String,
    /// How often it ran.
    pub runs: u32,
    /// The seed of the run that the verdict is about.
    pub seed: u64,
    /// How long it took, all runs together.
    pub took_ms: u64,
    /// What became of it; the worst of all runs.
    #[serde(flatten)]
    pub verdict: Verdict,
}

impl CaseReport {
    pub(crate) fn new(case: &Case, seed: u64, took_ms: u64, verdict: Verdict) -> Self {
        let (group, name, clause) = (case.group.to_owned(), case.name.to_owned(), case.clause.to_owned());
        Self { group, name, clause, runs: 1, seed, took_ms, verdict }
    }
}

impl Report {
    pub(crate) fn new(info: &BackendInfo, seed: u64) -> Self {
        Self {
            kind: info.kind.to_owned(),
            location: info.location.clone(),
            capabilities: Some(info.capabilities.clone()),
            ..Self::empty(seed)
        }
    }

    pub(crate) fn empty(seed: u64) -> Self {
        Self {
            suite: env!("CARGO_PKG_VERSION").to_owned(),
            suite_hash: suite_hash(),
            kind: String::new(),
            location: String::new(),
            seed,
            capabilities: None,
            observed: None,
            run: None,
            cases: Vec::new(),
        }
    }

    /// Takes in the outcome of a case, or of a further run of one.
    pub(crate) fn add(&mut self, done: CaseReport) {
        match self.cases.iter_mut().find(|case| case.name == done.name) {
            None => self.cases.push(done),
            Some(case) => {
                case.runs += done.runs;
                case.took_ms += done.took_ms;
                if done.verdict.weight() > case.verdict.weight() {
                    (case.seed, case.verdict) = (done.seed, done.verdict);
                }
            }
        }
    }

    /// How many cases passed.
    pub fn passed(&self) -> usize {
        self.count(|verdict| *verdict == Verdict::Passed)
    }

    /// How many cases failed.
    pub fn failed(&self) -> usize {
        self.count(|verdict| matches!(verdict, Verdict::Failed(_)))
    }

    /// How many cases failed once and passed when they were tried again.
    pub fn flaky(&self) -> usize {
        self.count(|verdict| matches!(verdict, Verdict::Flaky(_)))
    }

    /// How many cases did not run, or not to their end.
    pub fn skipped(&self) -> usize {
        self.count(|verdict| matches!(verdict, Verdict::Skipped(_)))
    }

    /// How many cases said nothing about this store.
    pub fn not_applicable(&self) -> usize {
        self.count(|verdict| matches!(verdict, Verdict::NotApplicable(_)))
    }

    /// What the backend declares and was not seen to do, in words.
    pub fn overclaims(&self) -> Vec<String> {
        let both = self.observed.as_ref().zip(self.capabilities.as_ref());
        both.map(|(observed, declared)| observed.missing_of(declared)).unwrap_or_default()
    }

    /// What could not be removed, in words.
    pub fn left_behind(&self) -> &[String] {
        self.run.as_ref().map_or(&[], |run| &run.left_behind)
    }

    /// The report as JSON, to be read again by serde.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a report has texts and numbers only")
    }

    fn count(&self, is: impl Fn(&Verdict) -> bool) -> usize {
        self.cases.iter().filter(|case| is(&case.verdict)).count()
    }
}

/// The first 16 digits of a SHA-256 over all cases with their clauses.
fn suite_hash() -> String {
    let mut hash = Sha256::new();
    for case in CASES {
        hash.update(format!("{}::{} {}\n", case.group, case.name, case.clause));
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
