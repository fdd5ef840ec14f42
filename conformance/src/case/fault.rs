//! Trouble on the way to the store, and what callers must be able to tell of it.

use std::sync::Arc;
use std::time::Duration;

use backup_core::storage::layer::{IdleTimeout, Retry, RetryPolicy};
use backup_core::{
    ByteRange, ObjectKey, PutOptions, RetryAdvice, StorageBackend, StorageError, StorageErrorKind, StorageOperation,
    StorageResult,
};
use futures::future::{join_all, try_join_all};
use futures::stream::TryStreamExt;
use sha2::{Digest, Sha256};

use crate::content::{bytes, difference};
use crate::context::{Context, key, prefix};
use crate::harness::Trouble;
use crate::verdict::{CaseResult, Stop, chain, ensure, expect_kind, not_applicable};

/// Length of the object that is read under trouble: more than what a line carries by itself.
const LEN: usize = 300_007;

/// How long a throttled caller is told to stay away.
const STAY_AWAY: Duration = Duration::from_secs(3);

/// How long a call may go without progress in a case; a sound store answers sooner.
const IDLE: Duration = Duration::from_millis(500);

/// Until when a call that stands still must have been given up, with room for a busy machine.
const GIVEN_UP: Duration = Duration::from_secs(15);

fn there() -> ObjectKey {
    key("fault/there")
}

/// Stores the object that the case looks at.
async fn prepared(cx: &Context) -> CaseResult {
    cx.put(&there(), bytes(1, LEN)).await?;
    cx.settle_reads().await;
    cx.settle_lists().await;
    Ok(())
}

async fn listed(store: &dyn StorageBackend) -> StorageResult<usize> {
    Ok(store.list(&prefix("")).try_collect::<Vec<_>>().await?.len())
}

/// Tries every operation on a store that can't do any, and gives what each said.
async fn everything(store: &dyn StorageBackend) -> Result<Vec<(StorageOperation, StorageError)>, Stop> {
    let (there, other) = (there(), key("fault/other"));
    let (overwrite, third) = (PutOptions::overwrite(), key("fault/third"));
    let (got, known, listed, stored, deleted) = futures::join!(
        store.get(&there, ByteRange::Full),
        store.stat(&there),
        listed(store),
        store.put(&other, bytes(2, 1_000).into(), &overwrite),
        store.delete(&third),
    );
    let results = [
        (StorageOperation::Get, got.map(|_| ())),
        (StorageOperation::Stat, known.map(|_| ())),
        (StorageOperation::List, listed.map(|_| ())),
        (StorageOperation::Put, stored),
        (StorageOperation::Delete, deleted),
    ];
    let failures = results.into_iter().map(|(operation, result)| match result {
        Err(error) => Ok((operation, error)),
        Ok(()) => Err(Stop::Failed(format!("{operation:?} succeeded although the store was made to fail"))),
    });
    failures.collect()
}

/// Demands that an error leaves it open to try again.
fn passing(error: &StorageError) -> CaseResult {
    let kind = error.kind();
    let passes =
        matches!(kind, StorageErrorKind::Unavailable | StorageErrorKind::Timeout | StorageErrorKind::RateLimited);
    ensure!(passes, "a failure that passes is called `{}`: {}", kind.as_str(), chain(error));
    let advice = error.retry();
    let again = matches!(advice, RetryAdvice::After(_) | RetryAdvice::Verify);
    ensure!(again, "a failure that passes comes with the advice {advice:?}: {}", chain(error));
    Ok(())
}

pub(crate) async fn read_cut_short_is_no_success(cx: &Context) -> CaseResult {
    prepared(cx).await?;
    let whole = bytes(1, LEN);
    let (offset, len) = (1_000, LEN - 5_000);
    let span = ByteRange::Span { offset_bytes: offset as u64, len_bytes: len as u64 };
    let ranges = [
        (ByteRange::Full, &whole[..]),
        (span, &whole[offset..offset + len]),
        (ByteRange::Suffix { len_bytes: len as u64 }, &whole[LEN - len..]),
    ];
    cx.trouble(Trouble::GetBreaks).await?;
    let mut failures = 0;
    for (range, expected) in ranges {
        match cx.store.get(&there(), range).await {
            Ok(got) => ensure!(got == expected, "a read that was cut succeeded: {}", difference(&got, expected)),
            Err(error) => {
                failures += 1;
                passing(&error)?;
            }
        }
    }
    cx.well_again().await?;
    ensure!(failures > 0, "no read failed although reads were made to break");
    cx.expect(&there(), &whole).await
}

