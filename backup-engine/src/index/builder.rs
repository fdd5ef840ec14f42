//! Puts an index together from pack tables, with bounded memory where there is a folder to put aside what is too much.

mod spill;

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use super::file::{FileRecords, FileWriter};
use super::memory::MemoryRecords;
use super::record::Record;
use super::{BlobIndex, BlobLocation, PackInfo};
use crate::format::index::IndexedPack;
use crate::id::{ObjectId, PackId, RepositoryId};
use spill::Spill;

/// From where on what is too much for memory goes into files.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// So many records beside the file stay in memory; from there on they are merged into it.
    merge_records: u64,
    /// So many index objects beside the file are fetched again each time; from there on the file takes them in.
    merge_objects: usize,
    /// So many records are sorted in memory at once.
    sorted_records: u64,
}

impl Default for Limits {
    /// 8 MiB of records beside the file: merging writes the whole file, so it must not come with every run. 32 MiB at once.
    fn default() -> Self {
        Self { merge_records: 1 << 18, merge_objects: 32, sorted_records: 1 << 20 }
    }
}

/// Where the file of an index lies.
#[derive(Debug, Clone)]
pub(crate) struct IndexPlace {
    /// The file.
    pub(crate) path: PathBuf,
    /// The repository that it must be of.
    pub(crate) repository: RepositoryId,
}

/// The file that earlier runs left, and the packs that it numbers.
#[derive(Debug)]
struct Base {
    records: FileRecords,
    objects: Vec<ObjectId>,
}

/// Collects packs for an index.
#[derive(Debug, Default)]
pub struct BlobIndexBuilder {
    place: Option<IndexPlace>,
    base: Option<Base>,
    packs: Vec<PackInfo>,
    numbers: HashMap<PackId, u32>,
    /// What was added: a pack may come several times, and which of them count is known at the end.
    added: Vec<(PackInfo, u32)>,
    records: Vec<Record>,
    spill: Option<Spill>,
    segment: u32,
    objects: Vec<ObjectId>,
    expected_records: u64,
    failure: Option<io::Error>,
    limits: Limits,
}

