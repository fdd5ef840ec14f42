//! Writing a file of records, in order.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempPath;

use super::{FileRecords, MAGIC, PACK_BYTES, TRAILER_BYTES, bucket_bits, bucket_of, digest};
use crate::id::{ObjectId, RepositoryId};
use crate::index::PackInfo;
use crate::index::record::Record;

/// Bytes collected before they are written.
const BUFFER_BYTES: usize = 1 << 20;

/// How temporary files are called.
const PREFIX: &str = "index.";
const SUFFIX: &str = ".tmp";

/// Writes records, which must come sorted, and then what is known about them.
pub(in crate::index) struct FileWriter {
    out: BufWriter<File>,
    name: Option<TempPath>,
    bits: u32,
    records: u64,
    ends: Vec<u64>,
    checks: Vec<u32>,
    check: crc32fast::Hasher,
}

impl FileWriter {
    /// A file beside `path` for at most about `records` records.
    pub(in crate::index) fn create(path: &Path, records: u64) -> io::Result<Self> {
        let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        fs::create_dir_all(folder)?;
        let (file, name) = tempfile::Builder::new().prefix(PREFIX).suffix(SUFFIX).tempfile_in(folder)?.into_parts();
        // Whatever can't be removed is the next run's to remove.
        if let Err(error) = sweep(folder, &file) {
            tracing::debug!(%error, "old temporary index files stay");
        }
        Ok(Self { name: Some(name), ..Self::over(file, records) })
    }

    /// The same, for a file that never has a name and goes with its handle.
    pub(in crate::index) fn unnamed(folder: &Path, records: u64) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self::over(tempfile::tempfile_in(folder)?, records))
    }

    fn over(file: File, records: u64) -> Self {
        let bits = bucket_bits(records);
        Self {
            out: BufWriter::with_capacity(BUFFER_BYTES, file),
            name: None,
            bits,
            records: 0,
            ends: Vec::with_capacity(1 << bits),
            checks: Vec::with_capacity(1 << bits),
            check: crc32fast::Hasher::new(),
        }
    }

    pub(in crate::index) fn push(&mut self, record: &Record) -> io::Result<()> {
        self.close_up_to(bucket_of(record.prefix, self.bits));
        let encoded = record.encode();
        self.check.update(&encoded);
        self.records += 1;
        self.out.write_all(&encoded)
    }

    /// Ends all buckets before this one.
    fn close_up_to(&mut self, bucket: usize) {
        while self.ends.len() < bucket {
            self.ends.push(self.records);
            self.checks.push(std::mem::take(&mut self.check).finalize());
        }
    }

    /// Ends the file and gives it its name; an older file of that name goes, and whoever reads that goes on reading it.
    ///
    /// Nothing is flushed to the disk: after a power loss, checksums tell a torn file.
    pub(in crate::index) fn finish(
        mut self,
        path: &Path,
        repository: &RepositoryId,
        objects: &[ObjectId],
        packs: &[PackInfo],
    ) -> io::Result<FileRecords> {
        self.close_up_to(1 << self.bits);
        let buckets = self.ends.len();
        let mut bytes = Vec::with_capacity(objects.len() * 32 + packs.len() * PACK_BYTES + buckets * 12);
        objects.iter().for_each(|object| bytes.extend_from_slice(object.as_bytes()));
        for pack in packs {
            bytes.extend_from_slice(pack.id.as_bytes());
            bytes.push(pack.kind.number());
            bytes.extend_from_slice(&pack.size_bytes.to_le_bytes());
        }
        self.ends.iter().for_each(|end| bytes.extend_from_slice(&end.to_le_bytes()));
        self.checks.iter().for_each(|check| bytes.extend_from_slice(&check.to_le_bytes()));
        let mut trailer = [0; TRAILER_BYTES];
        let words = [objects.len() as u64, packs.len() as u64, self.records, u64::from(self.bits)];
        for (at, word) in (40..).step_by(8).zip(words) {
            trailer[at..at + 8].copy_from_slice(&word.to_le_bytes());
        }
        trailer[..8].copy_from_slice(MAGIC);
        let digest = digest(repository, &trailer[40..], &bytes);
        trailer[8..40].copy_from_slice(&digest);
        self.out.write_all(&bytes)?;
        self.out.write_all(&trailer)?;
        let name = self.name.take();
        let mut records = self.finish_records()?;
        if let Some(name) = name {
            name.persist(path)?;
        }
        // Not opened again by its name: by now that may be a file of another process, which numbers packs otherwise.
        path.clone_into(&mut records.path);
        Ok(records)
    }

    /// Ends a file that nobody opens again.
    pub(in crate::index) fn finish_unnamed(mut self) -> io::Result<FileRecords> {
        self.close_up_to(1 << self.bits);
        self.finish_records()
    }

    fn finish_records(self) -> io::Result<FileRecords> {
        let file = self.out.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(FileRecords { file, path: PathBuf::new(), bits: self.bits, ends: self.ends, checks: self.checks })
    }
}

/// Removes what killed processes left: files that are much older than one that was just made.
fn sweep(folder: &Path, fresh: &File) -> io::Result<()> {
    /// No process takes as long to write an index.
    const STALE: Duration = Duration::from_secs(24 * 3600);
    let now = fresh.metadata()?.modified()?;
    for found in fs::read_dir(folder)? {
        let found = found?;
        let name = found.file_name();
        let is_ours = name.to_str().is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX));
        let age =
            found.metadata().and_then(|metadata| metadata.modified()).map(|modified| now.duration_since(modified));
        if is_ours && age.is_ok_and(|age| age.is_ok_and(|age| age > STALE)) {
            fs::remove_file(found.path())?;
        }
    }
    Ok(())
}
