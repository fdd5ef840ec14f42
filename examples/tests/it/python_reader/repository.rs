//! Repositories as the engine writes them, in a folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use backup_backend_local::LocalBackend;
use backup_core::{CancelToken, ManualClock, Silent, Snapshotter, Timestamp};
use backup_engine::create::CreateOptions;
use backup_engine::format::ObjectKind;
use backup_engine::format::slot::SlotNote;
use backup_engine::id::SnapshotId;
use backup_engine::layout;
use backup_engine::repository::{InitOptions, NewKey, Repository, Unlock};
use backup_snapshotter_files::{FilesOptions, FilesSnapshotter};
use zeroize::Zeroizing;

use super::script::{Reader, Run};

pub(crate) const PASSWORD: &str = "a password for tests";

/// The key file that opens a repository with every kind of object, for programs that need not wait for a password.
pub(crate) const KEY_FILE: &[u8] = &[7; 48];

impl Reader {
    /// Runs a command with the password of the test repositories.
    pub(crate) fn run(&self, repository: &Path, arguments: &[&str]) -> Run {
        let all = [&["--password-env", "PASSWORD"], arguments].concat();
        self.command(repository, &all, &[("PASSWORD", PASSWORD)])
    }
}

/// A repository in a folder.
pub(crate) struct Written {
    pub(crate) path: PathBuf,
    pub(crate) repository: Repository,
    clock: Arc<ManualClock>,
}

impl Written {
    pub(crate) async fn new(folder: &Path, options: &InitOptions) -> Self {
        let path = folder.join("repository");
        let backend = Arc::new(LocalBackend::create(&path).unwrap());
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_795_250_657)));
        let repository = Repository::init(backend, &NewKey::password(PASSWORD), options, clock.clone()).await.unwrap();
        Self { path, repository, clock }
    }

    /// The same after it was opened anew, as the next program run sees it.
    async fn reopened(self) -> Self {
        let backend = Arc::new(LocalBackend::open(&self.path).unwrap());
        let repository = Repository::open(backend, &Unlock::password(PASSWORD), self.clock.clone()).await.unwrap();
        Self { repository, ..self }
    }

    pub(crate) async fn capture(&self, source: &Path) -> SnapshotId {
        self.capture_from(Arc::new(FilesSnapshotter::new(FilesOptions::new([source])).unwrap())).await
    }

    pub(crate) async fn capture_from(&self, source: Arc<dyn Snapshotter>) -> SnapshotId {
        // The newest snapshot is the one with the greatest time.
        self.clock.advance(Duration::from_secs(60));
        let mut options = CreateOptions::default();
        options.workers = 2;
        let report = self.repository.create(source, options, Arc::new(Silent), CancelToken::new()).await.unwrap();
        assert_eq!(report.problems, []);
        report.snapshot
    }

    /// All keys in order.
    pub(crate) fn objects(&self) -> Vec<String> {
        fn collect(folder: &Path, root: &Path, keys: &mut Vec<String>) {
            for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
                let path = entry.path();
                if path.is_dir() {
                    collect(&path, root, keys);
                } else {
                    keys.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        let mut keys = Vec::new();
        collect(&self.path, &self.path, &mut keys);
        keys.sort();
        keys
    }

    /// Replaces an object behind the engine's back.
    pub(crate) fn replace(&self, key: &str, bytes: &[u8]) {
        let path = self.path.join(key);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

/// A repository with every kind of object there is, snapshots in two key epochs among them.
pub(crate) async fn every_kind_of_object(folder: &Path, source: &Path) -> Written {
    let mut written = Written::new(folder, &InitOptions::default()).await;
    let key = NewKey::KeyFile(Zeroizing::new(KEY_FILE.to_vec()));
    written.repository.add_key(&key, &SlotNote::default()).await.unwrap();
    written.capture(source).await;
    written.repository.rotate_epoch().await.unwrap();
    let written = written.reopened().await;
    std::fs::write(source.join("second epoch"), "sealed under the second epoch's key").unwrap();
    written.capture(source).await;

    let repository = &written.repository;
    let snapshot = repository.list_snapshots().await.unwrap().find("latest").unwrap();
    repository.annotate(&snapshot, &["kept".to_owned()], true, None).await.unwrap();
    let store = repository.store();
    let verified = br#"{"at":"2026-11-21T08:44:17Z","level":"objects","packs":1,"bytes":2,"damaged":[]}"#;
    store.put_record(ObjectKind::Verify, verified).await.unwrap();
    let session = "0123456789abcdef0123456789abcdef";
    let state = format!(
        r#"{{"session":"{session}","sequence":0,"at":"2026-11-21T08:44:17Z","host":"h","source":{{"kind":"files","roots":[]}}}}"#
    );
    store.put_record_as(&layout::session_object(session, 0), ObjectKind::Session, state.as_bytes()).await.unwrap();
    written
}
