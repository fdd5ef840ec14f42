//! The records that are JSON: snapshots, marks, sessions, verification records (§8–§11).

use backup_core::{EntryPath, ObjectKey, SourceDescription};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::id::{BlobId, ObjectId, SnapshotId};

/// The root of a tree of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeRoot {
    /// The root node's blob.
    pub id: BlobId,
    /// Its level: 0 for a leaf.
    pub level: u8,
    /// Entries in the whole tree.
    pub entries: u64,
    /// Bytes of content in the whole tree.
    pub bytes: u64,
}

/// A source as it stands in a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRecord {
    /// `files`, `sqlite`, ….
    pub kind: String,
    /// The name in the configuration, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The roots, as entry paths.
    pub roots: Vec<RecordPath>,
}

impl From<SourceDescription> for SourceRecord {
    fn from(source: SourceDescription) -> Self {
        Self { kind: source.kind, name: source.name, roots: source.roots.into_iter().map(RecordPath).collect() }
    }
}

/// A path in JSON: a text where it is plain UTF-8, else base64.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordPath(pub EntryPath);

#[derive(Serialize, Deserialize)]
struct Base64Path {
    base64: String,
}

impl Serialize for RecordPath {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(self.0.as_bytes()) {
            Ok(text) if !text.chars().any(char::is_control) => serializer.serialize_str(text),
            _ => Base64Path { base64: STANDARD.encode(self.0.as_bytes()) }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for RecordPath {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let bytes = match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => text.into_bytes(),
            other => {
                let path: Base64Path = serde_json::from_value(other).map_err(Error::custom)?;
                STANDARD.decode(path.base64).map_err(Error::custom)?
            }
        };
        EntryPath::new(bytes).map(Self).map_err(Error::custom)
    }
}

/// Numbers of a snapshot, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SnapshotStatistics {
    /// Regular files.
    #[serde(default)]
    pub files: u64,
    /// Directories.
    #[serde(default)]
    pub directories: u64,
    /// Everything else.
    #[serde(default)]
    pub others: u64,
    /// Files that were not in the parent.
    #[serde(default)]
    pub files_new: u64,
    /// Files that were in the parent with another state.
    #[serde(default)]
    pub files_changed: u64,
    /// Files taken over from the parent unread.
    #[serde(default)]
    pub files_unchanged: u64,
    /// Bytes read from the source.
    #[serde(default)]
    pub read_bytes: u64,
    /// Bytes of content that no blob had before.
    #[serde(default)]
    pub new_bytes: u64,
    /// Bytes added to the repository.
    #[serde(default)]
    pub stored_bytes: u64,
    /// How long it took, in milliseconds.
    #[serde(default)]
    pub duration_ms: u64,
}

/// A snapshot (§8).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRecord {
    /// 1.
    pub version: u64,
    /// When the capture began, RFC 3339 with nanoseconds.
    pub time: String,
    /// On which host.
    pub host: String,
    /// By whom.
    pub user: String,
    /// With which program.
    pub program: String,
    /// Of what.
    pub source: SourceRecord,
    /// The entries.
    pub tree: TreeRoot,
    /// What it was compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<SnapshotId>,
    /// Labels given when it was made, sorted.
    #[serde(default)]
    pub tags: Vec<String>,
    /// The session that wrote it.
    #[serde(default)]
    pub session: String,
    /// Entries that could not be read or are torn.
    #[serde(default)]
    pub problems: u64,
    /// Numbers for people.
    #[serde(default)]
    pub statistics: SnapshotStatistics,
}

/// Annotations of a snapshot (§9).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkRecord {
    /// Which snapshot.
    pub snapshot: SnapshotId,
    /// When, RFC 3339 with nanoseconds.
    pub at: String,
    /// All its labels, sorted.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Whether it is pinned.
    #[serde(default)]
    pub pinned: bool,
    /// A remark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A state of a writer (§10).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRecord {
    /// The session's name.
    pub session: String,
    /// Counts from 0.
    pub sequence: u64,
    /// When, RFC 3339.
    pub at: String,
    /// On which host.
    pub host: String,
    /// Of what.
    pub source: SourceRecord,
    /// What was finished so far; all of it indexed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<TreeRoot>,
    /// Whether the writer stopped on its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ended: bool,
}

impl SessionRecord {
    /// Whether this is the object that a key names; the key of a session's object is not its hash.
    pub fn belongs_at(&self, key: &ObjectKey) -> bool {
        format!("sessions/{}/{:08}", self.session, self.sequence) == key.as_str()
    }
}

/// What a check verified (§11).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyRecord {
    /// When, RFC 3339.
    pub at: String,
    /// Which level: `structure`, `objects` or `data`; or `restore`, which covers nothing.
    pub level: String,
    /// Which part of how many, where it was not everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subset: Option<(u32, u32)>,
    /// Packs verified.
    pub packs: u64,
    /// Bytes verified.
    pub bytes: u64,
    /// Packs found damaged: their keys, or a key, `#` and the offset of a block's frame.
    #[serde(default)]
    pub damaged: Vec<String>,
    /// Earlier records whose damage this check looked at again, as far as it went.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supersedes: Vec<ObjectId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_that_is_not_plain_text_stands_as_base64() {
        for (bytes, json) in [
            (&b"home/\xc3\xa4"[..], "\"home/\u{e4}\""),
            (b"a\xff", r#"{"base64":"Yf8="}"#),
            (b"a\nb", r#"{"base64":"YQpi"}"#),
        ] {
            let path = RecordPath(EntryPath::new(bytes).unwrap());
            assert_eq!(serde_json::to_string(&path).unwrap(), json);
            assert_eq!(serde_json::from_str::<RecordPath>(json).unwrap(), path);
        }
        assert!(serde_json::from_str::<RecordPath>(r#""a/../b""#).is_err());
    }
}
