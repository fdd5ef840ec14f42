//! The calls that were made, in the words of the vendor's functions.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

/// Calls that are kept: more than any test makes, so that a long run doesn't fill the memory.
const MAX_KEPT: usize = 50_000;

/// One call that was understood, and what it was answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Called {
    /// The function with its version, such as `files/delete_v2`.
    pub function: String,
    /// The argument as it was sent; `null` where there is none.
    pub argument: Value,
    /// Bytes of data beside the argument.
    pub data_bytes: usize,
    /// The status of the answer.
    pub status: u16,
    /// The result or the union of the error; `null` where it is no JSON.
    pub answer: Value,
}

/// All calls, oldest first.
#[derive(Debug, Clone, Default)]
pub(super) struct Record(Arc<Mutex<Vec<Called>>>);

impl Record {
    pub(super) fn add(&self, called: Called) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < MAX_KEPT {
            kept.push(called);
        }
    }

    pub(super) fn all(&self) -> Vec<Called> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
