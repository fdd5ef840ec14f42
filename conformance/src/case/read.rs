//! Reading back what was stored.

use backup_core::{ByteRange, StorageErrorKind};
use futures::future::try_join_all;

use crate::content::{bytes, difference};
use crate::context::{Context, key};
use crate::verdict::{CaseResult, Stop, ensure, expect_kind};

/// Size of the object that ranges are cut from; no power of two, so that nothing falls on a boundary by itself.
const LEN: usize = 300_007;

fn span(offset: usize, len: usize) -> ByteRange {
    ByteRange::Span { offset_bytes: offset as u64, len_bytes: len as u64 }
}

pub(crate) async fn put_get_roundtrip(cx: &Context) -> CaseResult {
    let (small, larger) = (key("packs/ab/small"), key("config"));
    cx.put(&small, bytes(1, 1_000)).await?;
    cx.create(&larger, bytes(2, 100_000)).await?;
    cx.settle_reads().await;
    cx.expect(&small, &bytes(1, 1_000)).await?;
    cx.expect(&larger, &bytes(2, 100_000)).await
}

async fn expect_span(cx: &Context, whole: &[u8], offset: usize, len: usize) -> CaseResult {
    let got = cx.store.get(&key("ranges/object"), span(offset, len)).await?;
    let expected = &whole[offset..offset + len];
    ensure!(got == expected, "{len} bytes from {offset} on: {}", difference(&got, expected));
    Ok(())
}

pub(crate) async fn span_is_exact(cx: &Context) -> CaseResult {
    let whole = bytes(3, LEN);
    cx.put(&key("ranges/object"), whole.clone()).await?;
    cx.settle_reads().await;
    let spans =
        [(0, 1), (0, LEN), (1, LEN - 1), (LEN - 1, 1), (65_535, 2), (100_000, 131_072), (0, 0), (7, 0), (LEN, 0)];
    for (offset, len) in spans {
        expect_span(cx, &whole, offset, len).await?;
    }
    Ok(())
}

pub(crate) async fn spans_in_parallel(cx: &Context) -> CaseResult {
    let whole = bytes(4, LEN);
    cx.put(&key("ranges/object"), whole.clone()).await?;
    cx.settle_reads().await;
    let spans = (0..32).map(|n| expect_span(cx, &whole, n * 9_001, 9_001 + n * 17));
    try_join_all(spans).await.map(|_| ())
}

/// Sizes at which stores are known to cut large objects into parts.
const PART_LIMITS: [usize; 6] = [256 << 10, 1 << 20, 4 << 20, 5 << 20, 8 << 20, 16 << 20];

pub(crate) async fn spans_across_parts(cx: &Context) -> CaseResult {
    let at = key("parts/object");
    let len = cx.pace.large_bytes.min(cx.largest_object());
    let whole = bytes(10, len);
    cx.put(&at, whole.clone()).await?;
    cx.settle_reads().await;
    for limit in PART_LIMITS.into_iter().filter(|limit| limit + 3_000 < len) {
        for (offset, len) in
            [(limit - 1, 1), (limit, 1), (limit - 1, 2), (limit - 1_000, 2_500), (limit - 70_000, 140_000)]
        {
            let Some(expected) = whole.get(offset..offset + len) else { continue };
            let got = cx.store.get(&at, span(offset, len)).await?;
            ensure!(got == expected, "{len} bytes from {offset} on, across {limit}: {}", difference(&got, expected));
        }
    }
    Ok(())
}

pub(crate) async fn span_outside_is_refused(cx: &Context) -> CaseResult {
    let at = key("ranges/object");
    cx.put(&at, bytes(5, 1_000)).await?;
    cx.settle_reads().await;
    let huge = ByteRange::Span { offset_bytes: u64::MAX, len_bytes: 2 };
    for range in [span(0, 1_001), span(999, 2), span(1_000, 1), span(5_000, 1), span(1_001, 0), huge] {
        let what = format!("get of {range:?} in an object of 1000 bytes");
        expect_kind(cx.store.get(&at, range).await, StorageErrorKind::RangeNotSatisfiable, &what)?;
    }
    Ok(())
}

pub(crate) async fn suffix_is_exact(cx: &Context) -> CaseResult {
    let (at, empty) = (key("ranges/object"), key("ranges/empty"));
    let whole = bytes(6, 1_000);
    cx.put(&at, whole.clone()).await?;
    cx.put(&empty, bytes(0, 0)).await?;
    cx.settle_reads().await;
    for len in [0, 1, 16, 999, 1_000, 1_001, 1_000_000] {
        let got = cx.store.get(&at, ByteRange::Suffix { len_bytes: len as u64 }).await?;
        let expected = &whole[1_000_usize.saturating_sub(len)..];
        ensure!(got == expected, "the last {len} bytes of 1000: {}", difference(&got, expected));
        let got = cx.store.get(&empty, ByteRange::Suffix { len_bytes: len as u64 }).await?;
        ensure!(got.is_empty(), "the last {len} bytes of an empty object are {} bytes", got.len());
    }
    Ok(())
}

pub(crate) async fn missing_is_not_found(cx: &Context) -> CaseResult {
    cx.put(&key("there/object"), bytes(7, 10)).await?;
    cx.settle_reads().await;
    // Also a name that is a directory for some stores, and one below an object.
    for missing in ["missing", "there", "there/other", "there/object/below", "never/seen/before"] {
        let at = key(missing);
        expect_kind(cx.get(&at).await, StorageErrorKind::NotFound, &format!("get of `{at}`"))?;
        let range = span(0, 0);
        expect_kind(cx.store.get(&at, range).await, StorageErrorKind::NotFound, &format!("empty get of `{at}`"))?;
        expect_kind(cx.store.stat(&at).await, StorageErrorKind::NotFound, &format!("stat of `{at}`"))?;
    }
    Ok(())
}

pub(crate) async fn stat_matches_put(cx: &Context) -> Result<(), Stop> {
    for (name, len) in [("a", 0), ("b/c", 1), ("b/d/e", 70_000)] {
        let at = key(name);
        cx.put(&at, bytes(8, len)).await?;
        cx.settle_reads().await;
        let meta = cx.store.stat(&at).await?;
        ensure!(meta.key == at, "stat of `{at}` tells about `{}`", meta.key);
        ensure!(meta.size_bytes == len as u64, "stat of `{at}` tells {} bytes, stored: {len}", meta.size_bytes);
    }
    Ok(())
}
