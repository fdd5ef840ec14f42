//! Damage of snapshots, marks, sessions and records of checks.

use backup_core::ObjectKey;
use backup_engine::check::{CheckLevel, CheckReport, Severity};

use super::{Damage, Damaged, damages};
use crate::support::fixture::Fixture;

/// One object under a folder with every damage but deletion, the others with a few.
fn cases(fixture: &Fixture, folder: &str) -> Vec<(ObjectKey, Damage)> {
    let mut cases = Vec::new();
    for (nth, key) in fixture.keys(folder).into_iter().enumerate() {
        let len = fixture.store.peek(&key).unwrap().len();
        let mut damages = match nth {
            0 => damages(len, &[]),
            _ => vec![Damage::Truncate(0), Damage::Truncate(len / 2), Damage::Flip(4), Damage::Flip(len - 1)],
        };
        damages.retain(|damage| *damage != Damage::Delete);
        cases.extend(damages.into_iter().map(|damage| (key.clone(), damage)));
    }
    assert!(cases.len() >= 20, "{} cases", cases.len());
    cases
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_snapshot_is_lost_alone() {
    let fixture = Fixture::new().await;
    for (key, damage) in cases(&fixture, "snapshots/") {
        let mut damaged = Damaged::new(&fixture, &key, damage).await;
        assert_eq!(damaged.lost.len(), 1, "{}", damaged.what);
        damaged.is_found_from(CheckLevel::Structure).await;
        damaged.heals().await;
        assert_eq!(damaged.lost.len(), 1, "{}", damaged.what);
    }
}

/// The object is named, nothing is lost, and the next capture goes on.
async fn is_found_and_hurts_nothing(folder: &str) {
    let fixture = Fixture::new().await;
    for (key, damage) in cases(&fixture, folder) {
        let mut damaged = Damaged::new(&fixture, &key, damage).await;
        assert!(damaged.lost.is_empty(), "{}", damaged.what);
        damaged.is_found_from(CheckLevel::Structure).await;
        damaged.heals().await;
        assert!(damaged.lost.is_empty(), "{}", damaged.what);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_mark_is_named_and_hurts_no_content() {
    is_found_and_hurts_nothing("marks/").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_session_is_named_and_stops_no_capture() {
    is_found_and_hurts_nothing("sessions/").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_record_of_a_check_is_named_and_stops_no_capture() {
    is_found_and_hurts_nothing("verify/").await;
}

fn notices(report: &CheckReport) -> Vec<&str> {
    assert!(report.is_sound(), "{report:#?}");
    assert!(report.findings.iter().all(|finding| finding.severity == Severity::Notice));
    report.findings.iter().map(|finding| finding.object.as_str()).collect()
}

/// Nothing in a repository says that these ever were; only a mark tells that its snapshot is gone.
#[tokio::test(flavor = "multi_thread")]
async fn deleted_record_leaves_the_rest_whole() {
    let fixture = Fixture::new().await;
    let mark = fixture.keys("marks/").remove(0);
    let mut noticed = 0;
    for folder in ["snapshots/", "marks/", "sessions/", "verify/"] {
        for key in fixture.keys(folder) {
            let mut damaged = Damaged::new(&fixture, &key, Damage::Delete).await;
            assert!(damaged.lost.is_empty(), "{}", damaged.what);
            for level in [CheckLevel::Structure, CheckLevel::Objects, CheckLevel::Data] {
                let report = damaged.look(level).await;
                let notices = notices(&report);
                assert!(notices.iter().all(|&object| object == mark.as_str()), "{}: {notices:?}", damaged.what);
                noticed += notices.len();
            }
            damaged.heals().await;
        }
    }
    assert_eq!(noticed, 3, "the mark of a deleted snapshot is noticed at each level");
}
