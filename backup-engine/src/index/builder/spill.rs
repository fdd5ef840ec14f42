//! Records put aside in files without names, by the first bits of their prefixes.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Seek, Write};
use std::path::Path;

use crate::id::BlobPrefix;
use crate::index::record::{RECORD_BYTES, Record, decode_all, top};

/// More files than this would take more descriptors than a process has to spare; parts then grow beyond what they should.
const MAX_PARTS: usize = 256;

/// Bytes collected for each file before they are written.
const BUFFER_BYTES: usize = 32 * 1024;

/// Records in parts, each small enough to be sorted in memory. Nobody else sees the files, and they go with their handles.
#[derive(Debug)]
pub(super) struct Spill {
    parts: Vec<BufWriter<File>>,
    records: u64,
}

/// Which of a power of two parts a prefix belongs to.
pub(super) fn part_of(prefix: BlobPrefix, parts: usize) -> usize {
    let bits = parts.trailing_zeros();
    usize::try_from(top(prefix).checked_shr(64 - bits).unwrap_or(0)).expect("less than the number of parts")
}

impl Spill {
    /// Parts for about so many records of which `in_part` fit in memory at once.
    pub(super) fn create(folder: &Path, records: u64, in_part: u64) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        // Half full on average, so that hardly one is too full.
        let wanted = usize::try_from(2 * records / in_part).unwrap_or(MAX_PARTS);
        let parts = wanted.clamp(2, MAX_PARTS).next_power_of_two();
        let open = |_| Ok(BufWriter::with_capacity(BUFFER_BYTES, tempfile::tempfile_in(folder)?));
        Ok(Self { parts: (0..parts).map(open).collect::<io::Result<_>>()?, records: 0 })
    }

    pub(super) fn parts(&self) -> usize {
        self.parts.len()
    }

    /// How many records there are in all parts.
    pub(super) fn len(&self) -> u64 {
        self.records
    }

    /// Takes all records.
    pub(super) fn take(&mut self, records: &mut Vec<Record>) -> io::Result<()> {
        let count = self.parts.len();
        self.records += records.len() as u64;
        records.drain(..).try_for_each(|record| self.parts[part_of(record.prefix, count)].write_all(&record.encode()))
    }

    /// The records of a part, in no order.
    pub(super) fn read(&mut self, part: usize) -> io::Result<Vec<Record>> {
        let part = &mut self.parts[part];
        part.flush()?;
        let file = part.get_mut();
        file.rewind()?;
        let mut bytes = Vec::with_capacity(usize::try_from(file.metadata()?.len()).unwrap_or(0));
        file.read_to_end(&mut bytes)?;
        if bytes.len() % RECORD_BYTES != 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(decode_all(&bytes).collect())
    }
}
