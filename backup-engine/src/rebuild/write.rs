//! New index objects, one after the other.

use super::blob_count;
use crate::error::RepositoryError;
use crate::format::ObjectKind;
use crate::format::index::{IndexSegment, IndexedPack};
use crate::id::ObjectId;
use crate::repository::Repository;

/// Blobs named by one new index object; it takes about 20 bytes for each and is read whole.
const SEGMENT_BLOBS: usize = 200_000;

/// Stores packs' tables in index objects of bounded size.
pub(super) struct SegmentWriter<'a> {
    repository: &'a Repository,
    is_dry: bool,
    segment: IndexSegment,
    blobs: usize,
    /// How many objects were stored.
    pub(super) written: u64,
}

impl<'a> SegmentWriter<'a> {
    /// A writer that, when it is dry, stores nothing.
    pub(super) fn new(repository: &'a Repository, is_dry: bool) -> Self {
        Self { repository, is_dry, segment: IndexSegment::default(), blobs: 0, written: 0 }
    }

    /// Adds a pack; packs of one object come in order of their ids.
    pub(super) async fn push(&mut self, pack: IndexedPack) -> Result<(), RepositoryError> {
        if self.blobs >= SEGMENT_BLOBS {
            self.put().await?;
        }
        self.blobs += blob_count(&pack);
        self.segment.packs.push(pack);
        Ok(())
    }

    /// Stores what is left. What replaces comes last: until it is stored, the old objects hold.
    pub(super) async fn finish(&mut self, mut supersedes: Vec<ObjectId>) -> Result<(), RepositoryError> {
        supersedes.sort();
        self.segment.supersedes = supersedes;
        if self.segment == IndexSegment::default() { Ok(()) } else { self.put().await }
    }

    async fn put(&mut self) -> Result<(), RepositoryError> {
        let segment = std::mem::take(&mut self.segment);
        self.blobs = 0;
        if !self.is_dry {
            self.repository.store().put_record(ObjectKind::Index, &segment.encode()).await?;
            self.written += 1;
        }
        Ok(())
    }
}
