//! Reading the index: index objects, and the file that this machine keeps of them.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use backup_core::ObjectMeta;
use futures::StreamExt;

use super::Repository;
use crate::error::RepositoryError;
use crate::format::ObjectKind;
use crate::format::index::IndexSegment;
use crate::id::ObjectId;
use crate::index::{BlobIndex, BlobIndexBuilder, IndexPlace, place_in};
use crate::layout;

/// Index objects fetched at once: enough to hide latency, few enough to hold in memory.
const FETCHES: usize = 8;

/// What an index object spends on a blob at least: half an id and a length. For a guess at how many blobs there are.
const BLOB_BYTES: u64 = 17;

/// The index as it could be read.
#[derive(Debug)]
pub struct LoadedIndex {
    /// All blobs of all index objects that could be read.
    pub index: BlobIndex,
    /// How many index objects that were.
    pub objects: usize,
    /// Index objects that are damaged; `repair` rebuilds the index from the packs.
    pub damaged: Vec<(ObjectId, RepositoryError)>,
}

/// Which index objects count.
#[derive(Debug, Default)]
pub(crate) struct ObjectsInForce {
    /// Those that are readable and that no other replaces, in id order: the index is their union.
    pub(crate) sound: Vec<ObjectId>,
    /// Those that are damaged and not replaced.
    pub(crate) damaged: Vec<ObjectId>,
}

/// Which index objects were read and what they say about each other.
#[derive(Debug, Default)]
pub(crate) struct ReadObjects {
    /// Those that are readable, with the number under which the builder knows them.
    numbers: HashMap<ObjectId, u32>,
    /// Those that are damaged.
    pub(crate) damaged: Vec<(ObjectId, RepositoryError)>,
    replaced: HashSet<ObjectId>,
}

