//! Leaving nothing behind.

use std::sync::Arc;
use std::time::Duration;

use backup_core::storage::layer::{Retry, RetryPolicy};
use backup_core::{
    Consistency, KeyPrefix, ObjectKey, StorageBackend, StorageError, StorageErrorKind, StorageOperation, StorageResult,
};
use futures::stream::{self, StreamExt, TryStreamExt};

use crate::verdict::chain;

/// Deletes at once.
const DELETES: usize = 8;

/// How often to look and delete: what was on its way when its caller left may arrive late.
const SWEEPS: usize = 3;

/// Seed of the waits between repetitions.
const SEED: u64 = 7;

async fn keys(place: &dyn StorageBackend, prefix: &KeyPrefix) -> StorageResult<Vec<ObjectKey>> {
    place.list(prefix).map_ok(|meta| meta.key).try_collect().await
}

/// Refuses a prefix under which something lies: it would be removed.
pub(super) async fn must_be_empty(place: &dyn StorageBackend, prefix: &KeyPrefix) -> StorageResult<()> {
    match place.list(prefix).next().await {
        None => Ok(()),
        Some(Err(error)) => Err(error),
        Some(Ok(_)) => {
            let taken = StorageError::new(StorageErrorKind::AlreadyExists, StorageOperation::Connect);
            Err(taken.with_detail(format!("something lies below `{prefix}`, and a run would remove it")))
        }
    }
}

/// Removes every object below a prefix; what is in the way otherwise, in words.
pub(super) async fn remove_all(place: &Arc<dyn StorageBackend>, prefix: &KeyPrefix) -> Result<(), String> {
    let store = Retry::new(RetryPolicy { max_attempts: 5, ..RetryPolicy::default() }, SEED).around(Arc::clone(place));
    let settle = match place.info().capabilities.list_after_write {
        Consistency::Strong => Duration::ZERO,
        Consistency::Session(within) | Consistency::Bounded(within) => within,
    };
    let mut left = Vec::new();
    for _ in 0..SWEEPS {
        tokio::time::sleep(settle).await;
        left = keys(&store, prefix).await.map_err(|error| format!("{prefix}: {}", chain(&error)))?;
        if left.is_empty() {
            return Ok(());
        }
        let deletes = stream::iter(&left).map(|key| store.delete(key)).buffer_unordered(DELETES);
        deletes.try_collect::<()>().await.map_err(|error| format!("{prefix}: {}", chain(&error)))?;
    }
    tokio::time::sleep(settle).await;
    match keys(&store, prefix).await {
        Ok(now) if now.is_empty() => Ok(()),
        Ok(now) => Err(format!("{prefix}: {} objects are still there", now.len())),
        Err(error) => Err(format!("{prefix}: up to {} objects: {}", left.len(), chain(&error))),
    }
}
