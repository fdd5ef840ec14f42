//! Making a repository.

use std::sync::Arc;

use backup_core::storage::Grade;
use backup_core::{ByteRange, Clock, PutMode, PutOptions, StorageBackend, StorageErrorKind};
use bytes::Bytes;

use super::Repository;
use super::keys::{NewKey, put_slot};
use super::open::trace_of_repository;
use crate::chunker::ChunkerParameters;
use crate::crypto::{Keyring, SecretKey, random, sha256};
use crate::error::RepositoryError;
use crate::format::FormatError;
use crate::format::config::{RepositoryConfig, UncheckedConfig};
use crate::format::slot::{SlotNote, seal_epoch};
use crate::id::{ObjectId, RepositoryId};
use crate::layout;
use crate::store::{creating, put_immutable};

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
    /// `config` is cut off or gone, and there is more than an interrupted attempt leaves; nothing was changed.
    #[error("`config` is cut off or gone, and the place holds `{0}`: this is a damaged repository")]
    DamagedRepository(String),
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
    /// what a crash leaves before is no repository and does not hinder the next attempt. On a store whose put is not atomic a crash may
    /// leave a part of `config`; the next attempt replaces it where nothing else is stored. There, two attempts at once are not safe.
    ///
    /// # Errors
    /// [`InitError::AlreadyExists`], [`InitError::NotEmpty`], [`InitError::DamagedRepository`], or what the storage says;
    /// `UnknownChunker` for a way of cutting that this program can't do.
    pub async fn init(
        backend: Arc<dyn StorageBackend>,
        key: &NewKey,
        options: &InitOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, InitError> {
        if !options.chunker.is_supported() {
            return Err(RepositoryError::UnknownChunker(options.chunker.name.clone()).into());
        }
        let torn = match stored_config(&*backend).await? {
            Some(object) if !UncheckedConfig::is_torn(&object) => return Err(InitError::AlreadyExists),
            torn => torn,
        };
        if let Err(refused) = refuse_foreign_objects(&*backend, torn.is_some()).await {
            // What lies there now may be of somebody who made a repository since.
            let now = stored_config(&*backend).await?;
            return Err(if now.is_some_and(|object| !UncheckedConfig::is_torn(&object)) {
                InitError::AlreadyExists
            } else {
                refused
            });
        }
        let id = RepositoryId::from_bytes(random());
        let mut keyring = Keyring::new(id, SecretKey::generate());
        let slot = put_slot(&*backend, &keyring, key, &options.note).await?;
        let epoch_key = SecretKey::generate();
        let epoch = put_epoch(&*backend, &keyring, 1, &epoch_key).await?;
        keyring.add_epoch(1, epoch_key);
        let config = RepositoryConfig::new(id, clock.now().to_string(), options.chunker.clone());
        if put_config(&*backend, &config.encode(&keyring).into(), torn).await? {
            return Ok(Self::assemble(backend, keyring, config, clock));
        }
        // Somebody else was faster. Our keys open nothing; they are removed so that nobody tries them.
        backend.delete(&layout::key_object(&slot)).await?;
        backend.delete(&layout::key_object(&epoch)).await?;
        Err(InitError::AlreadyExists)
    }
}

/// A put that is repeated after a passing failure finds the very same bytes and counts as done; so one that is accepted is tried again.
const PROBES: usize = 3;

impl Repository {
    /// Whether the store refuses to put over what is there, as it declares; `true` where it declares nothing.
    ///
    /// Puts `config` once more as it is, create-only: a store that keeps its word refuses, and one that does not has changed nothing. Without it a
    /// repository is as safe but for one thing: of two that are made in one place at once, one is lost. Two requests, and two more where it does not.
    ///
    /// # Errors
    /// What the storage says.
    pub async fn refuses_to_overwrite(&self) -> Result<bool, RepositoryError> {
        let backend = self.store().backend();
        if backend.info().capabilities.put_if_absent == Grade::None {
            return Ok(true);
        }
        let config = backend.get(&layout::config(), ByteRange::Full).await?;
        for _ in 0..PROBES {
            match backend.put(&layout::config(), config.clone().into(), &PutOptions::if_absent()).await {
                Ok(()) => {}
                Err(error) if error.kind() == StorageErrorKind::AlreadyExists => return Ok(true),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(false)
    }
}

/// What stands under `config`, if anything does.
async fn stored_config(backend: &dyn StorageBackend) -> Result<Option<Bytes>, InitError> {
    match backend.get(&layout::config(), ByteRange::Full).await {
        Ok(object) => Ok(Some(object)),
        Err(error) if error.kind() == StorageErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Stores `config` in the place of `torn`, which an earlier attempt left, or of nothing. `false` when somebody else's is there.
async fn put_config(backend: &dyn StorageBackend, object: &Bytes, torn: Option<Bytes>) -> Result<bool, InitError> {
    /// Once more where the store kept only a part: a retry of the same put finds that part in its way.
    const ATTEMPTS: usize = 2;
    let mut expected = torn;
    for _ in 0..ATTEMPTS {
        let mut options = creating(backend);
        if expected.is_some() {
            options.mode = PutMode::Overwrite;
        }
        // Whoever began it may be at it still: only what did not change meanwhile is replaced.
        if options.mode == PutMode::Overwrite && stored_config(backend).await? != expected {
            return Ok(false);
        }
        match backend.put(&layout::config(), object.clone().into(), &options).await {
            Ok(()) => {}
            // Somebody else's, or our own after an attempt that only seemed to fail.
            Err(error) if error.kind() == StorageErrorKind::AlreadyExists => {}
            Err(error) => return Err(error.into()),
        }
        match stored_config(backend).await? {
            Some(stored) if stored == *object => return Ok(true),
            Some(stored) if object.starts_with(&stored) => expected = Some(stored),
            Some(_) => return Ok(false),
            None => expected = None,
        }
    }
    let error = FormatError::Truncated("config");
    Err(RepositoryError::Damaged { key: layout::config(), source: error }.into())
}

/// Fails when the place holds anything but keys, and perhaps a torn `config`, that an interrupted attempt left.
async fn refuse_foreign_objects(backend: &dyn StorageBackend, is_torn: bool) -> Result<(), InitError> {
    use futures::TryStreamExt;
    if let Some(key) = trace_of_repository(backend).await? {
        return Err(InitError::DamagedRepository(key.to_string()));
    }
    let all = backup_core::KeyPrefix::all();
    let mut objects = backend.list(&all);
    while let Some(object) = objects.try_next().await? {
        let is_left = layout::keys().contains(&object.key) || (is_torn && object.key == layout::config());
        if !is_left {
            let key = object.key.to_string();
            return Err(if is_torn { InitError::DamagedRepository(key) } else { InitError::NotEmpty(key) });
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
