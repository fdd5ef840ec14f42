//! The content of one file.

use std::io::Write;
use std::sync::Arc;

use backup_core::{EntryKind, EntryPath, Extent};
use sha2::{Digest, Sha256};

use super::{Asked, QueryError};
use crate::error::RepositoryError;
use crate::format::record::TreeRoot;
use crate::format::tree::TreeEntry;
use crate::format::{BlobType, malformed};
use crate::layout;
use crate::repository::Repository;
use crate::snapshots::Snapshot;
use crate::tree::TreeWalk;
use crate::tree::walk::chunks_of;

/// Zeros are written in pieces of this size.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// A file whose content was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dumped {
    /// The file as the snapshot has it.
    pub item: TreeEntry,
    /// Bytes written: the file's size, holes among them as zeros.
    pub bytes: u64,
}

impl Repository {
    /// Writes the content of a regular file, and gives the writer back, flushed.
    ///
    /// Every blob is verified against its id before it is written, and the whole against the file's SHA-256 at the end. Memory is that
    /// of a few blobs. The writer is used on a thread that may block. Dropping the future ends it after the blob at hand.
    ///
    /// # Errors
    /// [`QueryError::NotInSnapshot`], [`QueryError::NotAFile`], [`QueryError::Output`], [`QueryError::WrongContent`], or
    /// [`QueryError::Repository`] where a blob can't be read; what was written before is a correct beginning.
    pub async fn dump<W: Write + Send + 'static>(
        &self,
        snapshot: &Snapshot,
        path: &EntryPath,
        mut out: W,
    ) -> Result<(W, Dumped), QueryError> {
        let (root, path) = (snapshot.record.tree, path.clone());
        self.ask(move |asked| {
            let item = entry_at(asked, &root, &path)?;
            let bytes = write_content(asked, &item, &mut out)?;
            out.flush().map_err(QueryError::Output)?;
            Ok((out, Dumped { item, bytes }))
        })
        .await
    }

    /// The entry at a path of a snapshot; reads one node of each level of the tree.
    ///
    /// # Errors
    /// [`QueryError::NotInSnapshot`], or [`QueryError::Repository`] when that part of the tree can't be read.
    pub async fn entry(&self, snapshot: &Snapshot, path: &EntryPath) -> Result<TreeEntry, QueryError> {
        let (root, path) = (snapshot.record.tree, path.clone());
        self.ask(move |asked| entry_at(asked, &root, &path)).await
    }
}

fn entry_at(asked: &Asked, root: &TreeRoot, path: &EntryPath) -> Result<TreeEntry, QueryError> {
    match TreeWalk::from_path(Arc::clone(&asked.reader), root, path).next() {
        Some(Ok(item)) if item.entry.path == *path => Ok(item),
        Some(Err(damage)) => Err(damage.source.into()),
        Some(Ok(_)) | None => Err(QueryError::NotInSnapshot(path.clone())),
    }
}

fn write_content(asked: &Asked, item: &TreeEntry, out: &mut impl Write) -> Result<u64, QueryError> {
    let entry = &item.entry;
    if entry.kind != EntryKind::File {
        return Err(QueryError::NotAFile { path: entry.path.clone(), kind: entry.kind });
    }
    let whole = [Extent { offset_bytes: 0, len_bytes: entry.size_bytes }];
    let extents = entry.extents.as_deref().unwrap_or(&whole);
    let stored_bytes = extents.iter().map(|extent| extent.len_bytes).sum();
    let mut holes = Holes { extents: extents.iter(), left: 0, at: 0 };
    let mut hasher = Sha256::new();
    for chunk in chunks_of(&asked.reader, stored_bytes, &item.content)? {
        asked.check_cancelled()?;
        let blob = asked.reader.read(BlobType::Data, &chunk.id)?;
        if blob.len() as u64 != chunk.len_bytes {
            return Err(wrong_length(asked, &chunk.id).into());
        }
        hasher.update(&blob);
        holes.write(&blob, out).map_err(QueryError::Output)?;
    }
    if item.content.digest().is_some_and(|digest| hasher.finalize()[..] != digest[..]) {
        return Err(QueryError::WrongContent(entry.path.clone()));
    }
    holes.zeros_to(entry.size_bytes, out).map_err(QueryError::Output)?;
    Ok(entry.size_bytes)
}

/// A tree says of a blob that it has another length than it has.
fn wrong_length(asked: &Asked, id: &crate::id::BlobId) -> RepositoryError {
    let index = asked.reader.index();
    match index.find(id) {
        Some(location) => RepositoryError::format(
            &layout::pack(&index.pack(location.pack).id),
            malformed("blob", "not of the length that the tree says"),
        ),
        None => RepositoryError::MissingBlob(*id),
    }
}

/// Puts zeros between the extents of a sparse file.
struct Holes<'a> {
    extents: std::slice::Iter<'a, Extent>,
    /// Bytes still missing in the extent at hand.
    left: u64,
    at: u64,
}

impl Holes<'_> {
    fn write(&mut self, mut bytes: &[u8], out: &mut impl Write) -> std::io::Result<()> {
        while !bytes.is_empty() {
            while self.left == 0 {
                // Decoding checked that chunks and extents have the same sum.
                let Some(extent) = self.extents.next() else { return Err(std::io::ErrorKind::InvalidData.into()) };
                self.zeros_to(extent.offset_bytes, out)?;
                self.left = extent.len_bytes;
            }
            let len = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
            let (now, later) = bytes.split_at(len);
            out.write_all(now)?;
            bytes = later;
            self.left -= len as u64;
            self.at += len as u64;
        }
        Ok(())
    }

    fn zeros_to(&mut self, end: u64, out: &mut impl Write) -> std::io::Result<()> {
        while self.at < end {
            let len = usize::try_from(end - self.at).map_or(ZEROS.len(), |missing| missing.min(ZEROS.len()));
            out.write_all(&ZEROS[..len])?;
            self.at += len as u64;
        }
        Ok(())
    }
}
