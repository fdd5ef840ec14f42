//! How long a repository's store is waited for: the keys of `[repository.NAME]` that the decorators around it obey.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::registry::decode::decode;
use crate::registry::{ConfigProblem, OptionDoc, OptionKind, Table};
use crate::retention::Age;
use crate::storage::StorageBackend;
use crate::storage::layer::{IdleTimeout, Retry, RetryPolicy};

/// How long a store is waited for, and how often it is asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Patience {
    /// What is done after a failure that may pass.
    pub retry: RetryPolicy,
    /// What is done about a call that doesn't get on, where the store can tell.
    pub idle: IdleTimeout,
}

/// The keys, as they are written.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Keys {
    retry_attempts: Option<u32>,
    retry_for: Option<Age>,
    idle_timeout: Option<Age>,
}

/// The keys' documentation.
pub(super) const OPTIONS: &[OptionDoc] = &[
    OptionDoc::optional("retry_attempts", OptionKind::Integer, "How often a call is tried; 1 is once and not again.")
        .default("8"),
    OptionDoc::optional("retry_for", OptionKind::Duration, "How long a call is tried, waits included.").default("2min"),
    OptionDoc::optional("idle_timeout", OptionKind::Duration, "How long a call may hang, where the store can tell.")
        .default("60s"),
];

impl Patience {
    /// Takes the keys out of a repository's table.
    pub(super) fn take_from(table: &mut Table) -> Result<Self, ConfigProblem> {
        let mut own = Table::new().from_origin(table.origin().clone());
        for option in OPTIONS {
            own.entries.extend(table.entries.remove_entry(option.name));
        }
        let keys: Keys = decode(&own)?;
        let wrong = |key: &str, message: &str| ConfigProblem::new(key, message).with_origin(own.origin_of(key));
        let fixed = |key: &str, age: &Age| -> Result<Duration, ConfigProblem> {
            age.fixed().ok_or_else(|| wrong(key, "expected a length of time without months and years"))
        };
        let mut patience = Self::default();
        match keys.retry_attempts {
            Some(0) => return Err(wrong("retry_attempts", "expected 1 or more: the first attempt counts")),
            Some(attempts) => patience.retry.max_attempts = attempts,
            None => {}
        }
        if let Some(age) = &keys.retry_for {
            patience.retry.max_total = fixed("retry_for", age)?;
        }
        if let Some(age) = &keys.idle_timeout {
            patience.idle.idle = fixed("idle_timeout", age)?;
        }
        Ok(patience)
    }

