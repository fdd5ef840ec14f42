//! What can go wrong with a repository, whatever is done with it.

use backup_core::{InvalidKey, ObjectKey, StorageError};

use crate::format::FormatError;

/// A failed access to a repository.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepositoryError {
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// An object is not what it should be.
    #[error("`{key}` is damaged")]
    Damaged {
        /// The object.
        key: ObjectKey,
        /// What is wrong with it.
        source: FormatError,
    },
    /// An object was written by a newer program.
    #[error("`{key}` has format version {found}, which is newer than this program knows")]
    NewerVersion {
        /// The object.
        key: ObjectKey,
        /// Its version.
        found: u64,
    },
    /// A blob that something refers to is in no pack.
    #[error("blob {0} is not in the repository")]
    MissingBlob(crate::id::BlobId),
    /// A blob that something refers to can't be read from any pack that holds it.
    #[error("blob {blob} can't be read from `{key}`")]
    UnreadableBlob {
        /// The blob.
        blob: crate::id::BlobId,
        /// The pack that should hold it.
        key: ObjectKey,
        /// What is wrong there.
        source: Box<RepositoryError>,
    },
    /// Files would have to be cut by an algorithm, or to sizes, that this program doesn't know.
    #[error(
        "this program can read the repository but not add to it: it does not know the chunker `{0}` with these sizes"
    )]
    UnknownChunker(String),
    /// A block was not the same after it was sealed, opened and decompressed: memory or a processor is failing.
    #[error("a block did not survive its own verification: this machine's memory or processor is failing")]
    FailedVerification,
    /// The file in which the index is kept on this machine failed; nothing stored is affected.
    #[error("the local index file `{path}` can't be used: {what}", path = path.display())]
    LocalIndex {
        /// The file. It is removed, if it could be; the next run makes it again.
        path: std::path::PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The caller stopped it.
    #[error("cancelled")]
    Cancelled,
    /// A thread of the operation died.
    #[error("a worker died")]
    WorkerDied,
}

impl RepositoryError {
    /// The error for an object that does not decode.
    pub fn format(key: &ObjectKey, source: FormatError) -> Self {
        match source {
            FormatError::NewerVersion { found } => Self::NewerVersion { key: key.clone(), found },
            source => Self::Damaged { key: key.clone(), source },
        }
    }

    /// Whether an object or blob is damaged, missing or unreadable, as opposed to storage that can't be reached.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Damaged { .. } | Self::MissingBlob(_) | Self::UnreadableBlob { .. } => true,
            Self::Storage(error) => matches!(
                error.kind(),
                backup_core::StorageErrorKind::NotFound
                    | backup_core::StorageErrorKind::RangeNotSatisfiable
                    | backup_core::StorageErrorKind::Integrity
                    // What a disk says about a sector that it can't read any more.
                    | backup_core::StorageErrorKind::Other
            ),
            Self::NewerVersion { .. }
            | Self::LocalIndex { .. }
            | Self::UnknownChunker(_)
            | Self::FailedVerification
            | Self::Cancelled
            | Self::WorkerDied => false,
        }
    }
}

impl From<InvalidKey> for RepositoryError {
    fn from(error: InvalidKey) -> Self {
        use backup_core::{StorageErrorKind, StorageOperation};
        Self::Storage(StorageError::new(StorageErrorKind::Other, StorageOperation::Get).with_source(error))
    }
}