/// The store with repetitions that come quickly.
fn repeating(cx: &Context) -> impl StorageBackend {
    let policy = RetryPolicy { first_wait: Duration::from_millis(1), max_attempts: 3, ..RetryPolicy::default() };
    Retry::new(policy, cx.pace.seed).around(Arc::clone(&cx.store))
}

pub(crate) async fn lost_answer_of_a_create_is_found_out(cx: &Context) -> CaseResult {
    prepared(cx).await?;
    let at = key("fault/created");
    let (ours, theirs) = (bytes(2, 10_000), bytes(3, 10_000));
    let options = cx.create_options();
    cx.trouble(Trouble::AnswerLost).await?;
    let created = repeating(cx).put(&at, ours.clone().into(), &options).await;
    cx.well_again().await?;
    if let Err(error) = created {
        return Err(Stop::Failed(format!(
            "a create took effect, its answer was lost, and repetition says: {}",
            chain(&error)
        )));
    }
    cx.settle_reads().await;
    cx.expect(&at, &ours).await?;
    if options.mode == backup_core::PutMode::IfAbsent {
        expect_kind(cx.create(&at, theirs).await, StorageErrorKind::AlreadyExists, "a create by somebody else")?;
        cx.settle_reads().await;
        cx.expect(&at, &ours).await?;
    }
    Ok(())
}

pub(crate) async fn lost_answer_of_a_delete_does_no_harm(cx: &Context) -> CaseResult {
    prepared(cx).await?;
    cx.trouble(Trouble::AnswerLost).await?;
    let deleted = cx.store.delete(&there()).await;
    cx.well_again().await?;
    match deleted {
        Ok(()) => return Err(Stop::Failed("a delete succeeded although its answer was made to be lost".to_owned())),
        Err(error) => passing(&error)?,
    }
    cx.store.delete(&there()).await?;
    cx.settle_reads().await;
    expect_kind(cx.get(&there()).await, StorageErrorKind::NotFound, "get of what was deleted")?;
    Ok(())
}

pub(crate) async fn throttling_says_how_long(cx: &Context) -> CaseResult {
    prepared(cx).await?;
    cx.trouble(Trouble::Throttled { after: STAY_AWAY }).await?;
    let failures = everything(cx.store.as_ref()).await;
    cx.well_again().await?;
    for (operation, error) in failures? {
        ensure!(
            error.kind() == StorageErrorKind::RateLimited,
            "{operation:?} of a throttled store: expected: {}; got: {}",
            StorageErrorKind::RateLimited.as_str(),
            chain(&error)
        );
        let advice = error.retry();
        let long_enough = matches!(advice, RetryAdvice::After(wait) if wait >= STAY_AWAY);
        ensure!(long_enough, "{operation:?} was told to come back after {STAY_AWAY:?} and advises {advice:?}");
    }
    cx.expect(&there(), &bytes(1, LEN)).await
}

async fn all_pass(cx: &Context, trouble: Trouble) -> CaseResult {
    prepared(cx).await?;
    cx.trouble(trouble).await?;
    let failures = everything(cx.store.as_ref()).await;
    cx.well_again().await?;
    for (operation, error) in failures? {
        passing(&error)?;
        ensure!(error.operation() == operation, "{}: the operation is {operation:?}", chain(&error));
    }
    cx.expect(&there(), &bytes(1, LEN)).await?;
    let at = key("fault/afterwards");
    cx.put(&at, bytes(4, 100)).await?;
    cx.settle_reads().await;
    cx.expect(&at, &bytes(4, 100)).await
}

pub(crate) async fn server_errors_pass(cx: &Context) -> CaseResult {
    all_pass(cx, Trouble::ServerErrors).await
}

pub(crate) async fn unreachable_store_may_come_back(cx: &Context) -> CaseResult {
    all_pass(cx, Trouble::Unreachable).await
}

