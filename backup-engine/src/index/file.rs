//! Records in a file on this machine: sorted, found by the first bits of their prefix, each stretch under a checksum.
//!
//! The file is never older or newer than what it says it is made of: it names the index objects that it merges, and whoever
//! opens it compares them with those that are stored. It needs no care of its own: a file that is torn, damaged, of another
//! version or of another repository is not used, and losing it costs only the time to make it again.
//!
//! ```text
//! records   30 bytes each, sorted: 16 prefix, 4 pack, 4 offset, 4 length, 2 number
//! summary   objects (32 bytes each, sorted) | packs (32 id, 1 kind, 8 size) | bucket ends (8 each) | bucket checksums (4 each)
//! trailer   80 bytes: 8 magic, 32 SHA-256 of repository id, counts and summary, 8 objects, 8 packs, 8 records, 8 bucket bits,
//!           8 reserved
//! ```
//! All numbers are little-endian. A bucket holds the records whose prefixes begin with the same bits, about 32 of them.

mod platform;
mod write;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::PackInfo;
use super::record::{RECORD_BYTES, Record, decode_all, top};
use crate::format::ObjectKind;
use crate::id::{BlobPrefix, ObjectId, PackId, RepositoryId};

pub(super) use write::FileWriter;

const MAGIC: &[u8; 8] = b"bkindex1";
const TRAILER_BYTES: usize = 80;
const PACK_BYTES: usize = 41;

/// Records in a bucket, about: a look-up reads so many, and memory holds 12 bytes for each bucket.
const RECORDS_IN_BUCKET: u64 = 32;

/// A bucket of up to so many bytes is read without an allocation; with 32 records on average, hardly one has more than 80.
const STACK_BYTES: usize = 80 * RECORD_BYTES;

/// Sorted records in a file; 12 bytes of memory for each 32 of them.
#[derive(Debug)]
pub(super) struct FileRecords {
    file: File,
    path: PathBuf,
    /// How many of a prefix's first bits name its bucket.
    bits: u32,
    /// For each bucket, how many records there are up to its end.
    ends: Vec<u64>,
    checks: Vec<u32>,
}

/// What a file says besides its records.
#[derive(Debug, Default)]
pub(super) struct FileSummary {
    /// The index objects that it merges, sorted.
    pub(super) objects: Vec<ObjectId>,
    /// The packs, by number.
    pub(super) packs: Vec<PackInfo>,
}

/// How many first bits name a bucket where there are so many records.
fn bucket_bits(records: u64) -> u32 {
    (records / RECORDS_IN_BUCKET).checked_ilog2().unwrap_or(0)
}

/// The bucket of a prefix.
fn bucket_of(prefix: BlobPrefix, bits: u32) -> usize {
    usize::try_from(top(prefix).checked_shr(64 - bits).unwrap_or(0)).expect("there are as many buckets in memory")
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the local index file is damaged: {what}"))
}

