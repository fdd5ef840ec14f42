//! Time as an emulator knows it: it passes when a test says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// When every emulator begins: 2026-01-02 03:04:05 UTC, in milliseconds since 1970.
const BEGIN_MS: u64 = 1_767_323_045_000;

/// A clock that tests set, shared with the emulator that it was got from.
///
/// It stands still but for one millisecond each time something is stored, so that the order of what is stored can be told.
#[derive(Debug, Clone)]
pub struct Clock(Arc<AtomicU64>);

impl Clock {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(BEGIN_MS)))
    }

    /// Lets time pass.
    ///
    /// # Panics
    /// When it is more than the clock can count.
    pub fn advance(&self, by: Duration) {
        let by_ms = u64::try_from(by.as_millis()).expect("no test waits for that long");
        self.0.fetch_add(by_ms, Ordering::SeqCst);
    }

    /// What it shows, in milliseconds since 1970.
    pub fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    /// What it shows, after a millisecond has passed.
    pub(crate) fn tick_ms(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }
}
