//! A store in memory, stricter than any real one.
//!
//! It is the reference for the storage contract and the ground that tests stand on, so it grants nothing the contract
//! doesn't promise: listings come in a scrambled order, every operation yields at least once before and once after it
//! takes effect, a given SHA-256 is checked, times are told only when a clock was handed in, and an object cannot lie
//! below another one.

mod objects;

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use sha2::{Digest, Sha256};
use tokio::task::yield_now;

use self::objects::{Objects, Stored};
use super::error::{StorageError, StorageErrorKind, StorageOperation, StorageResult};
use super::{BackendInfo, ByteRange, Capabilities, Durability, ObjectMeta, PutBody, PutMode, PutOptions, Quota};
use super::{ObjectLock, StorageBackend, UploadMaintenance};
use crate::clock::{Clock, Timestamp};
use crate::key::{KeyPrefix, ObjectKey};

/// A store that lives in memory; clones share it.
///
/// Nothing survives the last clone. Reads cost no copy. Besides the trait there is a small interface for tests, which
/// acts behind the trait's back: [`contents`](Self::contents), [`restore`](Self::restore), [`fork`](Self::fork),
/// [`plant`](Self::plant) and [`pluck`](Self::pluck).
///
/// ```
/// use backup_core::{ByteRange, MemoryBackend, ObjectKey, PutOptions, StorageBackend};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryBackend::new();
/// let key = ObjectKey::new("config")?;
/// store.put(&key, "hello".into(), &PutOptions::if_absent()).await?;
/// assert_eq!(store.get(&key, ByteRange::Full).await?, "hello");
///
/// let before = store.contents();
/// store.delete(&key).await?;
/// assert_eq!(store.object_count(), 0);
/// store.restore(&before);
/// assert_eq!(store.object_count(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MemoryBackend {
    shared: Arc<Shared>,
}

struct Shared {
    info: BackendInfo,
    settings: Settings,
    objects: Mutex<Objects>,
}

#[derive(Clone, Default)]
struct Settings {
    clock: Option<Arc<dyn Clock>>,
    total_bytes: Option<u64>,
    max_object_bytes: Option<u64>,
}

/// Everything a [`MemoryBackend`] held at one time; cheap to take and to keep, for the bytes are shared.
#[derive(Clone)]
pub struct MemoryContents(Objects);

impl MemoryBackend {
    /// An empty store without limits, which tells no times.
    pub fn new() -> Self {
        Self::build(Settings::default(), Objects::default())
    }

    /// The same store with objects stamped by `clock`; shares nothing with other clones.
    #[must_use]
    pub fn with_clock(&self, clock: Arc<dyn Clock>) -> Self {
        let settings = Settings { clock: Some(clock), ..self.shared.settings.clone() };
        Self::build(settings, self.lock().clone())
    }

    /// The same store with room for `total_bytes` of objects; shares nothing with other clones.
    ///
    /// A put that doesn't fit fails with `QuotaExceeded` and changes nothing.
    #[must_use]
    pub fn with_quota(&self, total_bytes: u64) -> Self {
        let settings = Settings { total_bytes: Some(total_bytes), ..self.shared.settings.clone() };
        Self::build(settings, self.lock().clone())
    }

    /// The same store refusing larger objects with `TooLarge`; shares nothing with other clones.
    #[must_use]
    pub fn with_max_object(&self, max_object_bytes: u64) -> Self {
        let settings = Settings { max_object_bytes: Some(max_object_bytes), ..self.shared.settings.clone() };
        Self::build(settings, self.lock().clone())
    }

    fn build(settings: Settings, objects: Objects) -> Self {
        let capabilities = Capabilities {
            durability: Durability::None,
            verifies_sha256: true,
            quota: settings.total_bytes.is_some(),
            max_object_bytes: settings.max_object_bytes,
            // Its calls never wait at all.
            wakes_on_progress: true,
            ..Capabilities::strict()
        };
        let info = BackendInfo { kind: "memory", location: "memory:".to_owned(), capabilities };
        Self { shared: Arc::new(Shared { info, settings, objects: Mutex::new(objects) }) }
    }

