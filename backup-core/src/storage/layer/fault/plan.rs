//! Which operation fails and how, and what was seen so far.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::FaultKind;
use crate::key::{KeyPrefix, ObjectKey};
use crate::storage::ObjectMeta;
use crate::storage::error::{RetryAdvice, StorageError, StorageErrorKind, StorageOperation};

/// Operations that the log remembers: enough for every test, little enough to never fill the memory.
const MAX_LOGGED: usize = 1_000_000;

/// Which operations fail, how and how often.
///
/// ```
/// use std::time::Duration;
/// use backup_core::storage::layer::{FaultKind, FaultRule};
/// use backup_core::{RetryAdvice, StorageErrorKind, StorageOperation};
///
/// // The second and third put are told to come back after 5 seconds.
/// let rule = FaultRule::new(FaultKind::FailBefore)
///     .on(StorageOperation::Put)
///     .skip(1)
///     .times(2)
///     .error(StorageErrorKind::RateLimited, RetryAdvice::After(Duration::from_secs(5)));
/// ```
#[derive(Debug, Clone)]
pub struct FaultRule {
    kind: FaultKind,
    operation: Option<StorageOperation>,
    prefix: KeyPrefix,
    number: Option<u64>,
    skip: u64,
    times: u64,
    error: Option<(StorageErrorKind, RetryAdvice)>,
}

impl FaultRule {
    /// A rule for every operation.
    pub fn new(kind: FaultKind) -> Self {
        Self { kind, operation: None, prefix: KeyPrefix::all(), number: None, skip: 0, times: u64::MAX, error: None }
    }

    /// The same for one kind of operation.
    #[must_use]
    pub fn on(mut self, operation: StorageOperation) -> Self {
        self.operation = Some(operation);
        self
    }

    /// The same for objects under a prefix; operations without a key, such as listings, don't match any more.
    #[must_use]
    pub fn under(mut self, prefix: KeyPrefix) -> Self {
        self.prefix = prefix;
        self
    }

    /// The same for the operation of this number.
    #[must_use]
    pub fn at(mut self, number: u64) -> Self {
        self.number = Some(number);
        self
    }

    /// The same after letting so many matching operations pass.
    #[must_use]
    pub fn skip(mut self, count: u64) -> Self {
        self.skip = count;
        self
    }

    /// The same for so many matching operations and no more.
    #[must_use]
    pub fn times(mut self, count: u64) -> Self {
        self.times = count;
        self
    }

    /// The same with this error instead of `Unavailable`.
    #[must_use]
    pub fn error(mut self, kind: StorageErrorKind, retry: RetryAdvice) -> Self {
        self.error = Some((kind, retry));
        self
    }

    fn matches(&self, number: u64, operation: StorageOperation, key: Option<&ObjectKey>) -> bool {
        let right_key = match key {
            Some(key) => self.prefix.contains(key),
            None => self.prefix.as_str().is_empty(),
        };
        right_key && self.operation.is_none_or(|on| on == operation) && self.number.is_none_or(|at| at == number)
    }
}

/// One operation as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationRecord {
    /// Its number.
    pub number: u64,
    /// What it was.
    pub operation: StorageOperation,
    /// The object it was about.
    pub key: Option<ObjectKey>,
    /// Bytes sent by a put or received by a get.
    pub len_bytes: u64,
    /// The fault that was put into it.
    pub fault: Option<FaultKind>,
    /// How it ended.
    pub outcome: Outcome,
}

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is under way, or its caller dropped it.
    Unfinished,
    /// It succeeded.
    Done,
    /// It failed.
    Failed(StorageErrorKind),
}

#[derive(Debug, Default)]
pub(super) struct State {
    next: u64,
    counts: HashMap<StorageOperation, u64>,
    rules: Vec<FaultRule>,
    crash: Option<(u64, FaultKind)>,
    crashed: bool,
    log: Vec<OperationRecord>,
    errors: BTreeMap<u64, (StorageErrorKind, RetryAdvice)>,
    put_at: BTreeMap<ObjectKey, u64>,
    past: Vec<Past>,
}

/// An object that was there and was deleted.
#[derive(Debug)]
struct Past {
    meta: ObjectMeta,
    /// The put that stored it, `None` for one from before this decorator.
    stored: Option<u64>,
    deleted: u64,
}

impl State {
    pub(super) fn operations(&self) -> u64 {
        self.next
    }

    pub(super) fn count(&self, operation: StorageOperation) -> u64 {
        self.counts.get(&operation).copied().unwrap_or(0)
    }

    pub(super) fn log(&self) -> &[OperationRecord] {
        &self.log
    }

