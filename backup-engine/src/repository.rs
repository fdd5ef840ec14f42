//! Making and opening repositories.

pub mod init;
pub mod keys;
pub mod open;

use std::collections::HashSet;
use std::sync::Arc;

use backup_core::{Clock, StorageBackend};

use crate::chunker::Chunker;
use crate::crypto::Keyring;
use crate::error::RepositoryError;
use crate::format::config::RepositoryConfig;
use crate::format::index::IndexSegment;
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
        let segments = self.load_segments().await?;
        let mut builder = BlobIndexBuilder::default();
        segments.live().for_each(|segment| segment.packs.iter().for_each(|pack| builder.add(pack)));
        Ok(LoadedIndex { index: builder.finish(), objects: segments.sound.len(), damaged: segments.damaged })
    }

    /// Reads all index objects.
    pub(crate) async fn load_segments(&self) -> Result<Segments, RepositoryError> {
        use futures::StreamExt;
        /// Index objects fetched at once: enough to hide latency, few enough to hold in memory.
        const FETCHES: usize = 8;
        let listed = self.store.list_records(ObjectKind::Index).await?;
        let mut segments = Segments { sound: Vec::with_capacity(listed.len()), ..Segments::default() };
        let mut fetches =
            futures::stream::iter(listed.into_iter().map(|(id, _)| async move { (id, self.get_segment(&id).await) }))
                .buffered(FETCHES);
        while let Some((id, segment)) = fetches.next().await {
            match segment {
                Ok(segment) => segments.sound.push((id, segment)),
                Err(error) if error.is_damage() => segments.damaged.push((id, error)),
                Err(error) => return Err(error),
            }
        }
        drop(fetches);
        segments.superseded =
            segments.sound.iter().flat_map(|(_, segment)| segment.supersedes.iter().copied()).collect();
        // What was replaced is not missed.
        segments.damaged.retain(|(id, _)| !segments.superseded.contains(id));
        Ok(segments)
    }

    async fn get_segment(&self, id: &ObjectId) -> Result<IndexSegment, RepositoryError> {
        let payload = self.store.get_record(ObjectKind::Index, id).await?;
        IndexSegment::decode(&payload)
            .map_err(|error| RepositoryError::format(&layout::record(ObjectKind::Index, id), error))
    }
}

/// The index objects as they could be read.
#[derive(Debug, Default)]
pub(crate) struct Segments {
    /// Those that are readable, in id order.
    pub(crate) sound: Vec<(ObjectId, IndexSegment)>,
    /// Those that are damaged and not replaced.
    pub(crate) damaged: Vec<(ObjectId, RepositoryError)>,
    /// Those that others replace.
    pub(crate) superseded: HashSet<ObjectId>,
}

impl Segments {
    /// The readable ones that no other replaces: the index is their union.
    pub(crate) fn live(&self) -> impl Iterator<Item = &IndexSegment> {
        self.sound.iter().filter(|(id, _)| !self.superseded.contains(id)).map(|(_, segment)| segment)
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
