//! What a snapshot says about one file, directory, link or other thing.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use crate::clock::Timestamp;

/// The place of an entry: raw name bytes joined by `/`, relative to the root of everything.
///
/// No component is empty, `.` or `..`, and none holds NUL. Order is canonical: a directory stands before what is in it,
/// what is in it stands together, and names compare by bytes; that is byte order with `/` below every other byte.
///
/// ```
/// use backup_core::EntryPath;
///
/// let dir = EntryPath::new(b"home/u".as_slice())?;
/// let file = EntryPath::new(b"home/u/a".as_slice())?;
/// let other = EntryPath::new(b"home/u-old".as_slice())?;
/// assert!(dir < file && file < other);
/// assert!(EntryPath::new(b"home/../etc".as_slice()).is_err());
/// # Ok::<(), backup_core::InvalidPath>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EntryPath(Box<[u8]>);

/// Bytes that are no valid entry path, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid path {path:?}: {reason}")]
pub struct InvalidPath {
    path: String,
    reason: &'static str,
}

impl EntryPath {
    /// Checks bytes and makes them a path.
    ///
    /// # Errors
    /// [`InvalidPath`] when the bytes break one of the rules of [`EntryPath`].
    pub fn new(bytes: impl Into<Box<[u8]>>) -> Result<Self, InvalidPath> {
        let bytes = bytes.into();
        let reason = if bytes.contains(&0) {
            Some("holds a NUL byte")
        } else {
            bytes.split(|&b| b == b'/').find_map(|component| match component {
                b"" => Some("empty component"),
                b"." | b".." => Some("component `.` or `..`"),
                _ => None,
            })
        };
        match reason {
            None => Ok(Self(bytes)),
            Some(reason) => Err(InvalidPath { path: String::from_utf8_lossy(&bytes).into_owned(), reason }),
        }
    }

    /// The raw bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The components in order.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.0.split(|&b| b == b'/')
    }

    /// The last component.
    pub fn name(&self) -> &[u8] {
        self.components().next_back().unwrap_or(&self.0)
    }

    /// The path of the directory this lies in, `None` at the top.
    pub fn parent(&self) -> Option<Self> {
        let slash = self.0.iter().rposition(|&b| b == b'/')?;
        Some(Self(self.0[..slash].into()))
    }

    /// The path of something in the directory that this is.
    ///
    /// # Errors
    /// [`InvalidPath`] when `name` is no valid component.
    pub fn join(&self, name: &[u8]) -> Result<Self, InvalidPath> {
        Self::new([&self.0, name].join(&b'/'))
    }

    /// Whether this is `ancestor` or lies below it.
    pub fn is_within(&self, ancestor: &Self) -> bool {
        match self.0.strip_prefix(&*ancestor.0) {
            Some(rest) => rest.first().is_none_or(|&b| b == b'/'),
            None => false,
        }
    }
}

/// Compares raw paths in canonical order: by bytes, with `/` below every other byte.
pub fn canonical_order(a: &[u8], b: &[u8]) -> Ordering {
    match a.iter().zip(b).position(|(x, y)| x != y) {
        None => a.len().cmp(&b.len()),
        Some(at) => {
            let rank = |byte: u8| if byte == b'/' { 0 } else { u16::from(byte) + 1 };
            rank(a[at]).cmp(&rank(b[at]))
        }
    }
}

impl Ord for EntryPath {
    fn cmp(&self, other: &Self) -> Ordering {
        canonical_order(&self.0, &other.0)
    }
}

impl PartialOrd for EntryPath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for EntryPath {
    /// The path for people: bytes that are not UTF-8 and control characters are escaped as `\xNN`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if c.is_control() {
                    let mut utf8 = [0; 4];
                    for byte in c.encode_utf8(&mut utf8).bytes() {
                        write!(f, "\\x{byte:02x}")?;
                    }
                } else {
                    fmt::Write::write_char(f, c)?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
}

/// How much of what was in a directory the snapshot has.
///
/// What a snapshot doesn't have may only be removed where it is known that the directory didn't have it either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Coverage {
    /// Perhaps not everything: something was excluded, could not be listed, or the source can't tell.
    #[default]
    Part,
    /// Every name that was in it.
    Whole,
    /// Only what leads to something that was asked for.
    LeadIn,
}

/// A stretch of a sparse file that holds data; what lies between such stretches is zeros that take no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Where it begins in the file.
    pub offset_bytes: u64,
    /// How long it is, more than zero.
    pub len_bytes: u64,
}

/// One extended attribute; ACLs are among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Xattr {
    /// The name with its namespace, as `user.comment`.
    pub name: Vec<u8>,
    /// The value.
    pub value: Vec<u8>,
}

