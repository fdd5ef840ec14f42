//! One check from beginning to end.

use std::sync::Arc;

use backup_core::{CancelToken, Event, Monitor, Phase};
use tokio::runtime::Handle;

use super::data::{DataCheck, Verified};
use super::findings::Findings;
use super::inventory::Inventory;
use super::trees::TreeCheck;
use super::{CheckError, CheckOptions, CheckReport, Part, Severity, records};
use crate::error::RepositoryError;
use crate::format::ObjectKind;
use crate::format::record::VerifyRecord;
use crate::index::{BlobIndex, Damage};
use crate::layout;
use crate::pack::reader::BlobReader;
use crate::repository::Repository;
use crate::snapshots::{Snapshot, format_time};
use crate::verification::met::damaged_names;
use crate::verification::{CheckLevel, History, KnownDamage, Scope};

pub(super) fn run(
    repository: &Repository,
    handle: &Handle,
    options: &CheckOptions,
    monitor: &dyn Monitor,
    cancel: &CancelToken,
) -> Result<CheckReport, CheckError> {
    let clock = &**repository.clock();
    let began = clock.monotonic();
    let time = clock.now();
    monitor.event(&Event::PhaseStarted { phase: Phase::CheckStructure, total: None });
    let mut findings = Findings::default();
    let history = handle.block_on(repository.check_history())?;
    let stripe = match options.part {
        None => None,
        Some(Part::Stripe(stripe)) => Some(stripe),
        Some(Part::Next { of }) => history.least_recently_verified(options.level, of, time),
    };
    let stripe = stripe.filter(|_| options.level > CheckLevel::Structure);
    let scope = Scope { level: options.level, stripe };

    let (mut inventory, snapshots) = handle.block_on(small_objects(repository, &history, &mut findings))?;
    handle.block_on(inventory.compare(repository, &mut findings))?;
    let tasks = inventory.to_read(&scope);
    let missing = inventory.missing_words();
    let carried = carry(&history, &scope, &inventory.index, &mut findings);
    let Inventory { index, table_digests, .. } = inventory;
    let index = Arc::new(index);

    let verified = if tasks.is_empty() {
        Verified::default()
    } else {
        let workers = options.workers;
        let store = repository.store();
        let data =
            DataCheck { handle, store, index: &index, table_digests: &table_digests, workers, monitor, cancel, clock };
        data.run(&tasks)?
    };
    note(&verified, &index, &mut findings);

    let reader = BlobReader::new(handle.clone(), repository.store().clone(), Arc::clone(&index));
    let mut trees = TreeCheck::new(&reader, &mut findings, cancel);
    let mut hurt = Vec::new();
    for snapshot in &snapshots {
        if !trees.tree(&snapshot.record.tree)? {
            hurt.push(snapshot);
        }
    }
    for snapshot in hurt {
        trees.victims(snapshot.id, &snapshot.record.tree)?;
    }
    let entries = trees.entries;

    index.failure()?;
    let damaged = damaged_names(&index, &carried);
    let (findings, counts) = findings.finish(&index, &missing);
    for finding in findings.iter().filter(|finding| finding.severity != Severity::Notice) {
        monitor.event(&Event::Problem { message: &format!("`{}`: {}", finding.object, finding.what) });
    }
    let record = VerifyRecord {
        at: format_time(time),
        level: scope.level.name().to_owned(),
        subset: stripe.map(|stripe| (stripe.n(), stripe.of())),
        packs: verified.packs,
        bytes: verified.bytes,
        damaged,
        supersedes: history.with_damage(),
    };
    let unrecorded = match options.record {
        true => handle.block_on(put_record(repository, &history, &scope, &record)).err().map(|error| error.to_string()),
        false => None,
    };
    Ok(CheckReport {
        level: scope.level,
        stripe,
        snapshots: snapshots.len() as u64,
        entries,
        packs: index.packs().len() as u64,
        blobs: index.len() as u64,
        packs_read: verified.packs,
        bytes_read: verified.bytes,
        findings,
        counts,
        unrecorded,
        duration: clock.monotonic().saturating_sub(began),
    })
}

async fn small_objects(
    repository: &Repository,
    history: &History,
    findings: &mut Findings,
) -> Result<(Inventory, Vec<Snapshot>), RepositoryError> {
    records::config(repository, findings).await?;
    records::keys(repository, findings).await?;
    records::history(history, findings);
    records::sessions(repository, findings).await?;
    // Snapshots before the index: what a snapshot needs was in the index before it was stored.
    let snapshots = records::snapshots(repository, findings).await?;
    records::marks(repository, &snapshots, findings).await?;
    Ok((Inventory::load(repository, findings).await?, snapshots))
}

/// Takes over damage that earlier checks found: all of it as known, and what this one does not look at as damage.
fn carry(history: &History, scope: &Scope, index: &BlobIndex, findings: &mut Findings) -> Vec<Damage> {
    let mut carried = Vec::new();
    for known in history.known_damage() {
        let KnownDamage { pack, offset_bytes, level, found } = known;
        let Some(number) = index.number_of(&pack) else { continue };
        let damage = Damage { pack: number, offset_bytes };
        findings.known(damage);
        if scope.covers(&pack, level) {
            continue;
        }
        index.mark(damage);
        findings.damage(damage, format!("was found damaged by {found}, and not looked at since"));
        carried.push(damage);
    }
    carried
}

fn note(verified: &Verified, index: &BlobIndex, findings: &mut Findings) {
    for (damage, what) in &verified.damage {
        index.mark(*damage);
        findings.damage(*damage, what);
    }
    for (pack, what) in &verified.notes {
        findings.pack(*pack, what);
    }
    for pack in &verified.unindexed {
        let what = "is in no index object, and its bytes are not those that were stored";
        findings.object(Severity::Notice, layout::pack(pack).as_str(), what);
    }
}

/// Stores the record of a check and removes those that say nothing more.
///
/// A check of the structure alone is recorded only where that changes what is known to be damaged.
async fn put_record(
    repository: &Repository,
    history: &History,
    scope: &Scope,
    record: &VerifyRecord,
) -> Result<(), RepositoryError> {
    let changes_damage =
        !record.damaged.is_empty() || history.known_damage().iter().any(|known| scope.covers(&known.pack, known.level));
    if scope.level == CheckLevel::Structure && !changes_damage {
        return Ok(());
    }
    let store = repository.store();
    let payload = serde_json::to_vec(record).expect("a record is plain data");
    store.put_record(ObjectKind::Verify, &payload).await?;
    for id in history.outdated_by(scope) {
        let key = layout::record(ObjectKind::Verify, &id);
        if let Err(error) = store.backend().delete(&key).await {
            tracing::debug!(%key, %error, "a record of an earlier check stays");
        }
    }
    Ok(())
}
