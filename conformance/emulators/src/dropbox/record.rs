//! The calls that were made, in the words of the vendor's functions.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

/// Bytes of answers that are kept: more than any test looks at, so that a long run doesn't fill the memory.
const MAX_KEPT_BYTES: usize = 64 << 20;

/// What a call takes beside its answer, roughly.
const CALL_BYTES: usize = 1 << 10;

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

/// The calls, oldest first; the oldest are forgotten when there are very many.
#[derive(Debug, Default)]
pub(super) struct Record(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    calls: VecDeque<(Called, usize)>,
    bytes: usize,
}

impl Record {
    /// Keeps a call whose answer has so many bytes.
    pub(super) fn add(&self, called: Called, answer_bytes: usize) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = answer_bytes + CALL_BYTES;
        kept.bytes += bytes;
        kept.calls.push_back((called, bytes));
        while kept.bytes > MAX_KEPT_BYTES
            && let Some((_, bytes)) = kept.calls.pop_front()
        {
            kept.bytes -= bytes;
        }
    }

    pub(super) fn all(&self) -> Vec<Called> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.calls.iter().map(|(called, _)| called.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_calls_are_forgotten() {
        let record = Record::default();
        for data_bytes in 0..5 {
            let (function, argument, answer) = (String::new(), Value::Null, Value::Null);
            record.add(Called { function, argument, data_bytes, status: 200, answer }, MAX_KEPT_BYTES / 3);
        }
        let kept: Vec<_> = record.all().into_iter().map(|called| called.data_bytes).collect();
        assert_eq!(kept, [3, 4]);
    }
}
