//! What a store does, whatever it declares.

use std::sync::Arc;

use backup_core::{
    Capabilities, Consistency, Grade, ObjectKey, PutOptions, StorageBackend, StorageErrorKind, StorageResult,
};
use futures::future::join_all;
use futures::stream::TryStreamExt;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::content::bytes;
use crate::context::{key, prefix};
use crate::harness::Harness;

/// Races from which one winner each is taken for a rule.
const RACES: usize = 2;

/// Clients in each.
const RACERS: usize = 6;

/// What was seen in a few calls; to be held beside what is declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// Whether create-only puts refuse what is there, and whether one of several at once wins.
    pub put_if_absent: Grade,
    /// Whether another client reads an object right after its put.
    pub reads_show_puts_at_once: bool,
    /// Whether another client lists an object right after its put.
    pub listings_show_puts_at_once: bool,
    /// Whether a put with a wrong SHA-256 is refused.
    pub verifies_sha256: bool,
    /// Whether the quota answers.
    pub quota: bool,
    /// Whether it tells when an object was stored.
    pub tells_times: bool,
}

impl Observed {
    /// What is declared and was not seen, in words.
    pub fn missing_of(&self, declared: &Capabilities) -> Vec<String> {
        let strong = |consistency| consistency == Consistency::Strong;
        let claims = [
            ("create-only puts", declared.put_if_absent > self.put_if_absent),
            ("reads that show puts at once", strong(declared.read_after_write) && !self.reads_show_puts_at_once),
            ("listings that show puts at once", strong(declared.list_after_write) && !self.listings_show_puts_at_once),
            ("the check of SHA-256", declared.verifies_sha256 && !self.verifies_sha256),
            ("a quota", declared.quota && !self.quota),
        ];
        claims.into_iter().filter(|(_, missing)| *missing).map(|(claim, _)| claim.to_owned()).collect()
    }
}

/// Looks at a store in a space of its own.
pub(super) async fn observe(space: &dyn Harness) -> StorageResult<Observed> {
    let (store, second) = (space.open("").await?, space.open("").await?);
    let at = key("observed/first");
    store.put(&at, bytes(1, 100).into(), &PutOptions::overwrite()).await?;
    let seen = second.stat(&at).await;
    let listed: Vec<_> = second.list(&prefix("")).try_collect().await?;
    let wrong = PutOptions::overwrite().with_sha256(Sha256::digest(b"something else").into());
    let refused = store.put(&key("observed/digest"), bytes(2, 100).into(), &wrong).await;
    let stat = store.stat(&at).await.ok();
    Ok(Observed {
        put_if_absent: creates(&[store.clone(), second], &at).await,
        reads_show_puts_at_once: seen.is_ok(),
        listings_show_puts_at_once: listed.iter().any(|meta| meta.key == at),
        verifies_sha256: refused.is_err_and(|error| error.kind() == StorageErrorKind::Integrity),
        quota: store.quota().await.is_ok(),
        tells_times: stat.is_some_and(|meta| meta.stored_at.is_some()),
    })
}

async fn creates(clients: &[Arc<dyn StorageBackend>], taken: &ObjectKey) -> Grade {
    let create = PutOptions::if_absent();
    match clients[0].put(taken, bytes(3, 100).into(), &create).await {
        Err(error) if error.kind() == StorageErrorKind::AlreadyExists => {}
        _ => return Grade::None,
    }
    for race in 0..RACES {
        let at = key(format!("observed/race-{race}"));
        let racers = clients.iter().cycle().take(RACERS).map(|client| client.put(&at, bytes(4, 100).into(), &create));
        if join_all(racers).await.into_iter().filter(Result::is_ok).count() != 1 {
            return Grade::BestEffort;
        }
    }
    Grade::Atomic
}
