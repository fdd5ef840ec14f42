//! Blocking work on behalf of an async caller.

use backup_core::CancelToken;

/// Asks a background thread to stop when nobody waits for it any more.
pub(crate) struct CancelOnDrop(Option<CancelToken>);

impl CancelOnDrop {
    /// Cancels the token when dropped before [`Self::disarm`].
    pub(crate) fn new(cancel: &CancelToken) -> Self {
        Self(Some(cancel.clone()))
    }

    /// The work is done; nothing is to be cancelled any more.
    pub(crate) fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(cancel) = &self.0 {
            cancel.cancel();
        }
    }
}