impl FileRecords {
    /// Opens a file that was made for this repository; reads all but the records.
    pub(super) fn open(path: &Path, repository: &RepositoryId) -> io::Result<(Self, FileSummary)> {
        let file = File::open(path)?;
        let len_bytes = file.metadata()?.len();
        let trailer_at = len_bytes.checked_sub(TRAILER_BYTES as u64).ok_or_else(|| damaged("too short"))?;
        let mut trailer = [0; TRAILER_BYTES];
        platform::read_exact_at(&file, &mut trailer, trailer_at)?;
        if !trailer.starts_with(MAGIC) {
            return Err(damaged("another kind or version"));
        }
        let word = |at: usize| u64::from_le_bytes(*trailer[at..].first_chunk().expect("inside the trailer"));
        let (objects, packs, records, bits) = (word(40), word(48), word(56), word(64));
        let bits = u32::try_from(bits).ok().filter(|bits| *bits < 40).ok_or_else(|| damaged("bucket bits"))?;
        let sizes = [(objects, 32), (packs, PACK_BYTES as u64), (1 << bits, 12), (records, RECORD_BYTES as u64)];
        let total = sizes.iter().try_fold(0u64, |sum, (count, each)| count.checked_mul(*each)?.checked_add(sum));
        if total != Some(trailer_at) {
            return Err(damaged("its parts don't fill it"));
        }
        let summary_at = records * RECORD_BYTES as u64;
        let mut summary = vec![0; usize::try_from(trailer_at - summary_at).map_err(|_| damaged("too large"))?];
        platform::read_exact_at(&file, &mut summary, summary_at)?;
        if digest(repository, &trailer[40..], &summary)[..] != trailer[8..40] {
            return Err(damaged("its summary"));
        }
        let part = |count: u64, each: usize| usize::try_from(count).map_or(usize::MAX, |count| count * each);
        let (objects_part, rest) = summary.split_at(part(objects, 32));
        let (packs_part, rest) = rest.split_at(part(packs, PACK_BYTES));
        let (ends, checks) = rest.split_at(part(1 << bits, 8));
        let this = Self {
            file,
            path: path.to_owned(),
            bits,
            ends: ends.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect(),
            checks: checks.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect(),
        };
        if !this.ends.is_sorted() || this.ends.last() != Some(&records) {
            return Err(damaged("its buckets"));
        }
        let packs = packs_part.as_chunks::<PACK_BYTES>().0.iter().map(decode_pack).collect::<io::Result<_>>()?;
        let objects = objects_part.as_chunks().0.iter().map(|bytes| ObjectId::from_bytes(*bytes)).collect();
        Ok((this, FileSummary { objects, packs }))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// How many records there are.
    pub(super) fn len(&self) -> u64 {
        self.ends.last().copied().unwrap_or_default()
    }

    pub(super) fn buckets(&self) -> usize {
        self.ends.len()
    }

    /// Hands over the copies of a blob, in order, until one is taken. One read of about a kilobyte.
    pub(super) fn find<T>(
        &self,
        prefix: BlobPrefix,
        mut take: impl FnMut(&Record) -> Option<T>,
    ) -> io::Result<Option<T>> {
        let mut on_stack = [0; STACK_BYTES];
        let mut on_heap = Vec::new();
        let bytes = self.read_bucket(bucket_of(prefix, self.bits), &mut on_stack, &mut on_heap)?;
        let mut matching = bytes.as_chunks::<RECORD_BYTES>().0.iter().filter(|record| record[..16] == prefix.0);
        Ok(matching.find_map(|record| take(&Record::decode(record))))
    }

    /// All records of some buckets, in order.
    pub(super) fn read_buckets(&self, buckets: std::ops::Range<usize>) -> io::Result<Vec<Record>> {
        let (mut on_stack, mut on_heap) = ([0; STACK_BYTES], Vec::new());
        let count = self.ends[buckets.end.saturating_sub(1)] - self.start(buckets.start);
        let mut records = Vec::with_capacity(usize::try_from(count).map_err(|_| damaged("too large"))?);
        for bucket in buckets {
            records.extend(decode_all(self.read_bucket(bucket, &mut on_stack, &mut on_heap)?));
        }
        Ok(records)
    }

    fn start(&self, bucket: usize) -> u64 {
        bucket.checked_sub(1).map_or(0, |before| self.ends[before])
    }

    fn read_bucket<'a>(
        &self,
        bucket: usize,
        on_stack: &'a mut [u8; STACK_BYTES],
        on_heap: &'a mut Vec<u8>,
    ) -> io::Result<&'a [u8]> {
        let start = self.start(bucket);
        let count = usize::try_from(self.ends[bucket] - start).map_err(|_| damaged("too large"))?;
        let len_bytes = count * RECORD_BYTES;
        let buffer = match on_stack.get_mut(..len_bytes) {
            Some(buffer) => buffer,
            None => {
                on_heap.resize(len_bytes, 0);
                &mut on_heap[..]
            }
        };
        platform::read_exact_at(&self.file, buffer, start * RECORD_BYTES as u64)?;
        if crc32fast::hash(buffer) != self.checks[bucket] {
            return Err(damaged("a bucket of records"));
        }
        Ok(buffer)
    }
}

fn decode_pack(bytes: &[u8; PACK_BYTES]) -> io::Result<PackInfo> {
    let kind = match ObjectKind::from_number(bytes[32]) {
        Some(kind @ (ObjectKind::DataPack | ObjectKind::TreePack)) => kind,
        _ => return Err(damaged("its packs")),
    };
    let id = PackId::from_bytes(*bytes.first_chunk().expect("32 of 41 bytes"));
    Ok(PackInfo { id, kind, size_bytes: u64::from_le_bytes(*bytes.last_chunk().expect("8 of 41 bytes")) })
}

fn digest(repository: &RepositoryId, counts: &[u8], summary: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(repository.as_bytes()).chain_update(counts).chain_update(summary).finalize().into()
}
