//! Reading one file.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use backup_core::{EntryReader, Extent, ReadAt, Stability};
use rustix::fs::fstat;
use rustix::io::{pread, retry_on_intr};

use super::stat::{Identity, identity};

/// Reads what a file had when it was opened, and not a byte more: a log that grows meanwhile is captured as it was.
pub(super) struct FileReader {
    file: OwnedFd,
    opened: Identity,
    /// Stretches still to be read, last first.
    pending: Vec<Extent>,
    /// Whether the file said it was empty, which those of `/proc` say whatever is in them.
    sizeless: bool,
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
        Self { file, opened, pending, sizeless: size_bytes == 0, at, missized: false }
    }

    fn read_next(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = retry_on_intr(|| pread(self.file.as_fd(), &mut *buffer, self.at))?;
        self.at += u64::try_from(count).unwrap_or(u64::MAX);
        Ok(count)
    }
}

impl EntryReader for FileReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.sizeless {
            let count = self.read_next(buffer)?;
            self.missized |= count > 0;
            return Ok(count);
        }
        let Some(extent) = self.pending.last() else { return Ok(0) };
        // The end is known, so it costs no call of its own.
        let end = extent.offset_bytes.saturating_add(extent.len_bytes);
        let left = usize::try_from(end - self.at).unwrap_or(usize::MAX);
        let room = buffer.len().min(left);
        let count = match buffer.get_mut(..room) {
            Some(buffer) if room > 0 => self.read_next(buffer)?,
            _ => return Ok(0),
        };
        if count == 0 {
            self.missized = true;
            self.pending.clear();
        } else if self.at == end {
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
