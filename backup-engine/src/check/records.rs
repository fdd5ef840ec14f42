//! The small objects: `config`, keys, snapshots, marks, sessions, records of checks.

use std::collections::HashSet;

use backup_core::{ByteRange, ObjectKey, StorageErrorKind};
use futures::StreamExt;

use super::Severity;
use super::findings::Findings;
use super::inventory::{is_gone, words};
use crate::crypto::{Keyring, sha256};
use crate::error::RepositoryError;
use crate::format::config::UncheckedConfig;
use crate::format::record::{MarkRecord, SessionRecord};
use crate::format::slot::{EPOCH_KIND, KeySlot, SLOT_KIND, epoch_repository, key_object_kind, open_epoch};
use crate::format::{FormatError, ObjectKind};
use crate::id::{ObjectId, SnapshotId};
use crate::layout;
use crate::repository::{Repository, bad_json};
use crate::snapshots::Snapshot;
use crate::verification::History;

/// Records fetched at once: enough to hide latency.
const FETCHES: usize = 8;

/// `config` is there and authentic.
pub(super) async fn config(repository: &Repository, findings: &mut Findings) -> Result<(), RepositoryError> {
    let key = layout::config();
    let object = match repository.store().backend().get(&key, ByteRange::Full).await {
        Ok(object) => object,
        Err(error) if error.kind() == StorageErrorKind::NotFound => {
            findings.object(Severity::Loss, key.as_str(), "is missing: nobody can open the repository without it");
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let checked = UncheckedConfig::decode(&object).and_then(|config| config.check(repository.store().keyring()));
    let what = match checked {
        Ok(config) if config == *repository.config() => return Ok(()),
        Ok(_) => "is not the one that this repository was opened with".to_owned(),
        Err(error) => format!("{error}: nobody can open the repository with it"),
    };
    findings.object(Severity::Loss, key.as_str(), what);
    Ok(())
}

/// Every key object is what its name says and can be used.
pub(super) async fn keys(repository: &Repository, findings: &mut Findings) -> Result<(), RepositoryError> {
    let store = repository.store();
    let mut is_openable = false;
    for meta in store.list(&layout::keys()).await? {
        let object = match store.backend().get(&meta.key, ByteRange::Full).await.map_err(RepositoryError::from) {
            Ok(object) => object,
            Err(error) if is_gone(&error) => continue,
            Err(error) if error.is_damage() => {
                findings.object(Severity::Damage, meta.key.as_str(), words(&error));
                continue;
            }
            Err(error) => return Err(error),
        };
        match key_object(store.keyring(), &meta.key, &object) {
            Ok(is_slot) => is_openable |= is_slot,
            Err((severity, what)) => findings.object(severity, meta.key.as_str(), what),
        }
    }
    if !is_openable {
        let what = "there is no usable key slot: nobody can open the repository again; add a key while it is open";
        findings.object(Severity::Loss, layout::keys().as_str(), what);
    }
    Ok(())
}

/// Said of what an `init` left that was killed, or was overtaken by another one.
const FOREIGN_KEY: &str = "belongs to an attempt to make a repository here that was not finished; it opens nothing";

/// Whether a key object is a slot; what is wrong with it otherwise.
fn key_object(keyring: &Keyring, key: &ObjectKey, object: &[u8]) -> Result<bool, (Severity, String)> {
    let damaged = |what: &str| (Severity::Damage, what.to_owned());
    let malformed = |error: FormatError| (Severity::Damage, error.to_string());
    let foreign = || (Severity::Notice, FOREIGN_KEY.to_owned());
    let is_named_right = key.name().parse::<ObjectId>().is_ok_and(|id| *id.as_bytes() == sha256(object));
    if !is_named_right {
        return Err(damaged("its bytes are not those that were stored"));
    }
    match key_object_kind(object).map_err(malformed)? {
        SLOT_KIND => {
            let slot = KeySlot::decode(object).map_err(malformed)?;
            if slot.repository != keyring.repository() {
                return Err(foreign());
            }
            // Sealed under the root key, so that a slot with a readable note was made by somebody who had it.
            slot.note(keyring.root()).map_err(malformed)?;
            Ok(true)
        }
        EPOCH_KIND => {
            if epoch_repository(object).is_some_and(|repository| repository != keyring.repository()) {
                return Err(foreign());
            }
            open_epoch(object, keyring.repository(), keyring.root()).map_err(malformed)?;
            Ok(false)
        }
        _ => Err(damaged("is neither a key slot nor an epoch key")),
    }
}

/// Reads all snapshots; those that can't be read are lost.
pub(super) async fn snapshots(
    repository: &Repository,
    findings: &mut Findings,
) -> Result<Vec<Snapshot>, RepositoryError> {
    let list = repository.list_snapshots().await?;
    for (id, error) in &list.damaged {
        if !is_gone(error) {
            let key = layout::record(ObjectKind::Snapshot, &(*id).into());
            findings.snapshot(key.as_str(), words(error), *id);
        }
    }
    Ok(list.snapshots)
}

/// Marks can be read, and annotate snapshots that are there.
pub(super) async fn marks(
    repository: &Repository,
    snapshots: &[Snapshot],
    findings: &mut Findings,
) -> Result<(), RepositoryError> {
    let known: HashSet<SnapshotId> = snapshots.iter().map(|snapshot| snapshot.id).collect();
    let listed = repository.store().list_records(ObjectKind::Mark).await?;
    let fetches = futures::stream::iter(listed.into_iter().map(|(id, _)| async move {
        let payload = repository.store().get_record(ObjectKind::Mark, &id).await;
        let mark = payload.and_then(|payload| {
            serde_json::from_slice::<MarkRecord>(&payload).map_err(|_| bad_json(ObjectKind::Mark, &id))
        });
        (layout::record(ObjectKind::Mark, &id), mark)
    }));
    let mut fetches = std::pin::pin!(fetches.buffered(FETCHES));
    while let Some((key, mark)) = fetches.next().await {
        match mark {
            Ok(mark) if known.contains(&mark.snapshot) => {}
            Ok(mark) => {
                let what = format!("annotates snapshot {}, which is not there", mark.snapshot.short());
                findings.object(Severity::Notice, key.as_str(), what);
            }
            Err(error) => damaged(findings, &key, error, "tags, pin and note of a snapshot may be lost")?,
        }
    }
    Ok(())
}

/// Sessions can be read.
pub(super) async fn sessions(repository: &Repository, findings: &mut Findings) -> Result<(), RepositoryError> {
    let listed = repository.store().list(&layout::sessions()).await?;
    let fetches = futures::stream::iter(listed.into_iter().map(|meta| async move {
        let payload = repository.store().get_record_as(&meta.key, ObjectKind::Session).await;
        (meta.key, payload)
    }));
    let mut fetches = std::pin::pin!(fetches.buffered(FETCHES));
    while let Some((key, payload)) = fetches.next().await {
        let consequence = "an interrupted run can't be resumed from it";
        match payload {
            Ok(payload) if is_session(&payload, &key) => {}
            Ok(_) => {
                findings.object(Severity::Damage, key.as_str(), format!("is no session of this name; {consequence}"));
            }
            // Sessions are not named by their hash: a version this program doesn't know may be a flipped bit.
            Err(error @ RepositoryError::NewerVersion { .. }) => {
                findings.object(Severity::Damage, key.as_str(), format!("{error}; {consequence}"));
            }
            Err(error) => damaged(findings, &key, error, consequence)?,
        }
    }
    Ok(())
}

/// Whether a payload is the session that its key says; its key is not its hash.
fn is_session(payload: &[u8], key: &ObjectKey) -> bool {
    serde_json::from_slice(payload).is_ok_and(|session: SessionRecord| session.belongs_at(key))
}

/// Records of earlier checks that can't be read.
pub(super) fn history(history: &History, findings: &mut Findings) {
    for (id, error) in &history.damaged {
        let key = layout::record(ObjectKind::Verify, id);
        if !is_gone(error) {
            let what = format!("{}; what that check found is not known", words(error));
            findings.object(Severity::Damage, key.as_str(), what);
        }
    }
}

/// A finding where an object is damaged; whatever else is wrong ends the check.
fn damaged(
    findings: &mut Findings,
    key: &ObjectKey,
    error: RepositoryError,
    consequence: &str,
) -> Result<(), RepositoryError> {
    if !error.is_damage() {
        return Err(error);
    }
    if !is_gone(&error) {
        findings.object(Severity::Damage, key.as_str(), format!("{}; {consequence}", words(&error)));
    }
    Ok(())
}
