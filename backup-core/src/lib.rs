//! The contracts of the backup framework.
//!
//! Four families of plug-ins meet here: a [`StorageBackend`] stores objects, a [`Snapshotter`] captures and restores a
//! source, a [`RetentionPolicy`] decides which snapshots stay and a [`ConflictResolver`] decides what happens where a
//! restore meets something else. This crate knows nothing of the repository's format, of HTTP or of a terminal; it reads
//! neither environment nor clock, and never prints.

pub mod cancel;
pub mod clock;
pub mod config;
pub mod conflict;
pub mod entry;
pub mod key;
pub mod monitor;
pub mod registry;
pub mod retention;
pub mod secret;
pub mod snapshotter;
pub mod storage;

pub use cancel::CancelToken;
pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use conflict::{ConflictResolver, Resolution, RestoreConflict, Suffix};
pub use entry::{Coverage, Entry, EntryKind, EntryPath, Extent, InvalidPath, Xattr};
pub use key::{InvalidKey, KeyPrefix, ObjectKey};
pub use monitor::{Event, Monitor, Phase, Silent, Work};
pub use registry::{BackendConfig, ConnectContext, Descriptor, OpenContext, Registry, SourceConfig};
pub use retention::{RetentionDecision, RetentionPolicy, SnapshotFacts};
pub use secret::{InvalidSecretRef, MapResolver, Secret, SecretError, SecretErrorKind, SecretRef, SecretResolver};
pub use snapshotter::{
    EntryError, EntryReader, EntryWriter, OwnerPolicy, ReadAt, RestoreTarget, Snapshotter, SourceContext,
    SourceDescription, SourceError, SourceView, Stability, TargetOptions,
};
pub use storage::error::{RetryAdvice, StorageError, StorageErrorKind, StorageOperation, StorageResult};
pub use storage::memory::{MemoryBackend, MemoryContents};
pub use storage::{
    BackendInfo, ByteRange, Capabilities, Consistency, Durability, Grade, ObjectMeta, PutBody, PutMode, PutOptions,
    Quota, StorageBackend,
};
