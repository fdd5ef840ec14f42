//! Sealed records over a storage backend.

use std::sync::Arc;

use backup_core::storage::Grade;
use backup_core::{ByteRange, KeyPrefix, ObjectKey, ObjectMeta, PutBody, PutOptions, StorageBackend, StorageErrorKind};
use bytes::Bytes;
use futures::TryStreamExt;

use crate::compress::{Compressor, DEFAULT_LEVEL};
use crate::crypto::{Keyring, sha256};
use crate::error::RepositoryError;
use crate::format::envelope::{open_record, seal_record};
use crate::format::{FormatError, ObjectKind};
use crate::id::ObjectId;
use crate::layout;

/// Reads and writes objects, sealed under the keys of one repository.
#[derive(Debug, Clone)]
pub struct ObjectStore {
    backend: Arc<dyn StorageBackend>,
    keyring: Arc<Keyring>,
}

/// How an object is put that should not be there yet: create-only where the store knows that.
pub(crate) fn creating(backend: &dyn StorageBackend) -> PutOptions {
    match backend.info().capabilities.put_if_absent {
        Grade::None => PutOptions::overwrite(),
        Grade::BestEffort | Grade::Atomic => PutOptions::if_absent(),
    }
}

/// Stores an object under a name that nothing else can have; finding the same object there is success.
///
/// # Errors
/// Storage errors; `Integrity` when something of another size stands there.
pub async fn put_immutable(
    backend: &dyn StorageBackend,
    key: &ObjectKey,
    body: PutBody,
    sha256: Option<[u8; 32]>,
) -> Result<(), RepositoryError> {
    let len_bytes = body.len_bytes();
    let mut options = creating(backend);
    options.sha256 = sha256;
    match backend.put(key, body.clone(), &options).await {
        Err(error) if error.kind() == StorageErrorKind::AlreadyExists => {
            // Names are hashes of content: the same name means that an earlier attempt of ours took effect after all,
            // unless the store broke its promise and kept a part of it.
            if backend.stat(key).await?.size_bytes == len_bytes {
                Ok(())
            } else {
                options.mode = backup_core::PutMode::Overwrite;
                Ok(backend.put(key, body, &options).await?)
            }
        }
        other => Ok(other?),
    }
}

impl ObjectStore {
    /// A store over a backend with a repository's keys.
    pub fn new(backend: Arc<dyn StorageBackend>, keyring: Arc<Keyring>) -> Self {
        Self { backend, keyring }
    }

    /// The backend.
    pub fn backend(&self) -> &Arc<dyn StorageBackend> {
        &self.backend
    }

    /// The keys.
    pub fn keyring(&self) -> &Arc<Keyring> {
        &self.keyring
    }

    /// Seals and stores a record under the hash of its stored bytes.
    pub async fn put_record(&self, kind: ObjectKind, payload: &[u8]) -> Result<(ObjectId, u64), RepositoryError> {
        let object = seal_record(&self.keyring, kind, &mut Compressor::new(DEFAULT_LEVEL), payload);
        let digest = sha256(&object);
        let id = ObjectId::from_bytes(digest);
        let len_bytes = object.len() as u64;
        put_immutable(&*self.backend, &layout::record(kind, &id), object.into(), Some(digest)).await?;
        Ok((id, len_bytes))
    }

    /// Seals and stores a record under a given key.
    pub async fn put_record_as(
        &self,
        key: &ObjectKey,
        kind: ObjectKind,
        payload: &[u8],
    ) -> Result<(), RepositoryError> {
        let object = seal_record(&self.keyring, kind, &mut Compressor::new(DEFAULT_LEVEL), payload);
        put_immutable(&*self.backend, key, object.into(), None).await
    }

    /// Reads, verifies and opens a record that is named by its hash.
    pub async fn get_record(&self, kind: ObjectKind, id: &ObjectId) -> Result<Vec<u8>, RepositoryError> {
        let key = layout::record(kind, id);
        let object = self.backend.get(&key, ByteRange::Full).await?;
        if sha256(&object) != *id.as_bytes() {
            return Err(RepositoryError::format(&key, FormatError::Authentication("object")));
        }
        self.open_record(&key, kind, &object)
    }

    /// Reads and opens a record with a given key.
    pub async fn get_record_as(&self, key: &ObjectKey, kind: ObjectKind) -> Result<Vec<u8>, RepositoryError> {
        let object = self.backend.get(key, ByteRange::Full).await?;
        self.open_record(key, kind, &object)
    }

    fn open_record(&self, key: &ObjectKey, kind: ObjectKind, object: &Bytes) -> Result<Vec<u8>, RepositoryError> {
        open_record(&self.keyring, kind, object).map_err(|error| RepositoryError::format(key, error))
    }

    /// Everything under a prefix, in key order.
    pub async fn list(&self, prefix: &KeyPrefix) -> Result<Vec<ObjectMeta>, RepositoryError> {
        let mut objects: Vec<_> = self.backend.list(prefix).try_collect().await?;
        objects.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(objects)
    }

    /// The ids of all records of a kind that is named by hash, in order; other names are ignored.
    pub async fn list_records(&self, kind: ObjectKind) -> Result<Vec<(ObjectId, ObjectMeta)>, RepositoryError> {
        let Some(prefix) = layout::records(kind) else { return Ok(Vec::new()) };
        let objects = self.list(&prefix).await?;
        Ok(objects.into_iter().filter_map(|meta| Some((meta.key.name().parse().ok()?, meta))).collect())
    }
}
