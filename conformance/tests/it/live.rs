//! Runs against a place that others use too: what is reported, what it costs and what is left.

use std::sync::Arc;

use backup_conformance::live::{Budget, Open, Options, Profile, run};
use backup_conformance::{CASES, CaseReport, Harness, RawView, Report, Verdict};
use backup_core::storage::layer::{FaultBackend, FaultKind, FaultRule};
use backup_core::{
    KeyPrefix, MemoryBackend, ObjectKey, RetryAdvice, StorageBackend, StorageErrorKind, StorageOperation,
};
use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::Value;

use crate::rich::Rich;

fn opening(store: Arc<dyn StorageBackend>) -> Arc<Open> {
    Arc::new(move || {
        let store = Arc::clone(&store);
        Box::pin(async move { Ok(store) })
    })
}

/// A shared place with an object that is nobody's business.
fn shared_place() -> MemoryBackend {
    let memory = MemoryBackend::new();
    memory.plant(&ObjectKey::new("conformance-other/1/x").unwrap(), "another run's");
    memory.plant(&ObjectKey::new("config").unwrap(), "a repository");
    memory
}

fn is_as_before(memory: &MemoryBackend) {
    let keys: Vec<_> = memory.keys().iter().map(ToString::to_string).collect();
    assert_eq!(keys, ["config", "conformance-other/1/x"]);
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn verdicts(report: &Report, is: impl Fn(&Verdict) -> bool) -> Vec<&str> {
    report.cases.iter().filter(|case| is(&case.verdict)).map(|case| case.name.as_str()).collect()
}

fn color(report: &Report) -> String {
    let badge: Value = serde_json::from_str(&report.to_badge()).unwrap();
    assert_eq!((&badge["schemaVersion"], &badge["label"]), (&Value::from(1), &Value::from("storage contract")));
    badge["color"].as_str().unwrap().to_owned()
}

/// A name and what stands with it.
type Pair = (String, String);

/// Reads JUnit XML with a parser: the counts of the suite and, for each case, its name with the element below it and its message.
fn junit(report: &Report) -> (Vec<Pair>, Vec<(String, Option<Pair>)>) {
    let xml = report.to_junit();
    let mut reader = Reader::from_str(&xml);
    let (mut counts, mut cases) = (Vec::new(), Vec::new());
    loop {
        let (element, closed) = match reader.read_event().unwrap() {
            Event::Start(element) => (element, false),
            Event::Empty(element) => (element, true),
            Event::Eof => break,
            _ => continue,
        };
        let attributes: Vec<(String, String)> = element
            .attributes()
            .map(|attribute| {
                let attribute = attribute.unwrap();
                let value = quick_xml::escape::unescape(&attribute.value).unwrap().into_owned();
                (attribute.key.as_ref().to_owned(), value)
            })
            .collect();
        let of = |name: &str| attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()).unwrap();
        match element.name().as_ref() {
            "testsuite" => counts = attributes,
            "testcase" => {
                assert!(of("time").parse::<f64>().is_ok());
                cases.push((of("name"), None));
                assert_eq!(closed, xml.contains(&format!("name=\"{}\" time=\"{}\"/>", of("name"), of("time"))));
            }
            "failure" => cases.last_mut().unwrap().1 = Some(("failure".to_owned(), of("message"))),
            "skipped" => cases.last_mut().unwrap().1 = Some(("skipped".to_owned(), of("message"))),
            _ => {}
        }
    }
    (counts, cases)
}

