//! The storage contract on top of blocking calls.

use std::ops::ControlFlow;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backup_core::storage::{ColdStorage, ObjectLock, UploadMaintenance};
use backup_core::{
    BackendInfo, ByteRange, CancelToken, KeyPrefix, ObjectKey, ObjectMeta, PutBody, PutOptions, Quota, StorageBackend,
    StorageError, StorageErrorKind, StorageOperation, StorageResult,
};
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::mpsc;
use tokio::task::{JoinError, spawn_blocking};

use crate::error::{from_io, is_absent};
use crate::platform::{self, FileKind};
use crate::put::{put, split};
use crate::store::Store;
use crate::walk;

/// Objects that a listing hands over at once: few enough to begin soon, many enough to switch threads seldom.
const LIST_BATCH: usize = 256;

/// Batches that a listing runs ahead of its reader.
const LIST_BATCHES_AHEAD: usize = 4;

/// Objects as files in a directory; clones share it.
///
/// Every call runs on Tokio's blocking threads. A put of any size costs two flushes (file and directory) and about eight
/// more system calls; its bytes go to the system without being copied together. What is created gets the permissions of
/// the directory itself, less the process's umask. A delete is not flushed: after a power loss the object may be back.
///
/// Where a file system can't flush a directory (some network and FUSE ones), a new object's name is as durable as that
/// file system makes it.
///
/// ```
/// use backup_backend_local::LocalBackend;
/// use backup_core::{ByteRange, ObjectKey, PutOptions, StorageBackend};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("repository");
/// let store = LocalBackend::create(&path)?;
/// let key = ObjectKey::new("packs/ab/0123")?;
/// store.put(&key, "hello".into(), &PutOptions::if_absent()).await?;
/// let part = ByteRange::Span { offset_bytes: 1, len_bytes: 3 };
/// assert_eq!(store.get(&key, part).await?, "ell");
/// assert_eq!(std::fs::read(path.join("packs/ab/0123"))?, b"hello");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct LocalBackend {
    store: Arc<Store>,
}

impl LocalBackend {
    /// Opens a directory that is there; blocks for a few system calls.
    ///
    /// # Errors
    /// `NotFound` when there is nothing, `Config` when it is no directory, `PermissionDenied`.
    pub fn open(path: impl AsRef<Path>) -> StorageResult<Self> {
        Ok(Self { store: Arc::new(Store::open(path.as_ref())?) })
    }

    /// Opens a directory, making it and the ones above it where they are missing; blocks for a few system calls.
    ///
    /// What it makes is durable when it returns and readable by its owner alone.
    ///
    /// # Errors
    /// `Config` when a file is in the way, `PermissionDenied`, `QuotaExceeded`.
    pub fn create(path: impl AsRef<Path>) -> StorageResult<Self> {
        Ok(Self { store: Arc::new(Store::create(path.as_ref())?) })
    }

    /// Opens a directory, which the first put makes where there is nothing yet; blocks for a few system calls.
    ///
    /// As long as there is nothing, reads say `NotFound` and listings are empty.
    ///
    /// # Errors
    /// `Config` when a file is in the way, `PermissionDenied`.
    pub fn at(path: impl AsRef<Path>) -> StorageResult<Self> {
        Ok(Self { store: Arc::new(Store::at(path.as_ref())?) })
    }

    async fn blocking<T: Send + 'static>(
        &self,
        operation: StorageOperation,
        work: impl FnOnce(&Store) -> StorageResult<T> + Send + 'static,
    ) -> StorageResult<T> {
        let store = Arc::clone(&self.store);
        joined(spawn_blocking(move || work(&store)).await, operation)?
    }
}

/// The result of a blocking thread; a panic there goes on here.
fn joined<T>(result: Result<T, JoinError>, operation: StorageOperation) -> StorageResult<T> {
    result.map_err(|error| match error.try_into_panic() {
        Ok(panic) => resume_unwind(panic),
        Err(error) => {
            let detail = "the runtime is shutting down";
            StorageError::new(StorageErrorKind::Cancelled, operation).with_detail(detail).with_source(error)
        }
    })
}

/// Cancels when it is dropped: tells the blocking thread of a put that nobody waits for it any more.
struct CancelOnDrop(CancelToken);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl StorageBackend for LocalBackend {
    fn info(&self) -> &BackendInfo {
        &self.store.info
    }

    async fn put(&self, key: &ObjectKey, body: PutBody, options: &PutOptions) -> StorageResult<()> {
        let (key, mode) = (key.clone(), options.mode);
        let guard = CancelOnDrop(CancelToken::new());
        let cancel = guard.0.clone();
        self.blocking(StorageOperation::Put, move |store| put(store, &key, &body, mode, &cancel)).await
    }

    async fn get(&self, key: &ObjectKey, range: ByteRange) -> StorageResult<Bytes> {
        let key = key.clone();
        self.blocking(StorageOperation::Get, move |store| get(store, &key, range)).await
    }

    async fn stat(&self, key: &ObjectKey) -> StorageResult<ObjectMeta> {
        let key = key.clone();
        self.blocking(StorageOperation::Stat, move |store| stat(store, key)).await
    }

    fn list<'a>(&'a self, prefix: &'a KeyPrefix) -> BoxStream<'a, StorageResult<ObjectMeta>> {
        let batches = async move {
            let (sender, receiver) = mpsc::channel(LIST_BATCHES_AHEAD);
            let (store, prefix) = (Arc::clone(&self.store), prefix.clone());
            let walk = spawn_blocking(move || list(&store, &prefix, &sender));
            stream::unfold(Some((receiver, walk)), async |state| {
                let (mut receiver, walk) = state?;
                match receiver.recv().await {
                    Some(batch) => Some((batch, Some((receiver, walk)))),
                    // A walk that ended otherwise than by returning must not look like the end of the listing.
                    None => match joined(walk.await, StorageOperation::List) {
                        Ok(()) => None,
                        Err(error) => Some((vec![Err(error)], None)),
                    },
                }
            })
        };
        stream::once(batches).flatten().flat_map(stream::iter).boxed()
    }

