//! Policies made of policies.

use serde::{Deserialize, Serialize};

use super::{RetentionDecision, RetentionPolicy, SnapshotFacts};
use crate::clock::Timestamp;
use crate::registry::RetentionConfig;

/// Keeps what any of its policies keeps; without a policy it keeps everything.
///
/// A policy in it that is empty and so keeps everything makes the whole keep everything.
///
/// ```
/// use backup_core::retention::{AnyOf, KeepLast, KeepTags};
///
/// let policy = AnyOf::new(vec![
///     Box::new(KeepLast::new(10)),
///     Box::new(KeepTags { tags: vec!["release".into()] }),
/// ]);
/// assert_eq!(policy.policies.len(), 2);
/// ```
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnyOf {
    /// The policies.
    pub policies: Vec<Box<dyn RetentionConfig>>,
}

/// Keeps what all of its policies keep; without a policy it keeps everything.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllOf {
    /// The policies.
    pub policies: Vec<Box<dyn RetentionConfig>>,
}

impl AnyOf {
    /// Keeps what any of the policies keeps.
    pub fn new(policies: Vec<Box<dyn RetentionConfig>>) -> Self {
        Self { policies }
    }
}

impl AllOf {
    /// Keeps what all of the policies keep.
    pub fn new(policies: Vec<Box<dyn RetentionConfig>>) -> Self {
        Self { policies }
    }
}

impl RetentionPolicy for AnyOf {
    fn decide(&self, snapshots: &[SnapshotFacts], now: Timestamp) -> Vec<RetentionDecision> {
        combined(&self.policies, snapshots, now, |votes| votes.iter().any(|vote| vote.keep))
    }
}

impl RetentionPolicy for AllOf {
    fn decide(&self, snapshots: &[SnapshotFacts], now: Timestamp) -> Vec<RetentionDecision> {
        combined(&self.policies, snapshots, now, |votes| votes.iter().all(|vote| vote.keep))
    }
}

/// Lets every policy decide and `keep` count the votes; the reasons are those of the votes that agree with the outcome.
fn combined(
    policies: &[Box<dyn RetentionConfig>],
    snapshots: &[SnapshotFacts],
    now: Timestamp,
    keep: impl Fn(&[RetentionDecision]) -> bool,
) -> Vec<RetentionDecision> {
    if policies.is_empty() {
        return vec![RetentionDecision::keep("no policy is set"); snapshots.len()];
    }
    let mut votes: Vec<Vec<RetentionDecision>> = vec![Vec::with_capacity(policies.len()); snapshots.len()];
    for policy in policies {
        let mut decisions = policy.decide(snapshots, now).into_iter();
        for votes in &mut votes {
            // A policy that gave too few decisions has not decided against anything.
            votes.push(decisions.next().unwrap_or_else(|| RetentionDecision::keep("no decision")));
        }
    }
    let count = |votes: Vec<RetentionDecision>| {
        let keep = keep(&votes);
        let mut reasons = Vec::new();
        for reason in votes.into_iter().filter(|vote| vote.keep == keep).flat_map(|vote| vote.reasons) {
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
        RetentionDecision { keep, reasons }
    };
    votes.into_iter().map(count).collect()
}
