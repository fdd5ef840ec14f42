//! What each policy keeps, by example, and the reasons it gives.

use serde_json::{Value, json};

use super::*;
use crate::registry::RetentionConfig;

const DAY: i64 = 86_400;

fn snapshot(id: &str, day: i64) -> SnapshotFacts {
    SnapshotFacts {
        id: id.into(),
        received: Timestamp::from_secs(day * DAY),
        group: "laptop".into(),
        tags: Vec::new(),
        category: None,
        pinned: false,
        added_bytes: 10,
        proven: false,
    }
}

/// Decides on day 100; `+` or `-` and the reasons for each.
fn decided(policy: Value, snapshots: &[SnapshotFacts]) -> Vec<String> {
    let policy: Box<dyn RetentionConfig> = serde_json::from_value(policy).unwrap();
    shown(policy.decide(snapshots, Timestamp::from_secs(100 * DAY)))
}

fn shown(decisions: Vec<RetentionDecision>) -> Vec<String> {
    let one = |decision: RetentionDecision| {
        format!("{} {}", if decision.keep { '+' } else { '-' }, decision.reasons.join("; "))
    };
    decisions.into_iter().map(one).collect()
}

#[test]
fn keep_last_counts_in_each_group_unless_told_otherwise() {
    let other = SnapshotFacts { group: "server".into(), ..snapshot("d", 4) };
    let snapshots = [snapshot("a", 1), snapshot("b", 3), snapshot("c", 2), other];
    assert_eq!(
        decided(json!({ "type": "keep_last", "count": 2 }), &snapshots),
        ["- not among the last 2", "+ last 2", "+ last 2", "+ last 2"]
    );
    let whole = json!({ "type": "keep_last", "count": 2, "scope": "repository" });
    assert_eq!(
        decided(whole, &snapshots),
        ["- not among the last 2", "+ last 2", "- not among the last 2", "+ last 2"]
    );
}

#[test]
fn of_two_received_at_once_the_greater_id_is_the_newer() {
    let snapshots = [snapshot("b", 1), snapshot("c", 1), snapshot("a", 1)];
    assert_eq!(
        decided(json!({ "type": "keep_last", "count": 1 }), &snapshots),
        ["- not among the last 1", "+ last 1", "- not among the last 1"]
    );
}

#[test]
fn keep_within_measures_from_the_newest_of_the_group_and_max_age_from_now() {
    let other = SnapshotFacts { group: "server".into(), ..snapshot("d", 50) };
    let snapshots = [snapshot("a", 10), snapshot("b", 13), snapshot("c", 20), other];
    assert_eq!(
        decided(json!({ "type": "keep_within", "duration": "7d" }), &snapshots),
        [
            "- more than 7d older than the newest",
            "+ within 7d of the newest",
            "+ within 7d of the newest",
            "+ within 7d of the newest"
        ]
    );
    assert_eq!(
        decided(json!({ "type": "max_age", "duration": "80d" }), &snapshots),
        ["- older than 80d", "- older than 80d", "+ not older than 80d", "+ not older than 80d"]
    );
}

#[test]
fn total_size_stops_at_the_first_that_does_not_fit() {
    let sized = |id, day, added_bytes| SnapshotFacts { added_bytes, ..snapshot(id, day) };
    let snapshots = [sized("a", 4, 60), sized("b", 3, 40), sized("c", 2, 1), sized("d", 1, 0)];
    assert_eq!(
        decided(json!({ "type": "max_total_size", "limit": 100 }), &snapshots),
        [
            "+ within 100 B together with newer ones",
            "+ within 100 B together with newer ones",
            "- more than 100 B together with newer ones",
            "- more than 100 B together with newer ones"
        ]
    );
    let huge = [sized("a", 2, u64::MAX), sized("b", 1, 2)];
    assert_eq!(
        decided(json!({ "type": "max_total_size", "limit": "500MB" }), &huge),
        ["- more than 500.0 MB together with newer ones", "- more than 500.0 MB together with newer ones"]
    );
}

