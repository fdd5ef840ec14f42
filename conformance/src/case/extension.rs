//! The optional extensions.

use std::time::Duration;

use backup_core::{StorageErrorKind, Timestamp};

use crate::content::bytes;
use crate::context::{Context, key};
use crate::verdict::{CaseResult, ensure, expect_kind, not_applicable};

const HOUR: Duration = Duration::from_secs(3_600);

pub(crate) async fn old_uploads_are_removed_and_nothing_else(cx: &Context) -> CaseResult {
    let Some(uploads) = cx.store.uploads() else {
        return Err(not_applicable("the store keeps no unfinished uploads"));
    };
    let raw = cx.raw()?;
    let (at, deep) = (key("finished"), key("packs/ab/finished"));
    cx.put(&at, bytes(1, 100)).await?;
    cx.put(&deep, bytes(2, 100)).await?;
    if !raw.plant_unfinished(2 * HOUR).await {
        return Err(not_applicable("the harness can't plant an old upload"));
    }
    ensure!(raw.plant_unfinished(Duration::ZERO).await, "the store has uploads, and the harness can't plant one");
    let planted = raw.foreign().await.len();
    let removed = uploads.abort_older_than(HOUR).await?;
    let left = raw.foreign().await.len();
    ensure!(removed == 1, "one of two unfinished uploads is older than an hour, {removed} were removed");
    ensure!(left + 1 == planted, "{planted} unfinished uploads were there, {left} are left");
    let removed = uploads.abort_older_than(HOUR).await?;
    ensure!(removed == 0, "a second sweep removed {removed}");
    cx.settle_reads().await;
    cx.expect(&at, &bytes(1, 100)).await?;
    cx.expect(&deep, &bytes(2, 100)).await
}

pub(crate) async fn locked_object_resists(cx: &Context) -> CaseResult {
    let Some(lock) = cx.store.object_lock() else {
        return Err(not_applicable("the store has no object lock"));
    };
    let (locked, free) = (key("locked/object"), key("locked/free"));
    cx.put(&locked, bytes(1, 100)).await?;
    cx.put(&free, bytes(1, 100)).await?;
    // Far enough ahead of any clock, and the space is thrown away.
    let until = Timestamp::from_secs(4_000_000_000);
    let (earlier, later) = (until.saturating_sub(HOUR), until.saturating_add(HOUR));
    lock.retain_until(&locked, until).await?;
    ensure!(lock.retained_until(&locked).await? == Some(until), "the time of the lock is not told");
    expect_kind(lock.retain_until(&locked, earlier).await, StorageErrorKind::Locked, "shortening a lock")?;
    lock.retain_until(&locked, later).await?;
    ensure!(lock.retained_until(&locked).await? == Some(later), "a lock was not extended");
    expect_kind(cx.store.delete(&locked).await, StorageErrorKind::Locked, "delete of a locked object")?;
    expect_kind(cx.put(&locked, bytes(2, 100)).await, StorageErrorKind::Locked, "overwrite of a locked object")?;
    cx.settle_reads().await;
    cx.expect(&locked, &bytes(1, 100)).await?;
    ensure!(lock.retained_until(&free).await?.is_none(), "an object that was never locked is");
    cx.store.delete(&free).await?;
    Ok(())
}
