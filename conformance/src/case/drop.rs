//! Futures that are dropped before they are done.

use std::pin::{Pin, pin};
use std::task::Poll;

use backup_core::{ByteRange, ObjectKey, PutOptions, StorageErrorKind};
use bytes::Bytes;
use futures::stream::StreamExt;

use crate::content::{bytes, difference};
use crate::context::{Context, eventually, key, prefix};
use crate::verdict::{CaseResult, Stop, ensure};

/// Polls after which a future is dropped at the latest; those that need more were dropped often enough.
const MAX_POLLS: usize = 40;

/// Polls a future so many times, each time it asks for it, and drops it; what it gave when it was done by then.
async fn polled<T>(times: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut left = times;
    std::future::poll_fn(move |cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match Pin::as_mut(&mut future).poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Demands that a key holds one of the bodies, or nothing where that is allowed.
async fn holds_one_of(cx: &Context, at: &ObjectKey, bodies: &[Bytes], may_be_absent: bool) -> CaseResult {
    match cx.get(at).await {
        Ok(got) => {
            let nearest = bodies.last().map(|body| difference(&got, body)).unwrap_or_default();
            ensure!(bodies.contains(&got), "after a dropped put `{at}` holds something else: {nearest}");
            Ok(())
        }
        Err(error) if may_be_absent && error.kind() == StorageErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Demands that neither the listing nor, where one can look, the place shows a part of an object.
async fn nothing_half_is_left(cx: &Context, whole: &[usize]) -> CaseResult {
    cx.settle_lists().await;
    for (at, len) in cx.sizes("").await? {
        ensure!(whole.iter().any(|whole| *whole as u64 == len), "a dropped put left `{at}` with {len} bytes");
    }
    if let Ok(raw) = cx.raw() {
        // What was on its way when its caller left may still be cleared up.
        eventually(|| async {
            let left = raw.foreign().await;
            ensure!(left.is_empty(), "dropped puts left {left:?}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

pub(crate) async fn dropped_put_is_whole_or_absent(cx: &Context) -> CaseResult {
    let body = bytes(1, 3_000_000);
    let mut keys = Vec::new();
    for polls in 0..MAX_POLLS {
        let at = key(format!("dropped/{polls}"));
        let done = polled(polls, cx.create(&at, body.clone())).await;
        holds_one_of(cx, &at, std::slice::from_ref(&body), true).await?;
        keys.push(at);
        if let Some(result) = done {
            result?;
            break;
        }
    }
    nothing_half_is_left(cx, &[body.len()]).await?;
    for at in &keys {
        holds_one_of(cx, at, std::slice::from_ref(&body), true).await?;
    }
    let after = key("dropped/after");
    cx.create(&after, body.clone()).await?;
    cx.settle_reads().await;
    cx.expect(&after, &body).await
}

pub(crate) async fn dropped_overwrite_is_old_or_new(cx: &Context) -> CaseResult {
    let (old, new) = (bytes(1, 100_000), bytes(2, 2_000_000));
    for polls in 0..MAX_POLLS {
        let at = key(format!("dropped/over-{polls}"));
        cx.put(&at, old.clone()).await?;
        let done = polled(polls, cx.put(&at, new.clone())).await;
        for _ in 0..3 {
            holds_one_of(cx, &at, &[old.clone(), new.clone()], false).await?;
        }
        if let Some(result) = done {
            result?;
            cx.settle_reads().await;
            cx.expect(&at, &new).await?;
            break;
        }
    }
    nothing_half_is_left(cx, &[old.len(), new.len()]).await
}

pub(crate) async fn no_task_outlives_its_client(cx: &Context) -> CaseResult {
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    cx.put(&key("tasks/first"), bytes(0, 10)).await?;
    let before = tasks();
    let client = cx.second().await?;
    let overwrite = PutOptions::overwrite();
    for number in 0..5 {
        let at = key(format!("tasks/{number}"));
        client.put(&at, bytes(number, 100_000).into(), &overwrite).await?;
        client.get(&at, ByteRange::Full).await?;
        polled(2, client.put(&at, bytes(number, 1_000_000).into(), &overwrite)).await;
        polled(2, client.get(&at, ByteRange::Full)).await;
        polled(2, client.list(&prefix("tasks/")).next()).await;
    }
    drop(client);
    eventually(|| async {
        let after = tasks();
        ensure!(after <= before, "{before} tasks ran before a client came, {after} after it went");
        Ok(())
    })
    .await
}

pub(crate) async fn dropped_reads_are_harmless(cx: &Context) -> CaseResult {
    let keys: Vec<_> = (0..300).map(|n| key(format!("read/{n}"))).collect();
    cx.fill(keys.clone()).await?;
    cx.settle_reads().await;
    cx.settle_lists().await;
    for polls in 0..4 {
        polled(polls, cx.get(&keys[0])).await;
        polled(polls, cx.store.stat(&keys[1])).await;
        polled(polls, cx.store.quota()).await;
        polled(polls, cx.store.list(&prefix("")).next()).await;
        let few: Vec<_> = cx.store.list(&prefix("")).take(polls * 100).collect().await;
        let failed = few.into_iter().find_map(Result::err);
        failed.map_or(Ok(()), |error| Err(Stop::from(error)))?;
    }
    for polls in 0..4 {
        let at = key(format!("read/victim-{polls}"));
        cx.put(&at, "x").await?;
        polled(polls, cx.store.delete(&at)).await;
        holds_one_of(cx, &at, &[Bytes::from_static(b"x")], true).await?;
        if cx.get(&at).await.is_ok() {
            cx.store.delete(&at).await?;
        }
    }
    cx.settle_lists().await;
    ensure!(cx.sizes("").await?.len() == 300, "reads that were dropped changed the listing");
    let got = cx.store.get(&keys[0], ByteRange::Full).await?;
    ensure!(got == keys[0].as_str(), "reads that were dropped changed an object");
    Ok(())
}
