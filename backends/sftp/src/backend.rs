//! The storage contract on top of SFTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use backup_core::registry::{BackendConfig, ConnectContext};
use backup_core::storage::{ColdStorage, Consistency, Durability, Grade, ObjectLock, UploadMaintenance};
use backup_core::{
    BackendInfo, ByteRange, Capabilities, KeyPrefix, ObjectKey, ObjectMeta, PutBody, PutMode, PutOptions, Quota,
    StorageBackend, StorageError, StorageErrorKind, StorageOperation, StorageResult, Timestamp,
};
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};

use crate::SftpConfig;
use crate::connection::{Abilities, Connection};
use crate::failure::Failed;
use crate::file::{look, order};
use crate::pool::{Pool, misconfigured};
use crate::wire::{FileKind, Request};
use crate::{put, read, room, walk};

/// Requests at once that keep a line to a distant server busy.
const SUGGESTED_CONCURRENCY: usize = 4;

/// A directory on an SSH server.
///
/// Connections are made when they are needed, up to as many as configured, and made again when they end: the call that meets the
/// end fails with `Unavailable`, the next one gets a new connection.
///
/// A put takes four journeys to the server and back, a get two, a listing three for each directory, of which eight are read
/// at once.
#[derive(Debug)]
pub struct SftpBackend {
    info: BackendInfo,
    pool: Arc<Pool>,
    abilities: Abilities,
    names: Names,
}

/// Names that no other process and no other call of this one uses.
#[derive(Debug)]
struct Names {
    random: u64,
    next: AtomicU64,
}

impl SftpBackend {
    /// Connects, logs in and finds out what the server can do; changes nothing on it.
    ///
    /// # Errors
    /// `Config`, `HostKeyMismatch` when the server's key is unknown or another one, `Unauthenticated`, `Unavailable`,
    /// `Timeout`.
    pub async fn connect(config: &SftpConfig, context: &ConnectContext) -> StorageResult<Self> {
        config.validate().map_err(|error| misconfigured(error.to_string()))?;
        let random = getrandom::u64().map_err(|error| {
            StorageError::new(StorageErrorKind::Other, StorageOperation::Connect).with_source(error)
        })?;
        let pool = Pool::open(config, context).await?;
        let lease = pool.lease(StorageOperation::Connect).await?;
        let mut abilities = lease.abilities;
        abilities.hardlink &= config.hard_links;
        lease.done();
        let info = BackendInfo { kind: "sftp", location: config.location(), capabilities: capabilities(abilities) };
        Ok(Self { info, pool, abilities, names: Names { random, next: AtomicU64::new(0) } })
    }

    fn temporary_name(&self) -> String {
        let number = self.names.next.fetch_add(1, Ordering::Relaxed);
        format!("{}{:016x}-{number}", walk::TEMPORARY_PREFIX, self.names.random)
    }
}