    fn lock(&self) -> MutexGuard<'_, Objects> {
        // Every change under the lock is complete before it can panic, so a poisoned store is still a whole one.
        self.shared.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A store with the same settings and contents that goes its own way from here.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self::build(self.shared.settings.clone(), self.lock().clone())
    }

    /// What the store holds now.
    pub fn contents(&self) -> MemoryContents {
        MemoryContents(self.lock().clone())
    }

    /// Makes the store hold exactly what it held when `contents` were taken.
    pub fn restore(&self, contents: &MemoryContents) {
        *self.lock() = contents.0.clone();
    }

    /// How many objects there are.
    pub fn object_count(&self) -> usize {
        self.lock().by_key.len()
    }

    /// How many bytes all objects have together.
    pub fn stored_bytes(&self) -> u64 {
        self.lock().used_bytes
    }

    /// The keys of all objects in order.
    pub fn keys(&self) -> Vec<ObjectKey> {
        self.lock().by_key.keys().cloned().collect()
    }

    /// The bytes of an object.
    pub fn peek(&self, key: &ObjectKey) -> Option<Bytes> {
        self.lock().by_key.get(key).map(|stored| stored.bytes.clone())
    }

    /// Puts bytes under a key without any check, as damage or an attacker would; keeps the time of an object there.
    pub fn plant(&self, key: &ObjectKey, bytes: impl Into<Bytes>) {
        let mut objects = self.lock();
        let stored_at = match objects.by_key.get(key) {
            Some(old) => old.stored_at,
            None => self.now(),
        };
        objects.insert(key, Stored { bytes: bytes.into(), stored_at });
    }

    /// Takes an object away, as damage or an attacker would.
    pub fn pluck(&self, key: &ObjectKey) -> Option<Bytes> {
        self.lock().remove(key)
    }

    fn now(&self) -> Option<Timestamp> {
        self.shared.settings.clock.as_ref().map(|clock| clock.now())
    }

    fn store(&self, key: &ObjectKey, bytes: Bytes, options: &PutOptions) -> Result<(), StorageErrorKind> {
        let stored_at = self.now();
        let mut objects = self.lock();
        let old_bytes = match objects.by_key.get(key) {
            Some(_) if options.mode == PutMode::IfAbsent => return Err(StorageErrorKind::AlreadyExists),
            Some(old) => old.len_bytes(),
            None => 0,
        };
        if objects.lies_above_or_below_another(key) {
            return Err(StorageErrorKind::Other);
        }
        let stored = Stored { bytes, stored_at };
        let used_bytes = objects.used_bytes - old_bytes + stored.len_bytes();
        if self.shared.settings.total_bytes.is_some_and(|total_bytes| used_bytes > total_bytes) {
            return Err(StorageErrorKind::QuotaExceeded);
        }
        objects.insert(key, stored);
        Ok(())
    }

    fn meta(&self, key: &ObjectKey) -> Option<ObjectMeta> {
        let objects = self.lock();
        let stored = objects.by_key.get(key)?;
        Some(ObjectMeta { key: key.clone(), size_bytes: stored.len_bytes(), stored_at: stored.stored_at })
    }

    /// The keys under a prefix in an order that is the same in every run and useful to nobody.
    fn scrambled_keys(&self, prefix: &KeyPrefix) -> Vec<ObjectKey> {
        let mut keys: Vec<_> = self.lock().by_key.keys().filter(|key| prefix.contains(key)).cloned().collect();
        keys.sort_by_cached_key(|key| {
            let mut hasher = DefaultHasher::new();
            key.hash(&mut hasher);
            hasher.finish()
        });
        keys
    }
}

