//! The contract between the framework and a place that stores objects.
//!
//! The obligations are numbered in `docs/storage-contract.md`; the conformance suite checks them by number. An object is
//! written whole, never changed in part, never renamed and never copied: every store can do that much, and the
//! repository format needs no more.

pub mod error;
pub mod layer;
pub mod memory;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::key::{KeyPrefix, ObjectKey};
use error::{StorageError, StorageErrorKind, StorageOperation, StorageResult};

/// A place that stores objects under keys.
///
/// Implementations never retry (a decorator does), never print and never read the environment. Every future may be
/// dropped at any await point: the object is then wholly there or not there at all. All methods may be called
/// concurrently from many tasks.
#[async_trait]
pub trait StorageBackend: fmt::Debug + Send + Sync + 'static {
    /// What kind of store this is, where it is (without secrets) and what it declares to be able to do.
    fn info(&self) -> &BackendInfo;

    /// Stores a whole object.
    ///
    /// When this returns `Ok`, the object is durable and visible under its key, whole. When it returns an error or is
    /// dropped, the key holds what it held before, or the whole new object; nothing else ever becomes visible.
    /// [`PutMode::IfAbsent`] must not change an existing object.
    ///
    /// # Errors
    /// `AlreadyExists` (only with `IfAbsent`), `QuotaExceeded`, `TooLarge`, `PermissionDenied`, `Unauthenticated`,
    /// `RateLimited`, `Unavailable`, `Timeout`, `Integrity` when what arrived is not what was sent.
    async fn put(&self, key: &ObjectKey, body: PutBody, options: &PutOptions) -> StorageResult<()>;

    /// Reads an object or a part of it; returns exactly the bytes asked for.
    ///
    /// # Errors
    /// `NotFound`; `RangeNotSatisfiable` when the range does not lie within the object; `Integrity` when the store sent
    /// fewer or more bytes than it should.
    async fn get(&self, key: &ObjectKey, range: ByteRange) -> StorageResult<Bytes>;

    /// Size and time of an object.
    ///
    /// # Errors
    /// `NotFound` when there is no such object.
    async fn stat(&self, key: &ObjectKey) -> StorageResult<ObjectMeta>;

    /// Every object under a prefix, each exactly once, in no particular order.
    ///
    /// Objects that exist for the whole time of the listing are in it. A prefix under which nothing lies gives an empty
    /// stream. A failure is an `Err` item, after which the stream ends; it is never a short listing.
    fn list<'a>(&'a self, prefix: &'a KeyPrefix) -> BoxStream<'a, StorageResult<ObjectMeta>>;

    /// Removes an object; removing what is not there is success.
    ///
    /// # Errors
    /// `PermissionDenied`; `Locked` when retention forbids it.
    async fn delete(&self, key: &ObjectKey) -> StorageResult<()>;

    /// How much room the store has.
    ///
    /// # Errors
    /// `Unsupported` when the store can't tell.
    async fn quota(&self) -> StorageResult<Quota> {
        Err(self.unsupported(StorageOperation::Quota))
    }

    /// Objects that the store protects from deletion, if it can.
    fn object_lock(&self) -> Option<&dyn ObjectLock> {
        None
    }

    /// Uploads that were begun and never finished, if the store keeps such.
    fn uploads(&self) -> Option<&dyn UploadMaintenance> {
        None
    }

    /// Objects that must be fetched from cold storage before they can be read, if the store has such.
    fn cold(&self) -> Option<&dyn ColdStorage> {
        None
    }

    /// The error for an operation this store doesn't have.
    #[doc(hidden)]
    fn unsupported(&self, operation: StorageOperation) -> StorageError {
        StorageError::new(StorageErrorKind::Unsupported, operation)
    }
}

/// Retention that the store itself enforces.
#[async_trait]
pub trait ObjectLock: Send + Sync {
    /// Forbids deletion and overwriting of an object until a time; an earlier time than the present one is refused.
    async fn retain_until(&self, key: &ObjectKey, until: Timestamp) -> StorageResult<()>;

