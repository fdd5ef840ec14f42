//! `catalog`.

use std::collections::BTreeSet;

use backup_engine::check::CheckLevel;
use backup_engine::query::catalog::{Catalog, Integrity};

use super::{Place, data_packs};
use crate::support::fixture::{check, first_tree};
use crate::support::noise;

fn states(catalog: &Catalog) -> Vec<&str> {
    let state = |integrity: &Integrity| match integrity {
        Integrity::Unverified => "unverified",
        Integrity::Verified { level, .. } if level == "data" => "data",
        Integrity::Verified { level, .. } if level == "objects" => "objects",
        Integrity::Verified { .. } => "another level",
        Integrity::Damaged => "damaged",
    };
    catalog.snapshots.iter().map(|entry| state(&entry.integrity)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_everything_that_is_known_and_reads_back() {
    let place = Place::new().await;
    let tree = first_tree();
    let snapshot = place.capture(&tree).await;
    place.repository.annotate(&snapshot, &["kept".to_owned()], true, Some("a note".to_owned())).await.unwrap();
    let catalog = place.repository.catalog().await.unwrap();
    let entry = &catalog.snapshots[0];
    assert_eq!((entry.id, entry.entries, entry.bytes), (snapshot.id, tree.0.len() as u64, snapshot.record.tree.bytes));
    assert_eq!(
        (entry.tags.as_slice(), entry.pinned, entry.note.as_deref()),
        (&["kept".to_owned()][..], true, Some("a note"))
    );
    let text = serde_json::to_string(&catalog).unwrap();
    assert_eq!(serde_json::from_str::<Catalog>(&text).unwrap(), catalog);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["version"], 1);
    assert_eq!(json["repository"], place.repository.config().id.to_string());
    assert_eq!(json["snapshots"][0]["source"]["kind"], "memory");
    assert_eq!(json["snapshots"][0]["integrity"]["state"], "unverified");
    assert_eq!(json["snapshots"][0]["time"], "2026-11-21T08:44:17.000000000Z");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_counts_for_the_snapshots_that_were_there() {
    let place = Place::new().await;
    let mut tree = first_tree();
    place.capture(&tree).await;
    assert_eq!(states(&place.repository.catalog().await.unwrap()), ["unverified"]);
    check(&place.repository, CheckLevel::Data).await;
    place.clock.advance(std::time::Duration::from_secs(1));
    tree.file("new", b"new");
    place.capture(&tree).await;
    assert_eq!(states(&place.repository.catalog().await.unwrap()), ["data", "unverified"]);
    check(&place.repository, CheckLevel::Objects).await;
    assert_eq!(states(&place.repository.catalog().await.unwrap()), ["data", "objects"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_shown_with_the_snapshots_it_hits_and_no_others() {
    let place = Place::new().await;
    let mut tree = first_tree();
    place.capture(&tree).await;
    let before: BTreeSet<_> = data_packs(&place.store).into_iter().collect();
    tree.file("new", &noise(5, 100_000));
    place.capture(&tree).await;
    tree.remove("new");
    place.capture(&tree).await;
    check(&place.repository, CheckLevel::Data).await;
    assert_eq!(states(&place.repository.catalog().await.unwrap()), ["data"; 3]);

    let of_second: Vec<_> = data_packs(&place.store).into_iter().filter(|key| !before.contains(key)).collect();
    let [key] = of_second.as_slice() else { panic!("{of_second:?}") };
    let sound = place.store.peek(key).unwrap();
    let mut damaged = sound.to_vec();
    damaged[100] ^= 1;
    place.store.plant(key, damaged);
    // Nobody has looked since.
    assert_eq!(states(&place.repository.catalog().await.unwrap()), ["data"; 3]);
    check(&place.repository, CheckLevel::Data).await;
    assert_eq!(states(&place.repository.catalog().await.unwrap()), ["data", "damaged", "data"]);
    place.store.plant(key, sound.clone());
    check(&place.repository, CheckLevel::Data).await;
    assert_eq!(states(&place.repository.catalog().await.unwrap()), ["data"; 3]);
    // What is missing shows without a check.
    place.store.pluck(key);
    assert_eq!(states(&place.repository.catalog().await.unwrap()), ["data", "damaged", "data"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_that_the_index_lost_are_not_shown_as_verified() {
    let place = Place::new().await;
    let mut tree = first_tree();
    place.capture(&tree).await;
    let before: BTreeSet<_> = place.store.keys().into_iter().collect();
    tree.file("new", &noise(5, 100_000));
    place.capture(&tree).await;
    check(&place.repository, CheckLevel::Data).await;
    let is_new_index = |key: &&_| !before.contains(*key) && backup_core::ObjectKey::as_str(key).starts_with("index/");
    let index = place.store.keys().iter().find(is_new_index).cloned().unwrap();
    place.store.pluck(&index);
    assert_eq!(states(&place.repository.catalog().await.unwrap()), ["data", "damaged"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_that_cannot_be_read_are_named() {
    let place = Place::new().await;
    let snapshot = place.capture(&first_tree()).await;
    let key = place.store.keys().into_iter().find(|key| key.as_str().starts_with("snapshots/")).unwrap();
    let mut damaged = place.store.peek(&key).unwrap().to_vec();
    damaged[90] ^= 1;
    place.store.plant(&key, damaged);
    let catalog = place.repository.catalog().await.unwrap();
    assert_eq!((catalog.snapshots.len(), catalog.unreadable.as_slice()), (0, &[snapshot.id][..]));
}