impl Default for MemoryBackend {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl StorageBackend for MemoryBackend {
    fn info(&self) -> &BackendInfo {
        &self.shared.info
    }

    async fn put(&self, key: &ObjectKey, body: PutBody, options: &PutOptions) -> StorageResult<()> {
        let error = |kind| StorageError::new(kind, StorageOperation::Put).with_key(key);
        yield_now().await;
        if self.shared.settings.max_object_bytes.is_some_and(|max_bytes| body.len_bytes() > max_bytes) {
            return Err(error(StorageErrorKind::TooLarge));
        }
        let bytes = body.to_bytes();
        if options.sha256.is_some_and(|expected| Sha256::digest(&bytes)[..] != expected) {
            return Err(error(StorageErrorKind::Integrity));
        }
        self.store(key, bytes, options).map_err(|kind| match kind {
            StorageErrorKind::Other => error(kind).with_detail("an object can't lie below another object"),
            _ => error(kind),
        })?;
        yield_now().await;
        Ok(())
    }

    async fn get(&self, key: &ObjectKey, range: ByteRange) -> StorageResult<Bytes> {
        let error = |kind| StorageError::new(kind, StorageOperation::Get).with_key(key);
        yield_now().await;
        let bytes = self.peek(key).ok_or_else(|| error(StorageErrorKind::NotFound))?;
        let (start, end) =
            range.resolve(bytes.len() as u64).ok_or_else(|| error(StorageErrorKind::RangeNotSatisfiable))?;
        let index = |at| usize::try_from(at).map_err(|_| error(StorageErrorKind::RangeNotSatisfiable));
        let part = bytes.slice(index(start)?..index(end)?);
        yield_now().await;
        Ok(part)
    }

    async fn stat(&self, key: &ObjectKey) -> StorageResult<ObjectMeta> {
        yield_now().await;
        let meta = self.meta(key);
        yield_now().await;
        meta.ok_or_else(|| StorageError::new(StorageErrorKind::NotFound, StorageOperation::Stat).with_key(key))
    }

    fn list<'a>(&'a self, prefix: &'a KeyPrefix) -> BoxStream<'a, StorageResult<ObjectMeta>> {
        let keys = async move {
            yield_now().await;
            stream::iter(self.scrambled_keys(prefix))
        };
        // An object deleted since the listing began is left out; one stored since is not there yet.
        stream::once(keys).flatten().filter_map(async |key| self.meta(&key).map(Ok)).boxed()
    }

    async fn delete(&self, key: &ObjectKey) -> StorageResult<()> {
        yield_now().await;
        self.pluck(key);
        yield_now().await;
        Ok(())
    }

    async fn quota(&self) -> StorageResult<Quota> {
        let Some(total_bytes) = self.shared.settings.total_bytes else {
            return Err(self.unsupported(StorageOperation::Quota));
        };
        let used_bytes = self.stored_bytes();
        Ok(Quota {
            used_bytes: Some(used_bytes),
            free_bytes: Some(total_bytes.saturating_sub(used_bytes)),
            total_bytes: Some(total_bytes),
        })
    }

    fn object_lock(&self) -> Option<&dyn ObjectLock> {
        None
    }

    fn uploads(&self) -> Option<&dyn UploadMaintenance> {
        None
    }

    fn cold(&self) -> Option<&dyn super::ColdStorage> {
        None
    }

    fn unsupported(&self, operation: StorageOperation) -> StorageError {
        StorageError::new(StorageErrorKind::Unsupported, operation)
    }
}

impl fmt::Debug for MemoryBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let objects = self.lock();
        write!(f, "MemoryBackend({} objects, {} bytes)", objects.by_key.len(), objects.used_bytes)
    }
}

impl fmt::Debug for MemoryContents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryContents({} objects, {} bytes)", self.0.by_key.len(), self.0.used_bytes)
    }
}

#[cfg(test)]
mod tests;
