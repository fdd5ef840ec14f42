//! Leaves: entries stored column by column, so that what is alike stands together and compresses.

use std::collections::HashMap;
use std::sync::Arc;

use backup_core::{Coverage, Entry, EntryKind, EntryPath, Extent, Timestamp, Xattr};

use super::{ChunkList, Content, MAX_NODE_BYTES, TreeEntry, next_path, shared_bytes};
use crate::format::wire::{Cursor, put_bytes, put_varint, put_zigzag};
use crate::format::{FormatError, malformed};

const WHAT: &str = "tree leaf";

const COLUMNS: usize = 16;

const SHARED: usize = 0;
const REST_LENGTHS: usize = 1;
const RESTS: usize = 2;
const KINDS: usize = 3;
const ATTRIBUTES: usize = 4;
const ATTRIBUTE_TABLE: usize = 5;
const MODIFIED_SECS: usize = 6;
const MODIFIED_NANOS: usize = 7;
const CHANGED_SECS: usize = 8;
const CHANGED_NANOS: usize = 9;
const INODES: usize = 10;
const LINKS: usize = 11;
const SIZES: usize = 12;
const CONTENT: usize = 13;
const DIGESTS: usize = 14;
const REST: usize = 15;

const TORN: u8 = 1 << 4;
/// Of a directory, the bit that is [`TORN`] elsewhere.
const LEAD_IN: u8 = 1 << 4;
const RACY: u8 = 1 << 5;
const HAS_EXTENTS: u8 = 1 << 6;
/// Of a directory, the bit that is [`HAS_EXTENTS`] elsewhere.
const WHOLE: u8 = 1 << 6;
const HAS_XATTRS: u8 = 1 << 7;

/// What many entries have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Attributes {
    mode: u32,
    uid: u32,
    gid: u32,
    device: u64,
    user: Option<Arc<str>>,
    group: Option<Arc<str>>,
}

fn kind_number(kind: EntryKind) -> u8 {
    match kind {
        EntryKind::File => 1,
        EntryKind::Directory => 2,
        EntryKind::Symlink => 3,
        EntryKind::Fifo => 4,
        EntryKind::Socket => 5,
        EntryKind::CharDevice => 6,
        EntryKind::BlockDevice => 7,
    }
}

fn kind_of(number: u8) -> Option<EntryKind> {
    Some(match number {
        1 => EntryKind::File,
        2 => EntryKind::Directory,
        3 => EntryKind::Symlink,
        4 => EntryKind::Fifo,
        5 => EntryKind::Socket,
        6 => EntryKind::CharDevice,
        7 => EntryKind::BlockDevice,
        _ => return None,
    })
}

/// What the kind byte of a directory says about what is in it.
fn coverage_of(kind_byte: u8) -> Result<Coverage, FormatError> {
    match (kind_byte & LEAD_IN != 0, kind_byte & WHOLE != 0) {
        (false, false) => Ok(Coverage::Part),
        (false, true) => Ok(Coverage::Whole),
        (true, false) => Ok(Coverage::LeadIn),
        (true, true) => Err(malformed(WHAT, "a directory of which there is everything and nothing")),
    }
}

/// Collects entries for one leaf.
#[derive(Debug, Default)]
pub struct LeafBuilder {
    columns: [Vec<u8>; COLUMNS],
    attributes: HashMap<Attributes, u64>,
    last_attributes: Option<(Attributes, u64)>,
    first: Option<EntryPath>,
    path: Vec<u8>,
    modified_secs: i64,
    changed_secs: i64,
    inode: u64,
    entries: u64,
    content_bytes: u64,
}

impl LeafBuilder {
    /// How many entries it holds.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// How many bytes of content they have.
    pub fn content_bytes(&self) -> u64 {
        self.content_bytes
    }

    /// The first path, `None` while it is empty.
    pub fn first(&self) -> Option<&EntryPath> {
        self.first.as_ref()
    }

    /// How long the node will be, roughly.
    pub fn encoded_bytes(&self) -> usize {
        self.columns.iter().map(Vec::len).sum()
    }

