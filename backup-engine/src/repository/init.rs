//! Making a repository.

use std::sync::Arc;

use backup_core::{Clock, PutOptions, StorageBackend, StorageErrorKind};

use super::Repository;
use super::keys::{NewKey, put_slot};
use crate::chunker::ChunkerParameters;
use crate::crypto::{Keyring, SecretKey, random, sha256};
use crate::error::RepositoryError;
use crate::format::config::RepositoryConfig;
use crate::format::slot::{SlotNote, seal_epoch};
use crate::id::{ObjectId, RepositoryId};
use crate::layout;
use crate::store::put_immutable;

/// How a new repository is to be.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct InitOptions {
    /// How content is cut; can't be changed later.
    pub chunker: ChunkerParameters,
    /// What is noted with the first key slot.
    pub note: SlotNote,
}

/// Why a repository could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InitError {
    /// There is one already; nothing was changed.
    #[error("there is a repository already")]
    AlreadyExists,
    /// The place holds something else; nothing was changed.
    #[error("the place is not empty: it holds `{0}`")]
    NotEmpty(String),
    /// The repository could not be written.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

impl From<backup_core::StorageError> for InitError {
    fn from(error: backup_core::StorageError) -> Self {
        Self::Repository(error.into())
    }
}

impl Repository {
    /// Makes a repository in an empty place and opens it.
    ///
    /// Of several at once in the same place, one succeeds where the store's create-only put is atomic. `config` is written last:
    /// what a crash leaves before is no repository and does not hinder the next attempt.
    ///
    /// # Errors
    /// [`InitError::AlreadyExists`], [`InitError::NotEmpty`], or what the storage says.
    pub async fn init(
        backend: Arc<dyn StorageBackend>,
        key: &NewKey,
        options: &InitOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, InitError> {
        if exists(&*backend).await? {
            return Err(InitError::AlreadyExists);
        }
        if let Err(refused) = refuse_foreign_objects(&*backend).await {
            // What lies there now may be of somebody who made a repository since.
            return Err(if exists(&*backend).await? { InitError::AlreadyExists } else { refused });
        }
        let id = RepositoryId::from_bytes(random());
        let mut keyring = Keyring::new(id, SecretKey::generate());
        let slot = put_slot(&*backend, &keyring, key, &options.note).await?;
        let epoch_key = SecretKey::generate();
        let epoch = put_epoch(&*backend, &keyring, 1, &epoch_key).await?;
        keyring.add_epoch(1, epoch_key);
        let config = RepositoryConfig::new(id, clock.now().to_string(), options.chunker.clone());
        match backend.put(&layout::config(), config.encode(&keyring).into(), &PutOptions::if_absent()).await {
            Ok(()) => Ok(Self::assemble(backend, keyring, config, clock)),
            Err(error) if error.kind() == StorageErrorKind::AlreadyExists => {
                // Somebody else was faster. Our keys open nothing; they are removed so that nobody tries them.
                backend.delete(&layout::key_object(&slot)).await?;
                backend.delete(&layout::key_object(&epoch)).await?;
                Err(InitError::AlreadyExists)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether there is a `config`, and so a repository.
async fn exists(backend: &dyn StorageBackend) -> Result<bool, InitError> {
    match backend.stat(&layout::config()).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == StorageErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Fails when the place holds anything but keys that an interrupted attempt left.
async fn refuse_foreign_objects(backend: &dyn StorageBackend) -> Result<(), InitError> {
    use futures::TryStreamExt;
    let all = backup_core::KeyPrefix::all();
    let mut objects = backend.list(&all);
    while let Some(object) = objects.try_next().await? {
        if !layout::keys().contains(&object.key) {
            return Err(InitError::NotEmpty(object.key.to_string()));
        }
    }
    Ok(())
}

/// Stores an epoch's key, wrapped.
pub(super) async fn put_epoch(
    backend: &dyn StorageBackend,
    keyring: &Keyring,
    epoch: u32,
    key: &SecretKey,
) -> Result<ObjectId, RepositoryError> {
    let object = seal_epoch(epoch, keyring.repository(), keyring.root(), key);
    let digest = sha256(&object);
    let id = ObjectId::from_bytes(digest);
    put_immutable(backend, &layout::key_object(&id), object.into(), Some(digest)).await?;
    Ok(id)
}