    /// Until when an object is protected, `None` when it isn't.
    async fn retained_until(&self, key: &ObjectKey) -> StorageResult<Option<Timestamp>>;
}

/// Finding and removing the remains of uploads that never finished.
#[async_trait]
pub trait UploadMaintenance: Send + Sync {
    /// Removes unfinished uploads older than `age` and returns how many there were.
    async fn abort_older_than(&self, age: Duration) -> StorageResult<u64>;
}

/// Bringing objects from cold storage to where they can be read.
#[async_trait]
pub trait ColdStorage: Send + Sync {
    /// Asks for an object to be made readable; returns at once.
    async fn warm_up(&self, key: &ObjectKey) -> StorageResult<()>;

    /// Whether an object can be read now.
    async fn is_warm(&self, key: &ObjectKey) -> StorageResult<bool>;
}

/// The bytes of an object to be stored, held as shared pieces so that a retry can send them again without a copy.
#[derive(Clone, Default)]
pub struct PutBody {
    pieces: Vec<Bytes>,
    len_bytes: u64,
}

impl PutBody {
    /// A body made of pieces in order.
    pub fn from_pieces(pieces: Vec<Bytes>) -> Self {
        let len_bytes = pieces.iter().map(|piece| piece.len() as u64).sum();
        Self { pieces, len_bytes }
    }

    /// The pieces in order; some may be empty.
    pub fn pieces(&self) -> &[Bytes] {
        &self.pieces
    }

    /// The length of all pieces together.
    pub fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// All bytes in one buffer; copies unless there is one piece.
    pub fn to_bytes(&self) -> Bytes {
        match self.pieces.as_slice() {
            [] => Bytes::new(),
            [one] => one.clone(),
            many => many.concat().into(),
        }
    }
}

impl fmt::Debug for PutBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PutBody({} bytes in {} pieces)", self.len_bytes, self.pieces.len())
    }
}

impl<T: Into<Bytes>> From<T> for PutBody {
    fn from(bytes: T) -> Self {
        Self::from_pieces(vec![bytes.into()])
    }
}

/// What happens when the key is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PutMode {
    /// The new object replaces the old one.
    #[default]
    Overwrite,
    /// The put fails with `AlreadyExists` and the old object stays.
    IfAbsent,
}

/// How an object is to be stored.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct PutOptions {
    /// What happens when the key is taken.
    pub mode: PutMode,
    /// SHA-256 of the body where the caller knows it; a store that can verifies it on arrival.
    pub sha256: Option<[u8; 32]>,
}

impl PutOptions {
    /// Replace whatever is there.
    pub fn overwrite() -> Self {
        Self::default()
    }

    /// Fail with `AlreadyExists` where something is there.
    pub fn if_absent() -> Self {
        Self { mode: PutMode::IfAbsent, ..Self::default() }
    }

    /// The same with the body's SHA-256.
    pub fn with_sha256(mut self, sha256: [u8; 32]) -> Self {
        self.sha256 = Some(sha256);
        self
    }
}

/// Which part of an object to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteRange {
    /// All of it.
    Full,
    /// `len_bytes` bytes from `offset_bytes` on; all of them must exist. A length of zero gives no bytes.
    Span {
        /// Where the span begins.
        offset_bytes: u64,
        /// How long it is.
        len_bytes: u64,
    },
    /// The last bytes; the whole object when it is shorter than that.
    Suffix {
        /// How many bytes.
        len_bytes: u64,
    },
}

impl ByteRange {
    /// Start and end of the range in an object of `size_bytes`, or `None` when it does not lie within it.
    pub fn resolve(self, size_bytes: u64) -> Option<(u64, u64)> {
        match self {
            Self::Full => Some((0, size_bytes)),
            Self::Span { offset_bytes, len_bytes } => {
                let end = offset_bytes.checked_add(len_bytes)?;
                (end <= size_bytes).then_some((offset_bytes, end))
            }
            Self::Suffix { len_bytes } => Some((size_bytes.saturating_sub(len_bytes), size_bytes)),
        }
    }
}

