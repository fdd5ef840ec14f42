//! Which snapshots stay.
//!
//! A [`RetentionPolicy`] decides by its own rule; [`decide`] is how a program asks one: it adds the floors that no policy
//! can break. Everything here is pure: the same snapshots and the same time give the same decisions. Calendars go by
//! [`SnapshotFacts::received`], never by a client's clock, and nothing is read from anywhere else.

mod age;
mod calendar;
mod category;
mod combine;
mod config;
mod count;
mod floors;
mod group;
mod units;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
pub use age::{KeepWithin, MaxAge};
pub use calendar::{Gfs, Rolling};
pub use category::{ByCategory, CategoryRule};
pub use combine::{AllOf, AnyOf};
pub(crate) use config::DESCRIPTORS;
pub use count::{KeepForever, KeepLast, KeepPinned, KeepTags, MaxTotalSize};
pub use floors::{CLOCK_TOLERANCE, decide};
pub use group::Scope;
pub use units::{Age, ByteSize, Count, InvalidAge, InvalidZone, ZoneName};

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

impl RetentionDecision {
    /// Keep, for one reason.
    pub fn keep(reason: impl Into<String>) -> Self {
        Self { keep: true, reasons: vec![reason.into()] }
    }

    /// Forget, for one reason.
    pub fn forget(reason: impl Into<String>) -> Self {
        Self { keep: false, reasons: vec![reason.into()] }
    }
}

/// Decides which snapshots stay.
///
/// Pure and deterministic: the same snapshots and the same time give the same decisions, in whatever order the
/// snapshots are given; nothing is read from anywhere else. Ids are unique among the snapshots. A policy that is empty,
/// because no rule in it is set, keeps everything.
///
/// The standard policies keep more than these laws ask: what one of them keeps among some snapshots, it also keeps when
/// others are taken away. So deciding again on what was kept keeps all of it, in whatever way policies are combined.
pub trait RetentionPolicy: std::fmt::Debug + Send + Sync {
    /// One decision for each snapshot, in the order given.
    fn decide(&self, snapshots: &[SnapshotFacts], now: Timestamp) -> Vec<RetentionDecision>;
}

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;
