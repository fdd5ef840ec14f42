//! Storing whole objects or none.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use backup_core::{ByteRange, Grade, ObjectKey, PutOptions, RetryAdvice, StorageBackend, StorageErrorKind};
use bytes::Bytes;
use futures::future::join_all;

use crate::content::{bytes, difference};
use crate::context::{Context, eventually, key};
use crate::harness::Trouble;
use crate::verdict::{CaseResult, Stop, ensure, expect_kind, not_applicable};

/// Room of a small store: enough for a few objects.
const SMALL_STORE_BYTES: u64 = 4 << 20;

pub(crate) async fn overwrite_replaces_the_whole(cx: &Context) -> CaseResult {
    let at = key("over/written");
    for (number, len) in [(1, 100_000), (2, 10), (3, 0), (4, 200_000)] {
        cx.put(&at, bytes(number, len)).await?;
        cx.settle_reads().await;
        cx.expect(&at, &bytes(number, len)).await?;
    }
    Ok(())
}

fn needs_create(cx: &Context, least: Grade) -> Result<(), Stop> {
    let declared = cx.store.info().capabilities.put_if_absent;
    match declared >= least {
        true => Ok(()),
        false => Err(not_applicable(format!("the store declares put_if_absent = {declared:?}"))),
    }
}

pub(crate) async fn create_of_existing_changes_nothing(cx: &Context) -> CaseResult {
    needs_create(cx, Grade::BestEffort)?;
    let at = key("create/once");
    cx.create(&at, bytes(1, 1_000)).await?;
    cx.settle_reads().await;
    // The same bytes again are no exception: whoever creates must learn that he isn't the first.
    for (number, len) in [(2, 1_000), (3, 5_000), (4, 0), (1, 1_000)] {
        expect_kind(cx.create(&at, bytes(number, len)).await, StorageErrorKind::AlreadyExists, "the second create")?;
        cx.settle_reads().await;
        cx.expect(&at, &bytes(1, 1_000)).await?;
    }
    Ok(())
}

