//! The memory store behind a flaky line, dressed in the decorators: together they are a good store again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use backup_conformance::{Harness, Pace};
use backup_core::storage::layer::{
    FaultBackend, FaultKind, FaultRule, IdleTimeout, Limit, Metrics, Retry, RetryPolicy, Throttle,
};
use backup_core::{MemoryBackend, StorageBackend, StorageResult, SystemClock};

use crate::rich::small_pace;

/// One of so many operations fails.
const FAILS_ONE_IN: u64 = 8;

/// Operations among which some fail; the rest of a long case goes well.
const FLAKY_OPERATIONS: u64 = 700;

#[derive(Default)]
struct Dressed {
    spaces: Mutex<BTreeMap<String, FaultBackend>>,
}

fn flaky(memory: MemoryBackend) -> FaultBackend {
    let flaky = FaultBackend::new(Arc::new(memory));
    let kinds = [FaultKind::FailBefore, FaultKind::FailAfter];
    // Multiplying by this scatters the numbers, always in the same way: at regular distances calls that run in step
    // would meet the failures again and again.
    let fails = |number: &u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32 & (FAILS_ONE_IN - 1) == 0;
    for (number, kind) in (0..FLAKY_OPERATIONS).filter(fails).zip(kinds.into_iter().cycle()) {
        flaky.add(FaultRule::new(kind).at(number));
    }
    flaky
}

fn dressed(store: Arc<dyn StorageBackend>) -> Arc<dyn StorageBackend> {
    let metrics = Arc::new(Metrics::new(Arc::new(SystemClock::new())));
    let idle = IdleTimeout { idle: Duration::from_secs(60), slowest_bytes_per_sec: 1_000_000 };
    let throttle = Arc::new(Throttle::new());
    throttle.set_up(Some(1 << 40));
    throttle.set_down(Some(1 << 40));
    let quick = RetryPolicy { first_wait: Duration::from_micros(10), ..RetryPolicy::default() };
    let store = Arc::new(metrics.around(store));
    let store = Arc::new(Arc::new(Limit::new(16)).around(store));
    let store = Arc::new(idle.around(store));
    let store = Arc::new(throttle.around(store));
    Arc::new(Retry::new(quick, 5).around(store))
}

#[async_trait]
impl Harness for Dressed {
    async fn open(&self, space: &str) -> StorageResult<Arc<dyn StorageBackend>> {
        let mut spaces = self.spaces.lock().unwrap();
        let store = spaces.entry(space.to_owned()).or_insert_with(|| flaky(MemoryBackend::new()));
        Ok(dressed(Arc::new(store.clone())))
    }

    async fn open_small(&self, _space: &str, total_bytes: u64) -> StorageResult<Option<Arc<dyn StorageBackend>>> {
        Ok(Some(dressed(Arc::new(flaky(MemoryBackend::new().with_quota(total_bytes))))))
    }

    fn pace(&self) -> Pace {
        let mut pace = small_pace();
        // An overwrite whose answer is lost is done again, and so takes effect twice: no register does that.
        pace.history_operations = 0;
        pace
    }

    fn not_applicable(&self) -> &[(&'static str, &'static str)] {
        &[
            ("foreign_names_are_not_listed", "nothing but objects can lie in memory"),
            ("too_large_is_refused", "memory has no largest object unless told so"),
            ("failed_put_changes_nothing", "failures pass before anybody sees them"),
            ("failure_is_not_the_end", "failures pass before anybody sees them"),
            ("secrets_stay_inside", "memory is opened without secrets"),
            ("one_key_history_is_linearizable", "an overwrite that is done again takes effect twice"),
            ("undeclared_create_has_no_effect", "memory declares create-only puts"),
            ("times_do_not_go_back", "memory tells no times unless it is given a clock"),
            ("old_uploads_are_removed_and_nothing_else", "memory has no unfinished uploads"),
            ("undeclared_digest_is_harmless", "memory checks digests"),
            ("quota_moves_with_what_is_stored", "memory has no quota unless it is given one"),
            ("lock", "memory has no object lock"),
            ("cold", "memory has no cold storage"),
            ("fault", "failures pass before anybody sees them"),
        ]
    }
}

backup_conformance::suite! { Dressed::default() }
