//! Keys and what they may be confused with.

use backup_core::{ObjectKey, RetryAdvice, StorageErrorKind};

use crate::content::bytes;
use crate::context::{Context, key};
use crate::verdict::{CaseResult, Stop, ensure, not_applicable};

/// Longest segment that a key may have.
const MAX_SEGMENT_BYTES: usize = 100;

/// Stores an object under each key and demands that all are there, each with its own bytes.
async fn all_are_held(cx: &Context, keys: &[ObjectKey]) -> CaseResult {
    for (number, at) in (0..).zip(keys) {
        cx.create(at, bytes(number, 50 + at.as_str().len())).await?;
    }
    cx.settle_reads().await;
    for (number, at) in (0..).zip(keys) {
        cx.expect(at, &bytes(number, 50 + at.as_str().len())).await?;
    }
    cx.settle_lists().await;
    let listed = cx.sizes("").await?;
    for at in keys {
        ensure!(listed.contains_key(at), "`{at}` is not listed");
    }
    ensure!(listed.len() == keys.len(), "{} objects stored, {} listed", keys.len(), listed.len());
    Ok(())
}

pub(crate) async fn every_character_and_length(cx: &Context) -> CaseResult {
    let characters = "abcdefghijklmnopqrstuvwxyz0123456789_-";
    let mut keys: Vec<_> = characters.chars().map(|c| key(format!("one/{c}"))).collect();
    keys.push(key(format!("all/{characters}")));
    keys.push(key("dots/a.b..c.d"));
    keys.push(key("-/-/_/-"));
    // Room for a segment of full length and another one.
    let longest = cx.pace.max_key_bytes.max(MAX_SEGMENT_BYTES + 2);
    let segment = "s".repeat(MAX_SEGMENT_BYTES);
    keys.push(key(format!("{segment}/{}", "t".repeat(longest - MAX_SEGMENT_BYTES - 1))));
    let deepest = vec!["d"; longest.div_ceil(2)].join("/");
    keys.push(key(deepest));
    all_are_held(cx, &keys).await
}

pub(crate) async fn reserved_names(cx: &Context) -> CaseResult {
    let names =
        ["con", "nul", "aux", "prn", "com1", "lpt9", "con.txt", "desktop.ini", "thumbs.db", "lost-found", "tmp"];
    let keys: Vec<_> =
        names.iter().flat_map(|name| [key(format!("as-name/{name}")), key(format!("{name}/x"))]).collect();
    all_are_held(cx, &keys).await
}

pub(crate) async fn neighbours_are_distinct(cx: &Context) -> CaseResult {
    let names = ["ab", "a/b", "a-b", "a_b", "a.b", "a/b.", "ab0", "a/b0", "a/b-c", "a/b_c/d", "a0/b", "aa/b"];
    let keys: Vec<_> = names.iter().filter_map(|name| ObjectKey::new(*name).ok()).collect();
    all_are_held(cx, &keys).await
}

pub(crate) async fn key_below_a_key_is_held_or_refused(cx: &Context) -> CaseResult {
    for (number, (first, second)) in (0_u64..).zip([("p", "p/x"), ("q/x/y", "q/x")]) {
        let (first, second) = (key(first), key(second));
        cx.put(&first, bytes(number, 100)).await?;
        let refused = cx.put(&second, bytes(number + 100, 200)).await;
        cx.settle_reads().await;
        cx.expect(&first, &bytes(number, 100)).await?;
        match refused {
            Ok(()) => cx.expect(&second, &bytes(number + 100, 200)).await?,
            Err(error) => {
                let advice = error.retry();
                ensure!(advice == RetryAdvice::Never, "the refusal of `{second}` advises to repeat it: {advice:?}");
                absent(cx, &second).await?;
            }
        }
    }
    Ok(())
}

async fn absent(cx: &Context, at: &ObjectKey) -> Result<(), Stop> {
    match cx.store.stat(at).await {
        Err(error) if error.kind() == StorageErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
        Ok(_) => Err(Stop::Failed(format!("`{at}` is there although its put was refused"))),
    }
}

pub(crate) async fn foreign_names_are_not_listed(cx: &Context) -> CaseResult {
    let raw = cx.raw()?;
    let at = key("objects/one");
    cx.put(&at, bytes(1, 10)).await?;
    for name in [".hidden", "Upper", "white space", "objects/.tmp", "objects/No", "ümlaut", "objects/x.", "a~"] {
        if !raw.plant(name).await {
            return Err(not_applicable("nothing but objects can lie in this store"));
        }
    }
    let unfinished = raw.plant_unfinished(std::time::Duration::ZERO).await;
    let planted = 8 + usize::from(unfinished);
    let foreign = raw.foreign().await;
    ensure!(foreign.len() == planted, "{planted} foreign names were planted, the raw view shows {foreign:?}");
    cx.settle_lists().await;
    let listed: Vec<_> = cx.sizes("").await?.into_keys().collect();
    ensure!(listed == [at], "the only object is `objects/one`, listed: {listed:?}");
    ensure!(raw.foreign().await.len() == planted, "foreign names were removed");
    Ok(())
}