pub(crate) async fn corrupted_put_is_noticed(cx: &Context) -> CaseResult {
    if !cx.store.info().capabilities.verifies_sha256 {
        return Err(not_applicable("the store does not declare to check digests"));
    }
    prepared(cx).await?;
    let at = key("fault/corrupted");
    let body = bytes(5, 100_000);
    let options = cx.create_options().with_sha256(Sha256::digest(&body).into());
    cx.trouble(Trouble::Corrupts).await?;
    let stored = cx.store.put(&at, body.clone().into(), &options).await;
    cx.well_again().await?;
    if let Err(error) = &stored {
        ensure!(
            error.retry() != RetryAdvice::Never,
            "a put that arrived changed is not to be repeated: {}",
            chain(error)
        );
    }
    cx.settle_reads().await;
    match cx.get(&at).await {
        Ok(got) => ensure!(got == body, "a put arrived changed and stays so: {}", difference(&got, &body)),
        Err(error) if stored.is_err() && error.kind() == StorageErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    cx.put(&at, body.clone()).await?;
    cx.settle_reads().await;
    cx.expect(&at, &body).await
}

pub(crate) async fn stalled_call_can_be_given_up(cx: &Context) -> CaseResult {
    if !cx.store.info().capabilities.wakes_on_progress {
        return Err(not_applicable("nobody can tell whether a call of this store gets on"));
    }
    prepared(cx).await?;
    let patience = IdleTimeout { idle: IDLE, slowest_bytes_per_sec: 0 };
    let store = patience.around(Arc::clone(&cx.store));
    cx.trouble(Trouble::Stalls).await?;
    let failures = tokio::time::timeout(GIVEN_UP, everything(&store)).await;
    cx.well_again().await?;
    let Ok(failures) = failures else {
        return Err(Stop::Failed(format!("calls that stand still were not given up within {GIVEN_UP:?}")));
    };
    for (_, error) in failures? {
        passing(&error)?;
    }
    cx.expect(&there(), &bytes(1, LEN)).await?;
    let at = key("fault/other");
    cx.put(&at, bytes(6, 100)).await?;
    cx.settle_reads().await;
    cx.expect(&at, &bytes(6, 100)).await
}

pub(crate) async fn expired_access_is_renewed(cx: &Context) -> CaseResult {
    prepared(cx).await?;
    cx.trouble(Trouble::TokenExpired).await?;
    let whole = bytes(1, LEN);
    let at = there();
    // All of them find out at once.
    let reads = try_join_all((0..cx.pace.concurrency).map(|_| cx.get(&at))).await;
    let put = cx.put(&key("fault/renewed"), bytes(7, 100)).await;
    cx.well_again().await?;
    ensure!(reads?.iter().all(|got| *got == whole), "a read while access was renewed gave other bytes");
    put?;
    Ok(())
}

pub(crate) async fn revoked_access_says_so(cx: &Context) -> CaseResult {
    prepared(cx).await?;
    cx.trouble(Trouble::TokenRevoked).await?;
    let failures = everything(cx.store.as_ref()).await;
    cx.well_again().await?;
    for (operation, error) in failures? {
        let told = matches!(error.kind(), StorageErrorKind::Unauthenticated | StorageErrorKind::PermissionDenied);
        ensure!(told, "{operation:?} without access: {}", chain(&error));
        let advice = error.retry();
        let settled = matches!(advice, RetryAdvice::Never | RetryAdvice::Reauth);
        ensure!(settled, "{operation:?} without access advises {advice:?}");
    }
    Ok(())
}

pub(crate) async fn failures_show_no_secret(cx: &Context) -> CaseResult {
    let secrets = cx.harness().secrets();
    if secrets.is_empty() {
        return Err(not_applicable("the harness opens the store without secrets"));
    }
    prepared(cx).await?;
    let mut begun = 0;
    for trouble in [Trouble::ServerErrors, Trouble::Unreachable, Trouble::GetBreaks, Trouble::TokenRevoked] {
        match cx.trouble(trouble).await {
            Ok(()) => begun += 1,
            Err(_) => continue,
        }
        let calls = [cx.get(&there()).await.map(|_| ()), cx.store.stat(&there()).await.map(|_| ())];
        let listing = listed(cx.store.as_ref()).await.map(|_| ());
        cx.well_again().await?;
        for error in calls.into_iter().chain([listing]).filter_map(Result::err) {
            let said = format!("{} {error:?}", chain(&error));
            ensure!(!secrets.iter().any(|secret| said.contains(secret)), "a secret is shown by an error: {trouble:?}");
        }
    }
    match begun {
        0 => Err(not_applicable("the store can't be made to fail")),
        _ => Ok(()),
    }
}

pub(crate) async fn failures_do_not_add_up(cx: &Context) -> CaseResult {
    prepared(cx).await?;
    for _ in 0..cx.pace.rounds {
        cx.trouble(Trouble::ServerErrors).await?;
        let at = there();
        let failed = join_all((0..cx.pace.concurrency * 4).map(|_| cx.get(&at))).await;
        cx.well_again().await?;
        ensure!(failed.iter().all(Result::is_err), "a read succeeded although the store was made to fail");
    }
    let at = there();
    let reads = try_join_all((0..cx.pace.concurrency * 4).map(|_| cx.get(&at)));
    match tokio::time::timeout(GIVEN_UP, reads).await {
        Ok(reads) => {
            let whole = bytes(1, LEN);
            ensure!(reads?.iter().all(|got| *got == whole), "reads after failures give other bytes");
            Ok(())
        }
        Err(_) => Err(Stop::Failed("after many failures reads don't come to an end".to_owned())),
    }
}