fn capabilities(abilities: Abilities) -> Capabilities {
    let mut capabilities = Capabilities::strict();
    capabilities.put_if_absent = if abilities.hardlink { Grade::Atomic } else { Grade::None };
    // Without it an object that is replaced is gone for a moment.
    capabilities.publish = if abilities.posix_rename { Grade::Atomic } else { Grade::BestEffort };
    capabilities.read_after_write = Consistency::Strong;
    capabilities.list_after_write = Consistency::Strong;
    capabilities.durability = if abilities.fsync { Durability::FileOnly } else { Durability::ServerAck };
    capabilities.quota = abilities.statvfs;
    capabilities.suggested_concurrency = SUGGESTED_CONCURRENCY;
    capabilities.wakes_on_progress = true;
    capabilities
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl StorageBackend for SftpBackend {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    async fn put(&self, key: &ObjectKey, body: PutBody, options: &PutOptions) -> StorageResult<()> {
        if options.mode == PutMode::IfAbsent && !self.abilities.hardlink {
            return Err(self.unsupported(StorageOperation::Put).with_key(key));
        }
        let lease = self.pool.lease(StorageOperation::Put).await?;
        let stored = put::put(&lease, key, &body, options.mode, || self.temporary_name()).await;
        lease.done();
        stored
    }

    async fn get(&self, key: &ObjectKey, range: ByteRange) -> StorageResult<Bytes> {
        let lease = self.pool.lease(StorageOperation::Get).await?;
        let read = read::get(&lease, key, range).await;
        lease.done();
        read
    }

    async fn stat(&self, key: &ObjectKey) -> StorageResult<ObjectMeta> {
        let lease = self.pool.lease(StorageOperation::Stat).await?;
        let found = look(&lease.client, &format!("{}/{key}", lease.root)).await;
        lease.done();
        let error = |kind| StorageError::new(kind, StorageOperation::Stat).with_key(key);
        let found = match found {
            Ok(found) => found,
            Err(failed) if failed.is_no_such_file() => return Err(error(StorageErrorKind::NotFound)),
            Err(failed) => return Err(failed.into_error(StorageOperation::Stat, Some(key))),
        };
        match (found.kind(), found.size_bytes) {
            (FileKind::File | FileKind::Unknown, Some(size_bytes)) => {
                let stored_at = found.modified_secs.map(|secs| Timestamp::from_secs(i64::from(secs)));
                Ok(ObjectMeta { key: key.clone(), size_bytes, stored_at })
            }
            (FileKind::File | FileKind::Unknown, None) => {
                Err(error(StorageErrorKind::Other).with_detail("the server does not tell how long files are"))
            }
            (FileKind::Symlink, _) => {
                Err(error(StorageErrorKind::Config).with_detail("a symbolic link in the store; the store follows none"))
            }
            (FileKind::Directory | FileKind::Special, _) => Err(error(StorageErrorKind::NotFound)),
        }
    }

    fn list<'a>(&'a self, prefix: &'a KeyPrefix) -> BoxStream<'a, StorageResult<ObjectMeta>> {
        let listing = async move {
            match self.pool.lease(StorageOperation::List).await {
                Ok(lease) => walk::objects(lease, prefix),
                Err(error) => stream::once(async move { Err(error) }).boxed(),
            }
        };
        stream::once(listing).flatten().boxed()
    }

    async fn delete(&self, key: &ObjectKey) -> StorageResult<()> {
        let lease = self.pool.lease(StorageOperation::Delete).await?;
        let deleted = delete(&lease, key).await;
        lease.done();
        deleted.map_err(|failed| failed.into_error(StorageOperation::Delete, Some(key)))
    }

    async fn quota(&self) -> StorageResult<Quota> {
        if !self.abilities.statvfs {
            return Err(self.unsupported(StorageOperation::Quota));
        }
        let lease = self.pool.lease(StorageOperation::Quota).await?;
        let room = room::room(&lease).await;
        lease.done();
        room.map(Quota::from).map_err(|failed| failed.into_error(StorageOperation::Quota, None))
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

/// Removes an object; what is no object counts as not there.
async fn delete(connection: &Connection, key: &ObjectKey) -> Result<(), Failed> {
    let path = format!("{}/{key}", connection.root);
    let refused = match order(&connection.client, Request::remove(&path)).await {
        Ok(()) => return Ok(()),
        Err(failed) if failed.is_no_such_file() => return Ok(()),
        Err(failed) => failed,
    };
    match look(&connection.client, &path).await {
        Ok(found) if found.kind() == FileKind::Directory => Ok(()),
        Err(gone) if gone.is_no_such_file() => Ok(()),
        _ => Err(refused),
    }
}

#[async_trait]
impl UploadMaintenance for SftpBackend {
    async fn abort_older_than(&self, age: Duration) -> StorageResult<u64> {
        let lease = self.pool.lease(StorageOperation::Extension).await?;
        walk::sweep(lease, age, self.temporary_name()).await
    }
}
