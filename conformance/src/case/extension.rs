//! The optional extensions.

use std::time::Duration;

use crate::content::bytes;
use crate::context::{Context, key};
use crate::verdict::{CaseResult, ensure, not_applicable};

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
