//! Policies that count: the newest few, what fits into a size, and what carries a mark.

use serde::{Deserialize, Serialize};

use super::group::{Scope, decide_groups};
use super::units::{ByteSize, Count};
use super::{RetentionDecision, RetentionPolicy, SnapshotFacts};
use crate::clock::Timestamp;

/// Keeps the newest `count` snapshots.
///
/// ```
/// use backup_core::Timestamp;
/// use backup_core::retention::{KeepLast, RetentionPolicy, SnapshotFacts};
///
/// let taken_at = |second| SnapshotFacts {
///     id: format!("{second:08x}"),
///     received: Timestamp::from_secs(second),
///     group: "laptop /home".into(),
///     tags: Vec::new(),
///     category: None,
///     pinned: false,
///     added_bytes: 0,
///     proven: false,
/// };
/// let snapshots = [taken_at(100), taken_at(300), taken_at(200)];
/// let decisions = KeepLast::new(2).decide(&snapshots, Timestamp::from_secs(400));
/// let kept: Vec<bool> = decisions.iter().map(|decision| decision.keep).collect();
/// assert_eq!(kept, [false, true, true]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeepLast {
    /// How many; zero sets no rule and so keeps everything.
    pub count: Count,
    /// Among which; each group for itself unless given.
    #[serde(default)]
    pub scope: Scope,
}

impl KeepLast {
    /// Keeps the newest `count` snapshots of each group.
    pub fn new(count: u32) -> Self {
        Self { count: Count::Exactly(count), scope: Scope::Group }
    }
}

impl RetentionPolicy for KeepLast {
    fn decide(&self, snapshots: &[SnapshotFacts], _: Timestamp) -> Vec<RetentionDecision> {
        let Self { count, scope } = *self;
        decide_groups(snapshots, scope, |group| {
            let decision = |place: usize| match count {
                Count::Exactly(0) => RetentionDecision::keep("no count is set"),
                _ if count.exceeds(place) => RetentionDecision::keep(format!("last {count}")),
                _ => RetentionDecision::forget(format!("not among the last {count}")),
            };
            (0..group.len()).map(decision).collect()
        })
    }
}

/// Keeps the newest snapshots that fit into `limit` together.
///
/// Goes from the newest to older ones and adds up what each added to the repository; from the first that doesn't fit on,
/// nothing is kept. Forgetting a snapshot frees at most what it added: a newer one may share data with it, so the
/// repository can stay larger than the limit until those are gone too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaxTotalSize {
    /// The sum that may be reached; zero sets no rule and so keeps everything.
    pub limit: ByteSize,
    /// Among which; each group for itself unless given.
    #[serde(default)]
    pub scope: Scope,
}

impl RetentionPolicy for MaxTotalSize {
    fn decide(&self, snapshots: &[SnapshotFacts], _: Timestamp) -> Vec<RetentionDecision> {
        let Self { limit, scope } = *self;
        decide_groups(snapshots, scope, |group| {
            // Adding up never goes down, so what is older than the first that doesn't fit doesn't fit either.
            let mut sum: u64 = 0;
            let decide = |snapshot: &&SnapshotFacts| {
                sum = sum.saturating_add(snapshot.added_bytes);
                if limit.0 == 0 {
                    RetentionDecision::keep("no limit is set")
                } else if sum <= limit.0 {
                    RetentionDecision::keep(format!("within {limit} together with newer ones"))
                } else {
                    RetentionDecision::forget(format!("more than {limit} together with newer ones"))
                }
            };
            group.iter().map(decide).collect()
        })
    }
}

/// Keeps snapshots with one of the tags.
///
/// Meant to stand in an [`AnyOf`](super::AnyOf) beside other policies; alone it forgets whatever has none of the tags.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeepTags {
    /// The tags; none sets no rule and so keeps everything.
    pub tags: Vec<String>,
}

impl RetentionPolicy for KeepTags {
    fn decide(&self, snapshots: &[SnapshotFacts], _: Timestamp) -> Vec<RetentionDecision> {
        let decide = |snapshot: &SnapshotFacts| match self.tags.iter().find(|tag| snapshot.tags.contains(tag)) {
            _ if self.tags.is_empty() => RetentionDecision::keep("no tag is set"),
            Some(tag) => RetentionDecision::keep(format!("tag {tag}")),
            None => RetentionDecision::forget(format!("none of the tags {}", self.tags.join(", "))),
        };
        snapshots.iter().map(decide).collect()
    }
}

/// Keeps pinned snapshots, and no others.
///
/// [`decide`](super::decide) keeps them whatever the policy; this one is for saying so, and for combining.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeepPinned {}

impl RetentionPolicy for KeepPinned {
    fn decide(&self, snapshots: &[SnapshotFacts], _: Timestamp) -> Vec<RetentionDecision> {
        let decide = |snapshot: &SnapshotFacts| match snapshot.pinned {
            true => RetentionDecision::keep("pinned"),
            false => RetentionDecision::forget("not pinned"),
        };
        snapshots.iter().map(decide).collect()
    }
}

/// Keeps everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeepForever {}

impl RetentionPolicy for KeepForever {
    fn decide(&self, snapshots: &[SnapshotFacts], _: Timestamp) -> Vec<RetentionDecision> {
        vec![RetentionDecision::keep("kept forever"); snapshots.len()]
    }
}
