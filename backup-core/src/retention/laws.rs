//! Laws that hold for every policy, checked on random snapshots and random, nested policies.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

use super::*;
use crate::registry::RetentionConfig;

/// 2026-10-25T00:00:00Z, an hour before clocks are set back in Europe.
const MIDNIGHT: i64 = 1_792_886_400;
const NOW: Timestamp = Timestamp::from_secs(MIDNIGHT + 400 * 86_400);

fn received() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        // Close together, far apart, at the ends of time and beyond the calendar's, and after now.
        6 => (0..7_200_i64, 0..1_000_000_000_u32).prop_map(|(s, n)| Timestamp::new(MIDNIGHT + s, n).unwrap()),
        6 => (-40 * 86_400..40 * 86_400_i64).prop_map(|s| Timestamp::from_secs(MIDNIGHT + s)),
        6 => (-4000..400_i64).prop_map(|d| Timestamp::from_secs(MIDNIGHT + d * 86_400)),
        1 => any::<(i64, u32)>().prop_map(|(s, n)| Timestamp::new(s, n % 1_000_000_000).unwrap()),
        1 => select(vec![i64::MIN, -1, 0, i64::MAX]).prop_map(Timestamp::from_secs),
        1 => (-700..10_000_i64).prop_map(|s| Timestamp::from_secs(NOW.secs() + s)),
    ]
}

fn snapshots() -> impl Strategy<Value = Vec<SnapshotFacts>> {
    let one = (
        received(),
        select(vec!["laptop", "server"]),
        subsequence(vec!["daily", "release", "starred"], 0..=3),
        proptest::option::of(select(vec!["draft", "manual", "odd"])),
        proptest::bool::weighted(0.05),
        prop_oneof![9 => 0..200_u64, 1 => any::<u64>()],
        proptest::bool::weighted(0.1),
    );
    proptest::collection::vec(one, 0..40).prop_map(|made| {
        let facts = |(id, (received, group, tags, category, pinned, added_bytes, proven)): (usize, _)| {
            let tags: Vec<&str> = tags;
            SnapshotFacts {
                id: format!("{id:04x}"),
                received,
                group: String::from(group),
                tags: tags.into_iter().map(str::to_owned).collect(),
                category: Option::map(category, str::to_owned),
                pinned,
                added_bytes,
                proven,
            }
        };
        made.into_iter().enumerate().map(facts).collect()
    })
}

fn count() -> impl Strategy<Value = Value> {
    prop_oneof![9 => (0..6_u32).prop_map(Value::from), 1 => Just(json!("all"))]
}

fn age() -> impl Strategy<Value = Value> {
    select(vec!["1s", "30min", "5h", "2d", "1w", "1mo", "1y 6mo", "9000y"]).prop_map(Value::from)
}

fn scope() -> impl Strategy<Value = Value> {
    select(vec!["group", "repository"]).prop_map(Value::from)
}

fn zone() -> impl Strategy<Value = Value> {
    let zones = ["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Pacific/Apia", "Pacific/Kiritimati"];
    select(zones.to_vec()).prop_map(Value::from)
}

const PERIODS: [&str; 7] = ["last", "hourly", "daily", "weekly", "monthly", "quarterly", "yearly"];

fn gfs() -> impl Strategy<Value = Value> {
    let rules = proptest::collection::btree_map(select(PERIODS.to_vec()), count(), 0..4);
    (rules, zone()).prop_map(|(rules, zone)| {
        let mut policy = json!({ "type": "gfs", "time_zone": zone });
        for (period, count) in rules {
            policy[period] = count;
        }
        policy
    })
}

fn simple() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => gfs(),
        1 => (count(), scope()).prop_map(|(n, s)| json!({ "type": "keep_last", "count": n, "scope": s })),
        1 => age().prop_map(|age| json!({ "type": "keep_within", "duration": age })),
        1 => age().prop_map(|age| json!({ "type": "max_age", "duration": age })),
        1 => (0..2000_u64, scope()).prop_map(|(n, s)| json!({ "type": "max_total_size", "limit": n, "scope": s })),
        1 => (age(), count()).prop_map(|(age, n)| json!({ "type": "rolling", "interval": age, "count": n })),
        1 => subsequence(vec!["daily", "starred", "none"], 0..=2).prop_map(|tags| json!({ "type": "keep_tags", "tags": tags })),
        1 => Just(json!({ "type": "keep_pinned" })),
        1 => Just(json!({ "type": "forever" })),
    ]
}

