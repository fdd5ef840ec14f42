//! What a snapshot is expected to hold, as JSON lines beside a golden repository.

use std::collections::BTreeMap;

use backup_core::{Coverage, Entry, EntryKind, EntryPath, Extent, Timestamp, Xattr};
use backup_engine::crypto::sha256;
use backup_engine::format::record::{RecordPath, SourceRecord};
use backup_engine::format::tree::TreeEntry;
use backup_engine::id::SnapshotId;
use backup_engine::snapshots::Snapshot;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::support::source::{Node, Tree};

/// A snapshot and what is noted with it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SnapshotLine {
    pub(crate) id: SnapshotId,
    pub(crate) time: String,
    host: String,
    user: String,
    program: String,
    pub(crate) source: SourceRecord,
    parent: Option<SnapshotId>,
    tags: Vec<String>,
    pinned: bool,
    note: Option<String>,
    problems: u64,
    entries: u64,
    bytes: u64,
}

impl From<&Snapshot> for SnapshotLine {
    fn from(snapshot: &Snapshot) -> Self {
        let record = snapshot.record.clone();
        Self {
            id: snapshot.id,
            time: record.time,
            host: record.host,
            user: record.user,
            program: record.program,
            source: record.source,
            parent: record.parent,
            tags: snapshot.tags.clone(),
            pinned: snapshot.pinned,
            note: snapshot.note.clone(),
            problems: record.problems,
            entries: record.tree.entries,
            bytes: record.tree.bytes,
        }
    }
}

/// An entry with all its metadata, and the digest of its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EntryLine {
    path: RecordPath,
    kind: char,
    size: u64,
    /// Of files with content; of what lies in the extents where there are some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sha256: Option<String>,
    /// In octal.
    mode: String,
    uid: u32,
    gid: u32,
    user: Option<String>,
    group: Option<String>,
    modified: (i64, u32),
    changed: (i64, u32),
    inode: u64,
    device: u64,
    links: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    device_number: Option<(u32, u32)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<Raw>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    xattrs: BTreeMap<String, Raw>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) extents: Option<Vec<(u64, u64)>>,
    /// How much of a directory the snapshot has: `whole`, `lead-in`, or nothing where it may be a part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    coverage: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    torn: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    racy: bool,
}

/// Bytes in JSON: a text where they are one, else base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Raw {
    Text(String),
    Base64 { base64: String },
}

impl Raw {
    fn new(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) if !text.chars().any(char::is_control) => Self::Text(text.to_owned()),
            _ => Self::Base64 { base64: STANDARD.encode(bytes) },
        }
    }

    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.clone().into_bytes(),
            Self::Base64 { base64 } => STANDARD.decode(base64).unwrap(),
        }
    }
}

/// A letter for each kind, as `ls` shows it.
const KINDS: [(char, EntryKind); 7] = [
    ('-', EntryKind::File),
    ('d', EntryKind::Directory),
    ('l', EntryKind::Symlink),
    ('p', EntryKind::Fifo),
    ('s', EntryKind::Socket),
    ('c', EntryKind::CharDevice),
    ('b', EntryKind::BlockDevice),
];

impl EntryLine {
    fn new(entry: &Entry, digest: Option<[u8; 32]>) -> Self {
        let is_device = matches!(entry.kind, EntryKind::CharDevice | EntryKind::BlockDevice);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Self {
            path: RecordPath(entry.path.clone()),
            kind: KINDS.iter().find(|(_, kind)| *kind == entry.kind).unwrap().0,
            size: entry.size_bytes,
            sha256: digest.map(|digest| hex(&digest)),
            mode: format!("{:04o}", entry.mode),
            uid: entry.uid,
            gid: entry.gid,
            user: entry.user.as_deref().map(str::to_owned),
            group: entry.group.as_deref().map(str::to_owned),
            modified: (entry.modified.secs(), entry.modified.nanos()),
            changed: (entry.changed.secs(), entry.changed.nanos()),
            inode: entry.inode,
            device: entry.device,
            links: entry.links,
            device_number: is_device.then_some(entry.device_number),
            target: (entry.kind == EntryKind::Symlink).then(|| Raw::new(&entry.link_target)),
            xattrs: entry.xattrs.iter().map(|xattr| (text(&xattr.name), Raw::new(&xattr.value))).collect(),
            extents: entry
                .extents
                .as_ref()
                .map(|extents| extents.iter().map(|extent| (extent.offset_bytes, extent.len_bytes)).collect()),
            coverage: match entry.coverage {
                Coverage::Part => None,
                Coverage::Whole => Some("whole".to_owned()),
                Coverage::LeadIn => Some("lead-in".to_owned()),
            },
            torn: entry.torn,
            racy: entry.racy,
        }
    }

    /// What was captured.
    pub(crate) fn of_node(node: &Node) -> Self {
        Self::new(&node.entry, (!node.content.is_empty()).then(|| sha256(&node.content)))
    }

    /// What a snapshot says.
    pub(crate) fn of_item(item: &TreeEntry) -> Self {
        Self::new(&item.entry, item.content.digest().copied())
    }

    pub(crate) fn path(&self) -> &EntryPath {
        &self.path.0
    }

    /// The entry that the line stands for.
    pub(crate) fn entry(&self) -> Entry {
        let kind = KINDS.iter().find(|(letter, _)| *letter == self.kind).unwrap().1;
        let mut entry = Entry::new(self.path.0.clone(), kind);
        entry.size_bytes = self.size;
        entry.mode = u32::from_str_radix(&self.mode, 8).unwrap();
        (entry.uid, entry.gid) = (self.uid, self.gid);
        entry.user = self.user.as_deref().map(Into::into);
        entry.group = self.group.as_deref().map(Into::into);
        let time = |(secs, nanos)| Timestamp::new(secs, nanos).unwrap();
        (entry.modified, entry.changed) = (time(self.modified), time(self.changed));
        (entry.inode, entry.device, entry.links) = (self.inode, self.device, self.links);
        entry.device_number = self.device_number.unwrap_or_default();
        entry.link_target = self.target.as_ref().map(Raw::bytes).unwrap_or_default();
        let xattr = |(name, value): (&String, &Raw)| Xattr { name: name.clone().into_bytes(), value: value.bytes() };
        entry.xattrs = self.xattrs.iter().map(xattr).collect();
        entry.extents = self.extents.as_ref().map(|extents| {
            extents.iter().map(|&(offset_bytes, len_bytes)| Extent { offset_bytes, len_bytes }).collect()
        });
        (entry.torn, entry.racy) = (self.torn, self.racy);
        entry.coverage = match self.coverage.as_deref() {
            None => Coverage::Part,
            Some("whole") => Coverage::Whole,
            Some("lead-in") => Coverage::LeadIn,
            Some(other) => panic!("`{other}` is no coverage"),
        };
        entry
    }
}

/// A digest as `sha256sum` prints it.
pub(crate) fn hex(digest: &[u8; 32]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The lines of a tree.
pub(crate) fn of_tree(tree: &Tree) -> Vec<EntryLine> {
    tree.0.values().map(EntryLine::of_node).collect()
}

/// Values as JSON lines.
pub(crate) fn to_lines<T: Serialize>(values: &[T]) -> String {
    values.iter().map(|value| serde_json::to_string(value).unwrap() + "\n").collect()
}

/// JSON lines as values.
pub(crate) fn from_lines<T: serde::de::DeserializeOwned>(text: &str) -> Vec<T> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