/// What a store tells about an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectMeta {
    /// The object's key.
    pub key: ObjectKey,
    /// Its size.
    pub size_bytes: u64,
    /// When it was stored by the store's own clock, where the store tells.
    pub stored_at: Option<Timestamp>,
}

/// Room in a store; `None` where the store doesn't tell or has no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quota {
    /// Bytes stored by everybody who shares the limit.
    pub used_bytes: Option<u64>,
    /// Bytes that still fit.
    pub free_bytes: Option<u64>,
    /// The limit.
    pub total_bytes: Option<u64>,
}

/// Identity and abilities of a store.
#[derive(Debug, Clone)]
pub struct BackendInfo {
    /// The type as it stands in the configuration: `local`, `s3`, ….
    pub kind: &'static str,
    /// Where it is, for people: a URL or path without secrets.
    pub location: String,
    /// What it declares to be able to do.
    pub capabilities: Capabilities,
}

/// How well a store does something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grade {
    /// Not at all.
    None,
    /// Usually; races or crashes may break it.
    BestEffort,
    /// Always.
    Atomic,
}

/// How soon a change is seen by readers and listings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Consistency {
    /// By everybody once the operation has returned.
    Strong,
    /// By this connection at once, by others after at most so long.
    Session(Duration),
    /// By everybody after at most so long.
    Bounded(Duration),
}

/// What survives once a put has returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Durability {
    /// Nothing is promised: the store is memory.
    None,
    /// The bytes, but perhaps not the name, survive a power loss.
    FileOnly,
    /// Bytes and name survive a power loss.
    FileAndName,
    /// The server said so.
    ServerAck,
}

/// What a store declares to be able to do; `init` probes instead of believing it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Capabilities {
    /// How far [`PutMode::IfAbsent`] can be relied on.
    pub put_if_absent: Grade,
    /// Whether a half-written object can be seen.
    pub publish: Grade,
    /// When a put or delete is seen by get and stat.
    pub read_after_write: Consistency,
    /// When a put or delete is seen by a listing.
    pub list_after_write: Consistency,
    /// What survives once a put has returned.
    pub durability: Durability,
    /// Whether the store checks a given SHA-256 on arrival.
    pub verifies_sha256: bool,
    /// Whether [`StorageBackend::quota`] answers.
    pub quota: bool,
    /// The largest object, `None` without limit.
    pub max_object_bytes: Option<u64>,
    /// How many requests at once serve this store best.
    pub suggested_concurrency: usize,
    /// Whether each request is dear enough to want fewer, larger packs.
    pub requests_are_dear: bool,
    /// Whether the future of a call is woken as bytes arrive and leave, as a network's is. A call of such a store that nobody wakes for long hangs,
    /// and is given up; of a store that works on blocking threads nobody can tell.
    pub wakes_on_progress: bool,
}

impl Capabilities {
    /// What a strict local store can do; start from it and say what differs.
    pub fn strict() -> Self {
        Self {
            put_if_absent: Grade::Atomic,
            publish: Grade::Atomic,
            read_after_write: Consistency::Strong,
            list_after_write: Consistency::Strong,
            durability: Durability::FileAndName,
            verifies_sha256: false,
            quota: false,
            max_object_bytes: None,
            suggested_concurrency: 2,
            requests_are_dear: false,
            wakes_on_progress: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn range_resolves_only_within_the_object() {
        let span = |offset_bytes, len_bytes| ByteRange::Span { offset_bytes, len_bytes };
        assert_eq!(ByteRange::Full.resolve(5), Some((0, 5)));
        assert_eq!(span(1, 4).resolve(5), Some((1, 5)));
        assert_eq!(span(5, 0).resolve(5), Some((5, 5)));
        assert_eq!(span(1, 5).resolve(5), None);
        assert_eq!(span(u64::MAX, 2).resolve(5), None);
        assert_eq!(ByteRange::Suffix { len_bytes: 9 }.resolve(5), Some((0, 5)));
        assert_eq!(ByteRange::Suffix { len_bytes: 2 }.resolve(5), Some((3, 5)));
    }
}