/// Policies as they stand in a configuration, made of each other up to three deep.
fn policies() -> impl Strategy<Value = Value> {
    simple().prop_recursive(3, 12, 4, |inner| {
        let several = proptest::collection::vec(inner.clone(), 0..4);
        let rule = prop_oneof![Just(json!("forever")), age(), inner];
        prop_oneof![
            several.clone().prop_map(|policies| json!({ "type": "any_of", "policies": policies })),
            several.prop_map(|policies| json!({ "type": "all_of", "policies": policies })),
            (proptest::collection::btree_map(select(vec!["draft", "manual"]), rule.clone(), 0..3), rule)
                .prop_map(|(map, default)| json!({ "type": "by_category", "categories": map, "default": default })),
        ]
    })
}

fn build(policy: &Value) -> Box<dyn RetentionConfig> {
    serde_json::from_value(policy.clone()).unwrap()
}

type Decider = fn(&dyn RetentionPolicy, &[SnapshotFacts], Timestamp) -> Vec<RetentionDecision>;

/// The policy by itself, and behind the floors.
const DECIDERS: [Decider; 2] = [|policy, snapshots, now| policy.decide(snapshots, now), decide];

fn by_id(snapshots: &[SnapshotFacts], decisions: Vec<RetentionDecision>) -> BTreeMap<String, RetentionDecision> {
    assert_eq!(snapshots.len(), decisions.len());
    snapshots.iter().map(|snapshot| snapshot.id.clone()).zip(decisions).collect()
}

fn kept(snapshots: &[SnapshotFacts], decisions: &[RetentionDecision]) -> BTreeSet<String> {
    let kept = snapshots.iter().zip(decisions).filter(|(_, decision)| decision.keep);
    kept.map(|(snapshot, _)| snapshot.id.clone()).collect()
}

fn keeps(policy: &Value, snapshots: &[SnapshotFacts]) -> BTreeSet<String> {
    kept(snapshots, &build(policy).decide(snapshots, NOW))
}

