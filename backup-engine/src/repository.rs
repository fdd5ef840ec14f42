//! Making and opening repositories.

pub mod init;
pub mod keys;
mod load;
pub mod open;

use std::path::PathBuf;
use std::sync::Arc;

use backup_core::{Clock, StorageBackend};

use crate::chunker::Chunker;
use crate::crypto::Keyring;
use crate::error::RepositoryError;
use crate::format::config::RepositoryConfig;
use crate::format::{ObjectKind, malformed};
use crate::id::ObjectId;
use crate::layout;
use crate::store::ObjectStore;

pub use init::{InitError, InitOptions};
pub use keys::{KeyError, KeySlotInfo, NewKey};
pub use load::LoadedIndex;
pub(crate) use load::ReadObjects;
pub use open::{OpenError, Unlock, read_config};

/// An open repository: a store, the keys and what `config` says. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Repository {
    store: ObjectStore,
    config: Arc<RepositoryConfig>,
    clock: Arc<dyn Clock>,
    cache: Option<PathBuf>,
}

impl Repository {
    fn assemble(
        backend: Arc<dyn StorageBackend>,
        keyring: Keyring,
        config: RepositoryConfig,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { store: ObjectStore::new(backend, Arc::new(keyring)), config: Arc::new(config), clock, cache: None }
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
    ///
    /// # Errors
    /// `UnknownChunker` when this program can't; reading needs no chunker.
    pub fn chunker(&self) -> Result<Chunker, RepositoryError> {
        Chunker::new(&self.config.chunker, self.store.keyring().gear_table())
            .ok_or_else(|| RepositoryError::UnknownChunker(self.config.chunker.name.clone()))
    }

    /// Lets this repository keep, in a folder on this machine, what it would have to fetch or sort again.
    ///
    /// So far that is the index. Everything there can be deleted at any time, and several processes may share the folder.
    #[must_use]
    pub fn with_cache(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cache = Some(folder.into());
        self
    }
}

/// The error for a JSON record that has the wrong fields.
pub(crate) fn bad_json(kind: ObjectKind, id: &ObjectId) -> RepositoryError {
    RepositoryError::format(&layout::record(kind, id), malformed("record", "a field is missing or has a wrong value"))
}
