//! The file in which a machine keeps the index: it saves requests, and losing or breaking it costs nothing else.

use std::path::PathBuf;
use std::sync::Arc;

use backup_core::{CancelToken, ManualClock, MemoryBackend, Silent, StorageBackend, StorageErrorKind};
use backup_engine::check::CheckLevel;
use backup_engine::error::RepositoryError;
use backup_engine::id::SnapshotId;
use backup_engine::repository::Repository;

use crate::support::fixture::check;
use crate::support::oracle::{Expected, lost};
use crate::support::source::{MemorySource, Tree};
use crate::support::veil::{Veil, VeiledBackend};
use crate::support::{clock, create, create_options, init, open, open_over};

/// More index objects than are fetched each time.
const SNAPSHOTS: u8 = 40;

struct Kept {
    store: MemoryBackend,
    clock: Arc<ManualClock>,
    tree: Tree,
    expected: Expected,
    folder: tempfile::TempDir,
}

impl Kept {
    /// A repository of many index objects whose index is in a file.
    async fn new() -> Self {
        let (store, clock) = (MemoryBackend::new(), clock());
        let repository = init(&store, &clock).await;
        let (mut tree, mut expected) = (Tree::default(), Expected::new());
        for n in 0..SNAPSHOTS {
            tree.file(&format!("f{n}"), &[n; 1000]);
            expected.insert(create(&repository, &clock, &tree).await.snapshot, tree.clone());
        }
        let kept = Self { store, clock, tree, expected, folder: tempfile::tempdir().unwrap() };
        assert!(!kept.file().exists());
        kept.open().await.load_index().await.unwrap();
        assert!(kept.file().is_file());
        kept
    }

    async fn open(&self) -> Repository {
        open(&self.store, &self.clock).await.unwrap().with_cache(self.folder.path())
    }

    fn file(&self) -> PathBuf {
        let repositories = std::fs::read_dir(self.folder.path()).unwrap();
        let mut files = repositories.map(|repository| repository.unwrap().path().join("index"));
        files.next().unwrap_or_else(|| self.folder.path().join("none"))
    }

    fn index_objects(&self) -> Vec<backup_core::ObjectKey> {
        self.store.keys().into_iter().filter(|key| key.as_str().starts_with("index/")).collect()
    }
}

/// Whether everything can be read back through the file: what was stored before, and one more snapshot.
async fn restores(kept: &Kept, snapshot: SnapshotId, tree: &Tree) -> bool {
    let mut expected = kept.expected.clone();
    expected.insert(snapshot, tree.clone());
    lost(&kept.open().await, &expected).await.is_empty()
}

#[tokio::test(flavor = "multi_thread")]
async fn index_object_that_is_in_the_file_is_not_fetched_again() {
    let kept = Kept::new().await;
    // A store that can't read any of the objects would fail if it were asked for one.
    let key = kept.index_objects().remove(0);
    let veil = Veil::Unreadable(StorageErrorKind::Unavailable);
    let failing: Arc<dyn StorageBackend> = VeiledBackend::new(&kept.store, &key, veil);
    let without = open_over(Arc::clone(&failing), &kept.clock).await.unwrap();
    let error = without.load_index().await.unwrap_err();
    assert!(matches!(&error, RepositoryError::Storage(error) if error.kind() == StorageErrorKind::Unavailable));
    let with = open_over(failing, &kept.clock).await.unwrap().with_cache(kept.folder.path());
    let loaded = with.load_index().await.unwrap();
    assert_eq!(loaded.objects, usize::from(SNAPSHOTS));
    assert_eq!(loaded.index.len(), kept.open().await.load_index().await.unwrap().index.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn create_and_restore_work_from_the_file() {
    let kept = Kept::new().await;
    let mut tree = kept.tree.clone();
    tree.file("new", b"something new");
    let repository = kept.open().await;
    let report = create(&repository, &kept.clock, &tree).await;
    assert_eq!(report.record.statistics.files_new, 1);
    assert_eq!(report.record.statistics.files_unchanged, u64::from(SNAPSHOTS));
    assert!(restores(&kept, report.snapshot, &tree).await);
    assert!(check(&repository, CheckLevel::Data).await.is_sound());
}

#[tokio::test(flavor = "multi_thread")]
async fn index_object_that_is_gone_takes_its_blobs_out_of_the_index() {
    let kept = Kept::new().await;
    let before = kept.open().await.load_index().await.unwrap().index.len();
    kept.store.pluck(&kept.index_objects()[0]);
    let after = kept.open().await.load_index().await.unwrap().index.len();
    assert!(after < before, "{after} of {before}");
    assert_eq!(after, open(&kept.store, &kept.clock).await.unwrap().load_index().await.unwrap().index.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_file_is_named_and_removed_and_the_next_run_makes_it_again() {
    let kept = Kept::new().await;
    let snapshot = kept.open().await.list_snapshots().await.unwrap().snapshots.pop().unwrap();
    let mut bytes = std::fs::read(kept.file()).unwrap();
    // In the prefix of some record, which only a look-up can notice.
    bytes[31 * 30] ^= 1;
    std::fs::write(kept.file(), bytes).unwrap();
    let repository = kept.open().await;
    let stats = repository.stats(vec![snapshot.clone()], false).await;
    assert!(stats.is_ok(), "it reads the objects themselves");
    let loaded = repository.load_index().await.unwrap();
    let found = loaded.index.iter().count();
    assert!(found < loaded.index.len());
    assert!(matches!(loaded.index.failure(), Err(RepositoryError::LocalIndex { path, .. }) if path == kept.file()));
    assert!(!kept.file().exists());
    assert!(restores(&kept, snapshot.id, &kept.tree).await);
    assert!(kept.file().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn create_beside_a_damaged_file_loses_nothing() {
    let kept = Kept::new().await;
    let mut bytes = std::fs::read(kept.file()).unwrap();
    let records = bytes.len() / 3;
    (0..records).step_by(300).for_each(|at| bytes[at] ^= 1);
    std::fs::write(kept.file(), bytes).unwrap();
    let source = Arc::new(MemorySource::new("test", kept.tree.clone()));
    let report =
        kept.open().await.create(source, create_options(), Arc::new(Silent), CancelToken::new()).await.unwrap();
    assert!(restores(&kept, report.snapshot, &kept.tree).await);
}
