use super::*;
use crate::registry::RetentionConfig;

/// Snapshots received at the given times, each with its place in the list as its id.
fn at(times: &[&str]) -> Vec<SnapshotFacts> {
    let snapshot = |(index, time): (usize, &&str)| SnapshotFacts {
        id: format!("{index:02}"),
        received: Timestamp::from_secs(time.parse::<jiff::Timestamp>().unwrap().as_second()),
        group: "g".into(),
        tags: Vec::new(),
        category: None,
        pinned: false,
        added_bytes: 0,
        proven: false,
    };
    times.iter().enumerate().map(snapshot).collect()
}

fn gfs(text: &str) -> Gfs {
    serde_json::from_str(text).unwrap()
}

fn reasons(policy: &dyn RetentionPolicy, times: &[&str]) -> Vec<(bool, String)> {
    let decisions = policy.decide(&at(times), Timestamp::EPOCH);
    decisions.into_iter().map(|decision| (decision.keep, decision.reasons.join("; "))).collect()
}

fn kept(policy: &dyn RetentionPolicy, times: &[&str]) -> Vec<bool> {
    reasons(policy, times).into_iter().map(|(keep, _)| keep).collect()
}

#[test]
fn newest_of_a_day_stays_and_the_oldest_until_the_days_are_full() {
    let policy = gfs(r#"{"daily": 2}"#);
    let times = ["2026-11-20T23:59:59Z", "2026-11-20T12:00:00Z", "2026-11-20T00:00:00Z"];
    assert_eq!(
        reasons(&policy, &times),
        [
            (true, "daily 2026-11-20".into()),
            (false, "daily 2026-11-20 has a newer one".into()),
            (true, "daily, the oldest until there are 2".into()),
        ]
    );
    let times = ["2026-11-20T01:00:00Z", "2026-11-19T23:00:00Z", "2026-11-19T01:00:00Z", "2026-11-18T01:00:00Z"];
    assert_eq!(
        reasons(&policy, &times)[2..],
        [(false, "daily 2026-11-19 has a newer one".into()), (false, "daily, there are 2 newer".into())]
    );
}

#[test]
fn rules_name_their_periods() {
    let policy = gfs(
        r#"{"last":1,"hourly":1,"daily":1,"weekly":1,"monthly":1,"quarterly":1,"yearly":1,"time_zone":"Europe/Berlin"}"#,
    );
    assert_eq!(
        reasons(&policy, &["2026-12-31T23:30:00Z"])[0].1,
        "last 1; hourly 2027-01-01 00:00+01; daily 2027-01-01; weekly 2026-W53; monthly 2027-01; quarterly 2027-Q1; \
         yearly 2027"
    );
}

#[test]
fn days_without_a_snapshot_do_not_count() {
    let policy = gfs(r#"{"daily": 2}"#);
    assert_eq!(
        kept(&policy, &["2026-11-20T00:00:00Z", "2020-01-01T00:00:00Z", "2019-01-01T00:00:00Z"]),
        [true, true, false]
    );
}

#[test]
fn week_across_the_new_year_is_one_week() {
    let policy = gfs(r#"{"weekly": 2}"#);
    let times = ["2027-01-03T12:00:00Z", "2026-12-31T12:00:00Z", "2026-12-27T12:00:00Z", "2026-01-01T12:00:00Z"];
    let kept = reasons(&policy, &times);
    assert_eq!(kept[0], (true, "weekly 2026-W53".into()));
    assert_eq!(kept[1], (false, "weekly 2026-W53 has a newer one".into()));
    assert_eq!(kept[2], (true, "weekly 2026-W52".into()));
    assert_eq!(kept[3], (false, "weekly, there are 2 newer".into()));
}

#[test]
fn hour_that_comes_twice_is_two_hours() {
    // Clocks in Berlin are set back from 03:00 to 02:00 at 01:00 UTC.
    let policy = gfs(r#"{"hourly": 3, "time_zone": "Europe/Berlin"}"#);
    let times = ["2026-10-25T01:30:00Z", "2026-10-25T00:45:00Z", "2026-10-25T00:30:00Z", "2026-10-24T23:30:00Z"];
    assert_eq!(
        reasons(&policy, &times),
        [
            (true, "hourly 2026-10-25 02:00+01".into()),
            (true, "hourly 2026-10-25 02:00+02".into()),
            (false, "hourly 2026-10-25 02:00+02 has a newer one".into()),
            (true, "hourly 2026-10-25 01:00+02".into()),
        ]
    );
}

#[test]
fn day_of_25_hours_is_one_day_and_a_day_of_23_too() {
    let policy = gfs(r#"{"daily": "all", "time_zone": "Europe/Berlin"}"#);
    // 2026-10-25 lasts from 22:00 to 23:00 UTC of the next day, 2026-03-29 from 23:00 to 22:00.
    let autumn = ["2026-10-25T23:00:00Z", "2026-10-25T22:59:59Z", "2026-10-24T22:00:00Z", "2026-10-24T21:59:59Z"];
    assert_eq!(kept(&policy, &autumn), [true, true, false, true]);
    let spring = ["2026-03-29T22:00:00Z", "2026-03-29T21:59:59Z", "2026-03-28T23:00:00Z", "2026-03-28T22:59:59Z"];
    assert_eq!(kept(&policy, &spring), [true, true, false, true]);
    let utc = gfs(r#"{"daily": "all"}"#);
    assert_eq!(kept(&utc, &autumn), [true, false, true, true], "in UTC the last is the oldest");
}

#[test]
fn day_that_comes_twice_is_counted_once() {
    // St. John's set its clocks back from 00:01 to 23:01 of the day before: 02:30:30Z is Sunday, 02:31:00Z Saturday again.
    let policy = gfs(r#"{"daily": 2, "time_zone": "America/St_Johns"}"#);
    let times = [
        "2010-11-08T12:00:00Z", // Monday
        "2010-11-07T12:00:00Z", // Sunday
        "2010-11-07T03:00:00Z", // Saturday, the second time
        "2010-11-07T02:30:30Z", // Sunday for half a minute
        "2010-11-07T02:00:00Z", // Saturday
        "2010-11-06T02:00:00Z", // Friday
    ];
    assert_eq!(kept(&policy, &times), [true, true, false, false, false, false]);
    let three = gfs(r#"{"daily": 3, "time_zone": "America/St_Johns"}"#);
    assert_eq!(kept(&three, &times), [true, true, true, false, false, false]);
}

#[test]
fn zones_with_odd_offsets_and_lost_days_have_their_own_days() {
    let apia = gfs(r#"{"daily": "all", "time_zone": "Pacific/Apia"}"#);
    // Apia went from the end of 29 December 2011 (UTC-10) straight to 31 December (UTC+14).
    let times = ["2011-12-30T10:00:00Z", "2011-12-30T09:59:59Z", "2011-12-30T09:00:00Z", "2011-12-29T09:00:00Z"];
    assert_eq!(reasons(&apia, &times)[..2], [(true, "daily 2011-12-31".into()), (true, "daily 2011-12-29".into())]);
    let kathmandu = gfs(r#"{"hourly": "all", "time_zone": "Asia/Kathmandu"}"#);
    let times = ["2026-01-01T00:15:00Z", "2026-01-01T00:14:59Z", "2025-12-31T23:15:00Z", "2025-12-31T20:00:00Z"];
    assert_eq!(kept(&kathmandu, &times), [true, true, false, true], "hours begin at a quarter past in UTC");
}

#[test]
fn times_beyond_the_calendar_fall_into_its_last_and_first_period() {
    let far = |secs| SnapshotFacts { received: Timestamp::from_secs(secs), ..at(&["1970-01-01T00:00:00Z"]).remove(0) };
    for zone in ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"] {
        let policy = gfs(&format!(r#"{{"hourly":1,"weekly":9,"yearly":9,"time_zone":"{zone}"}}"#));
        let decisions = policy.decide(&[far(i64::MAX), far(0), far(i64::MIN)], Timestamp::from_secs(i64::MIN));
        assert!(decisions.iter().all(|decision| decision.keep), "{zone}: {decisions:?}");
    }
}

#[test]
fn rolling_tier_keeps_one_of_each_stretch() {
    let policy: Rolling = serde_json::from_str(r#"{"interval": "5min", "count": 2}"#).unwrap();
    let times = [
        "2026-11-20T10:11:00Z",
        "2026-11-20T10:09:59Z",
        "2026-11-20T10:05:00Z",
        "2026-11-20T10:04:59Z",
        "2026-11-20T09:00:00Z",
    ];
    assert_eq!(
        reasons(&policy, &times),
        [
            (true, "every 5min, the last 2".into()),
            (true, "every 5min, the last 2".into()),
            (false, "a newer one within the same 5min".into()),
            (false, "every 5min, there are 2 newer".into()),
            (false, "every 5min, there are 2 newer".into()),
        ]
    );
    let before_1970 = ["1970-01-01T00:01:00Z", "1969-12-31T23:59:00Z", "1969-12-31T23:56:00Z"];
    assert_eq!(kept(&policy, &before_1970), [true, true, false]);
}

#[test]
fn settings_that_keep_nothing_by_their_own_rule_are_refused() {
    let option = |config: &dyn RetentionConfig| config.validate().unwrap_err().option;
    assert_eq!(option(&gfs("{}")), None);
    assert_eq!(option(&gfs(r#"{"daily": 7, "weekly": 0}"#)).as_deref(), Some("weekly"));
    assert!(gfs(r#"{"yearly": "all"}"#).validate().is_ok());
    let rolling = |text: &str| serde_json::from_str::<Rolling>(text).unwrap();
    assert_eq!(option(&rolling(r#"{"interval": "1mo", "count": 1}"#)).as_deref(), Some("interval"));
    assert_eq!(option(&rolling(r#"{"interval": "999ms", "count": 1}"#)).as_deref(), Some("interval"));
    assert_eq!(option(&rolling(r#"{"interval": "1s", "count": 0}"#)).as_deref(), Some("count"));
}

#[test]
fn time_zone_is_adopted_where_none_was_given_however_deep() {
    let zone: ZoneName = "Europe/Berlin".parse().unwrap();
    let mut policy: Box<dyn RetentionConfig> = serde_json::from_value(serde_json::json!({
        "type": "any_of",
        "policies": [
            { "type": "gfs", "daily": 1 },
            { "type": "all_of", "policies": [{ "type": "gfs", "daily": 1, "time_zone": "UTC" }] },
            { "type": "by_category", "default": { "type": "gfs", "daily": 1 } },
        ],
    }))
    .unwrap();
    policy.adopt_time_zone(&zone);
    let json = serde_json::to_value(&policy).unwrap();
    let zones = [
        &json["policies"][0]["time_zone"],
        &json["policies"][1]["policies"][0]["time_zone"],
        &json["policies"][2]["default"]["time_zone"],
    ];
    assert_eq!(zones, ["Europe/Berlin", "UTC", "Europe/Berlin"]);
}