fn outputs_agree(report: &Report) {
    let again: Report = serde_json::from_str(&report.to_json()).unwrap();
    assert_eq!((&again.cases, &again.run, again.seed), (&report.cases, &report.run, report.seed));
    let (counts, cases) = junit(report);
    let count = |name: &str| {
        let (_, value) = counts.iter().find(|(key, _)| key == name).unwrap();
        value.parse::<usize>().unwrap()
    };
    assert_eq!(count("tests"), report.cases.len());
    assert_eq!(count("failures"), report.failed() + report.flaky());
    assert_eq!(count("skipped"), report.skipped() + report.not_applicable());
    assert_eq!(cases.len(), report.cases.len());
    for (case, (name, below)) in report.cases.iter().zip(&cases) {
        assert_eq!(case.name, *name);
        let expected = match &case.verdict {
            Verdict::Passed => None,
            Verdict::Failed(reason) | Verdict::Flaky(reason) => Some(("failure", reason)),
            Verdict::NotApplicable(reason) | Verdict::Skipped(reason) => Some(("skipped", reason)),
        };
        match (expected, below) {
            (None, None) => {}
            (Some((kind, reason)), Some((element, message))) => {
                assert!(kind == element && message.contains(reason.as_str()), "{message:?} does not tell {reason:?}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn a_sound_store_passes_every_profile_and_is_left_as_it_was() {
    for (profile, least) in [(Profile::Probe, 12), (Profile::Safe, 36), (Profile::Full, 46)] {
        let memory = shared_place();
        let options = Options::new(profile, "a-1", 5);
        let mut told = 0;
        let report = runtime().block_on(run(opening(Arc::new(memory.clone())), options, |_| told += 1)).unwrap();
        assert_eq!(
            verdicts(&report, |verdict| matches!(verdict, Verdict::Failed(_) | Verdict::Flaky(_))),
            [""; 0],
            "{:#?}",
            report.cases
        );
        assert_eq!((report.skipped(), told), (0, report.cases.len()));
        assert!(report.passed() >= least, "{} cases passed", report.passed());
        assert!(report.cases.iter().all(|case| case.group != "lock"));
        assert_eq!(report.overclaims(), [""; 0]);
        assert_eq!(color(&report), "brightgreen");
        let ran = report.run.as_ref().unwrap();
        assert_eq!(ran.left_behind, [""; 0]);
        let budget = profile.budget();
        assert!(
            ran.requests > 100 && ran.requests * 3 < budget.max_requests * 2,
            "{profile}: {} requests",
            ran.requests
        );
        assert!(ran.bytes > 100_000 && ran.bytes * 3 < budget.max_bytes * 2, "{profile}: {} bytes", ran.bytes);
        outputs_agree(&report);
        is_as_before(&memory);
    }
}

#[test]
fn a_bug_fails_the_report_and_the_badge_and_leaves_nothing_behind() {
    for bug in ["create_of_existing_changes_nothing", "every_object_once", "put_get_roundtrip"] {
        let rich = Arc::new(Rich::new(Some(bug)));
        let opened = Arc::clone(&rich);
        let open: Arc<Open> = Arc::new(move || {
            let rich = Arc::clone(&opened);
            Box::pin(async move { rich.open("place").await })
        });
        let mut options = Options::new(Profile::Full, "bug", 1);
        options.only = Some(bug.to_owned());
        let report = runtime().block_on(run(open, options, |_| {})).unwrap();
        assert_eq!(verdicts(&report, |verdict| matches!(verdict, Verdict::Failed(_))), [bug]);
        assert_eq!(color(&report), "red");
        outputs_agree(&report);
        let left = runtime().block_on(rich.names("place"));
        assert_eq!((left.len(), report.left_behind()), (0, &[][..]));
    }
}

#[test]
fn a_spent_budget_stops_the_run_and_says_so() {
    let memory = shared_place();
    let mut options = Options::new(Profile::Safe, "poor", 1);
    options.budget = Budget { max_requests: 400, max_bytes: 100 << 20 };
    let report = runtime().block_on(run(opening(Arc::new(memory.clone())), options, |_| {})).unwrap();
    let ran = report.run.as_ref().unwrap();
    assert!(ran.requests <= 400 && ran.requests > 300, "{} requests", ran.requests);
    assert_eq!(report.failed(), 0);
    assert!(report.passed() > 3 && report.skipped() > 10);
    let first = report.cases.iter().position(|case| matches!(case.verdict, Verdict::Skipped(_))).unwrap();
    for case in &report.cases[first..] {
        assert!(
            matches!(&case.verdict, Verdict::Skipped(reason) if reason.starts_with("the budget is spent: 400 requests"))
        );
    }
    assert_eq!(color(&report), "yellow");
    outputs_agree(&report);
    is_as_before(&memory);

    let mut options = Options::new(Profile::Full, "narrow", 1);
    options.budget = Budget { max_requests: 10_000, max_bytes: 1 << 20 };
    options.only = Some("large_object".to_owned());
    let report = runtime().block_on(run(opening(Arc::new(memory)), options, |_| {})).unwrap();
    assert!(report.run.as_ref().unwrap().bytes <= 1 << 20);
    assert_eq!(verdicts(&report, |verdict| matches!(verdict, Verdict::Skipped(_))), ["large_object"]);
}

#[test]
fn a_run_that_is_asked_to_stop_cleans_up_all_the_same() {
    let memory = shared_place();
    let faulty = FaultBackend::new(Arc::new(memory.clone()));
    let options = Options::new(Profile::Safe, "stopped", 1);
    let cancel = options.cancel.clone();
    let mut told: Vec<CaseReport> = Vec::new();
    // The case after the third is stopped while it waits for an answer that never comes.
    let stall = |done: &CaseReport| {
        told.push(done.clone());
        if told.len() == 3 {
            let never = FaultKind::Delay(std::time::Duration::from_secs(3_600));
            faulty.add(FaultRule::new(never).on(StorageOperation::Get).times(1));
            let (faulty, cancel, before) = (faulty.clone(), cancel.clone(), faulty.count(StorageOperation::Get));
            tokio::spawn(async move {
                while faulty.count(StorageOperation::Get) == before {
                    tokio::task::yield_now().await;
                }
                cancel.cancel();
            });
        }
    };
    let report = runtime().block_on(run(opening(Arc::new(faulty.clone())), options, stall)).unwrap();
    assert!(report.skipped() > 20);
    for case in &report.cases[4..] {
        assert!(matches!(&case.verdict, Verdict::Skipped(reason) if reason == "the run was asked to stop"));
    }
    assert_eq!(color(&report), "yellow");
    is_as_before(&memory);
}

#[test]
fn what_fails_once_is_flaky_and_what_can_not_be_removed_is_told() {
    let memory = shared_place();
    let faulty = FaultBackend::new(Arc::new(memory.clone()));
    let once = FaultRule::new(FaultKind::FailBefore).on(StorageOperation::Get).times(1);
    faulty.add(once);
    let mut options = Options::new(Profile::Safe, "flaky", 1);
    options.only = Some("put_get_roundtrip".to_owned());
    let report = runtime().block_on(run(opening(Arc::new(faulty.clone())), options, |_| {})).unwrap();
    assert_eq!((report.flaky(), report.failed(), color(&report).as_str()), (1, 0, "yellow"));
    outputs_agree(&report);
    is_as_before(&memory);

    let denied = (StorageErrorKind::PermissionDenied, RetryAdvice::Never);
    faulty.add(FaultRule::new(FaultKind::FailBefore).on(StorageOperation::Delete).error(denied.0, denied.1));
    let mut options = Options::new(Profile::Safe, "kept", 1);
    options.only = Some("put_get_roundtrip".to_owned());
    let report = runtime().block_on(run(opening(Arc::new(faulty)), options, |_| {})).unwrap();
    assert_eq!((report.passed(), color(&report).as_str()), (1, "yellow"));
    assert!(report.left_behind().iter().any(|left| left.contains("conformance-kept/")), "{:?}", report.left_behind());
    let left = memory.keys().into_iter().filter(|key| key.as_str().starts_with("conformance-kept/")).count();
    assert!(left > 0);
}

#[test]
fn a_prefix_that_is_taken_or_no_prefix_is_refused_untouched() {
    let memory = shared_place();
    for (name, kind) in [
        ("other", StorageErrorKind::AlreadyExists),
        ("", StorageErrorKind::Config),
        ("Upper", StorageErrorKind::Config),
        ("a/b", StorageErrorKind::Config),
        ("a-name-that-is-longer-than-it-may-be", StorageErrorKind::Config),
    ] {
        let options = Options::new(Profile::Safe, name, 1);
        let refused = runtime().block_on(run(opening(Arc::new(memory.clone())), options, |_| {}));
        assert_eq!(refused.unwrap_err().kind(), kind, "{name}");
        is_as_before(&memory);
    }
}

/// What was asked of a store in a run of one case, in order.
fn asked(seed: u64, name: &str) -> Vec<(StorageOperation, Option<ObjectKey>)> {
    let faulty = FaultBackend::new(Arc::new(MemoryBackend::new()));
    let mut options = Options::new(Profile::Safe, name, seed);
    options.only = Some("one_key_history_is_linearizable".to_owned());
    // One thread, so that nothing but the seed decides.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let report = runtime.block_on(run(opening(Arc::new(faulty.clone())), options, |_| {})).unwrap();
    assert_eq!((report.passed(), report.seed, report.cases[0].seed), (1, seed, seed));
    faulty.log().into_iter().map(|record| (record.operation, record.key)).collect()
}

#[test]
fn the_same_seed_does_the_same_again() {
    let first = asked(41, "again");
    assert!(first.len() > 80);
    assert_eq!(first, asked(41, "again"));
    assert_ne!(first, asked(42, "again"));
}

#[test]
fn soak_goes_on_with_other_seeds_until_the_budget_is_spent() {
    let memory = shared_place();
    let mut options = Options::new(Profile::Soak, "soak", 10);
    options.budget = Budget { max_requests: 3_000, max_bytes: 1 << 30 };
    options.only = Some("one_key_history_is_linearizable".to_owned());
    let report = runtime().block_on(run(opening(Arc::new(memory.clone())), options, |_| {})).unwrap();
    let case = &report.cases[0];
    assert!((3..20).contains(&case.runs), "{} runs", case.runs);
    assert_eq!(case.verdict, Verdict::Passed);
    is_as_before(&memory);
}

#[test]
fn what_is_observed_is_held_beside_what_is_declared() {
    let rich = Arc::new(Rich::weak(None));
    let open: Arc<Open> = Arc::new(move || {
        let rich = Arc::clone(&rich);
        Box::pin(async move { rich.open("place").await })
    });
    let mut options = Options::new(Profile::Safe, "weak", 1);
    options.only = Some("stat_matches_put".to_owned());
    let report = runtime().block_on(run(open, options, |_| {})).unwrap();
    let observed = report.observed.unwrap();
    assert_eq!(observed.put_if_absent, backup_core::Grade::None);
    assert!(!observed.verifies_sha256 && observed.quota && observed.tells_times);
    assert!(observed.reads_show_puts_at_once && observed.listings_show_puts_at_once);
    assert_eq!(report.overclaims(), [""; 0]);

    // The same, had it declared more.
    let rich = Rich::new(None);
    let mut report = report;
    let strict = runtime().block_on(async { rich.open("x").await }).unwrap();
    report.capabilities = Some(strict.info().capabilities.clone());
    assert_eq!(report.overclaims(), ["create-only puts", "the check of SHA-256"]);
    assert_eq!(color(&report), "yellow");
}

#[test]
fn a_report_knows_its_suite() {
    let report = runtime().block_on(run(
        opening(Arc::new(MemoryBackend::new())),
        {
            let mut options = Options::new(Profile::Safe, "suite", 1);
            options.only = Some("SC-10".to_owned());
            options
        },
        |_| {},
    ));
    let report = report.unwrap();
    assert_eq!(report.suite_hash.len(), 16);
    assert_eq!((report.kind.as_str(), report.location.as_str()), ("memory", "memory:"));
    assert_eq!(report.cases.len(), CASES.iter().filter(|case| case.clause == "SC-10").count());
    assert!(KeyPrefix::new(format!("conformance-{}/", report.run.unwrap().name)).is_ok());
}