#[test]
fn category_has_its_own_rule_and_sees_only_its_own() {
    let of = |category: &str, id, day| SnapshotFacts { category: Some(category.into()), ..snapshot(id, day) };
    let snapshots = [
        of("manual", "a", 1),
        of("draft", "b", 92),
        of("draft", "c", 99),
        of("close", "d", 1),
        of("close", "e", 2),
        snapshot("f", 50),
        of("odd", "g", 9),
    ];
    let policy = json!({
        "type": "by_category",
        "categories": { "manual": "forever", "draft": "7d", "close": { "type": "keep_last", "count": 1 } },
        "default": "90d",
    });
    assert_eq!(
        decided(policy, &snapshots),
        [
            "+ category manual: kept forever",
            "- category draft: older than 7d",
            "+ category draft: not older than 7d",
            "- category close: not among the last 1",
            "+ category close: last 1",
            "+ category other: not older than 90d",
            "- category other: older than 90d"
        ]
    );
}

#[test]
fn combined_policies_give_the_reasons_that_decided() {
    let tagged = SnapshotFacts { tags: vec!["release".into()], ..snapshot("a", 1) };
    let snapshots = [tagged, snapshot("b", 2), snapshot("c", 3)];
    let parts = json!([{ "type": "keep_last", "count": 1 }, { "type": "keep_tags", "tags": ["release", "x"] }]);
    assert_eq!(
        decided(json!({ "type": "any_of", "policies": parts }), &snapshots),
        ["+ tag release", "- not among the last 1; none of the tags release, x", "+ last 1"]
    );
    assert_eq!(
        decided(json!({ "type": "all_of", "policies": parts }), &snapshots),
        [
            "- not among the last 1",
            "- not among the last 1; none of the tags release, x",
            "- none of the tags release, x"
        ]
    );
    let twice = json!({ "type": "any_of", "policies": [{ "type": "forever" }, { "type": "forever" }] });
    assert_eq!(decided(twice, &snapshots)[0], "+ kept forever");
}

#[test]
fn floors_replace_the_reasons_against_and_add_to_those_for() {
    let policy: Box<dyn RetentionConfig> =
        serde_json::from_value(json!({ "type": "max_age", "duration": "1d" })).unwrap();
    let snapshots = [
        SnapshotFacts { pinned: true, ..snapshot("a", 1) },
        SnapshotFacts { proven: true, ..snapshot("b", 2) },
        SnapshotFacts { proven: true, ..snapshot("c", 1) },
        snapshot("d", 3),
        snapshot("e", 4),
        snapshot("f", 101),
    ];
    assert_eq!(
        shown(decide(&*policy, &snapshots, Timestamp::from_secs(100 * DAY))),
        [
            "+ pinned",
            "+ newest of its group that a drill proved",
            "- older than 1d",
            "- older than 1d",
            "+ newest of its group",
            "+ received in the future: a clock is wrong"
        ]
    );
    let now = Timestamp::from_secs(4 * DAY);
    let fresh = &snapshots[..5];
    assert_eq!(shown(decide(&*policy, fresh, now))[4], "+ not older than 1d; newest of its group");
}

#[test]
fn snapshot_from_the_future_pushes_none_out() {
    let policy = KeepLast::new(1);
    let now = Timestamp::from_secs(100 * DAY);
    let limit = now.saturating_add(CLOCK_TOLERANCE);
    let at_limit = SnapshotFacts { received: limit, ..snapshot("b", 0) };
    let past_limit =
        SnapshotFacts { received: limit.saturating_add(std::time::Duration::from_nanos(1)), ..snapshot("c", 0) };
    let keeps =
        |snapshots: &[SnapshotFacts], now| decide(&policy, snapshots, now).iter().map(|d| d.keep).collect::<Vec<_>>();
    assert_eq!(keeps(&[snapshot("a", 99), past_limit], now), [true, true]);
    assert_eq!(keeps(&[snapshot("a", 99), at_limit], now), [false, true]);
    // Our own clock fell back to 1970: everything lies in the future, and nothing goes.
    assert_eq!(keeps(&[snapshot("a", 98), snapshot("b", 99), snapshot("c", 97)], Timestamp::EPOCH), [true; 3]);
}
