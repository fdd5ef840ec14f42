//! The storage contract on Dropbox's functions.

use std::sync::Arc;

use async_trait::async_trait;
use backup_core::registry::{BackendConfig, ConnectContext};
use backup_core::storage::{ColdStorage, Consistency, Durability, Grade, ObjectLock, UploadMaintenance};
use backup_core::{
    BackendInfo, ByteRange, Capabilities, KeyPrefix, ObjectKey, ObjectMeta, PutBody, PutOptions, Quota, StorageBackend,
    StorageError, StorageErrorKind, StorageOperation, StorageResult,
};
use bytes::Bytes;
use futures::stream::BoxStream;
use serde_json::json;

use crate::DropboxConfig;
use crate::api::{Api, strange};
use crate::error::DropboxFailure;
use crate::list::list;
use crate::path::Root;
use crate::put::{MAX_OBJECT_BYTES, put};
use crate::read::{get, meta, metadata, quota};
use crate::session::Unfinished;

/// Requests at once. Dropbox stores one object of an account after the other; more would only be told to wait.
const SUGGESTED_CONCURRENCY: usize = 4;

/// How often a delete begins again because the object was replaced meanwhile.
const MAX_DELETE_ATTEMPTS: u32 = 4;

/// Objects in a folder of Dropbox; clones share connections and tokens.
///
/// A get, stat and put is one request, a delete two; a put above 16 MiB is one for each 16 MiB and two more, a listing
/// one for each 2,000 objects. A new access token is one more, every four hours. Bytes are sent as they are, without
/// being copied together, and received into one buffer.
#[derive(Debug, Clone)]
pub struct DropboxBackend {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    info: BackendInfo,
    api: Api,
    root: Root,
    unfinished: Unfinished,
}

impl DropboxBackend {
    /// Opens a folder; reads the file of tokens and makes no request.
    ///
    /// # Errors
    /// `Config` when a value can't be used, a secret can't be had or others can read the file of tokens;
    /// `Unauthenticated` when nobody has logged in.
    pub async fn connect(config: &DropboxConfig, context: &ConnectContext) -> StorageResult<Self> {
        let http = config.http().await?;
        let tokens = config.token_source(http.clone(), context).await?;
        let api = Api::new(http, config.hosts(), tokens);
        let info = BackendInfo { kind: "dropbox", location: config.location(), capabilities: capabilities() };
        let (root, unfinished) = (Root::new(&config.folder), Unfinished::default());
        Ok(Self { inner: Arc::new(Inner { info, api, root, unfinished }) })
    }
}

fn capabilities() -> Capabilities {
    let mut capabilities = Capabilities::strict();
    capabilities.put_if_absent = Grade::Atomic;
    capabilities.publish = Grade::Atomic;
    capabilities.read_after_write = Consistency::Strong;
    capabilities.list_after_write = Consistency::Strong;
    capabilities.durability = Durability::ServerAck;
    // Compared before anything is sent; Dropbox compares its own checksum of the same bytes on arrival.
    capabilities.verifies_sha256 = true;
    capabilities.quota = true;
    capabilities.max_object_bytes = Some(MAX_OBJECT_BYTES);
    capabilities.suggested_concurrency = SUGGESTED_CONCURRENCY;
    capabilities.requests_are_dear = true;
    capabilities.wakes_on_progress = true;
    capabilities
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl StorageBackend for DropboxBackend {
    fn info(&self) -> &BackendInfo {
        &self.inner.info
    }

    async fn put(&self, key: &ObjectKey, body: PutBody, options: &PutOptions) -> StorageResult<()> {
        let Inner { api, root, unfinished, .. } = &*self.inner;
        put(api, root, unfinished, key, &body, options).await
    }

    async fn get(&self, key: &ObjectKey, range: ByteRange) -> StorageResult<Bytes> {
        get(&self.inner.api, &self.inner.root, key, range).await
    }

    async fn stat(&self, key: &ObjectKey) -> StorageResult<ObjectMeta> {
        let found = metadata(&self.inner.api, &self.inner.root.path(key.as_str())).await;
        let found = found.and_then(|found| meta(key.clone(), &found));
        found.map_err(|failure| failure.into_error(StorageOperation::Stat, Some(key)))
    }

    fn list<'a>(&'a self, prefix: &'a KeyPrefix) -> BoxStream<'a, StorageResult<ObjectMeta>> {
        list(&self.inner.api, &self.inner.root, prefix)
    }

    async fn delete(&self, key: &ObjectKey) -> StorageResult<()> {
        let deleted = self.inner.delete(&self.inner.root.path(key.as_str())).await;
        deleted.map_err(|failure| failure.into_error(StorageOperation::Delete, Some(key)))
    }

    async fn quota(&self) -> StorageResult<Quota> {
        quota(&self.inner.api).await.map_err(|failure| failure.into_error(StorageOperation::Quota, None))
    }

    fn object_lock(&self) -> Option<&dyn ObjectLock> {
        None
    }

    /// None: unfinished uploads can't be listed; Dropbox forgets them after a week.
    fn uploads(&self) -> Option<&dyn UploadMaintenance> {
        None
    }

    fn cold(&self) -> Option<&dyn ColdStorage> {
        None
    }

    fn unsupported(&self, operation: StorageOperation) -> StorageError {
        StorageError::new(StorageErrorKind::Unsupported, operation)
    }
}

impl Inner {
    /// Deletes a file. Of a folder Dropbox would delete everything in it: so what is deleted is a revision, which only files have.
    async fn delete(&self, path: &str) -> Result<(), DropboxFailure> {
        let mut attempts = 0;
        loop {
            let found = match metadata(&self.api, path).await {
                Err(failure) if failure.kind == StorageErrorKind::NotFound => return Ok(()),
                found => found?,
            };
            let rev = found["rev"].as_str().ok_or_else(|| strange("the answer tells no revision"))?;
            attempts += 1;
            match self.api.rpc("files/delete_v2", &json!({ "path": path, "parent_rev": rev })).await {
                Ok(_) => return Ok(()),
                Err(failure) if failure.kind == StorageErrorKind::NotFound => return Ok(()),
                Err(failure) if failure.is("conflict") && attempts < MAX_DELETE_ATTEMPTS => {}
                Err(failure) if failure.is("conflict") => return Err(strange("the object is replaced all the time")),
                Err(failure) => return Err(failure),
            }
        }
    }
}
