//! Which damage holds, and what is checked next.

use super::*;

fn pack(first: u8) -> PackId {
    let mut bytes = [7; 32];
    bytes[..4].copy_from_slice(&[0, 0, 0, first]);
    PackId::from_bytes(bytes)
}

fn record(
    level: CheckLevel,
    subset: Option<(u32, u32)>,
    at: &str,
    damaged: &[(PackId, Option<u32>)],
    supersedes: &[u8],
) -> VerifyRecord {
    VerifyRecord {
        at: at.to_owned(),
        level: level.name().to_owned(),
        subset,
        packs: 0,
        bytes: 0,
        damaged: damaged.iter().map(|(pack, offset)| damage_name(pack, *offset)).collect(),
        supersedes: supersedes.iter().map(|&n| ObjectId::from_bytes([n; 32])).collect(),
    }
}

fn history(records: Vec<VerifyRecord>) -> History {
    let records = (0u8..).zip(records).map(|(n, record)| (ObjectId::from_bytes([n; 32]), record)).collect();
    History { records, damaged: Vec::new() }
}

fn held(records: Vec<VerifyRecord>) -> Vec<(PackId, Option<u32>)> {
    history(records).known_damage().into_iter().map(|held| (held.pack, held.offset_bytes)).collect()
}

const DATA: CheckLevel = CheckLevel::Data;
const OBJECTS: CheckLevel = CheckLevel::Objects;

#[test]
fn damage_holds_until_a_check_that_knew_of_it_looked_as_closely_and_found_it_gone() {
    let found = record(DATA, None, "2026-01-01T00:00:00Z", &[(pack(4), Some(80)), (pack(5), None)], &[]);
    let all = vec![(pack(4), Some(80)), (pack(5), None)];
    let after = |later: VerifyRecord| held(vec![found.clone(), later]);
    assert_eq!(held(vec![found.clone()]), all);
    // It did not know of the damage, whatever its time.
    assert_eq!(after(record(DATA, None, "2099-01-01T00:00:00Z", &[], &[])), all);
    // It did not look as closely.
    assert_eq!(after(record(OBJECTS, None, "2026-01-02T00:00:00Z", &[], &[0])), all);
    // It looked elsewhere: 4 and 5 are in stripes 1 and 2 of 4.
    assert_eq!(after(record(DATA, Some((3, 4)), "2026-01-02T00:00:00Z", &[], &[0])), all);
    assert_eq!(after(record(DATA, Some((1, 4)), "2026-01-02T00:00:00Z", &[], &[0])), all[1..]);
    // Its clock being wrong changes nothing.
    assert_eq!(after(record(DATA, None, "1970-01-01T00:00:00Z", &[], &[0])), []);
    assert_eq!(after(record(DATA, None, "2026-01-02T00:00:00Z", &all[..1], &[0])), all[..1]);
}

#[test]
fn a_record_of_an_unknown_level_is_believed_and_supersedes_nothing() {
    let mut found = record(DATA, None, "2026-01-01T00:00:00Z", &[(pack(4), None)], &[]);
    found.level = "deeper".to_owned();
    assert_eq!(held(vec![found.clone()]), [(pack(4), None)]);
    let mut later = record(DATA, None, "2026-01-02T00:00:00Z", &[], &[0]);
    assert_eq!(held(vec![found.clone(), later.clone()]), []);
    later.level = "deeper".to_owned();
    assert_eq!(held(vec![found, later]), [(pack(4), None)]);
}

#[test]
fn every_pack_is_in_exactly_one_stripe() {
    for of in [1, 2, 7, 30] {
        for first in 0..=u8::MAX {
            let stripes = (1..=of).filter(|&n| Stripe::new(n, of).unwrap().contains(&pack(first)));
            assert_eq!(stripes.count(), 1, "{first} of {of}");
        }
    }
}

