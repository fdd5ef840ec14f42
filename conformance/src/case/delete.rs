//! Removing objects.

use std::sync::Arc;

use backup_core::StorageErrorKind;
use futures::future::join_all;

use crate::content::bytes;
use crate::context::{Context, key};
use crate::verdict::{CaseResult, Stop, ensure, expect_kind};

pub(crate) async fn deleted_is_gone(cx: &Context) -> CaseResult {
    let second = cx.second().await?;
    for name in ["gone", "gone-too/deep/down"] {
        let at = key(name);
        cx.put(&at, bytes(1, 1_000)).await?;
        cx.settle_reads().await;
        cx.store.delete(&at).await?;
        cx.settle_reads().await;
        expect_kind(cx.get(&at).await, StorageErrorKind::NotFound, "get of a deleted object")?;
        expect_kind(cx.store.stat(&at).await, StorageErrorKind::NotFound, "stat of a deleted object")?;
        expect_kind(second.stat(&at).await, StorageErrorKind::NotFound, "the other client's stat of a deleted object")?;
    }
    Ok(())
}

pub(crate) async fn missing_is_success(cx: &Context) -> CaseResult {
    cx.put(&key("there/object"), bytes(1, 10)).await?;
    // Also a name that is a directory for some stores, and one below an object.
    for missing in ["missing", "never/seen", "there", "there/other", "there/object/below"] {
        cx.store.delete(&key(missing)).await?;
        cx.store.delete(&key(missing)).await?;
    }
    cx.settle_reads().await;
    cx.expect(&key("there/object"), &bytes(1, 10)).await
}

pub(crate) async fn racing_deletes_all_succeed(cx: &Context) -> CaseResult {
    let clients = [Arc::clone(&cx.store), cx.second().await?];
    for round in 0..cx.pace.rounds {
        let at = key(format!("race-delete/{round}"));
        cx.put(&at, bytes(1, 1_000)).await?;
        cx.settle_reads().await;
        let gate = Arc::new(tokio::sync::Barrier::new(cx.pace.racers));
        let racers = clients.iter().cycle().take(cx.pace.racers).map(|client| {
            let (client, gate, at) = (Arc::clone(client), Arc::clone(&gate), at.clone());
            tokio::spawn(async move {
                gate.wait().await;
                client.delete(&at).await
            })
        });
        for deleted in join_all(racers).await {
            deleted.map_err(|error| Stop::Failed(format!("a racer panicked: {error}")))??;
        }
        cx.settle_reads().await;
        expect_kind(cx.get(&at).await, StorageErrorKind::NotFound, "get of what many deleted at once")?;
    }
    Ok(())
}

pub(crate) async fn only_that_object(cx: &Context) -> CaseResult {
    let neighbours = ["x/a", "x/ab", "x/a-b", "x/a.b", "x/b/a", "xa", "x-a/a"];
    for name in neighbours {
        cx.put(&key(name), bytes(1, 10)).await?;
    }
    cx.settle_reads().await;
    cx.store.delete(&key("x/a")).await?;
    cx.settle_reads().await;
    cx.settle_lists().await;
    let left: Vec<_> = cx.sizes("").await?.into_keys().collect();
    let mut expected: Vec<_> = neighbours[1..].iter().map(|name| key(*name)).collect();
    expected.sort();
    ensure!(left == expected, "after the delete of `x/a` there is {left:?}, expected {expected:?}");
    for at in expected {
        cx.expect(&at, &bytes(1, 10)).await?;
    }
    Ok(())
}

pub(crate) async fn key_is_free_again(cx: &Context) -> CaseResult {
    let at = key("again/and-again");
    for number in 0..3 {
        cx.create(&at, bytes(number, 500)).await?;
        cx.settle_reads().await;
        cx.expect(&at, &bytes(number, 500)).await?;
        cx.store.delete(&at).await?;
        cx.settle_reads().await;
    }
    cx.put(&at, bytes(9, 500)).await?;
    cx.settle_reads().await;
    cx.expect(&at, &bytes(9, 500)).await
}
