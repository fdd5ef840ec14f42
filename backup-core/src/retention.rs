//! Which snapshots stay.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// What a policy sees of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotFacts {
    /// The snapshot's id in hexadecimal.
    pub id: String,
    /// When the store received it, never the client's clock where the store tells.
    pub received: Timestamp,
    /// What belongs together: host, source and roots as one text. Policies decide within a group.
    pub group: String,
    /// Labels given by people, sorted.
    pub tags: Vec<String>,
    /// The category a category policy looks at.
    pub category: Option<String>,
    /// Kept until a person takes the pin off.
    pub pinned: bool,
    /// Bytes that this snapshot added to the repository.
    pub added_bytes: u64,
    /// Whether a drill restored this snapshot and found it right.
    pub proven: bool,
}

/// Keep or forget, and every reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionDecision {
    /// Whether it stays.
    pub keep: bool,
    /// Why, for people: `last 3`, `daily 2026-11-20`, `pinned`, or why not.
    pub reasons: Vec<String>,
}

/// Decides which snapshots stay.
///
/// Pure and deterministic: the same snapshots and the same time give the same decisions, in whatever order the
/// snapshots are given; nothing is read from anywhere else.
pub trait RetentionPolicy: std::fmt::Debug + Send + Sync {
    /// One decision for each snapshot, in the order given.
    fn decide(&self, snapshots: &[SnapshotFacts], now: Timestamp) -> Vec<RetentionDecision>;
}
