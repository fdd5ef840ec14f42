//! What errors and descriptions say and what they keep to themselves.

use std::error::Error;

use backup_core::{ByteRange, PutOptions, RetryAdvice, StorageErrorKind, StorageOperation};

use crate::content::bytes;
use crate::context::{Context, key};
use crate::verdict::{CaseResult, ensure, expect_kind, not_applicable};

const OUTSIDE: ByteRange = ByteRange::Span { offset_bytes: 50, len_bytes: 1 };

pub(crate) async fn names_operation_and_key(cx: &Context) -> CaseResult {
    let (there, missing) = (key("error/there"), key("error/missing"));
    cx.put(&there, bytes(1, 10)).await?;
    cx.settle_reads().await;
    let mut errors = vec![
        (StorageOperation::Get, &missing, cx.get(&missing).await.err()),
        (StorageOperation::Get, &there, cx.store.get(&there, OUTSIDE).await.err()),
        (StorageOperation::Stat, &missing, cx.store.stat(&missing).await.err()),
    ];
    if let Err(error) = cx.store.put(&there, bytes(2, 10).into(), &PutOptions::if_absent()).await {
        errors.push((StorageOperation::Put, &there, Some(error)));
    }
    for (operation, about, error) in errors {
        let Some(error) = error else {
            return Err(crate::verdict::Stop::Failed(format!("{operation:?} of `{about}` did not fail")));
        };
        ensure!(error.operation() == operation, "{error}: the operation is {operation:?}, not {:?}", error.operation());
        ensure!(error.key() == Some(about), "{error}: it is about `{about}`, not {:?}", error.key());
    }
    Ok(())
}

pub(crate) async fn settled_failures_are_not_to_be_repeated(cx: &Context) -> CaseResult {
    let there = key("error/there");
    cx.put(&there, bytes(1, 10)).await?;
    cx.settle_reads().await;
    let missing =
        expect_kind(cx.get(&key("error/missing")).await, StorageErrorKind::NotFound, "get of what is not there")?;
    let outside = expect_kind(
        cx.store.get(&there, OUTSIDE).await,
        StorageErrorKind::RangeNotSatisfiable,
        "get of what lies outside",
    )?;
    for error in [missing, outside] {
        ensure!(error.retry() == RetryAdvice::Never, "{error}: advises {:?}", error.retry());
    }
    if let Err(error) = cx.store.put(&there, bytes(2, 10).into(), &PutOptions::if_absent()).await {
        ensure!(error.retry() == RetryAdvice::Never, "{error}: advises {:?}", error.retry());
    }
    Ok(())
}

pub(crate) async fn secrets_stay_inside(cx: &Context) -> CaseResult {
    let secrets = cx.harness().secrets();
    if secrets.is_empty() {
        return Err(not_applicable("the harness opens the store without secrets"));
    }
    let mut said = vec![format!("{:?}", cx.store), format!("{:?}", cx.store.info())];
    if let Err(error) = cx.get(&key("error/missing")).await {
        said.push(format!("{error} {error:?}"));
        let mut source = error.source();
        while let Some(cause) = source {
            said.push(format!("{cause} {cause:?}"));
            source = cause.source();
        }
    }
    for text in said {
        // Which secret it is must not show up in the report either.
        ensure!(!secrets.iter().any(|secret| text.contains(secret)), "a secret is shown by Debug, info() or an error");
    }
    Ok(())
}
