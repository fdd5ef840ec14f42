//! Objects that the store protects.

use std::time::Duration;

use backup_core::storage::ObjectLock;
use backup_core::{ObjectKey, StorageErrorKind, Timestamp};

use crate::content::bytes;
use crate::context::{Context, key};
use crate::verdict::{CaseResult, Stop, ensure, expect_kind, not_applicable};

const HOUR: Duration = Duration::from_secs(3_600);

/// Far enough ahead of any clock, and the space is thrown away.
const UNTIL: Timestamp = Timestamp::from_secs(4_000_000_000);

/// The store's locks, and an object that is protected.
async fn locked<'a>(cx: &'a Context, at: &ObjectKey) -> Result<&'a dyn ObjectLock, Stop> {
    let Some(lock) = cx.store.object_lock() else {
        return Err(not_applicable("the store has no object lock"));
    };
    cx.put(at, bytes(1, 100)).await?;
    cx.settle_reads().await;
    lock.retain_until(at, UNTIL).await?;
    ensure!(lock.retained_until(at).await? == Some(UNTIL), "the time of the lock is not told");
    Ok(lock)
}

pub(crate) async fn locked_object_resists(cx: &Context) -> CaseResult {
    let (at, free) = (key("locked/object"), key("locked/free"));
    let lock = locked(cx, &at).await?;
    cx.put(&free, bytes(1, 100)).await?;
    expect_kind(cx.store.delete(&at).await, StorageErrorKind::Locked, "delete of a locked object")?;
    cx.settle_reads().await;
    cx.expect(&at, &bytes(1, 100)).await?;
    ensure!(lock.retained_until(&free).await?.is_none(), "an object that was never locked is");
    cx.store.delete(&free).await?;
    Ok(())
}

pub(crate) async fn locked_object_is_not_overwritten(cx: &Context) -> CaseResult {
    let at = key("locked/object");
    locked(cx, &at).await?;
    for body in [bytes(2, 100), bytes(2, 0), bytes(1, 100)] {
        expect_kind(cx.put(&at, body).await, StorageErrorKind::Locked, "overwrite of a locked object")?;
    }
    cx.settle_reads().await;
    cx.expect(&at, &bytes(1, 100)).await
}

pub(crate) async fn lock_is_extended_and_never_shortened(cx: &Context) -> CaseResult {
    let at = key("locked/object");
    let lock = locked(cx, &at).await?;
    let (earlier, later) = (UNTIL.saturating_sub(HOUR), UNTIL.saturating_add(HOUR));
    expect_kind(lock.retain_until(&at, earlier).await, StorageErrorKind::Locked, "shortening a lock")?;
    ensure!(lock.retained_until(&at).await? == Some(UNTIL), "a lock was shortened");
    lock.retain_until(&at, later).await?;
    ensure!(lock.retained_until(&at).await? == Some(later), "a lock was not extended");
    expect_kind(lock.retain_until(&at, UNTIL).await, StorageErrorKind::Locked, "shortening an extended lock")?;
    ensure!(lock.retained_until(&at).await? == Some(later), "an extended lock was shortened");
    Ok(())
}
