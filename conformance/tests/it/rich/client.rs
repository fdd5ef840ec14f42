//! One client of the rich store; where a bug can strike, it asks `bugs`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use backup_core::storage::{ColdStorage, ObjectLock, UploadMaintenance};
use backup_core::{
    BackendInfo, ByteRange, Grade, KeyPrefix, ObjectKey, ObjectMeta, PutBody, PutMode, PutOptions, Quota,
    StorageBackend, StorageError, StorageErrorKind, StorageOperation, StorageResult, Timestamp,
};
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};

use super::{CANARY, World};

pub(crate) struct Client {
    pub(super) world: Arc<World>,
    pub(super) bug: Option<&'static str>,
    info: BackendInfo,
    /// 0 for the client that came first.
    pub(super) number: usize,
    pub(super) puts: AtomicUsize,
    pub(super) last_put: Mutex<Option<ObjectKey>>,
    pub(super) cache: Mutex<BTreeMap<ObjectKey, Bytes>>,
    pub(super) first_listing: Mutex<Option<Vec<ObjectMeta>>>,
}

impl Client {
    pub(super) fn new(world: Arc<World>, bug: Option<&'static str>, weak: bool) -> Self {
        let mut info = world.memory.info().clone();
        info.kind = "rich";
        if weak {
            info.capabilities.put_if_absent = Grade::None;
            info.capabilities.verifies_sha256 = false;
        }
        let number = {
            let mut state = world.state();
            state.clients += 1;
            state.clients - 1
        };
        Self {
            world,
            bug,
            info,
            number,
            puts: AtomicUsize::new(0),
            last_put: Mutex::default(),
            cache: Mutex::default(),
            first_listing: Mutex::default(),
        }
    }

    /// Whether this is the bug that the store has.
    pub(super) fn has(&self, bug: &str) -> bool {
        self.bug == Some(bug)
    }

    pub(super) fn checks_digests(&self) -> bool {
        self.info.capabilities.verifies_sha256
    }

    pub(super) fn inner(&self) -> &dyn StorageBackend {
        &self.world.faulty
    }

    fn check_lock(&self, key: &ObjectKey, operation: StorageOperation) -> StorageResult<()> {
        match self.world.state().locks.contains_key(key) {
            true => Err(error(StorageErrorKind::Locked, operation, key)),
            false => Ok(()),
        }
    }
}

pub(super) fn error(kind: StorageErrorKind, operation: StorageOperation, key: &ObjectKey) -> StorageError {
    StorageError::new(kind, operation).with_key(key)
}

#[async_trait]
impl StorageBackend for Client {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    async fn put(&self, key: &ObjectKey, body: PutBody, options: &PutOptions) -> StorageResult<()> {
        if self.info.capabilities.put_if_absent == Grade::None && options.mode == PutMode::IfAbsent {
            if self.has("undeclared_create_has_no_effect") {
                return self.inner().put(key, body, &PutOptions::overwrite()).await;
            }
            return Err(error(StorageErrorKind::Unsupported, StorageOperation::Put, key));
        }
        self.on_the_way(StorageOperation::Put).await?;
        if !self.has("locked_object_is_not_overwritten") {
            self.check_lock(key, StorageOperation::Put)?;
        }
        self.world.state().cold.remove(key);
        match self.has("times_do_not_go_back") {
            true => self.world.clock.set(Timestamp::from_secs(1_000_000 - i64::try_from(self.puts()).unwrap_or(0))),
            false => self.world.clock.advance(Duration::from_secs(1)),
        }
        self.puts.fetch_add(1, Ordering::Relaxed);
        let result = self.put_with_bugs(key, body, options).await;
        if result.is_ok() {
            self.world.state().ever_stored.insert(key.clone());
            *self.last_put.lock().unwrap() = Some(key.clone());
            self.on_the_way_back(StorageOperation::Put, key)?;
        }
        result
    }

    async fn get(&self, key: &ObjectKey, range: ByteRange) -> StorageResult<Bytes> {
        self.on_the_way(StorageOperation::Get).await?;
        self.check_warm(key)?;
        self.get_with_bugs(key, range).await
    }

    async fn stat(&self, key: &ObjectKey) -> StorageResult<ObjectMeta> {
        self.on_the_way(StorageOperation::Stat).await?;
        self.stat_with_bugs(key).await
    }

    fn list<'a>(&'a self, prefix: &'a KeyPrefix) -> BoxStream<'a, StorageResult<ObjectMeta>> {
        let objects = async move {
            match self.on_the_way(StorageOperation::List).await {
                Ok(()) => self.list_with_bugs(prefix),
                Err(error) => stream::iter([Err(error)]).boxed(),
            }
        };
        stream::once(objects).flatten().boxed()
    }

    async fn delete(&self, key: &ObjectKey) -> StorageResult<()> {
        self.on_the_way(StorageOperation::Delete).await?;
        if !self.has("locked_object_resists") {
            self.check_lock(key, StorageOperation::Delete)?;
        }
        self.delete_with_bugs(key).await?;
        self.on_the_way_back(StorageOperation::Delete, key)
    }

    async fn quota(&self) -> StorageResult<Quota> {
        let mut quota = self.inner().quota().await?;
        if self.has("quota_answers_as_declared") {
            quota.used_bytes = quota.total_bytes.map(|total| total + 1);
        }
        if self.has("quota_moves_with_what_is_stored") {
            quota = *self.world.state().first_quota.get_or_insert(quota);
        }
        Ok(quota)
    }

    fn object_lock(&self) -> Option<&dyn ObjectLock> {
        Some(self)
    }

    fn uploads(&self) -> Option<&dyn UploadMaintenance> {
        Some(self)
    }

    fn cold(&self) -> Option<&dyn ColdStorage> {
        Some(self)
    }
}

#[async_trait]
impl ObjectLock for Client {
    async fn retain_until(&self, key: &ObjectKey, until: Timestamp) -> StorageResult<()> {
        let mut state = self.world.state();
        let shortens = state.locks.get(key).is_some_and(|present| *present > until);
        if shortens && !self.has("lock_is_extended_and_never_shortened") {
            return Err(error(StorageErrorKind::Locked, StorageOperation::Extension, key));
        }
        state.locks.insert(key.clone(), until);
        Ok(())
    }

    async fn retained_until(&self, key: &ObjectKey) -> StorageResult<Option<Timestamp>> {
        Ok(self.world.state().locks.get(key).copied())
    }
}

#[async_trait]
impl UploadMaintenance for Client {
    async fn abort_older_than(&self, age: Duration) -> StorageResult<u64> {
        let all = self.has("old_uploads_are_removed_and_nothing_else");
        let mut state = self.world.state();
        let before = state.unfinished.len();
        state.unfinished.retain(|upload| !all && *upload < age);
        Ok((before - state.unfinished.len()) as u64)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = if self.has("secrets_stay_inside") { CANARY } else { "…" };
        write!(f, "Rich {{ password: {secret} }}")
    }
}
