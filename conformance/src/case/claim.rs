//! What the store declares about itself against what it does.

use backup_core::{Grade, PutOptions, StorageErrorKind};

use crate::content::bytes;
use crate::context::{Context, key};
use crate::verdict::{CaseResult, Stop, ensure, expect_kind, not_applicable};

pub(crate) async fn quota_answers_as_declared(cx: &Context) -> CaseResult {
    cx.put(&key("quota/some"), bytes(1, 1_000)).await?;
    if !cx.store.info().capabilities.quota {
        expect_kind(cx.store.quota().await, StorageErrorKind::Unsupported, "quota of a store that declares none")?;
        return Ok(());
    }
    let quota = cx.store.quota().await?;
    if let Some(total) = quota.total_bytes {
        for part in [quota.used_bytes, quota.free_bytes].into_iter().flatten() {
            ensure!(part <= total, "a part is more than the whole: {quota:?}");
        }
    }
    ensure!(quota.used_bytes != Some(0), "1000 bytes are stored and none are used: {quota:?}");
    let told = [quota.used_bytes, quota.free_bytes, quota.total_bytes];
    ensure!(told.iter().any(Option::is_some), "quota is declared and tells nothing");
    Ok(())
}

/// Bytes that must show in the quota; more than what is rounded.
const QUOTA_STEP_BYTES: usize = 4 << 20;

/// How often to look before the quota is believed to stand still: others may store and delete in the same place.
const QUOTA_ROUNDS: u64 = 3;

pub(crate) async fn quota_moves_with_what_is_stored(cx: &Context) -> CaseResult {
    if !cx.store.info().capabilities.quota {
        return Err(not_applicable("the store declares no quota"));
    }
    let len = QUOTA_STEP_BYTES.min(cx.pace.large_bytes).min(cx.largest_object());
    // Some places are made by the first put.
    cx.put(&key("quota/first"), bytes(9, 10)).await?;
    let mut seen = Vec::new();
    for round in 0..QUOTA_ROUNDS {
        let before = cx.store.quota().await?;
        cx.put(&key(format!("quota/{round}")), bytes(round, len)).await?;
        cx.settle_reads().await;
        let after = cx.store.quota().await?;
        // Half of it, for some places compress.
        let half = len as u64 / 2;
        let more = |before: Option<u64>, after: Option<u64>| before.zip(after).is_some_and(|(b, a)| a >= b + half);
        if more(before.used_bytes, after.used_bytes) || more(after.free_bytes, before.free_bytes) {
            return Ok(());
        }
        seen.push((before, after));
    }
    Err(Stop::Failed(format!("{len} bytes were stored {QUOTA_ROUNDS} times and the quota doesn't show it: {seen:?}")))
}

pub(crate) async fn undeclared_create_has_no_effect(cx: &Context) -> CaseResult {
    if cx.store.info().capabilities.put_if_absent != Grade::None {
        return Err(not_applicable("the store declares create-only puts"));
    }
    let (there, missing) = (key("create/there"), key("create/missing"));
    cx.put(&there, bytes(1, 10)).await?;
    for at in [&there, &missing] {
        let result = cx.store.put(at, bytes(2, 10).into(), &PutOptions::if_absent()).await;
        expect_kind(result, StorageErrorKind::Unsupported, "a create-only put that is not declared")?;
    }
    cx.settle_reads().await;
    cx.expect(&there, &bytes(1, 10)).await?;
    expect_kind(cx.get(&missing).await, StorageErrorKind::NotFound, "get after an undeclared create")?;
    Ok(())
}

pub(crate) async fn times_do_not_go_back(cx: &Context) -> CaseResult {
    let mut last = None;
    for number in 0..5 {
        let at = key(format!("time/{}", 9 - number));
        cx.put(&at, bytes(number, 10)).await?;
        cx.settle_reads().await;
        let Some(stored_at) = cx.store.stat(&at).await?.stored_at else {
            return Err(not_applicable("the store tells no times"));
        };
        ensure!(last.is_none_or(|last| stored_at.secs() >= last), "object {number} is stored before the one before it");
        last = Some(stored_at.secs());
    }
    Ok(())
}
