//! Running cases and putting together what came out.

use std::sync::Arc;
use std::time::Duration;

use backup_core::BackendInfo;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::context::Context;
use crate::contract::{CASES, Case};
use crate::harness::Harness;
use crate::report::{CaseReport, Report};
use crate::verdict::{CaseResult, Stop, Verdict, chain};

/// Runs the suite and makes a [`Report`].
///
/// Each case gets a harness of its own from `make`, so that nothing is shared between them but what the harness shares.
/// Cases run one after the other on the current Tokio runtime; a panic fails its case alone.
pub struct Runner<'a> {
    make: Box<dyn Fn() -> Arc<dyn Harness> + Send + 'a>,
    only: Option<String>,
    watcher: Box<dyn FnMut(&CaseReport) + Send + 'a>,
}

impl<'a> Runner<'a> {
    /// A runner of the whole suite.
    pub fn new<H: Harness>(make: impl Fn() -> H + Send + 'a) -> Self {
        Self { make: Box::new(move || Arc::new(make())), only: None, watcher: Box::new(|_| {}) }
    }

    /// The same for cases whose group or name contains `text`, or whose clause it is.
    #[must_use]
    pub fn only(mut self, text: impl Into<String>) -> Self {
        self.only = Some(text.into());
        self
    }

    /// The same with somebody who is told of each case as it ends.
    #[must_use]
    pub fn watched_by(mut self, watcher: impl FnMut(&CaseReport) + Send + 'a) -> Self {
        self.watcher = Box::new(watcher);
        self
    }

    /// Runs the cases.
    pub async fn run(mut self) -> Report {
        let mut report: Option<Report> = None;
        let mut cases = Vec::new();
        let chosen = CASES.iter().filter(|case| self.only.as_ref().is_none_or(|text| case.is_about(text)));
        for case in chosen {
            let begun = Instant::now();
            let harness = (self.make)();
            let seed = harness.pace().seed;
            let (verdict, seen) = run_case(case, harness).await;
            if let (None, Some(info)) = (&report, seen) {
                report = Some(Report::new(&info, seed));
            }
            let done = CaseReport::new(case, seed, millis(begun.elapsed()), verdict);
            (self.watcher)(&done);
            cases.push(done);
        }
        Report { cases, ..report.unwrap_or_else(|| Report::empty(0)) }
    }
}

type Seen = Option<BackendInfo>;

/// Runs one case in a space of its own and cleans up after it.
pub(crate) async fn run_case(case: &'static Case, harness: Arc<dyn Harness>) -> (Verdict, Seen) {
    let space = case.name.replace('_', "-");
    let limit = harness.pace().case_limit;
    let mut running = {
        let (harness, space) = (Arc::clone(&harness), space.clone());
        AbortOnDrop(tokio::spawn(async move {
            let cx = match Context::new(harness, space).await {
                Ok(cx) => cx,
                Err(error) => return (Verdict::Failed(format!("opening the store: {}", chain(&error))), None),
            };
            let seen = cx.store.info().clone();
            let result: CaseResult = match timeout(limit, (case.run)(&cx)).await {
                Ok(result) => result,
                Err(_) => Err(Stop::Failed(format!("not finished after {limit:?}"))),
            };
            (result.into(), Some(seen))
        }))
    };
    let outcome = match (&mut running.0).await {
        Ok(outcome) => outcome,
        Err(error) => (Verdict::Failed(panic_text(error)), None),
    };
    harness.cleanup(&space).await;
    outcome
}

/// A task that ends with whoever waits for it.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn panic_text(error: tokio::task::JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref().copied());
            format!("panicked: {}", text.unwrap_or("without a text"))
        }
        Err(error) => error.to_string(),
    }
}

pub(crate) fn millis(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}

/// Runs one case as a test; what [`suite!`](crate::suite) calls.
///
/// # Panics
/// When the case fails, or applies although the harness says that it doesn't, or the other way round.
#[doc(hidden)]
pub fn check_case<H: Harness>(name: &str, make: impl FnOnce() -> H) {
    let case = CASES.iter().find(|case| case.name == name).expect("the macro and the table are made from one list");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a test can have two threads");
    let verdict = runtime.block_on(async {
        let harness: Arc<dyn Harness> = Arc::new(make());
        let excused = harness.not_applicable().iter().any(|(excuse, _)| *excuse == name || *excuse == case.group);
        let (verdict, _) = run_case(case, harness).await;
        match (verdict, excused) {
            (Verdict::Passed, false) | (Verdict::NotApplicable(_), true) => Ok(()),
            (Verdict::Failed(reason) | Verdict::Flaky(reason) | Verdict::Skipped(reason), _) => Err(reason),
            (Verdict::Passed, true) => Err("the harness says that this case does not apply, but it does".to_owned()),
            (Verdict::NotApplicable(reason), false) => {
                Err(format!("does not apply ({reason}), and the harness does not say so in `not_applicable`"))
            }
        }
    });
    if let Err(reason) = verdict {
        panic!("{}::{} breaks {} of docs/storage-contract.md: {reason}", case.group, case.name, case.clause);
    }
}

/// Looks whether what a harness excuses are cases.
///
/// # Panics
/// When one isn't, or is there without a reason.
#[doc(hidden)]
pub fn check_excuses<H: Harness>(make: impl FnOnce() -> H) {
    for (name, reason) in make().not_applicable() {
        let known = CASES.iter().any(|case| case.name == *name || case.group == *name);
        assert!(known, "`{name}` in `not_applicable` is neither a case nor a group");
        assert!(!reason.is_empty(), "`{name}` in `not_applicable` needs a reason");
    }
}