impl ReadObjects {
    /// Takes an object over into a builder; damage is remembered, any other error given back.
    pub(crate) fn take(
        &mut self,
        builder: &mut BlobIndexBuilder,
        id: ObjectId,
        read: Result<IndexSegment, RepositoryError>,
    ) -> Result<Option<(u32, IndexSegment)>, RepositoryError> {
        match read {
            Ok(segment) => {
                let number = builder.begin(id);
                self.numbers.insert(id, number);
                self.replaced.extend(&segment.supersedes);
                segment.packs.iter().for_each(|pack| builder.add(pack));
                Ok(Some((number, segment)))
            }
            Err(error) if error.is_damage() => {
                self.damaged.push((id, error));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// How many are readable.
    pub(crate) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// The numbers of those that others replace. Damaged ones that are replaced are no longer damaged: nobody misses them.
    pub(crate) fn settle(&mut self) -> HashSet<u32> {
        self.damaged.retain(|(id, _)| !self.replaced.contains(id));
        self.replaced.iter().filter_map(|id| self.numbers.get(id).copied()).collect()
    }
}

impl Repository {
    /// Reads the index.
    ///
    /// Costs a listing and one request for each index object, several at a time; with a
    /// [folder for what can be fetched again](Self::with_cache), only for those that are new since the file there was written. Memory:
    /// 32 bytes for each blob, or, with that folder, less than 64 MiB however many there are.
    ///
    /// # Errors
    /// What the storage says, and [`RepositoryError::LocalIndex`]. Damaged index objects don't fail: they are in the result.
    pub async fn load_index(&self) -> Result<LoadedIndex, RepositoryError> {
        let listed = self.store().list_records(ObjectKind::Index).await?;
        let ids: Vec<ObjectId> = listed.iter().map(|(id, _)| *id).collect();
        let mut builder = self.index_builder(&listed);
        let mut missing: Vec<ObjectId> = ids.iter().filter(|id| !builder.covers(id)).copied().collect();
        let mut covered = ids.len() - missing.len();
        loop {
            let mut objects = ReadObjects::default();
            let (taking, adding) = (&mut objects, &mut builder);
            self.each_segment(&missing, |id, read| taking.take(adding, id, read).map(|_| ())).await?;
            if objects.replaced.iter().any(|id| builder.covers(id)) {
                // What the file has of those objects counts no longer. That is rare, and then everything is read again.
                builder = builder.without_file();
                missing.clone_from(&ids);
                covered = 0;
                continue;
            }
            let replaced = objects.settle();
            let index = self.finish_index(move || builder.finish_without(&replaced)).await?;
            return Ok(LoadedIndex { index, objects: covered + objects.len(), damaged: objects.damaged });
        }
    }

    /// A builder that goes on from what this machine has of these index objects.
    fn index_builder(&self, listed: &[(ObjectId, ObjectMeta)]) -> BlobIndexBuilder {
        let mut ids: Vec<ObjectId> = listed.iter().map(|(id, _)| *id).collect();
        ids.sort_unstable();
        match self.index_place() {
            Some(place) => BlobIndexBuilder::at(place, &ids, expected_blobs(listed)),
            None => BlobIndexBuilder::default(),
        }
    }

    /// A builder that reads no file and puts nothing into one that is left, but puts aside what doesn't fit into memory.
    pub(crate) fn fresh_index_builder(&self, listed: &[(ObjectId, ObjectMeta)]) -> BlobIndexBuilder {
        match self.index_place() {
            Some(place) => BlobIndexBuilder::at(place, &[], expected_blobs(listed)).without_file(),
            None => BlobIndexBuilder::default(),
        }
    }

    /// Sorting and writing, away from the threads that serve requests.
    pub(crate) async fn finish_index(
        &self,
        finish: impl FnOnce() -> std::io::Result<BlobIndex> + Send + 'static,
    ) -> Result<BlobIndex, RepositoryError> {
        let finished = tokio::task::spawn_blocking(finish).await.map_err(|_| RepositoryError::WorkerDied)?;
        finished.map_err(|error| RepositoryError::LocalIndex {
            path: self.index_place().map(|place| place.path).unwrap_or_default(),
            what: error.to_string(),
        })
    }

    /// This repository's part of the folder for what can be fetched again.
    pub(crate) fn cache_folder(&self) -> Option<PathBuf> {
        self.index_place()?.path.parent().map(Path::to_owned)
    }

    fn index_place(&self) -> Option<IndexPlace> {
        self.cache.as_ref().map(|folder| place_in(folder, self.config.id))
    }

    /// Reads all index objects to find out which of them count; holds none.
    pub(crate) async fn objects_in_force(&self) -> Result<ObjectsInForce, RepositoryError> {
        let listed = self.store().list_records(ObjectKind::Index).await?;
        let ids: Vec<ObjectId> = listed.into_iter().map(|(id, _)| id).collect();
        let mut objects = ObjectsInForce::default();
        let mut superseded: HashSet<ObjectId> = HashSet::new();
        self.each_segment(&ids, |id, segment| {
            match segment {
                Ok(segment) => {
                    superseded.extend(&segment.supersedes);
                    objects.sound.push(id);
                }
                Err(error) if error.is_damage() => objects.damaged.push(id),
                Err(error) => return Err(error),
            }
            Ok(())
        })
        .await?;
        // What was replaced is not missed.
        objects.sound.retain(|id| !superseded.contains(id));
        objects.damaged.retain(|id| !superseded.contains(id));
        Ok(objects)
    }

    /// Reads index objects one after the other, in the order given, with some being fetched, opened and decoded by other threads.
    pub(crate) async fn each_segment(
        &self,
        ids: &[ObjectId],
        mut visit: impl FnMut(ObjectId, Result<IndexSegment, RepositoryError>) -> Result<(), RepositoryError>,
    ) -> Result<(), RepositoryError> {
        let reads = ids.iter().map(|&id| {
            let repository = self.clone();
            // Whoever stops early leaves those under way to end by themselves: they only read.
            let read = tokio::spawn(async move { repository.get_segment(&id).await });
            async move { (id, read.await.unwrap_or(Err(RepositoryError::WorkerDied))) }
        });
        let mut reads = std::pin::pin!(futures::stream::iter(reads).buffered(FETCHES));
        while let Some((id, read)) = reads.next().await {
            visit(id, read)?;
        }
        Ok(())
    }

    /// Reads one index object.
    pub(crate) async fn get_segment(&self, id: &ObjectId) -> Result<IndexSegment, RepositoryError> {
        let payload = self.store().get_record(ObjectKind::Index, id).await?;
        IndexSegment::decode(&payload)
            .map_err(|error| RepositoryError::format(&layout::record(ObjectKind::Index, id), error))
    }
}

/// About how many blobs index objects of these sizes name; rather more than less.
fn expected_blobs(listed: &[(ObjectId, ObjectMeta)]) -> u64 {
    listed.iter().map(|(_, meta)| meta.size_bytes / BLOB_BYTES).sum()
}
