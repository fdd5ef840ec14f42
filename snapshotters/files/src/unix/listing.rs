//! The names in one directory, sorted.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::FileType;

use super::system::{self, ListBuffer};

/// Names with the kind each had when it was listed, in one piece of memory: 16 bytes a name and its bytes.
#[derive(Debug, Default)]
pub(super) struct Names {
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    start: usize,
    len: u32,
    kind: Hint,
}

/// What a listing says of a name's kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hint {
    Directory,
    Other,
    /// Some file systems don't say.
    Unknown,
}

impl Names {
    /// Lists a directory that was just opened.
    pub(super) fn list(directory: BorrowedFd<'_>, buffer: &mut ListBuffer) -> io::Result<Self> {
        let mut names = Self::default();
        system::list(directory, buffer, |name, kind| {
            if name != b"." && name != b".." {
                names.push(
                    name,
                    match kind {
                        FileType::Directory => Hint::Directory,
                        FileType::Unknown => Hint::Unknown,
                        _ => Hint::Other,
                    },
                );
            }
        })?;
        let bytes = &names.bytes;
        names.spans.sort_unstable_by(|a, b| a.of(bytes).cmp(b.of(bytes)));
        Ok(names)
    }

    /// Adds a name; the caller sees to the order.
    pub(super) fn push(&mut self, name: &[u8], kind: Hint) {
        // A name of 4 GiB can't come from any system; cut, it would simply not be found.
        let len = u32::try_from(name.len()).unwrap_or(u32::MAX);
        self.spans.push(Span { start: self.bytes.len(), len, kind });
        self.bytes.extend_from_slice(name);
    }

    pub(super) fn get(&self, index: usize) -> Option<(&[u8], Hint)> {
        self.spans.get(index).map(|span| (span.of(&self.bytes), span.kind))
    }

    pub(super) fn len(&self) -> usize {
        self.spans.len()
    }

    pub(super) fn contains(&self, name: &[u8]) -> bool {
        self.spans.binary_search_by(|span| span.of(&self.bytes).cmp(name)).is_ok()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], Hint)> {
        self.spans.iter().map(|span| (span.of(&self.bytes), span.kind))
    }
}

impl Span {
    fn of(self, bytes: &[u8]) -> &[u8] {
        let len = usize::try_from(self.len).unwrap_or(usize::MAX);
        bytes.get(self.start..self.start.saturating_add(len)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn names_come_sorted_by_bytes_with_their_kind() {
        let dir = tempfile::tempdir().unwrap();
        for name in [&b"b"[..], b"a\n", b"\xff\xfe", b"a", b"a-b"] {
            std::fs::write(dir.path().join(std::ffi::OsStr::from_bytes(name)), "").unwrap();
        }
        std::fs::create_dir(dir.path().join("Z")).unwrap();
        let opened = std::fs::File::open(dir.path()).unwrap();
        let names = Names::list(opened.as_fd(), &mut ListBuffer::new()).unwrap();
        let listed: Vec<&[u8]> = names.iter().map(|(name, _)| name).collect();
        assert_eq!(listed, [&b"Z"[..], b"a", b"a\n", b"a-b", b"b", b"\xff\xfe"]);
        assert!(names.get(0).is_some_and(|(_, kind)| kind != Hint::Other));
        assert!(names.contains(b"a-b") && !names.contains(b"c"));
    }
}
