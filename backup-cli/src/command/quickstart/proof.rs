//! Restoring a sample of a snapshot and comparing it with the source.

use std::sync::Arc;

use backup_core::conflict::KeepBackup;
use backup_core::{OwnerPolicy, TargetOptions};
use backup_engine::pack::reader::BlobReader;
use backup_engine::repository::Repository;
use backup_engine::restore::{RestoreOptions, Selection};
use backup_engine::snapshots::Snapshot;
use backup_engine::tree::TreeWalk;
use serde::Serialize;

use super::compare::{Shown, compare};
use super::sample::{Candidate, Sampler};
use crate::command::create::source_failed;
use crate::context::Context;
use crate::error::CliError;
use crate::exit_code::Exit;
use crate::output::human;
use crate::plugins;

/// What a sampled restore showed.
#[derive(Debug, Serialize)]
pub(super) struct Proof {
    sampled: usize,
    proven: usize,
    proven_bytes: u64,
    /// Of those proven: against the digest, because the source had changed.
    by_digest: usize,
    /// Chooses the same files again.
    seed: u64,
    #[serde(rename = "not_proven")]
    pub(super) failures: Vec<String>,
}

impl Proof {
    /// Whether everything that was tried was right.
    pub(super) fn holds(&self) -> bool {
        self.proven == self.sampled
    }

    /// What was shown, in one sentence.
    pub(super) fn sentence(&self) -> String {
        if self.sampled == 0 {
            return "there are no files in it, so nothing could be proven".to_owned();
        }
        let how = match self.by_digest {
            0 => "compared with the source byte by byte".to_owned(),
            changed => {
                format!("compared with the source, {changed} of them by checksum because they changed meanwhile")
            }
        };
        let (proven, sampled) = (self.proven, self.sampled);
        format!("proven restorable: {proven}/{sampled} files, {} {how}", human::size(self.proven_bytes))
    }
}

/// Restores a sample into a temporary folder, and compares it.
pub(super) async fn prove(context: &Context, repository: &Repository, snapshot: &Snapshot) -> Result<Proof, CliError> {
    let failed = |error: &(dyn std::error::Error + 'static)| {
        CliError::from_error("the snapshot was made, but a restore could not be proven", error)
    };
    let [a, b, c, d, e, f, g, h, ..] = *snapshot.id.as_bytes();
    let seed = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
    let sample = choose(repository, snapshot, seed).await?;
    let mut proof =
        Proof { sampled: sample.len(), proven: 0, proven_bytes: 0, by_digest: 0, seed, failures: Vec::new() };
    if sample.is_empty() {
        return Ok(proof);
    }
    let folder = tempfile::Builder::new().prefix("backup-proof-").tempdir().map_err(|error| failed(&error))?;
    let mut to = TargetOptions::under(folder.path());
    to.owners = OwnerPolicy::Never;
    to.privileged = false;
    let target = plugins::paths_target().and_then(|files| files.target(&to)).map_err(|error| source_failed(&error))?;
    let mut options = RestoreOptions::default();
    let include = sample.iter().map(|candidate| candidate.path.clone()).collect();
    options.selection = Selection { include, matcher: None };
    let progress = context.progress();
    let monitor = Arc::clone(&progress);
    let restored = repository
        .restore(snapshot, Arc::from(target), Arc::new(KeepBackup {}), options, monitor, context.interrupt.token())
        .await;
    progress.finish();
    let report = restored.map_err(|error| failed(&error))?;
    proof.failures.extend(report.problems.iter().map(ToString::to_string));
    let compared = tokio::task::spawn_blocking(move || {
        let compared: Vec<_> =
            sample.into_iter().map(|candidate| (compare(&candidate, folder.path()), candidate)).collect();
        // What can't be removed lies in the folder for temporary files, which is no reason to fail.
        drop(folder);
        compared
    });
    for (shown, candidate) in compared.await.map_err(|error| failed(&error))? {
        match shown {
            Ok(shown) => {
                proof.proven += 1;
                proof.proven_bytes += candidate.size_bytes;
                proof.by_digest += usize::from(shown == Shown::ByDigest);
            }
            Err(what) => proof.failures.push(format!("/{}: {what}", candidate.path)),
        }
    }
    Ok(proof)
}

async fn choose(repository: &Repository, snapshot: &Snapshot, seed: u64) -> Result<Vec<Candidate>, CliError> {
    let failed =
        |error: &(dyn std::error::Error + 'static)| CliError::from_error("the snapshot can't be read back", error);
    let index = repository.load_index().await.map_err(|error| failed(&error))?.index;
    let handle = tokio::runtime::Handle::current();
    let (store, root) = (repository.store().clone(), snapshot.record.tree);
    let walked = tokio::task::spawn_blocking(move || {
        let mut sampler = Sampler::new(seed);
        for item in TreeWalk::new(Arc::new(BlobReader::new(handle, store, Arc::new(index))), &root) {
            sampler.offer(&item?);
        }
        Ok(sampler.finish())
    });
    match walked.await {
        Ok(Ok(sample)) => Ok(sample),
        Ok(Err(damage)) => {
            let damage: backup_engine::tree::walk::TreeDamage = damage;
            Err(failed(&damage).exit(Exit::VerificationFailed))
        }
        Err(stopped) => Err(failed(&stopped)),
    }
}