    pub(super) fn crash_at(&mut self, number: u64, kind: FaultKind) {
        self.crash = Some((number, kind));
    }

    pub(super) fn has_crashed(&self) -> bool {
        self.crashed
    }

    pub(super) fn add(&mut self, rule: FaultRule) {
        self.rules.push(rule);
    }

    pub(super) fn heal(&mut self) {
        self.rules.clear();
        self.errors.clear();
        self.crash = None;
        self.crashed = false;
    }

    pub(super) fn begin(
        &mut self,
        operation: StorageOperation,
        key: Option<&ObjectKey>,
        len_bytes: u64,
    ) -> (u64, Option<FaultKind>) {
        let number = self.next;
        self.next += 1;
        *self.counts.entry(operation).or_default() += 1;
        let fault = self.fault_of(number, operation, key);
        if self.log.len() < MAX_LOGGED {
            let (key, outcome) = (key.cloned(), Outcome::Unfinished);
            self.log.push(OperationRecord { number, operation, key, len_bytes, fault, outcome });
        }
        (number, fault)
    }

    fn fault_of(&mut self, number: u64, operation: StorageOperation, key: Option<&ObjectKey>) -> Option<FaultKind> {
        if self.crashed {
            return Some(FaultKind::FailBefore);
        }
        if let Some((at, kind)) = self.crash
            && at == number
        {
            self.crashed = true;
            return Some(kind);
        }
        let mut rules = self.rules.iter_mut().filter(|rule| rule.matches(number, operation, key));
        let rule = loop {
            let rule = rules.next()?;
            if rule.skip > 0 {
                rule.skip -= 1;
            } else if rule.times > 0 {
                rule.times -= 1;
                break rule;
            }
        };
        if let Some(error) = rule.error {
            self.errors.insert(number, error);
        }
        Some(rule.kind)
    }

    /// The error of an operation that was made to fail.
    pub(super) fn error(&self, number: u64, operation: StorageOperation) -> StorageError {
        if self.crashed {
            let error = StorageError::new(StorageErrorKind::Unavailable, operation);
            return error.with_retry(RetryAdvice::Never).with_detail("simulated crash");
        }
        let fault = self.record(number).and_then(|record| record.fault);
        let usual = match fault {
            Some(FaultKind::FailAfter | FaultKind::Tear) => (StorageErrorKind::Unavailable, RetryAdvice::Verify),
            _ => (StorageErrorKind::Unavailable, RetryAdvice::After(Duration::ZERO)),
        };
        let (kind, retry) = self.errors.get(&number).copied().unwrap_or(usual);
        StorageError::new(kind, operation).with_retry(retry).with_detail("simulated fault")
    }

    pub(super) fn finish(&mut self, number: u64, result: &Result<(), &StorageError>) {
        if let Some(record) = self.record_mut(number) {
            record.outcome = match result {
                Ok(()) => Outcome::Done,
                Err(error) => Outcome::Failed(error.kind()),
            };
        }
    }

    pub(super) fn note_bytes(&mut self, number: u64, len_bytes: u64) {
        if let Some(record) = self.record_mut(number) {
            record.len_bytes = len_bytes;
        }
    }

    pub(super) fn note_put(&mut self, number: u64, key: &ObjectKey) {
        self.put_at.entry(key.clone()).or_insert(number);
    }

    pub(super) fn note_delete(&mut self, deleted: u64, meta: ObjectMeta) {
        let stored = self.put_at.remove(&meta.key);
        if self.past.len() < MAX_LOGGED {
            self.past.push(Past { meta, stored, deleted });
        }
    }

    /// Objects that were stored since an operation, and ones that were there at that time and aren't any more.
    pub(super) fn changes_since(&self, since: u64, prefix: &KeyPrefix) -> (BTreeSet<ObjectKey>, Vec<ObjectMeta>) {
        let stored = self.put_at.iter().filter(|(_, at)| **at >= since).map(|(key, _)| key.clone()).collect();
        let ghosts = self.past.iter().filter(|past| {
            past.deleted >= since && past.stored.is_none_or(|at| at < since) && prefix.contains(&past.meta.key)
        });
        (stored, ghosts.map(|past| past.meta.clone()).collect())
    }

    fn index(number: u64) -> usize {
        usize::try_from(number).unwrap_or(usize::MAX)
    }

    fn record(&self, number: u64) -> Option<&OperationRecord> {
        self.log.get(Self::index(number))
    }

    fn record_mut(&mut self, number: u64) -> Option<&mut OperationRecord> {
        self.log.get_mut(Self::index(number))
    }
}
