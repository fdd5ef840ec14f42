//! What no policy can break.

use std::time::Duration;

use super::group::{Scope, newest_first};
use super::{RetentionDecision, RetentionPolicy, SnapshotFacts};
use crate::clock::Timestamp;

/// How far in the future a snapshot may lie before its time, or ours, is taken for wrong.
///
/// Clocks that are kept by NTP differ by seconds; ten minutes leave room for a slow upload's time stamp and for machines
/// that set their clocks once a day.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(600);

/// Lets a policy decide, and keeps what must be kept whatever it says. This is how programs ask a policy.
///
/// Kept always: pinned snapshots; the newest of each group; the newest of each group that a drill proved; and snapshots
/// from the future by more than [`CLOCK_TOLERANCE`]. Those from the future are not shown to the policy at all, so a wrong
/// clock can't push good snapshots out, and when it is our own clock that is behind, nothing is forgotten. A policy that
/// gives another number of decisions than there are snapshots is broken, and everything is kept.
///
/// What is kept for a floor still counts where the policy counts: a pinned snapshot is one of the last three.
///
/// ```
/// use backup_core::Timestamp;
/// use backup_core::retention::{MaxAge, SnapshotFacts, decide};
///
/// let snapshot = SnapshotFacts {
///     id: "0a".into(),
///     received: Timestamp::from_secs(0),
///     group: "laptop /home".into(),
///     tags: Vec::new(),
///     category: None,
///     pinned: false,
///     added_bytes: 0,
///     proven: false,
/// };
/// let policy = MaxAge { duration: "7d".parse()? };
/// let decisions = decide(&policy, &[snapshot], Timestamp::from_secs(1_795_250_657));
/// assert!(decisions[0].keep);
/// assert_eq!(decisions[0].reasons, ["newest of its group"]);
/// # Ok::<(), backup_core::retention::InvalidAge>(())
/// ```
pub fn decide(policy: &dyn RetentionPolicy, snapshots: &[SnapshotFacts], now: Timestamp) -> Vec<RetentionDecision> {
    let horizon = now.saturating_add(CLOCK_TOLERANCE);
    let (present, facts): (Vec<usize>, Vec<SnapshotFacts>) = snapshots
        .iter()
        .enumerate()
        .filter(|(_, snapshot)| snapshot.received <= horizon)
        .map(|(index, snapshot)| (index, snapshot.clone()))
        .unzip();
    let mut decisions = vec![RetentionDecision::keep("received in the future: a clock is wrong"); snapshots.len()];
    let made = policy.decide(&facts, now);
    if made.len() == facts.len() {
        for (index, decision) in present.into_iter().zip(made) {
            decisions[index] = decision;
        }
    } else {
        for index in present {
            decisions[index] = RetentionDecision::keep("the policy gave no usable decision");
        }
    }
    for (snapshot, decision) in snapshots.iter().zip(&mut decisions) {
        if snapshot.pinned {
            hold(decision, "pinned");
        }
    }
    for group in newest_first(snapshots, Scope::Group) {
        let mut present = group.into_iter().filter(|index| snapshots[*index].received <= horizon);
        let Some(newest) = present.next() else { continue };
        hold(&mut decisions[newest], "newest of its group");
        let proven = std::iter::once(newest).chain(present).find(|index| snapshots[*index].proven);
        if let Some(proven) = proven {
            hold(&mut decisions[proven], "newest of its group that a drill proved");
        }
    }
    decisions
}

/// Keeps for a floor; what the policy said against it is no longer a reason.
fn hold(decision: &mut RetentionDecision, reason: &str) {
    if !decision.keep {
        *decision = RetentionDecision { keep: true, reasons: Vec::new() };
    }
    if !decision.reasons.iter().any(|given| given == reason) {
        decision.reasons.push(reason.to_owned());
    }
}
