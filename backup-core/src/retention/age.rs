//! Policies by age: relative to the newest snapshot, or to now.

use serde::{Deserialize, Serialize};

use super::group::{Scope, decide_groups};
use super::units::Age;
use super::{RetentionDecision, RetentionPolicy, SnapshotFacts};
use crate::clock::Timestamp;

/// Keeps snapshots received within a length of time before the newest of their group.
///
/// Measured from the newest snapshot and not from now, so that a machine that stopped making backups loses nothing by
/// the mere passing of time. See [`MaxAge`] for the other way.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeepWithin {
    /// How long before the newest one.
    pub duration: Age,
}

impl RetentionPolicy for KeepWithin {
    fn decide(&self, snapshots: &[SnapshotFacts], _: Timestamp) -> Vec<RetentionDecision> {
        let age = self.duration;
        decide_groups(snapshots, Scope::Group, |group| {
            let Some(newest) = group.first() else { return Vec::new() };
            let since = age.before(newest.received);
            let decide = |snapshot: &&SnapshotFacts| match snapshot.received >= since {
                true => RetentionDecision::keep(format!("within {age} of the newest")),
                false => RetentionDecision::forget(format!("more than {age} older than the newest")),
            };
            group.iter().map(decide).collect()
        })
    }
}

/// Forgets snapshots that were received more than a length of time ago.
///
/// Measured from now: for data that must not be kept longer. When a machine stops making backups, all of its snapshots
/// but the newest are gone after that time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaxAge {
    /// How long ago.
    pub duration: Age,
}

impl RetentionPolicy for MaxAge {
    fn decide(&self, snapshots: &[SnapshotFacts], now: Timestamp) -> Vec<RetentionDecision> {
        let (age, since) = (self.duration, self.duration.before(now));
        let decide = |snapshot: &SnapshotFacts| match snapshot.received >= since {
            true => RetentionDecision::keep(format!("not older than {age}")),
            false => RetentionDecision::forget(format!("older than {age}")),
        };
        snapshots.iter().map(decide).collect()
    }
}