    /// Adds the next entry, whose path comes after all before.
    pub fn push(&mut self, item: &TreeEntry) {
        let TreeEntry { entry, content } = item;
        let path = entry.path.as_bytes();
        debug_assert!(
            self.entries == 0 || backup_core::entry::canonical_order(&self.path, path).is_lt(),
            "entries come in canonical order"
        );
        if self.first.is_none() {
            self.first = Some(entry.path.clone());
        }
        let shared = shared_bytes(&self.path, path);
        put_varint(&mut self.columns[SHARED], shared as u64);
        put_varint(&mut self.columns[REST_LENGTHS], (path.len() - shared) as u64);
        self.columns[RESTS].extend_from_slice(&path[shared..]);
        self.path.truncate(shared);
        self.path.extend_from_slice(&path[shared..]);

        let flag = |on: bool, bit: u8| if on { bit } else { 0 };
        let own = if entry.kind == EntryKind::Directory {
            flag(entry.coverage == Coverage::LeadIn, LEAD_IN) | flag(entry.coverage == Coverage::Whole, WHOLE)
        } else {
            flag(entry.torn, TORN) | flag(entry.extents.is_some(), HAS_EXTENTS)
        };
        self.columns[KINDS]
            .push(kind_number(entry.kind) | own | flag(entry.racy, RACY) | flag(!entry.xattrs.is_empty(), HAS_XATTRS));
        let attributes = self.attributes(entry);
        put_varint(&mut self.columns[ATTRIBUTES], attributes);

        put_zigzag(&mut self.columns[MODIFIED_SECS], entry.modified.secs().wrapping_sub(self.modified_secs));
        put_varint(&mut self.columns[MODIFIED_NANOS], u64::from(entry.modified.nanos()));
        self.modified_secs = entry.modified.secs();
        put_zigzag(&mut self.columns[CHANGED_SECS], entry.changed.secs().wrapping_sub(self.changed_secs));
        put_varint(&mut self.columns[CHANGED_NANOS], u64::from(entry.changed.nanos()));
        self.changed_secs = entry.changed.secs();
        put_zigzag(&mut self.columns[INODES], entry.inode.wrapping_sub(self.inode).cast_signed());
        self.inode = entry.inode;
        put_varint(&mut self.columns[LINKS], entry.links);

        if entry.kind == EntryKind::File {
            put_varint(&mut self.columns[SIZES], entry.size_bytes);
            self.content_bytes = self.content_bytes.saturating_add(entry.size_bytes);
        }
        match content {
            Content::None => {
                if entry.kind == EntryKind::File && entry.size_bytes > 0 {
                    // A file that is nothing but a hole has a list of no chunks.
                    put_varint(&mut self.columns[CONTENT], 1);
                    put_varint(&mut self.columns[CONTENT], 0);
                    self.columns[DIGESTS].extend_from_slice(&crate::crypto::sha256(b""));
                }
            }
            Content::Single { digest } => {
                put_varint(&mut self.columns[CONTENT], 0);
                self.columns[DIGESTS].extend_from_slice(digest);
            }
            Content::List { digest, list } => {
                put_varint(&mut self.columns[CONTENT], u64::from(list.form));
                list.put(&mut self.columns[CONTENT]);
                self.columns[DIGESTS].extend_from_slice(digest);
            }
        }
        self.push_rest(entry);
        self.entries += 1;
    }

    fn attributes(&mut self, entry: &Entry) -> u64 {
        // Neighbours are mostly alike; comparing with the last one saves cloning names and hashing.
        if let Some((last, index)) = &self.last_attributes
            && last.mode == entry.mode
            && last.uid == entry.uid
            && last.gid == entry.gid
            && last.device == entry.device
            && last.user == entry.user
            && last.group == entry.group
        {
            return *index;
        }
        let attributes = Attributes {
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            device: entry.device,
            user: entry.user.clone(),
            group: entry.group.clone(),
        };
        let next = self.attributes.len() as u64;
        let table = &mut self.columns[ATTRIBUTE_TABLE];
        let index = *self.attributes.entry(attributes.clone()).or_insert_with(|| {
            for number in [attributes.mode, attributes.uid, attributes.gid] {
                put_varint(table, u64::from(number));
            }
            put_varint(table, attributes.device);
            put_bytes(table, attributes.user.as_deref().unwrap_or_default().as_bytes());
            put_bytes(table, attributes.group.as_deref().unwrap_or_default().as_bytes());
            next
        });
        self.last_attributes = Some((attributes, index));
        index
    }

    fn push_rest(&mut self, entry: &Entry) {
        let out = &mut self.columns[REST];
        match entry.kind {
            EntryKind::Symlink => put_bytes(out, &entry.link_target),
            EntryKind::CharDevice | EntryKind::BlockDevice => {
                put_varint(out, u64::from(entry.device_number.0));
                put_varint(out, u64::from(entry.device_number.1));
            }
            EntryKind::File | EntryKind::Directory | EntryKind::Fifo | EntryKind::Socket => {}
        }
        if let Some(extents) = &entry.extents {
            put_varint(out, extents.len() as u64);
            let mut end = 0;
            for extent in extents {
                put_varint(out, extent.offset_bytes - end);
                put_varint(out, extent.len_bytes);
                end = extent.offset_bytes + extent.len_bytes;
            }
        }
        if !entry.xattrs.is_empty() {
            put_varint(out, entry.xattrs.len() as u64);
            for xattr in &entry.xattrs {
                put_bytes(out, &xattr.name);
                put_bytes(out, &xattr.value);
            }
        }
    }

