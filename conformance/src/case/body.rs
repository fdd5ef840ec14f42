//! Bodies of all shapes and sizes.

use backup_core::{PutBody, PutOptions, StorageErrorKind};
use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::content::bytes;
use crate::context::{Context, Raw, key};
use crate::verdict::{CaseResult, ensure, expect_kind, not_applicable};

/// More pieces than a system call takes at once.
const PIECES: u64 = 3_000;

/// Boundaries of blocks, parts and buffers on the way.
const LIMITS: [usize; 6] = [512, 4 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20];

/// Above this, an object that the store declares too large is more than a test should send.
const MAX_REFUSED_BYTES: u64 = 256 << 20;

pub(crate) async fn many_pieces(cx: &Context) -> CaseResult {
    let mut pieces = vec![Bytes::new(), Bytes::new()];
    for number in 0..PIECES {
        let len = usize::try_from(number % 97).unwrap_or(0);
        pieces.push(bytes(number, len));
    }
    pieces.push(Bytes::new());
    let whole = pieces.concat();
    let at = key("pieces/many");
    cx.put(&at, PutBody::from_pieces(pieces)).await?;
    let none = key("pieces/none");
    cx.put(&none, PutBody::from_pieces(vec![Bytes::new(); 3])).await?;
    cx.settle_reads().await;
    cx.expect(&at, &whole).await?;
    cx.expect(&none, b"").await
}

pub(crate) async fn empty_and_one_byte(cx: &Context) -> CaseResult {
    for (name, len) in [("zero", 0), ("one", 1)] {
        let at = key(name);
        cx.create(&at, bytes(1, len)).await?;
        cx.settle_reads().await;
        cx.expect(&at, &bytes(1, len)).await?;
        let stat = cx.store.stat(&at).await?;
        ensure!(stat.size_bytes == len as u64, "stat of {len} bytes tells {}", stat.size_bytes);
    }
    let none = key("no-piece");
    cx.create(&none, PutBody::default()).await?;
    cx.settle_reads().await;
    cx.expect(&none, b"").await
}

pub(crate) async fn sizes_around_block_limits(cx: &Context) -> CaseResult {
    let largest = cx.pace.large_bytes;
    for limit in LIMITS.into_iter().filter(|limit| *limit < largest) {
        for len in [limit - 1, limit, limit + 1] {
            let at = key(format!("sizes/{len}"));
            cx.create(&at, bytes(len as u64, len)).await?;
            cx.settle_reads().await;
            cx.expect(&at, &bytes(len as u64, len)).await?;
        }
    }
    Ok(())
}

pub(crate) async fn large_object(cx: &Context) -> CaseResult {
    let len = cx.pace.large_bytes.min(cx.largest_object());
    let at = key("large/object");
    let whole = bytes(9, len);
    let pieces = whole.chunks(1_000_003).map(|piece| whole.slice_ref(piece)).collect();
    cx.create(&at, PutBody::from_pieces(pieces)).await?;
    cx.settle_reads().await;
    cx.expect(&at, &whole).await
}

pub(crate) async fn too_large_is_refused(cx: &Context) -> CaseResult {
    let Some(max) = cx.store.info().capabilities.max_object_bytes else {
        return Err(not_applicable("the store declares no largest object"));
    };
    if max >= MAX_REFUSED_BYTES {
        return Err(not_applicable("the largest object that the store declares is too large to go beyond in a test"));
    }
    let at = key("large/refused");
    let len = usize::try_from(max).unwrap_or(usize::MAX);
    expect_kind(cx.create(&at, bytes(1, len + 1)).await, StorageErrorKind::TooLarge, "put of one byte too many")?;
    nothing_is_left(cx, &cx.raw().ok()).await?;
    cx.create(&at, bytes(1, len)).await?;
    cx.settle_reads().await;
    cx.expect(&at, &bytes(1, len)).await
}

pub(crate) async fn wrong_digest_leaves_nothing(cx: &Context) -> CaseResult {
    if !cx.store.info().capabilities.verifies_sha256 {
        return Err(not_applicable("the store does not declare to check digests"));
    }
    let (new, old) = (key("digest/new"), key("digest/old"));
    let wrong = |options: PutOptions| options.with_sha256(Sha256::digest(b"something else").into());
    for options in [PutOptions::overwrite(), cx.create_options()] {
        let result = cx.store.put(&new, bytes(1, 5_000).into(), &wrong(options)).await;
        expect_kind(result, StorageErrorKind::Integrity, "put with a wrong digest")?;
    }
    nothing_is_left(cx, &cx.raw().ok()).await?;
    cx.put(&old, bytes(2, 5_000)).await?;
    let result = cx.store.put(&old, bytes(3, 5_000).into(), &wrong(PutOptions::overwrite())).await;
    expect_kind(result, StorageErrorKind::Integrity, "overwrite with a wrong digest")?;
    cx.settle_reads().await;
    cx.expect(&old, &bytes(2, 5_000)).await
}

pub(crate) async fn right_digest_is_stored(cx: &Context) -> CaseResult {
    let at = key("digest/right");
    let whole = bytes(4, 100_000);
    let options = cx.create_options().with_sha256(Sha256::digest(&whole).into());
    let pieces = vec![whole.slice(..1), whole.slice(1..99_999), Bytes::new(), whole.slice(99_999..)];
    cx.store.put(&at, PutBody::from_pieces(pieces), &options).await?;
    cx.settle_reads().await;
    cx.expect(&at, &whole).await
}

pub(crate) async fn undeclared_digest_is_harmless(cx: &Context) -> CaseResult {
    if cx.store.info().capabilities.verifies_sha256 {
        return Err(not_applicable("the store declares to check digests"));
    }
    let at = key("digest/undeclared");
    let body = bytes(5, 5_000);
    let options = cx.create_options().with_sha256(Sha256::digest(b"something else").into());
    let stored = cx.store.put(&at, body.clone().into(), &options).await;
    cx.settle_reads().await;
    match stored {
        Ok(()) => cx.expect(&at, &body).await,
        Err(error) => {
            let kind = error.kind();
            ensure!(kind == StorageErrorKind::Integrity, "a wrong digest is answered with `{}`", kind.as_str());
            nothing_is_left(cx, &cx.raw().ok()).await
        }
    }
}

/// Demands that nothing is listed and, where one can look, that nothing lies there.
async fn nothing_is_left(cx: &Context, raw: &Option<Raw<'_>>) -> CaseResult {
    cx.settle_lists().await;
    let listed = cx.list("").await?;
    ensure!(listed.is_empty(), "a refused put left {listed:?}");
    if let Some(raw) = raw {
        let names = raw.names().await;
        ensure!(names.is_empty(), "a refused put left behind the listing: {names:?}");
    }
    Ok(())
}
