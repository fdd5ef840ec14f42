//! Encoding and decoding of everything stored, without any I/O.
//!
//! `docs/format.md` is the specification; section numbers in this module are its. Decoders take bytes that an attacker
//! may have written: they return an error, never panic, and allocate no more than a small multiple of their input or a
//! named limit.

pub mod config;
pub mod envelope;
pub mod index;
pub mod pack;
pub mod record;
pub mod slot;
pub mod tree;
pub mod wire;

#[cfg(test)]
mod vectors;

/// The version that this code reads and writes.
pub const FORMAT_VERSION: u8 = 1;

/// The first bytes of every binary object.
pub const MAGIC: [u8; 4] = *b"BKUP";

/// What kind of object bytes are (§2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// A pack of file content.
    DataPack,
    /// A pack of tree nodes and chunk lists.
    TreePack,
    /// A part of the index.
    Index,
    /// A snapshot.
    Snapshot,
    /// A writer's session.
    Session,
    /// Annotations of a snapshot.
    Mark,
    /// A record of a verification.
    Verify,
}

impl ObjectKind {
    /// The kind's number in headers.
    pub const fn number(self) -> u8 {
        match self {
            Self::DataPack => 1,
            Self::TreePack => 2,
            Self::Index => 3,
            Self::Snapshot => 4,
            Self::Session => 5,
            Self::Mark => 6,
            Self::Verify => 7,
        }
    }

    /// The kind with a number.
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::DataPack,
            2 => Self::TreePack,
            3 => Self::Index,
            4 => Self::Snapshot,
            5 => Self::Session,
            6 => Self::Mark,
            7 => Self::Verify,
            _ => return None,
        })
    }
}

/// What a blob holds (§6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlobType {
    /// File content.
    Data,
    /// A tree node.
    Tree,
    /// A list of the chunks of a large file.
    List,
}

impl BlobType {
    /// The type's number inside the keyed hash.
    pub const fn number(self) -> u8 {
        match self {
            Self::Data => 1,
            Self::Tree => 2,
            Self::List => 3,
        }
    }
}

/// Why bytes can't be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The bytes end too early.
    #[error("truncated {0}")]
    Truncated(&'static str),
    /// The bytes say something that can't be.
    #[error("malformed {what}: {why}")]
    Malformed {
        /// What was decoded.
        what: &'static str,
        /// What is wrong.
        why: &'static str,
    },
    /// The object is of a version this program doesn't know.
    #[error("format version {found} is newer than this program knows ({FORMAT_VERSION})")]
    NewerVersion {
        /// The version found.
        found: u64,
    },
    /// The object was sealed under an epoch that is not known.
    #[error("key epoch {0} is not known")]
    UnknownEpoch(u32),
    /// The bytes were changed or belong elsewhere.
    #[error("{0} fails authentication: it was damaged, changed or moved")]
    Authentication(&'static str),
    /// The bytes don't decompress to what they should.
    #[error("{0} can't be decompressed")]
    Compression(&'static str),
    /// A blob's content is not what its id says.
    #[error("content does not match its id")]
    WrongContent,
}

pub(crate) fn malformed(what: &'static str, why: &'static str) -> FormatError {
    FormatError::Malformed { what, why }
}