/// Everything a snapshot keeps about an entry but its content.
///
/// A source fills what its listing gives; what costs more (extended attributes, link target, extents) it fills when the
/// engine asks for it because the entry is new or changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it is.
    pub path: EntryPath,
    /// What it is.
    pub kind: EntryKind,
    /// Size of the content; zero for all but regular files.
    pub size_bytes: u64,
    /// Permission bits with set-user-id, set-group-id and sticky: at most `0o7777`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Owner's name where the source knows it.
    pub user: Option<Arc<str>>,
    /// Group's name where the source knows it.
    pub group: Option<Arc<str>>,
    /// When the content was changed.
    pub modified: Timestamp,
    /// When content or metadata was changed, by the file system's own record.
    pub changed: Timestamp,
    /// The inode; zero where the source has none.
    pub inode: u64,
    /// The device the inode is on.
    pub device: u64,
    /// How many names the inode has; entries with more than one and the same device and inode are hard links.
    pub links: u64,
    /// Major and minor number of a device, zero otherwise.
    pub device_number: (u32, u32),
    /// Where a symbolic link points; empty otherwise.
    pub link_target: Vec<u8>,
    /// Extended attributes in name order.
    pub xattrs: Vec<Xattr>,
    /// The data of a sparse file, in order and without overlap; `None` when the file has no holes.
    pub extents: Option<Vec<Extent>>,
    /// How much of a directory the snapshot has; [`Coverage::Part`] for all but directories.
    pub coverage: Coverage,
    /// Whether the content changed while it was read, so that it may mix two states, or was not as long as its size said.
    pub torn: bool,
    /// Whether the change time was too recent to tell a later change apart; such an entry is read again next time.
    pub racy: bool,
}

impl Entry {
    /// An entry with nothing but a path and a kind.
    pub fn new(path: EntryPath, kind: EntryKind) -> Self {
        Self {
            path,
            kind,
            size_bytes: 0,
            mode: if kind == EntryKind::Directory { 0o755 } else { 0o644 },
            uid: 0,
            gid: 0,
            user: None,
            group: None,
            modified: Timestamp::EPOCH,
            changed: Timestamp::EPOCH,
            inode: 0,
            device: 0,
            links: 1,
            device_number: (0, 0),
            link_target: Vec::new(),
            xattrs: Vec::new(),
            extents: None,
            coverage: Coverage::Part,
            torn: false,
            racy: false,
        }
    }

    /// Whether a listing shows the same state as `earlier`: kind, size, both times, inode, mode, owners and coverage equal, and
    /// the earlier entry neither torn nor racy.
    ///
    /// The device is not asked: one file system gets another number when disks are found in another order, or with every
    /// mount of a network share or of a snapshot, and then all of it would be read again.
    pub fn unchanged_since(&self, earlier: &Self) -> bool {
        self.kind == earlier.kind
            && self.size_bytes == earlier.size_bytes
            && self.modified == earlier.modified
            && self.changed == earlier.changed
            && self.inode == earlier.inode
            && self.mode == earlier.mode
            && self.uid == earlier.uid
            && self.gid == earlier.gid
            && self.links == earlier.links
            && self.device_number == earlier.device_number
            && self.coverage == earlier.coverage
            && !earlier.torn
            && !earlier.racy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> EntryPath {
        EntryPath::new(text.as_bytes()).unwrap()
    }

    #[test]
    fn canonical_order_keeps_a_directory_together() {
        let mut paths: Vec<_> = ["a-b", "a", "a/z", "a.b", "a/b/c", "a/b", "b"].map(path).to_vec();
        paths.sort();
        let sorted: Vec<_> = paths.iter().map(ToString::to_string).collect();
        assert_eq!(sorted, ["a", "a/b", "a/b/c", "a/z", "a-b", "a.b", "b"]);
    }

    #[test]
    fn path_refuses_traversal_and_nul() {
        for bad in ["", "/", "/a", "a/", "a//b", "a/./b", "..", "a\0b"] {
            assert!(EntryPath::new(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(EntryPath::new(b"a\n\xff".as_slice()).is_ok());
    }

    #[test]
    fn path_is_shown_without_control_characters() {
        assert_eq!(EntryPath::new(b"a\n\xffz\xc3\xa4".as_slice()).unwrap().to_string(), "a\\x0a\\xffz\u{e4}");
    }

    #[test]
    fn entry_is_unchanged_on_another_device_and_changed_by_anything_else_that_a_listing_shows() {
        let earlier = Entry { size_bytes: 5, inode: 7, device: 2049, ..Entry::new(path("a"), EntryKind::File) };
        assert!(Entry { device: 2065, ..earlier.clone() }.unchanged_since(&earlier));
        let later = Timestamp::from_secs(1);
        for now in [
            Entry { kind: EntryKind::Fifo, ..earlier.clone() },
            Entry { size_bytes: 6, ..earlier.clone() },
            Entry { modified: later, ..earlier.clone() },
            Entry { changed: later, ..earlier.clone() },
            Entry { inode: 8, ..earlier.clone() },
            Entry { mode: 0o600, ..earlier.clone() },
            Entry { uid: 1, ..earlier.clone() },
            Entry { gid: 1, ..earlier.clone() },
            Entry { links: 2, ..earlier.clone() },
            Entry { device_number: (1, 3), ..earlier.clone() },
        ] {
            assert!(!now.unchanged_since(&earlier), "{now:?}");
        }
        for earlier in [Entry { torn: true, ..earlier.clone() }, Entry { racy: true, ..earlier }] {
            assert!(!earlier.unchanged_since(&earlier));
        }
    }

    #[test]
    fn within_matches_whole_components() {
        assert!(path("a/b").is_within(&path("a")));
        assert!(path("a").is_within(&path("a")));
        assert!(!path("ab").is_within(&path("a")));
        assert_eq!(path("a/b").parent(), Some(path("a")));
        assert_eq!(path("a").parent(), None);
    }
}