impl BlobIndexBuilder {
    /// A builder that goes on from the file at a place, if that is made of nothing but objects that are still `stored`.
    ///
    /// `stored` must be sorted; `expected_records` is about how many there will be.
    pub(crate) fn at(place: IndexPlace, stored: &[ObjectId], expected_records: u64) -> Self {
        let mut builder = Self { expected_records, ..Self::default() };
        match FileRecords::open(&place.path, &place.repository) {
            Ok((records, summary)) if summary.objects.iter().all(|object| stored.binary_search(object).is_ok()) => {
                builder.numbers = (0u32..).zip(&summary.packs).map(|(number, pack)| (pack.id, number)).collect();
                builder.packs = summary.packs;
                builder.base = Some(Base { records, objects: summary.objects });
            }
            Ok(_) => tracing::debug!("the local index file names objects that are gone; it is made again"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::debug!(%error, "the local index file can't be used; it is made again"),
        }
        builder.place = Some(place);
        builder
    }

    /// Whether an index object is in the file already and need not be added.
    pub(crate) fn covers(&self, object: &ObjectId) -> bool {
        self.base.as_ref().is_some_and(|base| base.objects.binary_search(object).is_ok())
    }

    /// Forgets the file. For when it turns out that something in it is replaced.
    pub(crate) fn without_file(self) -> Self {
        Self { place: self.place, expected_records: self.expected_records, limits: self.limits, ..Self::default() }
    }

    /// Begins an index object: what is added from here on belongs to it. Returns its number, for [`finish_without`](Self::finish_without).
    pub(crate) fn begin(&mut self, object: ObjectId) -> u32 {
        self.objects.push(object);
        self.segment = u32::try_from(self.objects.len()).expect("a repository has less than 2^32 index objects");
        self.segment
    }

    /// Adds a pack; one that was added before is ignored.
    pub fn add(&mut self, pack: &IndexedPack) {
        let added = u32::try_from(self.packs.len() + self.added.len()).expect("a repository has less than 2^32 packs");
        if self.numbers.contains_key(&pack.id) {
            return;
        }
        self.added.push((PackInfo { id: pack.id, kind: pack.kind, size_bytes: pack.size_bytes }, self.segment));
        for block in &pack.table.blocks {
            for (nth, blob) in block.blobs.iter().enumerate() {
                let location = BlobLocation {
                    pack: added,
                    offset_bytes: block.offset_bytes,
                    sealed_bytes: block.sealed_bytes,
                    number: u16::try_from(nth).expect("the decoder limits blobs in a block"),
                };
                self.records.push(Record { prefix: blob.prefix, location });
            }
        }
        if self.records.len() as u64 >= self.limits.sorted_records && self.failure.is_none() {
            self.failure = self.put_aside().err();
        }
    }

    /// Moves what is in memory into files, if there is a place for them.
    fn put_aside(&mut self) -> io::Result<()> {
        let Some(folder) = self.place.as_ref().and_then(|place| place.path.parent()) else { return Ok(()) };
        let known = self.base.as_ref().map_or(0, |base| base.records.len());
        let spill = match &mut self.spill {
            Some(spill) => spill,
            None => {
                self.spill.insert(Spill::create(folder, self.expected_records.max(known), self.limits.sorted_records)?)
            }
        };
        spill.take(&mut self.records)
    }

    /// The finished index.
    ///
    /// # Errors
    /// What reading or writing files on this machine met; nothing but memory is used where no place for them was given.
    pub fn finish(self) -> io::Result<BlobIndex> {
        self.finish_without(&HashSet::new())
    }

    /// The finished index, without the index objects of these numbers.
    pub(crate) fn finish_without(mut self, replaced: &HashSet<u32>) -> io::Result<BlobIndex> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let remap = self.renumber(replaced);
        let fresh = self.records.len() as u64 + self.spill.as_ref().map_or(0, Spill::len);
        let is_much =
            self.spill.is_some() || fresh > self.limits.merge_records || self.objects.len() > self.limits.merge_objects;
        if is_much && let Some(place) = self.place.take() {
            let spill = self.spill.take();
            let is_needed = spill.is_some();
            match self.merge(&place, &remap, fresh, spill) {
                Ok(merged) => {
                    self.base = Some(merged);
                    return Ok(self.index(Vec::new()));
                }
                Err(error) if is_needed => return Err(error),
                Err(error) => tracing::warn!(%error, "the index stays in memory: its file can't be written"),
            }
        }
        let mut records = std::mem::take(&mut self.records);
        records.retain_mut(|record| remap.apply(record));
        Ok(self.index(records))
    }

    /// Numbers the packs that count, in the order in which they came.
    fn renumber(&mut self, replaced: &HashSet<u32>) -> Remap {
        let first = u32::try_from(self.packs.len()).expect("counted before");
        let mut numbers = Vec::with_capacity(self.added.len());
        for (pack, segment) in std::mem::take(&mut self.added) {
            let counts = !replaced.contains(&segment) && !self.numbers.contains_key(&pack.id);
            numbers.push(counts.then(|| {
                let number = u32::try_from(self.packs.len()).expect("counted before");
                self.numbers.insert(pack.id, number);
                self.packs.push(pack);
                number
            }));
        }
        Remap { first, numbers }
    }

