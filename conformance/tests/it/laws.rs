//! The laws of the other families: ours keep them, and each law finds the bug that is named after it, and no other does.

mod source;

use std::sync::Mutex;
use std::thread::ThreadId;

use backup_conformance::laws::{Broken, conflict, demand, retention, snapshotter};
use backup_core::conflict::{ConflictResolver, KeepBackup, KeepBoth, KeepLocal, Newest, RestoreConflict};
use backup_core::registry::RetentionConfig;
use backup_core::retention::{RetentionDecision, RetentionPolicy, SnapshotFacts};
use backup_core::{Resolution, Timestamp};
use serde_json::{Value, json};

use self::source::{Memory, MemoryPlace};

const SEEDS: [u64; 3] = [1, 20_261_122, u64::MAX];

fn laws(broken: &[Broken]) -> Vec<&'static str> {
    broken.iter().map(|broken| broken.law).collect()
}

#[test]
fn standard_policies_keep_the_laws() {
    let gfs = json!({ "type": "gfs", "last": 2, "hourly": 3, "daily": 7, "weekly": 4, "monthly": "all", "time_zone": "Europe/Berlin" });
    let last = json!({ "type": "keep_last", "count": 3 });
    let policies: Vec<Value> = vec![
        gfs.clone(),
        last.clone(),
        json!({ "type": "keep_last", "count": 2, "scope": "repository" }),
        json!({ "type": "keep_within", "duration": "400d" }),
        json!({ "type": "max_age", "duration": "2y" }),
        json!({ "type": "max_total_size", "limit": 1000 }),
        json!({ "type": "rolling", "interval": "7d", "count": 5 }),
        json!({ "type": "keep_tags", "tags": ["daily"] }),
        json!({ "type": "keep_pinned" }),
        json!({ "type": "forever" }),
        json!({ "type": "any_of", "policies": [gfs, last] }),
        json!({ "type": "all_of", "policies": [gfs, last] }),
        json!({ "type": "by_category", "categories": { "draft": "30d" }, "default": gfs }),
    ];
    for policy in policies {
        let built: Box<dyn RetentionConfig> = serde_json::from_value(policy.clone()).unwrap();
        for seed in SEEDS {
            let broken = retention::broken_of_standard(built.as_ref(), seed);
            assert!(broken.is_empty(), "{policy}: {broken:?}");
        }
    }
}

/// The last three of a group, with a bug.
#[derive(Debug, Default)]
struct BadPolicy {
    bug: &'static str,
    asked: Mutex<u32>,
}

impl RetentionPolicy for BadPolicy {
    fn decide(&self, snapshots: &[SnapshotFacts], _: Timestamp) -> Vec<RetentionDecision> {
        let asked = {
            let mut asked = self.asked.lock().unwrap();
            *asked += 1;
            *asked
        };
        let newer = |one: &SnapshotFacts| {
            let later = |other: &&SnapshotFacts| (other.received, &other.id) > (one.received, &one.id);
            snapshots.iter().filter(later).count()
        };
        let decide = |(at, one): (usize, &SnapshotFacts)| {
            let keep = match self.bug {
                "order_changes_nothing" => snapshots.len() - at <= 3,
                // An odd number of snapshots is thinned out, an even one is not.
                "what_is_kept_stays_when_others_go" => snapshots.len().is_multiple_of(2) || newer(one) < 3,
                _ => newer(one) < 3,
            };
            let reason = match self.bug {
                "every_decision_has_a_reason" if !keep => " ".to_owned(),
                "the_same_question_has_the_same_answer" => format!("last 3, asked for the {asked}th time"),
                _ => "last 3".to_owned(),
            };
            if keep { RetentionDecision::keep(reason) } else { RetentionDecision::forget(reason) }
        };
        let decisions = snapshots.iter().enumerate().map(decide);
        let short = usize::from(self.bug == "one_decision_for_each_snapshot" && snapshots.len() > 30);
        decisions.take(snapshots.len() - short).collect()
    }
}

#[test]
fn each_law_of_policies_finds_its_bug() {
    demand(retention::broken_of_standard(&BadPolicy::default(), 1));
    for bug in retention::names() {
        for seed in SEEDS {
            let policy = BadPolicy { bug, ..BadPolicy::default() };
            let found = laws(&retention::broken_of_standard(&policy, seed));
            // A policy that breaks its trait's laws may break the further one, too; not the other way round.
            let of_the_trait = laws(&retention::broken(&BadPolicy { bug, ..BadPolicy::default() }, seed));
            match bug {
                "what_is_kept_stays_when_others_go" => assert_eq!((of_the_trait, found), (vec![], vec![bug])),
                _ => assert_eq!(of_the_trait, [bug]),
            }
        }
    }
}

#[test]
fn standard_resolvers_keep_the_laws() {
    for seed in SEEDS {
        demand(conflict::broken(&KeepLocal {}, seed));
        demand(conflict::broken(&KeepBackup {}, seed));
        demand(conflict::broken(&KeepBoth::default(), seed));
        demand(conflict::broken(&Newest {}, seed));
    }
}

#[derive(Debug)]
struct BadResolver {
    bug: &'static str,
    home: ThreadId,
    /// What was asked last, and what before that was another.
    asked: Mutex<(Vec<u8>, Vec<u8>)>,
}

impl ConflictResolver for BadResolver {
    fn resolve(&self, conflict: &RestoreConflict<'_>) -> Resolution {
        let path = conflict.backup.path.as_bytes().to_vec();
        let (again, before) = {
            let mut asked = self.asked.lock().unwrap();
            let again = asked.0 == path;
            if !again {
                *asked = (path.clone(), std::mem::take(&mut asked.0));
            }
            (again, asked.1.clone())
        };
        let odd = match self.bug {
            // Who is asked twice thinks again.
            "the_same_conflict_has_the_same_answer" => again,
            "what_came_before_changes_nothing" => before > path,
            "the_thread_changes_nothing" => std::thread::current().id() != self.home,
            _ => false,
        };
        if odd { Resolution::KeepBackup } else { Resolution::KeepLocal }
    }
}

#[test]
fn each_law_of_resolvers_finds_its_bug() {
    for bug in conflict::names().chain([""]) {
        for seed in SEEDS {
            let (asked, home) = (Mutex::default(), std::thread::current().id());
            let found = laws(&conflict::broken(&BadResolver { bug, asked, home }, seed));
            let expected = if bug.is_empty() { vec![] } else { vec![bug] };
            assert_eq!(found, expected);
        }
    }
}

#[test]
fn each_law_of_sources_finds_its_bug() {
    demand(snapshotter::broken(&Memory::new(""), 1));
    for bug in snapshotter::names() {
        for seed in SEEDS {
            let found = laws(&snapshotter::broken(&Memory::new(bug), seed));
            assert_eq!(found, [bug]);
        }
    }
    assert!(MemoryPlace::count() > 0, "targets were made");
}
