//! The strict memory store, as it is and wrapped into a decorator that can fail.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use backup_conformance::{FaultControl, Harness, RawView, Trouble};
use backup_core::storage::layer::{FaultBackend, FaultKind, FaultRule};
use backup_core::{MemoryBackend, RetryAdvice, StorageBackend, StorageErrorKind, StorageOperation, StorageResult};

#[derive(Default)]
struct Memory {
    spaces: Mutex<BTreeMap<String, (MemoryBackend, FaultBackend)>>,
}

impl Memory {
    fn space(&self, space: &str) -> (MemoryBackend, FaultBackend) {
        let mut spaces = self.spaces.lock().expect("no test panics with the lock held");
        let store = spaces.entry(space.to_owned()).or_insert_with(|| {
            let memory = MemoryBackend::new();
            (memory.clone(), FaultBackend::new(Arc::new(memory)))
        });
        store.clone()
    }
}

#[async_trait]
impl Harness for Memory {
    async fn open(&self, space: &str) -> StorageResult<Arc<dyn StorageBackend>> {
        Ok(Arc::new(self.space(space).1))
    }

    async fn open_small(&self, _space: &str, total_bytes: u64) -> StorageResult<Option<Arc<dyn StorageBackend>>> {
        Ok(Some(Arc::new(MemoryBackend::new().with_quota(total_bytes))))
    }

    fn raw(&self) -> Option<&dyn RawView> {
        Some(self)
    }

    fn faults(&self) -> Option<&dyn FaultControl> {
        Some(self)
    }

    fn not_applicable(&self) -> &[(&'static str, &'static str)] {
        &[
            ("foreign_names_are_not_listed", "nothing but objects can lie in memory"),
            ("too_large_is_refused", "memory has no largest object unless told so"),
            ("secrets_stay_inside", "memory is opened without secrets"),
            ("undeclared_create_has_no_effect", "memory declares create-only puts"),
            ("times_do_not_go_back", "memory tells no times unless it is given a clock"),
            ("old_uploads_are_removed_and_nothing_else", "memory has no unfinished uploads"),
            ("undeclared_digest_is_harmless", "memory checks digests"),
            ("quota_moves_with_what_is_stored", "memory has no quota unless it is given one"),
            ("expired_access_is_renewed", "memory asks nobody who he is"),
            ("failures_show_no_secret", "memory is opened without secrets"),
            ("lock", "memory has no object lock"),
            ("cold", "memory has no cold storage"),
        ]
    }
}

#[async_trait]
impl RawView for Memory {
    async fn names(&self, space: &str) -> Vec<(String, u64)> {
        let (memory, _) = self.space(space);
        let size = |key| memory.peek(key).map_or(0, |bytes| bytes.len() as u64);
        memory.keys().iter().map(|key| (key.to_string(), size(key))).collect()
    }

    async fn plant(&self, _space: &str, _name: &str) -> bool {
        false
    }

    async fn plant_unfinished(&self, _space: &str, _age: Duration) -> bool {
        false
    }
}

#[async_trait]
impl FaultControl for Memory {
    async fn begin(&self, space: &str, trouble: Trouble) -> bool {
        let (_, faulty) = self.space(space);
        match trouble {
            Trouble::PutBreaks => {
                faulty.add(FaultRule::new(FaultKind::FailBefore).on(StorageOperation::Put).times(1));
                faulty.add(FaultRule::new(FaultKind::FailAfter).on(StorageOperation::Put));
            }
            Trouble::ListBreaks => faulty.add(FaultRule::new(FaultKind::Tear).on(StorageOperation::List)),
            Trouble::GetBreaks => faulty.add(FaultRule::new(FaultKind::FailAfter).on(StorageOperation::Get)),
            Trouble::AnswerLost => {
                for operation in [StorageOperation::Put, StorageOperation::Delete] {
                    faulty.add(FaultRule::new(FaultKind::FailAfter).on(operation).times(1));
                }
            }
            Trouble::Throttled { after } => {
                let error = (StorageErrorKind::RateLimited, RetryAdvice::After(after));
                faulty.add(FaultRule::new(FaultKind::FailBefore).error(error.0, error.1));
            }
            Trouble::ServerErrors | Trouble::Unreachable => faulty.add(FaultRule::new(FaultKind::FailBefore)),
            Trouble::Corrupts => faulty.add(FaultRule::new(FaultKind::WrongBytes).on(StorageOperation::Put)),
            // Longer than any case takes.
            Trouble::Stalls => faulty.add(FaultRule::new(FaultKind::Delay(Duration::from_secs(3_600)))),
            Trouble::TokenRevoked => {
                let error = (StorageErrorKind::Unauthenticated, RetryAdvice::Never);
                faulty.add(FaultRule::new(FaultKind::FailBefore).error(error.0, error.1));
            }
            _ => return false,
        }
        true
    }

    async fn end(&self, space: &str) {
        self.space(space).1.heal();
    }
}

backup_conformance::suite! { Memory::default() }