    /// Writes a new file of what is in the old one and what was added.
    fn merge(&mut self, place: &IndexPlace, remap: &Remap, fresh: u64, spill: Option<Spill>) -> io::Result<Base> {
        let old = self.base.as_ref().map(|base| &base.records);
        let mut objects: Vec<_> =
            self.base.iter().flat_map(|base| &base.objects).chain(&self.objects).copied().collect();
        objects.sort_unstable();
        objects.dedup();
        let mut writer = FileWriter::create(&place.path, fresh + old.map_or(0, FileRecords::len))?;
        match spill {
            Some(mut spill) => {
                spill.take(&mut self.records)?;
                // Its memory, too.
                self.records = Vec::new();
                let parts = spill.parts();
                write_sorted(&mut writer, parts, |part| {
                    let mut records = spill.read(part)?;
                    records.retain_mut(|record| remap.apply(record));
                    records.extend(read_part(old, part, parts)?);
                    Ok(records)
                })?;
            }
            None => {
                self.records.sort_unstable();
                let mut rest = &self.records[..];
                let parts = old.map_or(1, |old| parts_for(4 * old.len(), self.limits.sorted_records));
                write_sorted(&mut writer, parts, |part| {
                    let (fresh, later) =
                        rest.split_at(rest.partition_point(|record| spill::part_of(record.prefix, parts) <= part));
                    rest = later;
                    let mut records = fresh.to_vec();
                    records.retain_mut(|record| remap.apply(record));
                    records.extend(read_part(old, part, parts)?);
                    Ok(records)
                })?;
            }
        }
        let records = writer.finish(&place.path, &place.repository, &objects, &self.packs)?;
        Ok(Base { records, objects })
    }

    fn index(self, records: Vec<Record>) -> BlobIndex {
        BlobIndex {
            packs: self.packs,
            numbers: self.numbers,
            file: self.base.map(|base| base.records),
            memory: MemoryRecords::new(records),
            ..BlobIndex::default()
        }
    }
}

/// Writes the records of all parts in order. One thread fetches and sorts a part while the other writes the one before: two are in
/// memory, and while one is put together from old and new records, that one twice. So parts are a quarter of what may be.
fn write_sorted(
    writer: &mut FileWriter,
    parts: usize,
    mut fetch: impl FnMut(usize) -> io::Result<Vec<Record>> + Send,
) -> io::Result<()> {
    std::thread::scope(|scope| {
        let (sorted, received) = mpsc::sync_channel(0);
        scope.spawn(move || {
            for part in 0..parts {
                let records = fetch(part).map(|mut records| {
                    records.sort_unstable();
                    records
                });
                // Nobody listens any more once writing has failed.
                if sorted.send(records).is_err() {
                    break;
                }
            }
        });
        for records in received {
            records?.iter().try_for_each(|record| writer.push(record))?;
        }
        Ok(())
    })
}

/// In how many parts a file is rewritten.
fn parts_for(records: u64, in_part: u64) -> usize {
    usize::try_from((records / in_part).max(1).next_power_of_two()).expect("far less than memory")
}

/// The records of the old file that belong into a part; there are as many parts as a power of two says.
fn read_part(old: Option<&FileRecords>, part: usize, parts: usize) -> io::Result<Vec<Record>> {
    let Some(old) = old else { return Ok(Vec::new()) };
    let buckets = old.buckets();
    if parts <= buckets {
        let each = buckets / parts;
        return old.read_buckets(part * each..(part + 1) * each);
    }
    // Fewer buckets than parts: all of them with the part that holds their first bits.
    let each = parts / buckets;
    let mut records = old.read_buckets(part / each..part / each + 1)?;
    records.retain(|record| spill::part_of(record.prefix, parts) == part);
    Ok(records)
}

/// From the numbers under which packs were added to those that they have.
struct Remap {
    first: u32,
    numbers: Vec<Option<u32>>,
}

impl Remap {
    /// Renumbers a record; `false` when its pack does not count.
    fn apply(&self, record: &mut Record) -> bool {
        let at = record.location.pack - self.first;
        let number = usize::try_from(at).ok().and_then(|at| *self.numbers.get(at)?);
        record.location.pack = number.unwrap_or_default();
        number.is_some()
    }
}

/// Where the file of an index lies in a folder.
pub(crate) fn place_in(folder: &Path, repository: RepositoryId) -> IndexPlace {
    IndexPlace { path: folder.join(repository.to_string()).join("index"), repository }
}

#[cfg(test)]
mod tests;