fn everything(snapshots: &[SnapshotFacts]) -> BTreeSet<String> {
    snapshots.iter().map(|snapshot| snapshot.id.clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_snapshot_gets_a_decision_with_a_reason(policy in policies(), snapshots in snapshots(), now in received()) {
        for decider in DECIDERS {
            let decisions = decider(&*build(&policy), &snapshots, now);
            prop_assert_eq!(decisions.len(), snapshots.len());
            for decision in &decisions {
                prop_assert!(!decision.reasons.is_empty() && decision.reasons.iter().all(|reason| !reason.is_empty()));
            }
            prop_assert_eq!(decider(&*build(&policy), &snapshots, now), decisions, "decided twice");
        }
    }

    #[test]
    fn order_of_the_snapshots_changes_nothing(
        policy in policies(),
        (snapshots, shuffled) in snapshots().prop_flat_map(|s| (Just(s.clone()), Just(s).prop_shuffle())),
    ) {
        for decider in DECIDERS {
            let policy = build(&policy);
            let decisions = by_id(&snapshots, decider(&*policy, &snapshots, NOW));
            prop_assert_eq!(by_id(&shuffled, decider(&*policy, &shuffled, NOW)), decisions);
        }
    }

    #[test]
    fn what_is_kept_among_many_is_kept_among_some_of_them(
        policy in policies(),
        snapshots in snapshots(),
        chosen in proptest::collection::vec(any::<bool>(), 40),
    ) {
        let some: Vec<_> = snapshots.iter().zip(chosen).filter(|(_, c)| *c).map(|(s, _)| s.clone()).collect();
        for decider in DECIDERS {
            let policy = build(&policy);
            let among_all = kept(&snapshots, &decider(&*policy, &snapshots, NOW));
            let among_some = kept(&some, &decider(&*policy, &some, NOW));
            let expected: BTreeSet<_> = everything(&some).intersection(&among_all).cloned().collect();
            prop_assert!(among_some.is_superset(&expected), "{:?} lacks some of {:?}", among_some, expected);
        }
    }

    #[test]
    fn deciding_again_on_what_was_kept_keeps_all_of_it(policy in policies(), snapshots in snapshots()) {
        for decider in DECIDERS {
            let policy = build(&policy);
            let kept = kept(&snapshots, &decider(&*policy, &snapshots, NOW));
            let rest: Vec<_> = snapshots.iter().filter(|s| kept.contains(&s.id)).cloned().collect();
            prop_assert!(decider(&*policy, &rest, NOW).iter().all(|decision| decision.keep));
        }
    }

    #[test]
    fn floors_hold_whatever_the_policy_says(policy in policies(), snapshots in snapshots(), now in received()) {
        let horizon = now.saturating_add(CLOCK_TOLERANCE);
        for policy in [&*build(&policy) as &dyn RetentionPolicy, &ForgetsAll, &Miscounts] {
            let kept = kept(&snapshots, &decide(policy, &snapshots, now));
            for snapshot in snapshots.iter().filter(|s| s.pinned || s.received > horizon) {
                prop_assert!(kept.contains(&snapshot.id), "pinned or from the future: {}", snapshot.id);
            }
            for group in ["laptop", "server"] {
                let present = || snapshots.iter().filter(|s| s.group == group && s.received <= horizon);
                let age = |s: &&SnapshotFacts| (s.received, s.id.clone());
                for newest in present().max_by_key(age).into_iter().chain(present().filter(|s| s.proven).max_by_key(age)) {
                    prop_assert!(kept.contains(&newest.id), "newest or newest proven: {}", newest.id);
                }
            }
        }
    }

    #[test]
    fn policy_that_miscounts_forgets_nothing(snapshots in snapshots()) {
        prop_assert_eq!(kept(&snapshots, &decide(&Miscounts, &snapshots, NOW)), everything(&snapshots));
    }

    #[test]
    fn larger_number_keeps_at_least_as_much(
        snapshots in snapshots(),
        (fewer, more) in (1..8_u32).prop_flat_map(|more| (1..=more, Just(more))),
        gfs in gfs(),
        period in select(PERIODS.to_vec()),
        scope in scope(),
    ) {
        let with = |count: Value| {
            let mut gfs = gfs.clone();
            gfs[period] = count.clone();
            let size = count.as_u64().map_or(json!(u64::MAX), |count| json!(count * 150));
            let days = count.as_u64().map_or(json!("9000y"), |count| json!(format!("{count}d")));
            [
                gfs,
                json!({ "type": "keep_last", "count": count, "scope": scope }),
                json!({ "type": "rolling", "interval": "1h", "count": count }),
                json!({ "type": "max_total_size", "limit": size, "scope": scope }),
                json!({ "type": "keep_within", "duration": days }),
                json!({ "type": "max_age", "duration": days }),
            ]
        };
        for pair in [[json!(fewer), json!(more)], [json!(more), json!("all")]] {
            let [smaller, larger] = pair.map(with);
            for (smaller, larger) in smaller.iter().zip(&larger) {
                let (few, many) = (keeps(smaller, &snapshots), keeps(larger, &snapshots));
                prop_assert!(few.is_subset(&many), "{} keeps {:?}, {} keeps {:?}", smaller, few, larger, many);
            }
        }
    }

    #[test]
    fn any_keeps_the_union_and_all_the_intersection(
        one in policies(), other in policies(), snapshots in snapshots(),
    ) {
        let (a, b) = (keeps(&one, &snapshots), keeps(&other, &snapshots));
        let any = keeps(&json!({ "type": "any_of", "policies": [one, other] }), &snapshots);
        let all = keeps(&json!({ "type": "all_of", "policies": [one, other] }), &snapshots);
        prop_assert_eq!(any, a.union(&b).cloned().collect::<BTreeSet<_>>());
        prop_assert_eq!(all, a.intersection(&b).cloned().collect::<BTreeSet<_>>());
    }

    #[test]
    fn empty_policy_keeps_everything(snapshots in snapshots()) {
        for empty in [
            json!({ "type": "any_of", "policies": [] }),
            json!({ "type": "all_of", "policies": [] }),
            json!({ "type": "gfs" }),
            json!({ "type": "gfs", "daily": 0, "last": 0 }),
            json!({ "type": "keep_last", "count": 0 }),
            json!({ "type": "rolling", "interval": "1d", "count": 0 }),
            json!({ "type": "rolling", "interval": "1mo", "count": 3 }),
            json!({ "type": "max_total_size", "limit": 0 }),
            json!({ "type": "keep_tags", "tags": [] }),
            json!({ "type": "by_category" }),
            json!({ "type": "any_of", "policies": [{ "type": "gfs" }, { "type": "keep_pinned" }] }),
        ] {
            prop_assert_eq!(keeps(&empty, &snapshots), everything(&snapshots), "{}", empty);
        }
    }

    #[test]
    fn gfs_agrees_with_a_plain_model(policy in gfs(), snapshots in snapshots()) {
        prop_assert_eq!(keeps(&policy, &snapshots), model::keeps(&policy, &snapshots));
    }
}

#[derive(Debug)]
struct ForgetsAll;

impl RetentionPolicy for ForgetsAll {
    fn decide(&self, snapshots: &[SnapshotFacts], _: Timestamp) -> Vec<RetentionDecision> {
        vec![RetentionDecision::forget("everything goes"); snapshots.len()]
    }
}

#[derive(Debug)]
struct Miscounts;

impl RetentionPolicy for Miscounts {
    fn decide(&self, snapshots: &[SnapshotFacts], _: Timestamp) -> Vec<RetentionDecision> {
        vec![RetentionDecision::forget("everything goes"); snapshots.len() + 1]
    }
}

/// The rule of [`Gfs`] said once more, slowly: a snapshot is kept by a rule when it is the newest of its period and
/// fewer than so many periods are newer, or when it is the oldest and there are fewer periods than so many.
mod model {
    use super::*;

    fn period(name: &str, snapshot: &SnapshotFacts, zone: &Value) -> String {
        let second = snapshot.received.secs().clamp(-377_705_023_201, 253_402_207_200);
        let time = jiff::Timestamp::from_second(second).unwrap().in_tz(zone.as_str().unwrap()).unwrap();
        let format = match name {
            "last" => return snapshot.id.clone(),
            "quarterly" if time.month() <= 3 => "%Y first",
            "quarterly" if time.month() <= 6 => "%Y second",
            "quarterly" if time.month() <= 9 => "%Y third",
            "quarterly" => "%Y fourth",
            "hourly" => "%Y-%m-%d %H %z",
            "daily" => "%Y-%m-%d",
            "weekly" => "%G-W%V",
            "monthly" => "%Y-%m",
            "yearly" => "%Y",
            other => panic!("no period {other}"),
        };
        time.strftime(format).to_string()
    }

    pub(super) fn keeps(policy: &Value, snapshots: &[SnapshotFacts]) -> BTreeSet<String> {
        let limit = |name: &str| match &policy[name] {
            Value::Null => 0,
            Value::Number(count) => usize::try_from(count.as_u64().unwrap()).unwrap(),
            _ => usize::MAX,
        };
        if PERIODS.iter().all(|name| limit(name) == 0) {
            return everything(snapshots);
        }
        let age = |s: &SnapshotFacts| (s.received, s.id.clone());
        let by_rule = |snapshot: &SnapshotFacts, name: &str| {
            let of = |s: &SnapshotFacts| period(name, s, &policy["time_zone"]);
            let group = || snapshots.iter().filter(|other| other.group == snapshot.group);
            let newer: BTreeSet<String> = group().filter(|other| age(other) > age(snapshot)).map(of).collect();
            let oldest = group().all(|other| age(other) >= age(snapshot));
            newer.len() < limit(name) && (oldest || !newer.contains(&of(snapshot)))
        };
        let kept = snapshots.iter().filter(|snapshot| PERIODS.iter().any(|name| by_rule(snapshot, name)));
        kept.map(|snapshot| snapshot.id.clone()).collect()
    }
}
