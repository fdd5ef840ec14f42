//! What came out of a run.

use backup_core::Capabilities;
use serde::{Deserialize, Serialize};

use crate::verdict::Verdict;

/// The outcome of a run of the suite.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// The version of the suite.
    pub suite: String,
    /// The backend's type, empty when it could not be opened once.
    pub kind: String,
    /// What the backend declares, where it could be opened.
    pub capabilities: Option<Capabilities>,
    /// Every case that was run, in the order of the suite.
    pub cases: Vec<CaseReport>,
}

/// The outcome of one case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseReport {
    /// Its group.
    pub group: String,
    /// Its name.
    pub name: String,
    /// The clause of the contract that it is about.
    pub clause: String,
    /// How long it took.
    pub took_ms: u64,
    /// What became of it.
    #[serde(flatten)]
    pub verdict: Verdict,
}

impl Report {
    /// How many cases passed.
    pub fn passed(&self) -> usize {
        self.count(|verdict| *verdict == Verdict::Passed)
    }

    /// How many cases failed.
    pub fn failed(&self) -> usize {
        self.count(|verdict| matches!(verdict, Verdict::Failed(_)))
    }

    /// How many cases said nothing about this store.
    pub fn not_applicable(&self) -> usize {
        self.count(|verdict| matches!(verdict, Verdict::NotApplicable(_)))
    }

    fn count(&self, is: impl Fn(&Verdict) -> bool) -> usize {
        self.cases.iter().filter(|case| is(&case.verdict)).count()
    }
}
