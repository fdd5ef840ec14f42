//! Which blobs a run has stored itself, beside those that the index had when it began.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::file::{FileRecords, FileWriter};
use super::record::Record;
use super::{BlobIndex, BlobLocation};
use crate::id::{BlobId, BlobPrefix};

/// So many blobs are remembered in memory; where there is a folder, they then go into a file.
///
/// A table of 2^20 places is full with them and takes 17 MiB, 26 while it grows to that. One blob more would double it.
const IN_MEMORY: usize = 7 << 17;

/// Blobs that are in the repository or that this run has taken upon itself to store.
///
/// The first thread to claim a blob stores it; the others rely on it, because the run fails as a whole if storing it fails.
#[derive(Debug)]
pub(crate) struct KnownBlobs<'a> {
    index: &'a BlobIndex,
    fresh: Mutex<Fresh>,
}

#[derive(Debug)]
struct Fresh {
    recent: HashSet<BlobPrefix, BuildHasherDefault<PrefixHasher>>,
    earlier: Option<FileRecords>,
    folder: Option<PathBuf>,
    in_memory: usize,
}

/// Takes eight bytes of a prefix as they are: keyed hashes need no further mixing.
#[derive(Debug, Default)]
struct PrefixHasher(u64);

impl Hasher for PrefixHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk::<8>() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    fn write_usize(&mut self, _length: usize) {}
}

impl<'a> KnownBlobs<'a> {
    /// None but those of the index. What doesn't fit into memory goes into `folder`.
    pub(crate) fn new(index: &'a BlobIndex, folder: Option<PathBuf>) -> Self {
        Self { index, fresh: Mutex::new(Fresh::new(folder, IN_MEMORY)) }
    }

    /// Whether the caller has to store the blob.
    pub(crate) fn claim(&self, id: &BlobId) -> bool {
        !self.index.contains(id) && self.fresh.lock().unwrap_or_else(PoisonError::into_inner).insert(id.prefix())
    }
}

impl Fresh {
    fn new(folder: Option<PathBuf>, in_memory: usize) -> Self {
        Self { recent: HashSet::default(), earlier: None, folder, in_memory }
    }

    /// Whether the blob was not there before. Where the file fails, a blob may be stored twice, which harms nothing.
    fn insert(&mut self, prefix: BlobPrefix) -> bool {
        let in_file = self.earlier.as_ref().map(|file| file.find(prefix, |_| Some(())));
        match in_file {
            Some(Ok(Some(()))) => return false,
            Some(Err(error)) => {
                tracing::warn!(%error, "blobs that this run stored are forgotten and may be stored again");
                self.earlier = None;
            }
            Some(Ok(None)) | None => {}
        }
        let is_new = self.recent.insert(prefix);
        if self.recent.len() >= self.in_memory
            && let Some(folder) = self.folder.take()
        {
            match self.put_aside(&folder) {
                Ok(file) => {
                    self.earlier = Some(file);
                    self.recent = HashSet::default();
                    self.folder = Some(folder);
                }
                Err(error) => tracing::warn!(%error, "new blobs stay in memory: the file for them can't be written"),
            }
        }
        is_new
    }

    /// Writes all that is known into a new file.
    fn put_aside(&self, folder: &std::path::Path) -> io::Result<FileRecords> {
        let nowhere = BlobLocation { pack: 0, offset_bytes: 0, sealed_bytes: 0, number: 0 };
        let mut recent: Vec<BlobPrefix> = self.recent.iter().copied().collect();
        recent.sort_unstable();
        let earlier = self.earlier.as_ref();
        let mut writer = FileWriter::unnamed(folder, recent.len() as u64 + earlier.map_or(0, FileRecords::len))?;
        let mut recent = recent.into_iter().map(|prefix| Record { prefix, location: nowhere }).peekable();
        for bucket in 0..earlier.map_or(0, FileRecords::buckets) {
            for record in earlier.map_or(Ok(Vec::new()), |file| file.read_buckets(bucket..bucket + 1))? {
                while let Some(before) = recent.next_if(|recent| recent.prefix < record.prefix) {
                    writer.push(&before)?;
                }
                writer.push(&record)?;
            }
        }
        recent.try_for_each(|record| writer.push(&record))?;
        writer.finish_unnamed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::sha256;

    fn prefix(n: u32) -> BlobPrefix {
        BlobId::from_bytes(sha256(&n.to_le_bytes())).prefix()
    }

    #[test]
    fn blob_is_new_once_wherever_it_is_remembered() {
        let folder = tempfile::tempdir().unwrap();
        for place in [None, Some(folder.path().join("made when needed"))] {
            let mut fresh = Fresh::new(place.clone(), 100);
            for n in 0..1050 {
                assert!(fresh.insert(prefix(n)));
                assert!(!fresh.insert(prefix(n / 2)), "{n}");
            }
            assert!((0..1050).all(|n| !fresh.insert(prefix(n))));
            let in_file = fresh.earlier.as_ref().map_or(0, FileRecords::len);
            assert_eq!((in_file, fresh.recent.len()), if place.is_some() { (1000, 50) } else { (0, 1050) });
        }
        let left = std::fs::read_dir(folder.path().join("made when needed")).unwrap();
        assert_eq!(left.count(), 0, "the files have no names");
    }

    #[test]
    fn folder_that_can_not_be_written_leaves_them_in_memory() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut fresh = Fresh::new(Some(file.path().join("below a file")), 100);
        assert!((0..300).all(|n| fresh.insert(prefix(n))));
        assert!((0..300).all(|n| !fresh.insert(prefix(n))));
    }
}
