//! Reading one file.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use backup_core::{EntryReader, Extent, ReadAt, Stability};
use rustix::fs::fstat;
use rustix::io::{pread, retry_on_intr};

use super::stat::{Identity, identity};

/// Gives what a file had when it was opened, and not a byte more: a log that grows meanwhile is captured as it was.
pub(super) struct FileReader {
    file: OwnedFd,
    opened: Identity,
    /// Stretches still to be read, last first.
    pending: Vec<Extent>,
    /// What the file said of itself; those of `/proc` say that they are empty, whatever is in them.
    size_bytes: u64,
    at: u64,
    /// Whether there were fewer bytes, or more, than the file's size said.
    missized: bool,
}

impl FileReader {
    pub(super) fn new(file: OwnedFd, opened: Identity, size_bytes: u64, extents: Option<&[Extent]>) -> Self {
        let whole = [Extent { offset_bytes: 0, len_bytes: size_bytes }];
        let mut pending = extents.unwrap_or(if size_bytes == 0 { &[] } else { &whole }).to_vec();
        pending.reverse();
        let at = pending.last().map_or(0, |extent| extent.offset_bytes);
        Self { file, opened, pending, size_bytes, at, missized: false }
    }

    fn read_next(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = retry_on_intr(|| pread(self.file.as_fd(), &mut *buffer, self.at))?;
        self.at += u64::try_from(count).unwrap_or(u64::MAX);
        Ok(count)
    }
}

impl EntryReader for FileReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.size_bytes == 0 {
            let count = self.read_next(buffer)?;
            self.missized |= count > 0;
            return Ok(count);
        }
        let Some(extent) = self.pending.last() else { return Ok(0) };
        let end = extent.offset_bytes.saturating_add(extent.len_bytes);
        let left = usize::try_from(end - self.at).unwrap_or(usize::MAX);
        // Where the file should end, room for one byte more shows that it does, at no call of its own.
        let beyond = usize::from(end == self.size_bytes);
        let room = buffer.len().min(left.saturating_add(beyond));
        let count = match buffer.get_mut(..room) {
            Some(buffer) if room > 0 => self.read_next(buffer)?,
            _ => return Ok(0),
        };
        if count > left || (count == 0 && left > 0) {
            self.missized = true;
            self.pending.clear();
            return Ok(count.min(left));
        }
        if count == left && (beyond == 0 || count < room) {
            self.pending.pop();
            self.at = self.pending.last().map_or(self.at, |extent| extent.offset_bytes);
        }
        Ok(count)
    }

    fn stability(&mut self) -> io::Result<Stability> {
        let now = identity(&fstat(&self.file)?);
        Ok(if now == self.opened && !self.missized { Stability::Stable } else { Stability::Changed })
    }
}

/// A file of a target, read at any place.
#[derive(Debug)]
pub(super) struct ExistingFile(pub(super) OwnedFd);

impl ReadAt for ExistingFile {
    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let at = offset_bytes.saturating_add(u64::try_from(done).unwrap_or(u64::MAX));
            match retry_on_intr(|| pread(&self.0, &mut *rest, at))? {
                0 => break,
                count => done += count,
            }
        }
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// A reader of a file of ten bytes that says it has so many, and whose times never tell.
    fn reader(said_bytes: u64, extents: Option<&[Extent]>) -> FileReader {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let file = OwnedFd::from(file);
        let opened = identity(&fstat(&file).unwrap());
        FileReader::new(file, opened, said_bytes, extents)
    }

    fn read_all(reader: &mut FileReader, buffer_bytes: usize) -> Vec<u8> {
        let (mut all, mut buffer) = (Vec::new(), vec![0; buffer_bytes]);
        loop {
            match reader.read(&mut buffer).unwrap() {
                0 => return all,
                count => all.extend_from_slice(&buffer[..count]),
            }
        }
    }

    #[test]
    fn size_that_is_wrong_is_noticed_with_any_buffer_though_times_and_size_stay() {
        for buffer in 1..13 {
            for said in 1..13 {
                let mut reader = reader(said, None);
                let expected = usize::try_from(said.min(10)).unwrap();
                assert_eq!(read_all(&mut reader, buffer), b"0123456789"[..expected], "{said} by {buffer}");
                let stability = if said == 10 { Stability::Stable } else { Stability::Changed };
                assert_eq!(reader.stability().unwrap(), stability, "{said} by {buffer}");
            }
        }
    }

    #[test]
    fn nothing_is_read_of_a_hole_behind_or_between_the_data() {
        let at = |offset_bytes, len_bytes| Extent { offset_bytes, len_bytes };
        for buffer in 1..13 {
            for (extents, expected) in [([at(1, 2), at(5, 3)], b"12567"), ([at(0, 3), at(8, 2)], b"01289")] {
                let mut reader = reader(10, Some(&extents));
                assert_eq!(read_all(&mut reader, buffer), expected);
                assert_eq!(reader.stability().unwrap(), Stability::Stable);
            }
        }
    }
}
