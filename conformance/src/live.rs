//! The suite against a live account: below a prefix of its own, with a budget, and cleaned up after.
//!
//! Nothing that was there before is read, listed or changed: every run works below a prefix that its caller makes unique, and every case below
//! one of its own. Locks are never tried, for what they protect could not be removed again. A case that fails is tried once
//! more, and counts as flaky when it then passes.

mod budget;
mod cleanup;
mod observe;
mod profile;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backup_core::key::MAX_KEY_BYTES;
use backup_core::storage::layer::{Layered, Prefix};
use backup_core::{
    CancelToken, KeyPrefix, StorageBackend, StorageError, StorageErrorKind, StorageOperation, StorageResult,
};
use futures::future::BoxFuture;
use tokio::time::Instant;

use self::budget::Spending;
use crate::contract::{CASES, Case};
use crate::harness::{Harness, Pace};
use crate::report::{CaseReport, Report, Run};
use crate::runner::{millis, run_case};
use crate::verdict::Verdict;

pub use self::budget::Budget;
pub use self::observe::Observed;
pub use self::profile::Profile;

/// How often to look whether the run is to stop while a case waits for an answer.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Longest name of a run.
const MAX_NAME_BYTES: usize = 32;

/// Gives a new client of the place to try, as often as it is asked.
pub type Open = dyn Fn() -> BoxFuture<'static, StorageResult<Arc<dyn StorageBackend>>> + Send + Sync;

/// What is run, and how much of it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// Which cases run, and with which numbers.
    pub profile: Profile,
    /// What the run may use up; the profile's own at first.
    pub budget: Budget,
    /// Only cases whose group or name contains this, or whose clause it is.
    pub only: Option<String>,
    /// Where the schedules of random cases begin; to repeat a run, give the seed that its report tells.
    pub seed: u64,
    /// A name that no other run in the place has, of lower-case letters, digits and `-`; the run's objects lie below `conformance-NAME/`.
    pub name: String,
    /// Whoever asks the run to stop; what it has made is removed all the same.
    pub cancel: CancelToken,
}

impl Options {
    /// A run of a profile under a name.
    pub fn new(profile: Profile, name: impl Into<String>, seed: u64) -> Self {
        let (budget, cancel) = (profile.budget(), CancelToken::new());
        Self { profile, budget, only: None, seed, name: name.into(), cancel }
    }
}

/// Runs the suite below a prefix of a place; `watcher` is told of each case as it ends.
///
/// Clients that `open` gives should not repeat calls by themselves: what the suite is to judge is what the service says. Dropping the future leaves
/// behind what the case under way has made; use the token in the options to stop.
///
/// # Errors
/// When the place can't be opened, the name makes no prefix, or something lies below the prefix already.
pub async fn run(open: Arc<Open>, options: Options, mut watcher: impl FnMut(&CaseReport)) -> StorageResult<Report> {
    let begun = Instant::now();
    let root = root(&options.name)?;
    let place = open().await?;
    cleanup::must_be_empty(place.as_ref(), &root).await?;
    let spending = Arc::new(Spending::new(options.budget, options.cancel.clone()));
    let mut live =
        Live { open, root, spending, pace: options.profile.pace(), seed: options.seed, left: Vec::new(), spaces: 0 };
    let mut report = Report::new(place.info(), options.seed);
    report.observed = live.observe().await;
    'rounds: for round in 0..options.profile.rounds() {
        live.seed = options.seed.wrapping_add(round);
        let chosen = CASES.iter().filter(|case| options.profile.has(case));
        let chosen = chosen.filter(|case| options.only.as_ref().is_none_or(|text| case.is_about(text)));
        for case in chosen {
            let done = live.case(case).await;
            if round > 0 && matches!(done.verdict, Verdict::Skipped(_)) {
                break 'rounds;
            }
            watcher(&done);
            report.add(done);
        }
    }
    let left_behind = cleanup::remove_all(&place, &live.root).await;
    live.left.extend(left_behind.err());
    report.run = Some(Run {
        profile: options.profile.name().to_owned(),
        name: options.name,
        requests: live.spending.requests(),
        bytes: live.spending.bytes(),
        took_ms: millis(begun.elapsed()),
        left_behind: live.left,
    });
    Ok(report)
}

