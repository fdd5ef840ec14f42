//! The small interface behind which the systems differ.
//!
//! `unix.rs` works relative to open directories and never follows a symbolic link below the root. `windows.rs` uses the
//! standard library alone; the feature `portable` builds it on other systems too, so that its tests run there. Both
//! give `Root`, `Dir`, `write_pieces`, `read_at` and the predicates on errors; everything else in this crate is the same
//! everywhere.

#[cfg(all(unix, not(feature = "portable")))]
#[path = "platform/unix.rs"]
mod system;
#[cfg(any(windows, feature = "portable"))]
#[path = "platform/windows.rs"]
mod system;

use backup_core::Timestamp;

pub(crate) use system::{
    DURABILITY, Dir, Root, TELLS_SPACE, cannot_link, is_exhausted, is_linked_twice, is_symlink, make_root, read_at,
    write_pieces,
};

/// What lies under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    File,
    Directory,
    Symlink,
    /// A device, pipe or socket.
    Special,
    /// The directory doesn't tell; ask for the file itself.
    Unknown,
}

/// What is needed to know about a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FileFacts {
    pub(crate) kind: FileKind,
    pub(crate) size_bytes: u64,
    pub(crate) modified: Timestamp,
}

/// Room on the file system.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Space {
    pub(crate) used_bytes: u64,
    pub(crate) free_bytes: u64,
    pub(crate) total_bytes: u64,
}
