//! Where a sparse file has data.

use std::io;
use std::os::fd::BorrowedFd;

use backup_core::Extent;
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

/// How many stretches of data are told apart; the rest of a more fragmented file counts as data, zeros included, which
/// costs room on restore and nothing else. Keeps the list of one file under 1 MiB.
const MAX_EXTENTS: usize = 1 << 16;

/// The stretches of data in the first `size_bytes`, `None` when there are no holes or the file system doesn't tell.
pub(super) fn of(file: BorrowedFd<'_>, size_bytes: u64) -> io::Result<Option<Vec<Extent>>> {
    let mut extents = Vec::new();
    let mut at = 0;
    while at < size_bytes {
        let start = match seek(file, SeekFrom::Data(at)) {
            Ok(start) => start,
            // Nothing but a hole up to the end.
            Err(Errno::NXIO) => break,
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if start >= size_bytes {
            break;
        }
        let end = if extents.len() + 1 == MAX_EXTENTS {
            size_bytes
        } else {
            match seek(file, SeekFrom::Hole(start)) {
                Ok(end) => end.min(size_bytes),
                // The file was cut short just now; the reader finds out.
                Err(Errno::NXIO) => size_bytes,
                Err(error) => return Err(error.into()),
            }
        };
        extents.push(Extent { offset_bytes: start, len_bytes: end - start });
        at = end;
    }
    let whole = Extent { offset_bytes: 0, len_bytes: size_bytes };
    Ok(if extents == [whole] { None } else { Some(extents) })
}
