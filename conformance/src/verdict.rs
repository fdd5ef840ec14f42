//! How a case ends.

use std::error::Error;

use backup_core::{StorageError, StorageErrorKind, StorageResult};
use serde::{Deserialize, Serialize};

/// What became of a case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", content = "reason", rename_all = "kebab-case")]
pub enum Verdict {
    /// The store does what the clause demands.
    Passed,
    /// It doesn't; in words.
    Failed(String),
    /// The case says nothing about this store; why.
    NotApplicable(String),
    /// It failed at first and passed when it was tried again; why it failed.
    Flaky(String),
    /// It was not run, or not to its end; why.
    Skipped(String),
}

impl Verdict {
    /// Of several runs of a case, the heaviest verdict counts.
    pub(crate) fn weight(&self) -> u8 {
        match self {
            Self::NotApplicable(_) => 0,
            Self::Passed => 1,
            Self::Skipped(_) => 2,
            Self::Flaky(_) => 3,
            Self::Failed(_) => 4,
        }
    }
}

/// Why a case stops before its end.
#[derive(Debug)]
pub(crate) enum Stop {
    Failed(String),
    NotApplicable(String),
}

pub(crate) type CaseResult = Result<(), Stop>;

impl From<CaseResult> for Verdict {
    fn from(result: CaseResult) -> Self {
        match result {
            Ok(()) => Self::Passed,
            Err(Stop::Failed(reason)) => Self::Failed(reason),
            Err(Stop::NotApplicable(reason)) => Self::NotApplicable(reason),
        }
    }
}

impl From<StorageError> for Stop {
    fn from(error: StorageError) -> Self {
        Self::Failed(chain(&error))
    }
}

/// An error with its causes.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Stops a case with a reason unless a condition holds.
macro_rules! ensure {
    ($condition:expr, $($reason:tt)+) => {
        if !$condition {
            return Err($crate::verdict::Stop::Failed(format!($($reason)+)));
        }
    };
}
pub(crate) use ensure;

/// Stops a case that says nothing about this store.
pub(crate) fn not_applicable(reason: impl Into<String>) -> Stop {
    Stop::NotApplicable(reason.into())
}

/// Demands a failure of one kind and gives the error.
pub(crate) fn expect_kind<T>(
    result: StorageResult<T>,
    kind: StorageErrorKind,
    what: &str,
) -> Result<StorageError, Stop> {
    match result {
        Ok(_) => Err(Stop::Failed(format!("{what} succeeded; expected: {}", kind.as_str()))),
        Err(error) if error.kind() == kind => Ok(error),
        Err(error) => Err(Stop::Failed(format!("{what}: expected: {}; got: {}", kind.as_str(), chain(&error)))),
    }
}
