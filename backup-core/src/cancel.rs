//! Asking a running operation to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A flag shared between whoever wants an operation stopped and the operation.
///
/// Operations look at it between pieces of work that each take at most a fraction of a second, leave the repository in
/// a state from which a later run goes on, and end with their error for cancellation.
///
/// ```
/// use backup_core::CancelToken;
///
/// let token = CancelToken::new();
/// let seen_by_operation = token.clone();
/// token.cancel();
/// assert!(seen_by_operation.is_cancelled());
/// ```
#[derive(Debug, Clone, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// A token that nobody has cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks every holder of a clone to stop; cannot be taken back.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether somebody asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
