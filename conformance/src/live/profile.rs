//! How much of the suite runs.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::budget::Budget;
use crate::contract::Case;
use crate::harness::Pace;

/// Groups that never run against a live account: what is locked can't be removed.
const NEVER: [&str; 1] = ["lock"];

/// Cases whose size is their point; the rest follows the pace.
const LARGE: [&str; 10] = [
    "dropped_put_is_whole_or_absent",
    "dropped_overwrite_is_old_or_new",
    "dropped_reads_are_harmless",
    "no_task_outlives_its_client",
    "large_object",
    "large_create_has_one_winner",
    "spans_across_parts",
    "put_is_never_seen_half",
    "overwrite_shows_old_or_new",
    "read_during_delete_is_whole_or_absent",
];

/// What a place must do for a repository to be of use at all.
const PROBED: [&str; 12] = [
    "put_get_roundtrip",
    "span_is_exact",
    "suffix_is_exact",
    "missing_is_not_found",
    "stat_matches_put",
    "empty_and_one_byte",
    "overwrite_replaces_the_whole",
    "create_of_existing_changes_nothing",
    "create_race_has_one_winner",
    "only_under_the_prefix",
    "put_and_delete_show",
    "deleted_is_gone",
];

/// How much of the suite runs against a live account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Profile {
    /// A dozen cases that tell in seconds whether a place can be used at all.
    Probe,
    /// Small objects and short listings: some thousand requests, some ten megabytes.
    Safe,
    /// Everything but locks, with the numbers of the suite.
    Full,
    /// The same many times, each with another seed, until the budget is spent.
    Soak,
}

impl Profile {
    /// Every profile.
    pub const ALL: [Self; 4] = [Self::Probe, Self::Safe, Self::Full, Self::Soak];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Safe => "safe",
            Self::Full => "full",
            Self::Soak => "soak",
        }
    }

    /// What it may use up.
    pub fn budget(self) -> Budget {
        let (max_requests, max_bytes) = match self {
            Self::Probe => (500, 10 << 20),
            Self::Safe => (5_000, 100 << 20),
            Self::Full => (60_000, 4 << 30),
            Self::Soak => (600_000, 40 << 30),
        };
        Budget { max_requests, max_bytes }
    }

    /// Its numbers.
    pub fn pace(self) -> Pace {
        let mut pace = Pace { case_limit: Duration::from_secs(600), ..Pace::default() };
        if self == Self::Probe || self == Self::Safe {
            pace.max_objects = 60;
            pace.large_bytes = (1 << 20) + 1;
            pace.racers = 8;
            pace.rounds = 1;
            pace.concurrency = 4;
            pace.history_operations = 80;
        }
        pace
    }

    /// How often its cases run.
    pub(super) fn rounds(self) -> u64 {
        match self {
            Self::Probe | Self::Safe | Self::Full => 1,
            Self::Soak => 100,
        }
    }

    pub(super) fn has(self, case: &Case) -> bool {
        match self {
            _ if NEVER.contains(&case.group) => false,
            Self::Probe => PROBED.contains(&case.name),
            Self::Safe => !LARGE.contains(&case.name),
            Self::Full | Self::Soak => true,
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|profile| profile.name() == text);
        found.ok_or_else(|| format!("`{text}` is none of probe, safe, full, soak"))
    }
}
