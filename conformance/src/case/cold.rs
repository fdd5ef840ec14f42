//! Objects that must be fetched before they can be read.

use backup_core::StorageErrorKind;

use crate::content::bytes;
use crate::context::{Context, eventually, key};
use crate::harness::Trouble;
use crate::verdict::{CaseResult, ensure, expect_kind, not_applicable};

pub(crate) async fn cold_object_says_so_and_warms_up(cx: &Context) -> CaseResult {
    let Some(cold) = cx.store.cold() else {
        return Err(not_applicable("the store has no cold storage"));
    };
    let (at, warm) = (key("cold/object"), key("cold/warm"));
    cx.put(&at, bytes(1, 1_000)).await?;
    cx.settle_reads().await;
    ensure!(cold.is_warm(&at).await?, "an object that was just stored is cold");
    cx.trouble(Trouble::GoesCold).await?;
    cx.put(&warm, bytes(2, 1_000)).await?;
    cx.settle_reads().await;
    cx.settle_lists().await;
    expect_kind(cx.get(&at).await, StorageErrorKind::NeedsWarmup, "get of a cold object")?;
    ensure!(!cold.is_warm(&at).await?, "a cold object is called warm");
    ensure!(cx.store.stat(&at).await?.size_bytes == 1_000, "stat tells another size of a cold object");
    ensure!(cx.sizes("").await?.len() == 2, "a cold object is not listed");
    cx.expect(&warm, &bytes(2, 1_000)).await?;
    expect_kind(cold.warm_up(&key("cold/missing")).await, StorageErrorKind::NotFound, "warming up what is not there")?;
    cold.warm_up(&at).await?;
    // Asking again while it is under way is no mistake.
    cold.warm_up(&at).await?;
    eventually(|| async {
        ensure!(cold.is_warm(&at).await?, "an object stays cold that was asked for");
        Ok(())
    })
    .await?;
    cx.expect(&at, &bytes(1, 1_000)).await?;
    cx.well_again().await
}
