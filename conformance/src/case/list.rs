//! Listings.

use std::collections::BTreeSet;

use backup_core::{ObjectKey, ObjectMeta, StorageBackend, Timestamp};
use futures::future::try_join_all;
use futures::stream::{StreamExt, TryStreamExt};

use crate::content::bytes;
use crate::context::{Context, key, prefix};
use crate::harness::Trouble;
use crate::verdict::{CaseResult, Stop, ensure};

/// Objects of a listing that is interrupted; enough for more than one step of any store.
const SOME: usize = 600;

fn numbered(dir: &str, count: usize) -> Vec<ObjectKey> {
    (0..count).map(|n| key(format!("{dir}/{:02x}/{n:05}", n % 7))).collect()
}

pub(crate) async fn every_object_once(cx: &Context) -> CaseResult {
    let keys = numbered("many", cx.pace.max_objects);
    cx.fill(keys.clone()).await?;
    cx.settle_lists().await;
    let listed = cx.sizes("many/").await?;
    ensure!(listed.len() == keys.len(), "{} objects stored, {} listed", keys.len(), listed.len());
    ensure!(keys.iter().all(|at| listed.contains_key(at)), "other objects are listed than were stored");
    let fifth = cx.sizes("many/05/").await?;
    let expected = keys.iter().filter(|at| at.as_str().starts_with("many/05/")).count();
    ensure!(fifth.len() == expected, "{expected} objects stored under `many/05/`, {} listed", fifth.len());
    Ok(())
}

pub(crate) async fn only_under_the_prefix(cx: &Context) -> CaseResult {
    let names = ["a", "ab/x", "a-b/x", "b/a/x", "b/a/y/z", "b/ab", "b/a-", "b/a.b/c", "c/b/a/x"];
    for (len, name) in names.iter().enumerate() {
        cx.put(&key(*name), bytes(1, len * 10)).await?;
    }
    cx.settle_lists().await;
    for under in ["", "a/", "b/", "b/a/", "b/a/y/", "c/", "ab/"] {
        let expected: Vec<_> = (0_u64..)
            .zip(names)
            .filter(|(_, name)| name.starts_with(under))
            .map(|(number, name)| (key(name), number * 10))
            .collect();
        let mut listed: Vec<_> = cx.list(under).await?.into_iter().map(|meta| (meta.key, meta.size_bytes)).collect();
        listed.sort();
        let mut expected = expected;
        expected.sort();
        ensure!(listed == expected, "under `{under}`: listed {listed:?}, stored {expected:?}");
    }
    cx.settle_reads().await;
    for meta in cx.list("").await? {
        let stat = cx.store.stat(&meta.key).await?;
        // Some services tell times in listings more exactly than of one object.
        let facts = |meta: &ObjectMeta| (meta.key.clone(), meta.size_bytes, meta.stored_at.map(Timestamp::secs));
        ensure!(facts(&stat) == facts(&meta), "the listing tells {meta:?}, stat tells {stat:?}");
    }
    Ok(())
}

pub(crate) async fn nothing_is_an_empty_listing(cx: &Context) -> CaseResult {
    let nothing = |listed: Vec<_>, under: &str| match listed.is_empty() {
        true => Ok(()),
        false => Err(Stop::Failed(format!("nothing lies under `{under}`, listed: {listed:?}"))),
    };
    nothing(cx.list("").await?, "")?;
    nothing(cx.list("never/seen/").await?, "never/seen/")?;
    let at = key("once/there/x");
    cx.put(&at, bytes(1, 1)).await?;
    cx.settle_lists().await;
    nothing(cx.list("once/th/").await?, "once/th/")?;
    nothing(cx.list("once/there/x/").await?, "once/there/x/")?;
    cx.store.delete(&at).await?;
    cx.settle_lists().await;
    nothing(cx.list("once/there/").await?, "once/there/")?;
    nothing(cx.list("").await?, "")
}

