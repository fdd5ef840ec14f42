//! What stands between a client of the rich store and the store when something goes wrong.

use std::time::Duration;

use async_trait::async_trait;
use backup_conformance::Trouble;
use backup_core::storage::ColdStorage;
use backup_core::{ObjectKey, RetryAdvice, StorageError, StorageErrorKind, StorageOperation, StorageResult};

use super::CANARY;
use super::client::{Client, error};

/// Looks that it takes until an object is warm that was asked for.
const WARM_AFTER_LOOKS: u32 = 2;

impl Client {
    /// What happens to a call on its way to the store.
    pub(super) async fn on_the_way(&self, operation: StorageOperation) -> StorageResult<()> {
        let trouble = self.world.state().trouble;
        let refused = |kind| Err(StorageError::new(kind, operation));
        let with = |kind, advice| Err(StorageError::new(kind, operation).with_retry(advice));
        match (trouble, self.bug.unwrap_or_default(), operation) {
            (Some(Trouble::Throttled { .. }), "throttling_says_how_long", StorageOperation::Stat) => {
                with(StorageErrorKind::RateLimited, RetryAdvice::After(Duration::ZERO))
            }
            (Some(Trouble::Throttled { after }), ..) => with(StorageErrorKind::RateLimited, RetryAdvice::After(after)),
            // Whatever is no success is taken for an answer about the object.
            (Some(Trouble::ServerErrors), "server_errors_pass", StorageOperation::Stat) => {
                refused(StorageErrorKind::NotFound)
            }
            (Some(Trouble::ServerErrors), "failures_show_no_secret", StorageOperation::Stat) => {
                Err(StorageError::new(StorageErrorKind::Unavailable, operation).with_detail(CANARY))
            }
            (Some(Trouble::ServerErrors), "failures_do_not_add_up", StorageOperation::Get) => {
                self.world.state().failed_reads += 1;
                refused(StorageErrorKind::Unavailable)
            }
            (Some(Trouble::Unreachable), "unreachable_store_may_come_back", StorageOperation::Delete) => {
                refused(StorageErrorKind::Config)
            }
            (Some(Trouble::ServerErrors | Trouble::Unreachable), ..) => refused(StorageErrorKind::Unavailable),
            (Some(Trouble::Stalls), bug, _) => {
                // A call that is left keeps what it holds.
                self.world.state().poisoned |= bug == "stalled_call_can_be_given_up";
                std::future::pending().await
            }
            (Some(Trouble::TokenExpired), bug, _) => {
                // Whoever comes first renews it; meanwhile the others must wait.
                tokio::task::yield_now().await;
                match (bug, self.world.state().trouble.take()) {
                    ("expired_access_is_renewed", None) => refused(StorageErrorKind::Unauthenticated),
                    _ => Ok(()),
                }
            }
            (Some(Trouble::TokenRevoked), "revoked_access_says_so", StorageOperation::List) => {
                with(StorageErrorKind::Unauthenticated, RetryAdvice::After(Duration::ZERO))
            }
            (Some(Trouble::TokenRevoked), ..) => refused(StorageErrorKind::Unauthenticated),
            (None, "failures_do_not_add_up", StorageOperation::Get) if self.world.state().failed_reads > 50 => {
                refused(StorageErrorKind::Unavailable)
            }
            _ => Ok(()),
        }
    }

    /// What happens to the answer of a put or delete that took effect.
    pub(super) fn on_the_way_back(&self, operation: StorageOperation, at: &ObjectKey) -> StorageResult<()> {
        let trouble = &mut self.world.state().trouble;
        if *trouble != Some(Trouble::AnswerLost) {
            return Ok(());
        }
        *trouble = None;
        let lost = error(StorageErrorKind::Unavailable, operation, at);
        Err(match (self.bug.unwrap_or_default(), operation) {
            ("lost_answer_of_a_create_is_found_out", StorageOperation::Put)
            | ("lost_answer_of_a_delete_does_no_harm", StorageOperation::Delete) => lost.with_retry(RetryAdvice::Never),
            _ => lost.with_retry(RetryAdvice::Verify),
        })
    }

    /// Refuses to read what is in cold storage.
    pub(super) fn check_warm(&self, at: &ObjectKey) -> StorageResult<()> {
        let cold = self.world.state().cold.contains_key(at);
        match (cold, self.bug) {
            (false, _) => Ok(()),
            (true, Some("cold_object_says_so_and_warms_up")) => {
                Err(error(StorageErrorKind::PermissionDenied, StorageOperation::Get, at))
            }
            (true, _) => Err(error(StorageErrorKind::NeedsWarmup, StorageOperation::Get, at)),
        }
    }
}

#[async_trait]
impl ColdStorage for Client {
    async fn warm_up(&self, at: &ObjectKey) -> StorageResult<()> {
        if self.world.memory.peek(at).is_none() {
            return Err(error(StorageErrorKind::NotFound, StorageOperation::Extension, at));
        }
        if let Some(looks) = self.world.state().cold.get_mut(at) {
            looks.get_or_insert(WARM_AFTER_LOOKS);
        }
        Ok(())
    }

    async fn is_warm(&self, at: &ObjectKey) -> StorageResult<bool> {
        let mut state = self.world.state();
        let Some(looks) = state.cold.get_mut(at) else { return Ok(true) };
        match looks {
            Some(0) => drop(state.cold.remove(at)),
            Some(looks) => *looks -= 1,
            None => {}
        }
        Ok(false)
    }
}
