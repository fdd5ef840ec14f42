//! The golden repositories where they lie.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use backup_core::{ManualClock, MemoryBackend, ObjectKey, Timestamp};
use backup_engine::crypto::escrow::EscrowPrivateKey;
use backup_engine::id::SnapshotId;
use backup_engine::repository::{Repository, Unlock};
use backup_engine::snapshots::parse_time;

use super::listing::{EntryLine, SnapshotLine, from_lines};

/// The files of `keys/`, by the kind of slot that each opens.
pub(crate) const PASSWORD: &str = "password";
pub(crate) const KEY_FILE: &str = "key-file";
pub(crate) const KEYRING: &str = "keyring";
pub(crate) const RECOVERY_CODE: &str = "recovery-code";
pub(crate) const ESCROW_KEY: &str = "escrow-key";

/// A repository that an earlier program wrote, and what it holds.
pub(crate) struct Golden {
    pub(crate) folder: PathBuf,
}

/// The folder of all of them.
pub(crate) fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// All of them, in the order of their names.
pub(crate) fn all() -> Vec<Golden> {
    let folders = fs::read_dir(home()).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<_> = folders.filter(|folder| folder.is_dir()).collect();
    folders.sort();
    folders.into_iter().map(|folder| Golden { folder }).collect()
}

impl Golden {
    pub(crate) fn name(&self) -> String {
        self.folder.file_name().unwrap().to_string_lossy().into_owned()
    }

    /// A copy of its objects, to do with as one likes.
    pub(crate) fn store(&self) -> MemoryBackend {
        let store = MemoryBackend::new();
        let root = self.folder.join("repository");
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let below = path.strip_prefix(&root).unwrap().components();
                let key: Vec<_> = below.map(|part| part.as_os_str().to_str().unwrap()).collect();
                store.plant(&ObjectKey::new(key.join("/")).unwrap(), fs::read(&path).unwrap());
            }
        }
        store
    }

    /// What opens it, by the name of the key's file.
    pub(crate) fn keys(&self) -> Vec<(String, Unlock)> {
        let files = fs::read_dir(self.folder.join("keys")).unwrap().map(|entry| entry.unwrap().path());
        let mut keys: Vec<_> = files
            .map(|file| {
                let name = file.file_name().unwrap().to_str().unwrap().to_owned();
                let bytes = fs::read(&file).unwrap();
                let text = || String::from_utf8(bytes.clone()).unwrap();
                let unlock = match name.as_str() {
                    PASSWORD => Unlock::password(text()),
                    KEY_FILE | KEYRING => Unlock::Key(bytes.into()),
                    RECOVERY_CODE => Unlock::RecoveryCode(text().into()),
                    ESCROW_KEY => Unlock::Escrow(EscrowPrivateKey::parse(&text()).unwrap()),
                    other => panic!("{other} opens nothing that is known"),
                };
                (name, unlock)
            })
            .collect();
        keys.sort_by(|(one, _), (other, _)| one.cmp(other));
        keys
    }

    /// A day after the last thing happened in it: no run of its own is under way any more.
    pub(crate) fn clock(&self) -> Arc<ManualClock> {
        let last = self.snapshots().iter().filter_map(|line| parse_time(&line.time)).max();
        let clock = ManualClock::new(last.unwrap_or(Timestamp::EPOCH));
        clock.advance(Duration::from_secs(24 * 60 * 60));
        Arc::new(clock)
    }

    /// Opens a copy with the key file, which costs nothing.
    pub(crate) async fn open(&self, store: &MemoryBackend, clock: &Arc<ManualClock>) -> Repository {
        let keys = self.keys();
        let (_, unlock) = keys.iter().find(|(name, _)| name == KEY_FILE).unwrap();
        Repository::open(Arc::new(store.clone()), unlock, clock.clone()).await.unwrap()
    }

    /// What snapshots it has, oldest first.
    pub(crate) fn snapshots(&self) -> Vec<SnapshotLine> {
        from_lines(&fs::read_to_string(self.folder.join("snapshots.jsonl")).unwrap())
    }

    /// What is in one of them, in canonical order.
    pub(crate) fn entries(&self, snapshot: SnapshotId) -> Vec<EntryLine> {
        let file = self.folder.join(entries_file(snapshot));
        from_lines(&fs::read_to_string(file).unwrap())
    }
}

/// The name of the file with a snapshot's entries.
pub(crate) fn entries_file(snapshot: SnapshotId) -> String {
    format!("entries-{}.jsonl", &snapshot.to_string()[..8])
}
