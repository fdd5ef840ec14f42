//! A gate that holds requests until a test opens it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// How long a gate holds at most: longer than any test runs, so that a forgotten one ends some time.
const HOLD_AT_MOST: Duration = Duration::from_secs(120);

/// Holds requests; tests see how many wait and let them go on.
#[derive(Debug, Clone)]
pub struct Gate(Arc<watch::Sender<State>>);

#[derive(Debug, Clone, Copy, Default)]
struct State {
    arrived: usize,
    is_open: bool,
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Gate {
    /// A gate that is shut.
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(State::default())))
    }

    /// Lets go whatever waits, now and later.
    pub fn open(&self) {
        self.0.send_modify(|state| state.is_open = true);
    }

    /// Waits until so many requests have come to the gate. Tests without a runtime wait with `futures::executor::block_on`.
    pub async fn arrived(&self, count: usize) {
        let mut seen = self.0.subscribe();
        // It can't fail: this gate holds the sender.
        let _ = seen.wait_for(|state| state.arrived >= count).await;
    }

    /// Waits at the gate; false when nobody opened it in time.
    pub(crate) async fn pass(&self) -> bool {
        self.0.send_modify(|state| state.arrived += 1);
        let mut seen = self.0.subscribe();
        tokio::time::timeout(HOLD_AT_MOST, seen.wait_for(|state| state.is_open)).await.is_ok()
    }
}