    /// The node's plaintext; the builder is empty afterwards and keeps its memory.
    pub fn finish(&mut self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.encoded_bytes() + 128);
        out.push(0);
        put_varint(&mut out, self.entries);
        for (number, column) in self.columns.iter_mut().enumerate() {
            if number == ATTRIBUTE_TABLE {
                let mut table = Vec::with_capacity(column.len() + 2);
                put_varint(&mut table, self.attributes.len() as u64);
                table.append(column);
                put_bytes(&mut out, &table);
            } else {
                put_bytes(&mut out, column);
            }
            column.clear();
        }
        self.attributes.clear();
        self.last_attributes = None;
        self.first = None;
        self.path.clear();
        (self.modified_secs, self.changed_secs, self.inode) = (0, 0, 0);
        (self.entries, self.content_bytes) = (0, 0);
        out
    }
}

/// Reads the entries of a leaf one by one.
///
/// The memory it takes is that of the attribute table and one entry, however hostile the leaf.
#[derive(Debug)]
pub struct LeafReader<'a> {
    columns: [Cursor<'a>; COLUMNS],
    attributes: Vec<Attributes>,
    path: Option<EntryPath>,
    modified_secs: i64,
    changed_secs: i64,
    inode: u64,
    left: u64,
    failed: bool,
}

impl<'a> LeafReader<'a> {
    /// A reader of a node's plaintext.
    ///
    /// # Errors
    /// `Malformed` or `Truncated` when it is no leaf.
    pub fn new(blob: &'a [u8]) -> Result<Self, FormatError> {
        if blob.len() > MAX_NODE_BYTES {
            return Err(malformed(WHAT, "too long"));
        }
        let mut cursor = Cursor::new(blob, WHAT);
        if cursor.u8()? != 0 {
            return Err(malformed(WHAT, "not of the expected level"));
        }
        let left = cursor.varint()?;
        let mut columns = [const { None }; COLUMNS];
        for column in &mut columns {
            *column = Some(Cursor::new(cursor.bytes()?, WHAT));
        }
        cursor.finish()?;
        let mut columns = columns.map(|column| column.expect("all were filled"));
        let attributes = read_attributes(&mut columns[ATTRIBUTE_TABLE])?;
        Ok(Self { columns, attributes, path: None, modified_secs: 0, changed_secs: 0, inode: 0, left, failed: false })
    }

    /// How many entries are left.
    pub fn len_left(&self) -> u64 {
        self.left
    }

    fn read(&mut self) -> Result<TreeEntry, FormatError> {
        let shared = self.columns[SHARED].varint()?;
        let rest_len =
            usize::try_from(self.columns[REST_LENGTHS].varint()?).map_err(|_| malformed(WHAT, "path too long"))?;
        let rest = self.columns[RESTS].take(rest_len)?;
        let path = next_path(self.path.as_ref(), shared, rest)?;
        self.path = Some(path.clone());

        let kind_byte = self.columns[KINDS].u8()?;
        let kind = kind_of(kind_byte & 0x0f).ok_or_else(|| malformed(WHAT, "unknown kind of entry"))?;
        let is_directory = kind == EntryKind::Directory;
        let has_extents = !is_directory && kind_byte & HAS_EXTENTS != 0;
        if has_extents && kind != EntryKind::File {
            return Err(malformed(WHAT, "extents of something that is no file"));
        }
        let attributes = usize::try_from(self.columns[ATTRIBUTES].varint()?)
            .ok()
            .and_then(|index| self.attributes.get(index))
            .ok_or_else(|| malformed(WHAT, "impossible attributes"))?
            .clone();

        self.modified_secs = self.modified_secs.wrapping_add(self.columns[MODIFIED_SECS].zigzag()?);
        let modified = timestamp(self.modified_secs, self.columns[MODIFIED_NANOS].varint_u32()?)?;
        self.changed_secs = self.changed_secs.wrapping_add(self.columns[CHANGED_SECS].zigzag()?);
        let changed = timestamp(self.changed_secs, self.columns[CHANGED_NANOS].varint_u32()?)?;
        self.inode = self.inode.wrapping_add(self.columns[INODES].zigzag()?.cast_unsigned());

        let mut entry = Entry::new(path, kind);
        entry.mode = attributes.mode;
        entry.uid = attributes.uid;
        entry.gid = attributes.gid;
        entry.device = attributes.device;
        entry.user = attributes.user;
        entry.group = attributes.group;
        entry.modified = modified;
        entry.changed = changed;
        entry.inode = self.inode;
        entry.links = self.columns[LINKS].varint()?;
        entry.torn = !is_directory && kind_byte & TORN != 0;
        if is_directory {
            entry.coverage = coverage_of(kind_byte)?;
        }
        entry.racy = kind_byte & RACY != 0;
        if kind == EntryKind::File {
            entry.size_bytes = self.columns[SIZES].varint()?;
        }
        let content = if entry.size_bytes > 0 { self.read_content()? } else { Content::None };
        self.read_rest(&mut entry, has_extents, kind_byte & HAS_XATTRS != 0)?;
        check_content(&entry, &content)?;
        Ok(TreeEntry { entry, content })
    }

