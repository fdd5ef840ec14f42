//! Making and opening repositories.

pub mod init;
pub mod keys;
pub mod open;

use std::sync::Arc;

use backup_core::{Clock, StorageBackend};

use crate::chunker::Chunker;
use crate::crypto::Keyring;
use crate::error::RepositoryError;
use crate::format::config::RepositoryConfig;
use crate::format::index::IndexSegment;
use crate::format::record::VerifyRecord;
use crate::format::{ObjectKind, malformed};
use crate::id::ObjectId;
use crate::index::{BlobIndex, BlobIndexBuilder};
use crate::layout;
use crate::store::ObjectStore;

pub use init::{InitError, InitOptions};
pub use keys::{KeyError, KeySlotInfo, NewKey};
pub use open::{OpenError, Unlock};

/// An open repository: a store, the keys and what `config` says. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Repository {
    store: ObjectStore,
    config: Arc<RepositoryConfig>,
    clock: Arc<dyn Clock>,
}

impl Repository {
    fn assemble(
        backend: Arc<dyn StorageBackend>,
        keyring: Keyring,
        config: RepositoryConfig,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { store: ObjectStore::new(backend, Arc::new(keyring)), config: Arc::new(config), clock }
    }

    /// What the repository is.
    pub fn config(&self) -> &RepositoryConfig {
        &self.config
    }

    /// The store of its objects.
    pub fn store(&self) -> &ObjectStore {
        &self.store
    }

    /// The clock that was handed in.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Cuts content as this repository does.
    pub fn chunker(&self) -> Chunker {
        Chunker::new(&self.config.chunker, self.store.keyring().gear_table()).expect("opening checked the parameters")
    }

    /// Reads the index.
    ///
    /// Costs one request for each index object, several at a time, and 32 bytes of memory for each blob.
    ///
    /// # Errors
    /// What the storage says. Damaged index objects don't fail: they are in the result.
    pub async fn load_index(&self) -> Result<LoadedIndex, RepositoryError> {
        use futures::StreamExt;
        /// Index objects fetched at once: enough to hide latency, few enough to hold in memory.
        const FETCHES: usize = 8;
        let listed = self.store.list_records(ObjectKind::Index).await?;
        let mut segments = Vec::with_capacity(listed.len());
        let mut damaged = Vec::new();
        let mut fetches =
            futures::stream::iter(listed.into_iter().map(|(id, _)| async move { (id, self.get_segment(&id).await) }))
                .buffered(FETCHES);
        while let Some((id, segment)) = fetches.next().await {
            match segment {
                Ok(segment) => segments.push((id, segment)),
                Err(error) if error.is_damage() => damaged.push((id, error)),
                Err(error) => return Err(error),
            }
        }
        drop(fetches);
        let superseded: std::collections::HashSet<_> =
            segments.iter().flat_map(|(_, segment)| segment.supersedes.iter().copied()).collect();
        let mut builder = BlobIndexBuilder::default();
        for (id, segment) in &segments {
            if !superseded.contains(id) {
                segment.packs.iter().for_each(|pack| builder.add(pack));
            }
        }
        Ok(LoadedIndex { index: builder.finish(), objects: segments.len(), damaged })
    }

    async fn get_segment(&self, id: &ObjectId) -> Result<IndexSegment, RepositoryError> {
        let payload = self.store.get_record(ObjectKind::Index, id).await?;
        IndexSegment::decode(&payload)
            .map_err(|error| RepositoryError::format(&layout::record(ObjectKind::Index, id), error))
    }

    /// What earlier checks found damaged, as keys of packs, optionally followed by `#` and the offset of a block.
    pub async fn known_damage(&self) -> Result<Vec<String>, RepositoryError> {
        let mut damaged = Vec::new();
        for (id, _) in self.store.list_records(ObjectKind::Verify).await? {
            // A record that can't be read says nothing; the next check writes a new one.
            match self.store.get_record(ObjectKind::Verify, &id).await {
                Ok(payload) => {
                    let record: Result<VerifyRecord, _> = serde_json::from_slice(&payload);
                    damaged.extend(record.map(|record| record.damaged).unwrap_or_default());
                }
                Err(error) if error.is_damage() => {}
                Err(error) => return Err(error),
            }
        }
        damaged.sort();
        damaged.dedup();
        Ok(damaged)
    }
}

/// The index as it could be read.
#[derive(Debug)]
pub struct LoadedIndex {
    /// All blobs of all index objects that could be read.
    pub index: BlobIndex,
    /// How many index objects that were.
    pub objects: usize,
    /// Index objects that are damaged; `repair` rebuilds the index from the packs.
    pub damaged: Vec<(ObjectId, RepositoryError)>,
}

/// The error for a JSON record that has the wrong fields.
pub(crate) fn bad_json(kind: ObjectKind, id: &ObjectId) -> RepositoryError {
    RepositoryError::format(&layout::record(kind, id), malformed("record", "a field is missing or has a wrong value"))
}
