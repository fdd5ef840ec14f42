//! Where objects lie (format §2).

use backup_core::{KeyPrefix, ObjectKey};

use crate::format::ObjectKind;
use crate::id::{ObjectId, PackId};

fn key(text: String) -> ObjectKey {
    ObjectKey::new(text).expect("hexadecimal digits under a fixed folder are a valid key")
}

fn prefix(text: &str) -> KeyPrefix {
    KeyPrefix::new(text).expect("fixed folders are valid prefixes")
}

/// The key of `config`.
pub fn config() -> ObjectKey {
    key("config".to_owned())
}

/// The folder of key slots and epochs.
pub fn keys() -> KeyPrefix {
    prefix("keys/")
}

/// The key of a slot or an epoch.
pub fn key_object(id: &ObjectId) -> ObjectKey {
    key(format!("keys/{id}"))
}

/// The folder of packs.
pub fn packs() -> KeyPrefix {
    prefix("packs/")
}

/// The key of a pack.
pub fn pack(id: &PackId) -> ObjectKey {
    let id = id.to_string();
    key(format!("packs/{}/{id}", &id[..2]))
}

/// The pack that a key names, if it does.
pub fn pack_of(key: &ObjectKey) -> Option<PackId> {
    let (folder, id) = key.as_str().strip_prefix("packs/")?.split_once('/')?;
    (folder == id.get(..2)?).then(|| id.parse().ok()).flatten()
}

/// The folder of the collector.
pub fn collector() -> KeyPrefix {
    prefix("gc/")
}

/// The folder of sessions.
pub fn sessions() -> KeyPrefix {
    prefix("sessions/")
}

/// The folder of one session.
pub fn session(session: &str) -> KeyPrefix {
    prefix(&format!("sessions/{session}/"))
}

/// The key of a session's object.
pub fn session_object(session: &str, sequence: u64) -> ObjectKey {
    key(format!("sessions/{session}/{sequence:08}"))
}

/// The folder of records of a kind that are named by their hash alone; `None` for the others.
pub fn records(kind: ObjectKind) -> Option<KeyPrefix> {
    Some(prefix(match kind {
        ObjectKind::Index => "index/",
        ObjectKind::Snapshot => "snapshots/",
        ObjectKind::Mark => "marks/",
        ObjectKind::Verify => "verify/",
        ObjectKind::DataPack | ObjectKind::TreePack | ObjectKind::Session => return None,
    }))
}

/// Whether a key is that of a record that is named by its hash.
pub fn is_record(key: &ObjectKey) -> bool {
    let kinds = [ObjectKind::Index, ObjectKind::Snapshot, ObjectKind::Mark, ObjectKind::Verify];
    let mut folders = kinds.into_iter().filter_map(records);
    folders
        .any(|folder| key.as_str().strip_prefix(folder.as_str()).is_some_and(|name| name.parse::<ObjectId>().is_ok()))
}

/// The key of a record that is named by its hash.
///
/// # Panics
/// For kinds that are not; see [`records`].
pub fn record(kind: ObjectKind, id: &ObjectId) -> ObjectKey {
    let folder = records(kind).expect("the caller names a kind whose records are named by hash");
    key(format!("{folder}{id}"))
}