    fn read_content(&mut self) -> Result<Content, FormatError> {
        let form =
            u8::try_from(self.columns[CONTENT].varint()?).map_err(|_| malformed(WHAT, "impossible form of content"))?;
        let digest = self.columns[DIGESTS].array()?;
        if form == 0 {
            return Ok(Content::Single { digest });
        }
        let list = ChunkList::get(form, &mut self.columns[CONTENT])?;
        Ok(if list.chunks.is_empty() { Content::None } else { Content::List { digest, list } })
    }

    fn read_rest(&mut self, entry: &mut Entry, has_extents: bool, has_xattrs: bool) -> Result<(), FormatError> {
        let rest = &mut self.columns[REST];
        match entry.kind {
            EntryKind::Symlink => entry.link_target = rest.bytes()?.to_vec(),
            EntryKind::CharDevice | EntryKind::BlockDevice => {
                entry.device_number = (rest.varint_u32()?, rest.varint_u32()?);
            }
            EntryKind::File | EntryKind::Directory | EntryKind::Fifo | EntryKind::Socket => {}
        }
        if has_extents {
            let count = rest.count(2)?;
            let mut extents = Vec::with_capacity(count);
            let mut end = 0u64;
            for _ in 0..count {
                let gap = rest.varint()?;
                let len_bytes = rest.varint()?;
                let offset_bytes = end.checked_add(gap).ok_or_else(|| malformed(WHAT, "impossible extents"))?;
                end = offset_bytes
                    .checked_add(len_bytes)
                    .filter(|&end| len_bytes > 0 && end <= entry.size_bytes)
                    .ok_or_else(|| malformed(WHAT, "impossible extents"))?;
                extents.push(Extent { offset_bytes, len_bytes });
            }
            entry.extents = Some(extents);
        }
        if has_xattrs {
            let count = rest.count(2)?;
            entry.xattrs = (0..count)
                .map(|_| Ok(Xattr { name: rest.bytes()?.to_vec(), value: rest.bytes()?.to_vec() }))
                .collect::<Result<_, FormatError>>()?;
        }
        Ok(())
    }
}

/// How many bytes of content a file's blobs hold together.
fn stored_content_bytes(entry: &Entry) -> u64 {
    match &entry.extents {
        None => entry.size_bytes,
        Some(extents) => extents.iter().map(|extent| extent.len_bytes).sum(),
    }
}

fn check_content(entry: &Entry, content: &Content) -> Result<(), FormatError> {
    let expected = stored_content_bytes(entry);
    let fits = match content {
        Content::None => expected == 0,
        Content::Single { .. } => expected > 0,
        Content::List { list, .. } => {
            list.chunks.iter().try_fold(0u64, |sum, chunk| sum.checked_add(chunk.len_bytes)) == Some(expected)
        }
    };
    if fits { Ok(()) } else { Err(malformed(WHAT, "content does not add up to the size")) }
}

fn timestamp(secs: i64, nanos: u32) -> Result<Timestamp, FormatError> {
    Timestamp::new(secs, nanos).ok_or_else(|| malformed(WHAT, "impossible time"))
}

fn read_attributes(table: &mut Cursor<'_>) -> Result<Vec<Attributes>, FormatError> {
    let name = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok("") => Ok(None),
        Ok(text) => Ok(Some(Arc::from(text))),
        Err(_) => Err(malformed(WHAT, "owner's name is no text")),
    };
    let count = table.count(6)?;
    let mut attributes = Vec::with_capacity(count);
    for _ in 0..count {
        attributes.push(Attributes {
            mode: table.varint_u32()?,
            uid: table.varint_u32()?,
            gid: table.varint_u32()?,
            device: table.varint()?,
            user: name(table.bytes()?)?,
            group: name(table.bytes()?)?,
        });
    }
    if attributes.iter().any(|attributes| attributes.mode > 0o7777) {
        return Err(malformed(WHAT, "impossible mode"));
    }
    Ok(attributes)
}

impl Iterator for LeafReader<'_> {
    type Item = Result<TreeEntry, FormatError>;

    /// The next entry; after an error there are no more.
    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        if self.left == 0 {
            self.failed = true;
            let leftover = self.columns.iter().any(|column| !column.is_empty());
            return leftover.then(|| Err(malformed(WHAT, "bytes left over")));
        }
        self.left -= 1;
        let item = self.read();
        self.failed = item.is_err();
        Some(item)
    }
}

#[cfg(test)]
mod tests;
