//! What every retention policy owes.

use std::collections::BTreeMap;

use backup_core::Timestamp;
use backup_core::retention::{RetentionDecision, RetentionPolicy, SnapshotFacts};

use super::{Broken, broken_of, holds};
use crate::random::Random;

/// Sets of snapshots that each law is tried on.
const ROUNDS: usize = 200;

/// Snapshots in the largest set.
const MAX_SNAPSHOTS: u64 = 40;

/// Where the snapshots lie in time: 2026-10-25, when clocks are set back in Europe.
const AROUND_SECS: i64 = 1_792_886_400;

/// One law: `Err` with an example where it is broken.
type Law = fn(&dyn RetentionPolicy, u64) -> Result<(), String>;

/// The laws that the trait asks of every policy.
const LAWS: &[(&str, Law)] = &[
    ("one_decision_for_each_snapshot", one_decision_for_each_snapshot),
    ("every_decision_has_a_reason", every_decision_has_a_reason),
    ("the_same_question_has_the_same_answer", the_same_question_has_the_same_answer),
    ("order_changes_nothing", order_changes_nothing),
];

/// The law that the standard policies keep besides, so that they can be combined in any way; deciding again on what was kept then keeps all of it.
const STANDARD_LAWS: &[(&str, Law)] = &[("what_is_kept_stays_when_others_go", what_is_kept_stays_when_others_go)];

/// The laws of the trait that a policy breaks.
pub fn broken(policy: &dyn RetentionPolicy, seed: u64) -> Vec<Broken> {
    broken_of(LAWS.iter().map(|(law, holds)| (*law, holds(policy, seed))), seed)
}

/// The same with the laws that the standard policies keep besides.
pub fn broken_of_standard(policy: &dyn RetentionPolicy, seed: u64) -> Vec<Broken> {
    let mut broken = broken_of(LAWS.iter().map(|(law, holds)| (*law, holds(policy, seed))), seed);
    broken.extend(broken_of(STANDARD_LAWS.iter().map(|(law, holds)| (*law, holds(policy, seed))), seed));
    broken
}

/// The names of all laws.
pub fn names() -> impl Iterator<Item = &'static str> {
    LAWS.iter().chain(STANDARD_LAWS).map(|(name, _)| *name)
}

/// A set of snapshots and a time to ask about them.
fn question(random: &mut Random) -> (Vec<SnapshotFacts>, Timestamp) {
    let count = random.below(MAX_SNAPSHOTS + 1);
    let facts = (0..count).map(|number| {
        // Close together, days apart, years apart, and at the ends of time.
        let offset = |random: &mut Random, limit| i64::try_from(random.below(limit)).unwrap_or(0);
        let secs = match random.below(20) {
            0..=6 => AROUND_SECS + offset(random, 7_200),
            7..=12 => AROUND_SECS - offset(random, 40 * 86_400),
            13..=18 => AROUND_SECS - offset(random, 4_000) * 86_400,
            _ => [i64::MIN, 0, i64::MAX][usize::try_from(random.below(3)).unwrap_or(0)],
        };
        let nanos = u32::try_from(random.below(1_000_000_000)).unwrap_or(0);
        let one_of =
            |random: &mut Random, names: [&str; 3]| names[usize::try_from(random.below(3)).unwrap_or(0)].to_owned();
        let tags = ["daily", "release", "starred"];
        SnapshotFacts {
            id: format!("{number:04x}"),
            received: Timestamp::new(secs, nanos).unwrap_or(Timestamp::EPOCH),
            group: one_of(random, ["laptop", "server", "laptop"]),
            tags: tags.into_iter().filter(|_| random.below(3) == 0).map(str::to_owned).collect(),
            category: (random.below(2) == 0).then(|| one_of(random, ["draft", "manual", "odd"])),
            pinned: random.below(20) == 0,
            added_bytes: random.below(200),
            proven: random.below(10) == 0,
        }
    });
    (facts.collect(), Timestamp::from_secs(AROUND_SECS + 400 * 86_400))
}

fn questions(seed: u64) -> impl Iterator<Item = (Vec<SnapshotFacts>, Timestamp, Random)> {
    (0..ROUNDS).scan(Random::new(seed), |random, _| {
        let (snapshots, now) = question(random);
        Some((snapshots, now, Random::new(random.number())))
    })
}

fn shuffled(mut snapshots: Vec<SnapshotFacts>, random: &mut Random) -> Vec<SnapshotFacts> {
    for left in (1..snapshots.len()).rev() {
        let other = usize::try_from(random.below(left as u64 + 1)).unwrap_or(0);
        snapshots.swap(left, other);
    }
    snapshots
}

fn by_id(snapshots: &[SnapshotFacts], decisions: Vec<RetentionDecision>) -> BTreeMap<&str, RetentionDecision> {
    snapshots.iter().map(|snapshot| snapshot.id.as_str()).zip(decisions).collect()
}

fn one_decision_for_each_snapshot(policy: &dyn RetentionPolicy, seed: u64) -> Result<(), String> {
    for (snapshots, now, _) in questions(seed) {
        let decisions = policy.decide(&snapshots, now);
        holds!(decisions.len() == snapshots.len(), "{} decisions about {} snapshots", decisions.len(), snapshots.len());
    }
    Ok(())
}

fn every_decision_has_a_reason(policy: &dyn RetentionPolicy, seed: u64) -> Result<(), String> {
    for (snapshots, now, _) in questions(seed) {
        for (id, decision) in by_id(&snapshots, policy.decide(&snapshots, now)) {
            let told = !decision.reasons.is_empty() && decision.reasons.iter().all(|reason| !reason.trim().is_empty());
            holds!(told, "no reason, or an empty one, for snapshot {id}: {decision:?}");
        }
    }
    Ok(())
}

fn the_same_question_has_the_same_answer(policy: &dyn RetentionPolicy, seed: u64) -> Result<(), String> {
    for (snapshots, now, _) in questions(seed) {
        let (first, second) = (policy.decide(&snapshots, now), policy.decide(&snapshots, now));
        holds!(first == second, "asked twice about {} snapshots, it answers differently", snapshots.len());
    }
    Ok(())
}

fn order_changes_nothing(policy: &dyn RetentionPolicy, seed: u64) -> Result<(), String> {
    for (snapshots, now, mut random) in questions(seed) {
        let expected = by_id(&snapshots, policy.decide(&snapshots, now));
        let other = shuffled(snapshots.clone(), &mut random);
        for (id, decision) in by_id(&other, policy.decide(&other, now)) {
            let differs = expected.get(id).is_some_and(|before| before.keep != decision.keep);
            holds!(!differs, "in another order, snapshot {id} gets {decision:?}");
        }
    }
    Ok(())
}

fn kept(policy: &dyn RetentionPolicy, snapshots: &[SnapshotFacts], now: Timestamp) -> Vec<SnapshotFacts> {
    let decisions = policy.decide(snapshots, now);
    snapshots.iter().zip(decisions).filter(|(_, decision)| decision.keep).map(|(facts, _)| facts.clone()).collect()
}

fn what_is_kept_stays_when_others_go(policy: &dyn RetentionPolicy, seed: u64) -> Result<(), String> {
    for (snapshots, now, mut random) in questions(seed) {
        let before = kept(policy, &snapshots, now);
        let fewer: Vec<_> = snapshots.into_iter().filter(|_| random.below(3) > 0).collect();
        let after = kept(policy, &fewer, now);
        let lost = before.iter().find(|facts| fewer.contains(facts) && !after.contains(facts));
        holds!(lost.is_none(), "kept among many and not among fewer: {lost:?}");
    }
    Ok(())
}