    async fn delete(&self, key: &ObjectKey) -> StorageResult<()> {
        let key = key.clone();
        self.blocking(StorageOperation::Delete, move |store| delete(store, &key)).await
    }

    async fn quota(&self) -> StorageResult<Quota> {
        let space = self
            .blocking(StorageOperation::Quota, |store| {
                store.space().map_err(|error| from_io(error, StorageOperation::Quota, None))
            })
            .await?;
        let space = space.ok_or_else(|| self.unsupported(StorageOperation::Quota))?;
        Ok(Quota {
            used_bytes: Some(space.used_bytes),
            free_bytes: Some(space.free_bytes),
            total_bytes: Some(space.total_bytes),
        })
    }

    fn object_lock(&self) -> Option<&dyn ObjectLock> {
        None
    }

    fn uploads(&self) -> Option<&dyn UploadMaintenance> {
        Some(self)
    }

    fn cold(&self) -> Option<&dyn ColdStorage> {
        None
    }

    fn unsupported(&self, operation: StorageOperation) -> StorageError {
        StorageError::new(StorageErrorKind::Unsupported, operation)
    }
}

#[async_trait]
impl UploadMaintenance for LocalBackend {
    /// Removes the temporary files of processes that were killed, and empty directories; `age` is measured by the file
    /// system's clock. Costs a listing of each directory and nothing for each object.
    async fn abort_older_than(&self, age: Duration) -> StorageResult<u64> {
        self.blocking(StorageOperation::Extension, move |store| walk::sweep(store, age)).await
    }
}

fn get(store: &Store, key: &ObjectKey, range: ByteRange) -> StorageResult<Bytes> {
    let error = |kind| StorageError::new(kind, StorageOperation::Get).with_key(key);
    let failed = |error: std::io::Error| match is_absent(&error) {
        true => absent(key, StorageOperation::Get),
        false => from_io(error, StorageOperation::Get, Some(key)),
    };
    let file = store.file(key.as_str()).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(absent(key, StorageOperation::Get));
    }
    let (start, end) = range.resolve(metadata.len()).ok_or_else(|| error(StorageErrorKind::RangeNotSatisfiable))?;
    let len = usize::try_from(end - start)
        .map_err(|_| error(StorageErrorKind::TooLarge).with_detail("the range doesn't fit into memory"))?;
    if len == 0 {
        return Ok(Bytes::new());
    }
    match platform::read_at(&file, start, len) {
        Ok(bytes) => Ok(bytes.into()),
        Err(cause) if cause.kind() == std::io::ErrorKind::UnexpectedEof => {
            Err(error(StorageErrorKind::Integrity).with_detail("the file shrank while it was read"))
        }
        Err(cause) => Err(failed(cause)),
    }
}

fn stat(store: &Store, key: ObjectKey) -> StorageResult<ObjectMeta> {
    let (parent, name) = split(&key);
    match store.dir(parent).and_then(|dir| dir.facts(name)) {
        Ok(facts) => match facts.kind {
            FileKind::File => Ok(ObjectMeta { size_bytes: facts.size_bytes, stored_at: Some(facts.modified), key }),
            FileKind::Symlink => Err(StorageError::new(StorageErrorKind::Config, StorageOperation::Stat)
                .with_key(&key)
                .with_detail("a symbolic link in the store; the store follows none")),
            FileKind::Directory | FileKind::Special | FileKind::Unknown => Err(absent(&key, StorageOperation::Stat)),
        },
        Err(error) if is_absent(&error) => Err(absent(&key, StorageOperation::Stat)),
        Err(error) => Err(from_io(error, StorageOperation::Stat, Some(&key))),
    }
}

fn delete(store: &Store, key: &ObjectKey) -> StorageResult<()> {
    let (parent, name) = split(key);
    match store.dir(parent).and_then(|dir| remove_file(&dir, name)) {
        Ok(()) => Ok(()),
        Err(error) if is_absent(&error) => Ok(()),
        Err(error) => Err(from_io(error, StorageOperation::Delete, Some(key))),
    }
}

/// Removes a file; a directory of that name is no object and stays.
fn remove_file(dir: &platform::Dir, name: &str) -> std::io::Result<()> {
    match dir.remove(name) {
        Err(_) if dir.facts(name).is_ok_and(|facts| facts.kind == FileKind::Directory) => Ok(()),
        removed => removed,
    }
}

/// Sends all objects in batches; a receiver that is gone ends it.
fn list(store: &Store, prefix: &KeyPrefix, sender: &mpsc::Sender<Vec<StorageResult<ObjectMeta>>>) {
    let mut batch = Vec::with_capacity(LIST_BATCH);
    let end = walk::objects(store, prefix, |meta| {
        batch.push(Ok(meta));
        if batch.len() < LIST_BATCH {
            return ControlFlow::Continue(());
        }
        let full = std::mem::replace(&mut batch, Vec::with_capacity(LIST_BATCH));
        match sender.blocking_send(full) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    });
    if let Err(error) = end {
        batch.push(Err(error));
    }
    // Nobody listens any more if this fails, and then nobody misses it.
    let _ = sender.blocking_send(batch);
}

fn absent(key: &ObjectKey, operation: StorageOperation) -> StorageError {
    StorageError::new(StorageErrorKind::NotFound, operation).with_key(key)
}
