//! Records in memory: found by interpolation, because keyed ids are evenly spread.

use super::record::{Record, top};
use crate::id::BlobPrefix;

/// Sorted records, 32 bytes each.
#[derive(Debug, Default)]
pub(super) struct MemoryRecords(Vec<Record>);

impl MemoryRecords {
    pub(super) fn new(mut records: Vec<Record>) -> Self {
        records.sort_unstable();
        Self(records)
    }

    pub(super) fn all(&self) -> &[Record] {
        &self.0
    }

    pub(super) fn copies(&self, prefix: BlobPrefix) -> impl Iterator<Item = &Record> {
        let from = self.lower_bound(prefix);
        self.0[from..].iter().take_while(move |record| record.prefix == prefix)
    }

    /// The first record not below a prefix.
    ///
    /// The record is near where proportion says; doubling steps from there find a small interval to search.
    fn lower_bound(&self, prefix: BlobPrefix) -> usize {
        let len = self.0.len();
        let scaled = (u128::from(top(prefix)) * len as u128) >> 64;
        let guess = usize::try_from(scaled).expect("not more than the length");
        let mut step = 16;
        let (mut low, mut high) = (guess, guess);
        while low > 0 && self.0[low - 1].prefix >= prefix {
            low = low.saturating_sub(step);
            step *= 2;
        }
        step = 16;
        while high < len && self.0[high].prefix < prefix {
            high = (high + step).min(len);
            step *= 2;
        }
        low + self.0[low..high].partition_point(|record| record.prefix < prefix)
    }
}
