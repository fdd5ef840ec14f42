//! Questions to a repository that change nothing.
//!
//! Each reads the index and then only those nodes of trees that its answer needs. They run beside writers; what a writer adds
//! after the index was read is not seen. A part of a tree that can't be read is in the answer and doesn't end the question.
//!
//! ```
//! # use std::sync::Arc;
//! # use backup_core::{MemoryBackend, SystemClock};
//! # use backup_engine::repository::{InitOptions, NewKey, Repository};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let key = NewKey::KeyFile(vec![7; 32].into());
//! # let store = Arc::new(MemoryBackend::new());
//! # let repository = Repository::init(store, &key, &InitOptions::default(), Arc::new(SystemClock::new())).await?;
//! let snapshots = repository.list_snapshots().await?.snapshots;
//! let stats = repository.stats(snapshots, true).await?;
//! println!("{} bytes stored for {} bytes of files", stats.stored_bytes, stats.logical_bytes);
//! let index = serde_json::to_string_pretty(&repository.catalog().await?)?;
//! assert!(index.contains("\"version\": 1"));
//! # Ok(())
//! # }
//! ```

pub mod catalog;
pub mod diff;
pub mod dump;
pub mod find;
pub mod list;
mod nodes;
pub mod stats;
mod usage;

use std::io;
use std::sync::Arc;

use backup_core::{CancelToken, EntryKind, EntryPath};
use tokio::runtime::Handle;

use crate::error::RepositoryError;
use crate::pack::reader::BlobReader;
use crate::repository::Repository;
use crate::tree::walk::TreeDamage;

/// How many unreadable parts of trees an answer lists; the count goes on.
pub const MAX_LISTED_DAMAGE: usize = 1000;

/// Why a question was not answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The repository could not be read.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// What was asked about is not in the snapshot.
    #[error("`{0}` is not in the snapshot")]
    NotInSnapshot(EntryPath),
    /// Only regular files have content.
    #[error("`{path}` is no regular file but a {}", kind_name(*kind))]
    NotAFile {
        /// What was asked about.
        path: EntryPath,
        /// What it is.
        kind: EntryKind,
    },
    /// A file's parts are sound but don't make the content that was captured; whoever wrote the snapshot was in error.
    #[error("the content of `{0}` does not give the SHA-256 that the snapshot holds")]
    WrongContent(EntryPath),
    /// The answer could not be written.
    #[error("cannot write the content")]
    Output(#[source] io::Error),
}

fn kind_name(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::File => "regular file",
        EntryKind::Directory => "directory",
        EntryKind::Symlink => "symbolic link",
        EntryKind::Fifo => "named pipe",
        EntryKind::Socket => "socket",
        EntryKind::CharDevice => "character device",
        EntryKind::BlockDevice => "block device",
    }
}

/// Parts of trees that could not be read.
#[derive(Debug, Default)]
pub struct UnreadParts {
    /// The first of them, at most [`MAX_LISTED_DAMAGE`].
    pub parts: Vec<TreeDamage>,
    /// How many there are.
    pub count: u64,
}

impl UnreadParts {
    /// Whether everything could be read.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Notes a part; anything but damage ends the question.
    fn add(&mut self, damage: TreeDamage) -> Result<(), QueryError> {
        if !damage.source.is_damage() {
            return Err(damage.source.into());
        }
        self.count += 1;
        if self.parts.len() < MAX_LISTED_DAMAGE {
            self.parts.push(damage);
        }
        Ok(())
    }
}

/// What every question works with.
struct Asked {
    reader: Arc<BlobReader>,
    cancel: CancelToken,
    /// Whether index objects are damaged, so that blobs may be missing that are there.
    index_is_damaged: bool,
}

impl Asked {
    /// Fails once nobody waits for the answer any more.
    fn check_cancelled(&self) -> Result<(), QueryError> {
        if self.cancel.is_cancelled() { Err(RepositoryError::Cancelled.into()) } else { Ok(()) }
    }
}

impl Repository {
    /// Runs a question on a thread that may block; dropping the future cancels it.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Asked) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, QueryError> {
        let loaded = self.load_index().await?;
        let index_is_damaged = !loaded.damaged.is_empty();
        let reader = Arc::new(BlobReader::new(Handle::current(), self.store().clone(), Arc::new(loaded.index)));
        let cancel = CancelToken::new();
        let on_drop = crate::background::CancelOnDrop::new(&cancel);
        let asked = Asked { reader, cancel, index_is_damaged };
        let answer = tokio::task::spawn_blocking(move || {
            let answer = question(&asked);
            asked.reader.index().failure()?;
            answer
        })
        .await;
        on_drop.disarm();
        answer.map_err(|_| RepositoryError::WorkerDied)?
    }
}

/// The first path after everything below `path`.
fn after_subtree(path: &EntryPath) -> EntryPath {
    // The lowest byte that a name can have besides the separator, which is lower still.
    EntryPath::new([path.as_bytes(), b"\x01"].concat()).expect("a valid path goes on being valid with a character more")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_a_subtree_is_after_all_of_it_and_before_all_else() {
        let path = |text: &[u8]| EntryPath::new(text).unwrap();
        let after = after_subtree(&path(b"a/b"));
        for within in [&b"a/b"[..], b"a/b/\x01", b"a/b/\xff/\xff", b"a/b/z"] {
            assert!(path(within) < after, "{within:?}");
        }
        for beyond in [&b"a/b\x01"[..], b"a/b\x01/x", b"a/b-", b"a/c", b"a-"] {
            assert!(path(beyond) >= after, "{beyond:?}");
        }
    }
}