/// Lets many clients create one key at once and gives, for each, whether it succeeded.
async fn race(cx: &Context, at: &ObjectKey, len: usize, racers: usize) -> Result<Vec<bool>, Stop> {
    let mut clients = vec![Arc::clone(&cx.store), cx.second().await?];
    clients.resize_with(racers, || Arc::clone(&cx.store));
    let gate = Arc::new(tokio::sync::Barrier::new(clients.len()));
    let racers = (0_u64..).zip(clients).map(|(number, client)| {
        let (gate, at) = (Arc::clone(&gate), at.clone());
        tokio::spawn(async move {
            let body = bytes(number, len);
            gate.wait().await;
            client.put(&at, body.into(), &PutOptions::if_absent()).await
        })
    });
    let mut won = Vec::new();
    for result in join_all(racers).await {
        let result = result.map_err(|error| Stop::Failed(format!("a racer panicked: {error}")))?;
        match result {
            Ok(()) => won.push(true),
            Err(error) if error.kind() == StorageErrorKind::AlreadyExists => won.push(false),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(won)
}

pub(crate) async fn create_race_has_one_winner(cx: &Context) -> CaseResult {
    needs_create(cx, Grade::Atomic)?;
    for round in 0..cx.pace.rounds {
        let at = key(format!("race/{round}"));
        let won = race(cx, &at, 20_000, cx.pace.racers).await?;
        let winners: Vec<_> = (0_u64..).zip(&won).filter(|(_, won)| **won).map(|(number, _)| number).collect();
        ensure!(winners.len() == 1, "{} of {} racers created `{at}`: {winners:?}", winners.len(), won.len());
        cx.settle_reads().await;
        cx.expect(&at, &bytes(winners[0], 20_000)).await?;
    }
    Ok(())
}

/// Racers with large bodies: each of them holds one.
const LARGE_RACERS: usize = 4;

/// Body of a large create; many stores go another way with it than with small ones.
const LARGE_CREATE_BYTES: usize = 20 << 20;

pub(crate) async fn large_create_has_one_winner(cx: &Context) -> CaseResult {
    needs_create(cx, Grade::Atomic)?;
    let at = key("large-race/object");
    let len = cx.pace.large_bytes.min(cx.largest_object()).min(LARGE_CREATE_BYTES);
    let won = race(cx, &at, len, cx.pace.racers.min(LARGE_RACERS)).await?;
    let winners: Vec<_> = (0_u64..).zip(&won).filter(|(_, won)| **won).map(|(number, _)| number).collect();
    ensure!(winners.len() == 1, "{} of {} racers created `{at}`: {winners:?}", winners.len(), won.len());
    cx.settle_reads().await;
    cx.expect(&at, &bytes(winners[0], len)).await?;
    let late = cx.create(&at, bytes(99, len)).await;
    expect_kind(late, StorageErrorKind::AlreadyExists, "a large create of what is there")?;
    cx.settle_reads().await;
    cx.expect(&at, &bytes(winners[0], len)).await
}

pub(crate) async fn loser_of_a_race_finds_a_whole_object(cx: &Context) -> CaseResult {
    needs_create(cx, Grade::Atomic)?;
    let at = key("race/loser");
    let len = 200_000;
    let racers = (0..cx.pace.racers as u64).map(|number| {
        let at = &at;
        async move {
            match cx.create(at, bytes(number, len)).await {
                Ok(()) => Ok(()),
                Err(error) if error.kind() == StorageErrorKind::AlreadyExists => {
                    cx.settle_reads().await;
                    let got = cx.get(at).await?;
                    ensure!(
                        got.len() == len,
                        "told that the object exists, a racer found {} of {len} bytes",
                        got.len()
                    );
                    Ok(())
                }
                Err(error) => Err(error.into()),
            }
        }
    });
    join_all(racers).await.into_iter().collect()
}

/// Reads a key, and looks at the listing and the raw names, until told to stop; fails on anything but a whole object.
async fn watch(cx: &Context, at: &ObjectKey, allowed: &[Bytes], may_be_absent: bool, stop: &AtomicBool) -> CaseResult {
    let raw = cx.raw().ok();
    let whole = |len: u64| allowed.iter().any(|bytes| bytes.len() as u64 == len);
    loop {
        let last = stop.load(Ordering::Acquire);
        match cx.store.get(at, ByteRange::Full).await {
            Ok(got) => {
                let len = got.len();
                ensure!(allowed.contains(&got), "a reader saw {len} bytes that nobody stored as a whole");
            }
            Err(error) if may_be_absent && error.kind() == StorageErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        match cx.sizes("").await?.get(at) {
            Some(len) => ensure!(whole(*len), "a listing showed `{at}` with {len} bytes"),
            None => ensure!(may_be_absent, "`{at}` was missing from a listing while it was overwritten"),
        }
        if let Some(raw) = &raw {
            let names = raw.names().await;
            let seen = names.iter().find(|(name, _)| name == at.as_str());
            ensure!(seen.is_none_or(|(_, len)| whole(*len)), "half of `{at}` lies under its name: {names:?}");
        }
        if last {
            return Ok(());
        }
    }
}

async fn put_watched(cx: &Context, at: &ObjectKey, bodies: &[Bytes], watched: &[Bytes], fresh: bool) -> CaseResult {
    let stop = AtomicBool::new(false);
    let writer = async {
        for body in bodies {
            if let Err(error) = cx.put(at, body.clone()).await {
                stop.store(true, Ordering::Release);
                return Err(Stop::from(error));
            }
        }
        stop.store(true, Ordering::Release);
        Ok(())
    };
    let (written, seen) = futures::join!(writer, watch(cx, at, watched, fresh, &stop));
    written.and(seen)
}

fn needs_atomic_publish(cx: &Context) -> Result<(), Stop> {
    match cx.store.info().capabilities.publish {
        Grade::Atomic => Ok(()),
        grade => Err(not_applicable(format!("the store declares publish = {grade:?}"))),
    }
}

pub(crate) async fn put_is_never_seen_half(cx: &Context) -> CaseResult {
    needs_atomic_publish(cx)?;
    let at = key("atomic/new");
    let body = bytes(1, cx.pace.large_bytes.min(16 << 20));
    let bodies = [body];
    put_watched(cx, &at, &bodies, &bodies, true).await
}

pub(crate) async fn overwrite_shows_old_or_new(cx: &Context) -> CaseResult {
    needs_atomic_publish(cx)?;
    let at = key("atomic/over");
    let sizes = [2_000_000, 300_000, 4_000_000, 0, 1_000_000];
    let bodies: Vec<_> = (0..).zip(sizes).map(|(number, len)| bytes(number, len)).collect();
    cx.put(&at, bodies[0].clone()).await?;
    cx.settle_reads().await;
    cx.settle_lists().await;
    put_watched(cx, &at, &bodies[1..], &bodies, false).await
}

pub(crate) async fn failed_put_changes_nothing(cx: &Context) -> CaseResult {
    let (old, new) = (key("failed/old"), key("failed/new"));
    let (before, after) = (bytes(1, 50_000), bytes(2, 80_000));
    cx.put(&old, before.clone()).await?;
    cx.trouble(Trouble::PutBreaks).await?;
    let results = [cx.put(&old, after.clone()).await, cx.create(&new, after.clone()).await];
    cx.well_again().await?;
    ensure!(results.iter().any(Result::is_err), "no put failed although the store was made to fail");
    cx.settle_reads().await;
    let got = cx.get(&old).await?;
    ensure!(got == before || got == after, "a failed overwrite left something else: {}", difference(&got, &before));
    match cx.get(&new).await {
        Ok(got) => ensure!(got == after, "a failed create left a part: {}", difference(&got, &after)),
        Err(error) => ensure!(error.kind() == StorageErrorKind::NotFound, "after a failed create: {error}"),
    }
    cx.settle_lists().await;
    for (at, len) in cx.sizes("").await? {
        ensure!(len == 50_000 || len == 80_000, "a failed put left `{at}` with {len} bytes in the listing");
    }
    Ok(())
}

pub(crate) async fn second_client_sees_put(cx: &Context) -> CaseResult {
    let second = cx.second().await?;
    let at = key("seen/by-others");
    for number in 1..4 {
        cx.put(&at, bytes(number, 1_000)).await?;
        cx.settle_reads().await;
        let got = second.get(&at, ByteRange::Full).await?;
        ensure!(got == bytes(number, 1_000), "the other client does not see put {number}");
        let stat = second.stat(&at).await?;
        ensure!(stat.size_bytes == 1_000, "the other client's stat tells {} bytes", stat.size_bytes);
    }
    Ok(())
}

pub(crate) async fn reopened_store_has_everything(cx: &Context) -> CaseResult {
    let keys: Vec<_> = (0..20).map(|n| key(format!("kept/{}/{n}", n % 3))).collect();
    let writer: Arc<dyn StorageBackend> = cx.second().await?;
    for (number, at) in (0..).zip(&keys) {
        writer.put(at, bytes(number, 3_000).into(), &PutOptions::overwrite()).await?;
    }
    drop(writer);
    cx.settle_reads().await;
    let reader = cx.second().await?;
    for (number, at) in (0..).zip(&keys) {
        let got = reader.get(at, ByteRange::Full).await?;
        ensure!(got == bytes(number, 3_000), "`{at}` is not what the client stored that is gone now");
    }
    Ok(())
}

pub(crate) async fn full_store_refuses_and_goes_on(cx: &Context) -> CaseResult {
    let store = cx.small(SMALL_STORE_BYTES).await?;
    let (kept, too_much) = (key("full/kept"), key("full/too-much"));
    let overwrite = PutOptions::overwrite();
    store.put(&kept, bytes(1, 1 << 20).into(), &overwrite).await?;
    let large = usize::try_from(SMALL_STORE_BYTES).unwrap_or(usize::MAX) * 2;
    for options in [cx.create_options(), overwrite.clone()] {
        let result = store.put(&too_much, bytes(2, large).into(), &options).await;
        let error = expect_kind(result, StorageErrorKind::QuotaExceeded, "put of more than there is room for")?;
        ensure!(error.retry() == RetryAdvice::Never, "a full store advises to try again: {:?}", error.retry());
        expect_kind(store.stat(&too_much).await, StorageErrorKind::NotFound, "stat after a put without room")?;
    }
    expect_kind(
        store.put(&kept, bytes(3, large).into(), &overwrite).await,
        StorageErrorKind::QuotaExceeded,
        "overwrite with more than there is room for",
    )?;
    ensure!(store.get(&kept, ByteRange::Full).await? == bytes(1, 1 << 20), "the object from before is damaged");
    // What failed has left nothing behind: half of the room is free again and again.
    for number in 0..10_u64 {
        let at = key(format!("full/{number}"));
        eventually(|| async { Ok(store.put(&at, bytes(number, 2 << 20).into(), &overwrite).await?) }).await?;
        store.delete(&at).await?;
    }
    Ok(())
}
