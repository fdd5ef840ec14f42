//! The optional extensions, failing like everything else.

use std::time::Duration;

use async_trait::async_trait;

use super::FaultBackend;
use crate::clock::Timestamp;
use crate::key::ObjectKey;
use crate::storage::error::{StorageOperation, StorageResult};
use crate::storage::{ColdStorage, ObjectLock, StorageBackend, UploadMaintenance};

const OPERATION: StorageOperation = StorageOperation::Extension;

#[async_trait]
impl ObjectLock for FaultBackend {
    async fn retain_until(&self, key: &ObjectKey, until: Timestamp) -> StorageResult<()> {
        let lock = self.inner.object_lock().ok_or_else(|| self.unsupported(OPERATION))?;
        self.pass(OPERATION, Some(key), lock.retain_until(key, until)).await
    }

    async fn retained_until(&self, key: &ObjectKey) -> StorageResult<Option<Timestamp>> {
        let lock = self.inner.object_lock().ok_or_else(|| self.unsupported(OPERATION))?;
        self.pass(OPERATION, Some(key), lock.retained_until(key)).await
    }
}

#[async_trait]
impl UploadMaintenance for FaultBackend {
    async fn abort_older_than(&self, age: Duration) -> StorageResult<u64> {
        let uploads = self.inner.uploads().ok_or_else(|| self.unsupported(OPERATION))?;
        self.pass(OPERATION, None, uploads.abort_older_than(age)).await
    }
}

#[async_trait]
impl ColdStorage for FaultBackend {
    async fn warm_up(&self, key: &ObjectKey) -> StorageResult<()> {
        let cold = self.inner.cold().ok_or_else(|| self.unsupported(OPERATION))?;
        self.pass(OPERATION, Some(key), cold.warm_up(key)).await
    }

    async fn is_warm(&self, key: &ObjectKey) -> StorageResult<bool> {
        let cold = self.inner.cold().ok_or_else(|| self.unsupported(OPERATION))?;
        self.pass(OPERATION, Some(key), cold.is_warm(key)).await
    }
}