    /// A store with what waits for it: calls that hang are ended, where that can be told, and calls that failed for a passing reason are
    /// repeated. The seed decides the random part of the waits; clients that failed together should not have the same.
    pub fn around(&self, store: Arc<dyn StorageBackend>, seed: u64) -> Arc<dyn StorageBackend> {
        // Retry is the outer one: a call that was ended is tried again.
        let store: Arc<dyn StorageBackend> = match store.info().capabilities.wakes_on_progress {
            true => Arc::new(self.idle.around(store)),
            false => store,
        };
        Arc::new(Retry::new(self.retry, seed).around(store))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use async_trait::async_trait;
    use bytes::Bytes;
    use futures::stream::BoxStream;

    use super::*;
    use crate::key::{KeyPrefix, ObjectKey};
    use crate::registry::probe::field_names;
    use crate::storage::error::{StorageErrorKind, StorageOperation, StorageResult};
    use crate::storage::layer::{FaultBackend, FaultKind, FaultRule};
    use crate::storage::memory::MemoryBackend;
    use crate::storage::{BackendInfo, ByteRange, ObjectMeta, PutBody, PutOptions};

    const SECOND: Duration = Duration::from_secs(1);

    fn read(text: &str) -> Result<Patience, ConfigProblem> {
        let mut table = Table::from_toml("config.toml", text).unwrap();
        let patience = Patience::take_from(&mut table)?;
        assert!(OPTIONS.iter().all(|option| !table.contains(option.name)), "the store's own options are left");
        Ok(patience)
    }

    #[test]
    fn documented_keys_and_defaults_are_those_that_hold() {
        let documented: BTreeSet<_> = OPTIONS.iter().map(|option| option.name).collect();
        let known: BTreeSet<_> = field_names::<Keys>().unwrap().iter().copied().collect();
        assert_eq!(documented, known);
        let defaults = |option: &OptionDoc| match option.kind {
            OptionKind::Integer => format!("{} = {}\n", option.name, option.default.unwrap()),
            _ => format!("{} = \"{}\"\n", option.name, option.default.unwrap()),
        };
        assert_eq!(read(&OPTIONS.iter().map(defaults).collect::<String>()).unwrap(), Patience::default());
        assert_eq!(read("path = \"/x\"").unwrap(), Patience::default());
    }

    #[test]
    fn keys_are_read_and_wrong_ones_named() {
        let patience = read("retry_attempts = 3\nretry_for = \"1h 30min\"\nidle_timeout = \"5s\"").unwrap();
        assert_eq!(patience.retry.max_attempts, 3);
        assert_eq!((patience.retry.max_total, patience.idle.idle), (5400 * SECOND, 5 * SECOND));
        for (text, key) in [
            ("retry_attempts = 0", "retry_attempts"),
            ("retry_attempts = -1", "retry_attempts"),
            ("retry_for = \"2mo\"", "retry_for"),
            ("retry_for = 5", "retry_for"),
            ("idle_timeout = \"0s\"", "idle_timeout"),
            ("idle_timeout = \"soon\"", "idle_timeout"),
        ] {
            let problem = read(text).unwrap_err().to_string();
            assert!(problem.contains(key) && problem.contains("config.toml:1"), "{text}: {problem}");
        }
    }

    /// The same store, whose calls wake nobody before they are done.
    #[derive(Debug)]
    struct OnThreads(FaultBackend, BackendInfo);

    #[async_trait]
    impl StorageBackend for OnThreads {
        fn info(&self) -> &BackendInfo {
            &self.1
        }
        async fn put(&self, key: &ObjectKey, body: PutBody, options: &PutOptions) -> StorageResult<()> {
            self.0.put(key, body, options).await
        }
        async fn get(&self, key: &ObjectKey, range: ByteRange) -> StorageResult<Bytes> {
            self.0.get(key, range).await
        }
        async fn stat(&self, key: &ObjectKey) -> StorageResult<ObjectMeta> {
            self.0.stat(key).await
        }
        fn list<'a>(&'a self, prefix: &'a KeyPrefix) -> BoxStream<'a, StorageResult<ObjectMeta>> {
            self.0.list(prefix)
        }
        async fn delete(&self, key: &ObjectKey) -> StorageResult<()> {
            self.0.delete(key).await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn call_that_hangs_is_tried_again_where_that_can_be_told() {
        let key = ObjectKey::new("a").unwrap();
        for (wakes_on_progress, took) in [(true, 60), (false, 1000)] {
            let faulty = FaultBackend::new(Arc::new(MemoryBackend::new()));
            faulty.add(FaultRule::new(FaultKind::Delay(1000 * SECOND)).on(StorageOperation::Stat).times(1));
            let store: Arc<dyn StorageBackend> = match wakes_on_progress {
                true => Arc::new(faulty),
                false => {
                    let mut info = faulty.info().clone();
                    info.capabilities.wakes_on_progress = false;
                    Arc::new(OnThreads(faulty, info))
                }
            };
            let begun = tokio::time::Instant::now();
            let error = Patience::default().around(store, 1).stat(&key).await.unwrap_err();
            assert_eq!(error.kind(), StorageErrorKind::NotFound, "the store was asked in the end");
            assert_eq!(begun.elapsed().as_secs(), took);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn call_that_fails_is_tried_as_often_as_is_wanted() {
        let key = ObjectKey::new("a").unwrap();
        for attempts in [1, 2, 5] {
            let faulty = FaultBackend::new(Arc::new(MemoryBackend::new()));
            faulty.add(FaultRule::new(FaultKind::FailBefore));
            let mut patience = Patience::default();
            patience.retry.max_attempts = attempts;
            let error = patience.around(Arc::new(faulty.clone()), 1).stat(&key).await.unwrap_err();
            assert_eq!((error.kind(), faulty.operations()), (StorageErrorKind::Unavailable, attempts.into()));
        }
    }
}