#[test]
fn rotation_takes_the_part_that_waited_longest() {
    let now = parse_time("2026-02-01T00:00:00Z").unwrap();
    let next = |records: Vec<VerifyRecord>, level| {
        history(records).least_recently_verified(level, 3, now).unwrap().to_string()
    };
    let first = record(DATA, Some((1, 3)), "2026-01-01T00:00:00Z", &[], &[]);
    let second = record(OBJECTS, Some((2, 3)), "2026-01-02T00:00:00Z", &[], &[]);
    let third = record(DATA, Some((3, 3)), "2026-01-03T00:00:00Z", &[], &[]);
    assert_eq!(next(vec![], DATA), "1/3");
    assert_eq!(next(vec![first.clone()], DATA), "2/3");
    let all = vec![first.clone(), second, third.clone()];
    assert_eq!(next(all.clone(), DATA), "2/3");
    assert_eq!(next(all, OBJECTS), "1/3");
    // A check of everything counts for each part; one from the future counts for none.
    let everything = record(DATA, None, "2026-01-02T12:00:00Z", &[], &[]);
    assert_eq!(next(vec![first.clone(), everything, third.clone()], DATA), "1/3");
    let future = record(DATA, Some((2, 3)), "2099-01-01T00:00:00Z", &[], &[]);
    assert_eq!(next(vec![first, future, third], DATA), "2/3");
}

#[test]
fn everything_is_verified_since_the_oldest_of_the_newest_looks_at_each_part() {
    let now = parse_time("2026-02-01T00:00:00Z").unwrap();
    let verified =
        |records: Vec<VerifyRecord>, level| history(records).everything_verified(level, now).map(|at| at.to_string());
    let day = |n: u32| format!("2026-01-0{n}T00:00:00Z");
    let part = |level, n, at: u32| record(level, Some((n, 3)), &day(at), &[], &[]);
    let parts = vec![part(DATA, 1, 1), part(DATA, 2, 2), part(OBJECTS, 3, 3)];
    assert_eq!(verified(vec![], CheckLevel::Structure), None);
    assert_eq!(verified(parts.clone(), DATA), None);
    assert_eq!(verified(parts.clone(), OBJECTS), Some(day(1)));
    // Any check looks at the structure of everything.
    assert_eq!(verified(parts.clone(), CheckLevel::Structure), Some(day(3)));
    assert_eq!(verified([parts.clone(), vec![part(OBJECTS, 1, 4)]].concat(), OBJECTS), Some(day(2)));
    assert_eq!(verified([parts.clone(), vec![part(DATA, 3, 5)]].concat(), DATA), Some(day(1)));
    let whole = record(DATA, None, &day(4), &[], &[]);
    assert_eq!(verified([parts.clone(), vec![whole.clone()]].concat(), DATA), Some(day(4)));
    let future = record(DATA, None, "2099-01-01T00:00:00Z", &[], &[]);
    assert_eq!(verified([parts, vec![future]].concat(), DATA), None);
    assert_eq!(verified(vec![whole, part(DATA, 2, 6)], OBJECTS), Some(day(4)));
}

#[test]
fn only_records_that_say_nothing_more_are_outdated() {
    let history = history(vec![
        record(OBJECTS, None, "", &[], &[]),
        record(DATA, Some((1, 3)), "", &[], &[]),
        record(DATA, Some((2, 3)), "", &[], &[]),
    ]);
    let outdated = |level, stripe| {
        let scope = Scope { level, stripe };
        history.outdated_by(&scope).iter().map(|id| id.as_bytes()[0]).collect::<Vec<_>>()
    };
    assert_eq!(outdated(DATA, None), [0, 1, 2]);
    assert_eq!(outdated(OBJECTS, None), [0]);
    assert_eq!(outdated(DATA, Stripe::new(2, 3).ok()), [2]);
    assert!(outdated(OBJECTS, Stripe::new(2, 3).ok()).is_empty());
}

#[test]
fn every_check_looks_at_the_structure_of_everything() {
    let found = record(CheckLevel::Structure, None, "", &[(pack(4), None)], &[]);
    assert_eq!(held(vec![found.clone()]), [(pack(4), None)]);
    let elsewhere = record(DATA, Some((3, 4)), "", &[], &[0]);
    assert_eq!(held(vec![found.clone(), elsewhere]), []);
    let scope = Scope { level: OBJECTS, stripe: Stripe::new(3, 4).ok() };
    assert_eq!(history(vec![found]).outdated_by(&scope).len(), 1);
}
