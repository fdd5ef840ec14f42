//! What is stored and what the index says about it.

use std::collections::BTreeMap;

use backup_core::StorageErrorKind;
use futures::StreamExt;

use super::data::PackTask;
use super::findings::Findings;
use super::{CheckLevel, Severity};
use crate::crypto::sha256;
use crate::error::RepositoryError;
use crate::format::ObjectKind;
use crate::id::PackId;
use crate::index::{BlobIndex, Damage};
use crate::layout;
use crate::repository::{ReadObjects, Repository};
use crate::verification::Scope;

/// Packs asked for by name at once, where a listing lacks them.
const STATS: usize = 8;

/// An object that the index doesn't name is not read when it is larger: it is no pack.
const MAX_UNINDEXED_BYTES: u64 = 1 << 30;

/// The index, and the packs as they are listed.
pub(super) struct Inventory {
    pub(super) index: BlobIndex,
    /// For each pack of the index, the SHA-256 of its table there.
    pub(super) table_digests: Vec<[u8; 32]>,
    /// Sizes of packs that are stored.
    stored: BTreeMap<PackId, u64>,
    /// Index objects that can't be read.
    damaged_objects: usize,
}

impl Inventory {
    /// Reads the index and lists the packs, in this order: what is in the index was stored before.
    pub(super) async fn load(repository: &Repository, findings: &mut Findings) -> Result<Self, RepositoryError> {
        let listed = repository.store().list_records(ObjectKind::Index).await?;
        let ids: Vec<_> = listed.iter().map(|(id, _)| *id).collect();
        let mut builder = repository.fresh_index_builder(&listed);
        let mut objects = ReadObjects::default();
        // For each pack, what each index object says about it.
        let mut tables: BTreeMap<PackId, Vec<(u32, [u8; 32])>> = BTreeMap::new();
        let mut encoded = Vec::new();
        let (taking, adding) = (&mut objects, &mut builder);
        repository
            .each_segment(&ids, |id, read| {
                let Some((number, segment)) = taking.take(adding, id, read)? else { return Ok(()) };
                for pack in &segment.packs {
                    encoded.clear();
                    pack.table.encode(&mut encoded);
                    let digest = sha256(&encoded);
                    let said = tables.entry(pack.id).or_default();
                    if !said.contains(&(number, digest)) {
                        said.push((number, digest));
                    }
                }
                Ok(())
            })
            .await?;
        let replaced = objects.settle();
        let mut damaged_objects = 0;
        for (id, error) in &objects.damaged {
            if !is_gone(error) {
                damaged_objects += 1;
                findings.object(
                    Severity::Damage,
                    layout::record(ObjectKind::Index, id).as_str(),
                    format!("{}; rebuild the index", words(error)),
                );
            }
        }
        let mut digests = BTreeMap::new();
        for (pack, said) in tables {
            let mut live = said.iter().filter(|(number, _)| !replaced.contains(number)).map(|(_, digest)| digest);
            let Some(first) = live.next() else { continue };
            if live.any(|digest| digest != first) {
                findings.object(
                    Severity::Damage,
                    layout::pack(&pack).as_str(),
                    "two index objects say different things about it; rebuild the index",
                );
            }
            digests.insert(pack, *first);
        }
        let index = repository.finish_index(move || builder.finish_without(&replaced)).await?;
        let table_digests = index.packs().iter().map(|pack| digests[&pack.id]).collect();
        let listed = repository.store().list(&layout::packs()).await?;
        let stored =
            listed.into_iter().filter_map(|meta| Some((layout::pack_of(&meta.key)?, meta.size_bytes))).collect();
        Ok(Self { index, table_digests, stored, damaged_objects })
    }

    /// Compares the index with what is stored: packs that are missing or of another size, and packs that it doesn't name.
    pub(super) async fn compare(
        &mut self,
        repository: &Repository,
        findings: &mut Findings,
    ) -> Result<(), RepositoryError> {
        // One listing that lacks a pack is no proof that it is gone.
        let unlisted = self.index.packs().iter().map(|pack| pack.id).filter(|id| !self.stored.contains_key(id));
        let backend = repository.store().backend();
        let stats =
            futures::stream::iter(unlisted.map(|id| async move { (id, backend.stat(&layout::pack(&id)).await) }));
        let found: Vec<_> = stats.buffered(STATS).collect().await;
        for (id, stat) in found {
            match stat {
                Ok(meta) => {
                    self.stored.insert(id, meta.size_bytes);
                }
                Err(error) if error.kind() == StorageErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        for (number, pack) in (0u32..).zip(self.index.packs()) {
            match self.stored.get(&pack.id) {
                None => {
                    let damage = Damage { pack: number, offset_bytes: None };
                    self.index.mark(damage);
                    findings.damage(damage, "is missing");
                }
                Some(&stored) if stored != pack.size_bytes => {
                    findings.pack(number, format!("has {stored} bytes instead of {}", pack.size_bytes));
                }
                Some(_) => {}
            }
        }
        for (id, _) in self.unindexed() {
            let what = "is in no index object: an interrupted run left it, or another run is writing";
            findings.object(Severity::Notice, layout::pack(&id).as_str(), what);
        }
        Ok(())
    }

    fn unindexed(&self) -> impl Iterator<Item = (PackId, u64)> {
        let stored = self.stored.iter().map(|(id, size)| (*id, *size));
        stored.filter(|(id, _)| self.index.number_of(id).is_none())
    }

    /// The packs to be read, in order of their ids: those the level asks for, and at every level those of a wrong size.
    pub(super) fn to_read(&self, scope: &Scope) -> Vec<PackTask> {
        let is_in_part = |id: &PackId| scope.stripe.is_none_or(|stripe| stripe.contains(id));
        let is_read = |id: &PackId| scope.level >= CheckLevel::Objects && is_in_part(id);
        let task = |(&id, &stored_bytes): (&PackId, &u64)| {
            let number = self.index.number_of(&id);
            let is_wanted = match number {
                Some(number) => is_read(&id) || self.index.pack(number).size_bytes != stored_bytes,
                None => is_read(&id) && stored_bytes <= MAX_UNINDEXED_BYTES,
            };
            let blocks = scope.level >= CheckLevel::Data;
            is_wanted.then_some(PackTask { id, number, stored_bytes, blocks })
        };
        self.stored.iter().filter_map(task).collect()
    }

    /// What to say about blobs that no pack in the index has.
    pub(super) fn missing_words(&self) -> String {
        let mut words = "the content is in no pack that the index names".to_owned();
        let unindexed = self.unindexed().count();
        if unindexed > 0 || self.damaged_objects > 0 {
            words.push_str(&format!(
                "; {} index objects are damaged and {unindexed} packs are stored that the index doesn't name: rebuild the index",
                self.damaged_objects
            ));
        }
        words
    }
}

/// Whether an object that was listed is not there any more: somebody removed it meanwhile.
pub(super) fn is_gone(error: &RepositoryError) -> bool {
    matches!(error, RepositoryError::Storage(error) if error.kind() == StorageErrorKind::NotFound)
}

/// What is wrong, without the object's name, which a finding has already, and with the causes.
pub(super) fn words(error: &RepositoryError) -> String {
    match error {
        RepositoryError::Damaged { source, .. } => source.to_string(),
        RepositoryError::UnreadableBlob { source, .. } => words(source),
        error => {
            let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
            causes.fold(error.to_string(), |words, cause| format!("{words}: {cause}"))
        }
    }
}