pub(crate) async fn kept_objects_stay_listed_during_changes(cx: &Context) -> CaseResult {
    let kept: BTreeSet<_> = numbered("busy", SOME.min(cx.pace.max_objects)).into_iter().collect();
    cx.fill(kept.iter().cloned()).await?;
    // These are overwritten all the time, which some stores do by a rename.
    let rewritten: Vec<_> = kept.iter().step_by(10).cloned().collect();
    cx.settle_lists().await;
    let changes = async {
        for round in 0..5 {
            for (number, at) in rewritten.iter().enumerate() {
                cx.put(at, bytes(round, 20)).await?;
                let brief = key(format!("busy/{:02x}/brief-{number}", number % 7));
                cx.put(&brief, bytes(round, 20)).await?;
                cx.store.delete(&brief).await?;
            }
        }
        Ok::<_, Stop>(())
    };
    let looks = async {
        for _ in 0..20 {
            let listed = cx.sizes("busy/").await?;
            let missing = kept.iter().find(|at| !listed.contains_key(at));
            ensure!(missing.is_none(), "{missing:?} was there all the time and is not listed");
        }
        Ok(())
    };
    let (changed, seen) = futures::join!(changes, looks);
    changed.and(seen)
}

/// Listings at once.
const LISTINGS: usize = 6;

pub(crate) async fn listings_at_once_are_whole(cx: &Context) -> CaseResult {
    let keys = numbered("crowd", SOME.min(cx.pace.max_objects));
    cx.fill(keys.clone()).await?;
    cx.settle_lists().await;
    let second = cx.second().await?;
    let expected: BTreeSet<_> = keys.into_iter().collect();
    let under = prefix("crowd/");
    let listings = (0..LISTINGS).map(|number| {
        let store = if number % 2 == 0 { &cx.store } else { &second };
        let (under, expected) = (&under, &expected);
        async move {
            let listed: Vec<_> = store.list(under).map_ok(|meta| meta.key).try_collect().await?;
            let kept = listed.iter().filter(|at| !at.name().starts_with("brief-")).count();
            let different: BTreeSet<_> = listed.iter().filter(|at| expected.contains(at)).collect();
            ensure!(
                kept == expected.len() && different.len() == expected.len(),
                "{} objects are there all the time; one of {LISTINGS} listings at once gave {kept}, {} of them different",
                expected.len(),
                different.len()
            );
            Ok(())
        }
    });
    let changes = async {
        for number in 0..20 {
            let brief = key(format!("crowd/{:02x}/brief-{number}", number % 7));
            cx.put(&brief, bytes(1, 20)).await?;
            cx.store.delete(&brief).await?;
        }
        Ok::<_, Stop>(())
    };
    let (changed, seen) = futures::join!(changes, try_join_all(listings));
    changed.and(seen.map(|_| ()))
}

pub(crate) async fn put_and_delete_show(cx: &Context) -> CaseResult {
    let second = cx.second().await?;
    let everything = prefix("");
    let listed = async |store: &dyn StorageBackend| {
        let keys = store.list(&everything).map_ok(|meta| meta.key);
        Ok::<_, Stop>(keys.try_collect::<BTreeSet<ObjectKey>>().await?)
    };
    let mut expected = BTreeSet::new();
    for number in 0..10 {
        let at = key(format!("shows/{number}"));
        cx.put(&at, bytes(1, 1)).await?;
        expected.insert(at);
        cx.settle_lists().await;
        ensure!(listed(cx.store.as_ref()).await? == expected, "a put does not show in the listing");
        ensure!(listed(second.as_ref()).await? == expected, "a put does not show in the other client's listing");
    }
    while let Some(at) = expected.pop_first() {
        cx.store.delete(&at).await?;
        cx.settle_lists().await;
        ensure!(listed(cx.store.as_ref()).await? == expected, "a delete does not show in the listing");
        ensure!(listed(second.as_ref()).await? == expected, "a delete does not show in the other client's listing");
    }
    Ok(())
}

pub(crate) async fn failure_is_not_the_end(cx: &Context) -> CaseResult {
    let keys = numbered("broken", SOME.min(cx.pace.max_objects));
    cx.fill(keys.clone()).await?;
    cx.settle_lists().await;
    cx.trouble(Trouble::ListBreaks).await?;
    let items: Vec<_> = cx.store.list(&prefix("")).collect().await;
    cx.well_again().await?;
    let errors = items.iter().filter(|item| item.is_err()).count();
    let given = items.len() - errors;
    ensure!(errors == 1, "a listing that broke gave {given} of {} objects and {errors} errors", keys.len());
    ensure!(items.last().is_some_and(Result::is_err), "a listing went on after its error");
    ensure!(cx.sizes("").await?.len() == keys.len(), "the listing is not complete once all is well again");
    Ok(())
}