fn root(name: &str) -> StorageResult<KeyPrefix> {
    let prefix = KeyPrefix::new(format!("conformance-{name}/"));
    let wrong = || StorageError::new(StorageErrorKind::Config, StorageOperation::Connect);
    let prefix = prefix.map_err(|error| wrong().with_source(error))?;
    match !name.is_empty() && name.len() <= MAX_NAME_BYTES && !name.contains('/') {
        true => Ok(prefix),
        false => Err(wrong().with_detail("the name of a run has 1 to 32 characters and no `/`")),
    }
}

/// A run under way.
struct Live {
    open: Arc<Open>,
    root: KeyPrefix,
    spending: Arc<Spending>,
    pace: Pace,
    seed: u64,
    /// What could not be removed, in words.
    left: Vec<String>,
    spaces: usize,
}

impl Live {
    /// A harness for one case, in a space that nobody used before.
    fn space(&mut self) -> Arc<Space> {
        self.spaces += 1;
        let below = format!("{}{:x}/", self.root, self.spaces);
        let mut pace = self.pace;
        pace.seed = self.seed;
        pace.max_key_bytes = MAX_KEY_BYTES - below.len();
        let prefix = KeyPrefix::new(below).expect("a number in hexadecimal makes a segment");
        Arc::new(Space { open: Arc::clone(&self.open), prefix, spending: Arc::clone(&self.spending), pace })
    }

    async fn observe(&mut self) -> Option<Observed> {
        let space = self.space();
        let observed = observe::observe(space.as_ref()).await;
        self.clean(&space).await;
        observed.ok()
    }

    async fn case(&mut self, case: &'static Case) -> CaseReport {
        let begun = Instant::now();
        let verdict = match self.attempt(case).await {
            Verdict::Failed(first) => match self.attempt(case).await {
                Verdict::Passed => Verdict::Flaky(first),
                _ => Verdict::Failed(first),
            },
            verdict => verdict,
        };
        CaseReport::new(case, self.seed, millis(begun.elapsed()), verdict)
    }

    async fn attempt(&mut self, case: &'static Case) -> Verdict {
        if let Some(reason) = self.spending.over() {
            return Verdict::Skipped(reason);
        }
        let space = self.space();
        let (verdict, _) = tokio::select! {
            done = run_case(case, Arc::clone(&space) as _) => done,
            () = self.asked_to_stop() => (Verdict::Skipped(String::new()), None),
        };
        self.clean(&space).await;
        match (verdict, self.spending.over()) {
            // What failed after the end of the budget has failed for that.
            (Verdict::Failed(_) | Verdict::Skipped(_), Some(reason)) => Verdict::Skipped(reason),
            (verdict, _) => verdict,
        }
    }

    async fn asked_to_stop(&self) {
        while !self.spending.is_cancelled() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn clean(&mut self, space: &Space) {
        let removed = match (self.open)().await {
            Ok(place) => cleanup::remove_all(&place, &space.prefix).await,
            Err(error) => Err(format!("{}: {error}", space.prefix)),
        };
        self.left.extend(removed.err());
    }
}

/// Where one case works.
struct Space {
    open: Arc<Open>,
    prefix: KeyPrefix,
    spending: Arc<Spending>,
    pace: Pace,
}

#[async_trait]
impl Harness for Space {
    async fn open(&self, _space: &str) -> StorageResult<Arc<dyn StorageBackend>> {
        let part = Arc::new(Prefix::new((self.open)().await?, self.prefix.clone()));
        Ok(Arc::new(Layered::new(Arc::clone(&self.spending), part)))
    }

    fn pace(&self) -> Pace {
        self.pace
    }
}
