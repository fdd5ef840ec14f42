//! A small repository that has objects of every kind.

use std::sync::Arc;
use std::time::Duration;

use backup_core::{CancelToken, ManualClock, MemoryBackend, Monitor, Silent};
use backup_engine::check::{CheckLevel, CheckOptions, CheckReport};
use backup_engine::create::CreateError;
use backup_engine::format::slot::SlotNote;
use backup_engine::repository::{NewKey, Repository};

use super::oracle::Expected;
use super::source::{MemorySource, Tree, path};
use super::{clock, create, create_options, init, noise, open};

/// A repository with three snapshots, two of them under a second epoch, and one of every other kind of object.
pub(crate) struct Fixture {
    pub(crate) store: MemoryBackend,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) expected: Expected,
    /// What the newest snapshot holds.
    pub(crate) tree: Tree,
}

/// The content of the first snapshot: small files, files of several chunks, what is no file, and more than one leaf.
pub(crate) fn first_tree() -> Tree {
    let mut tree = Tree::default();
    for n in 0..60u64 {
        let len = usize::try_from(200 + n * 37).unwrap();
        tree.file(&format!("docs/{n:02}.txt"), &noise(n, len));
    }
    for n in 0..4u64 {
        tree.file(&format!("media/{n}.bin"), &noise(1000 + n, 70_000 + 50_000 * usize::try_from(n).unwrap()));
    }
    // Attributes so long that the leaves end in between.
    tree.directory("wide/a", &noise(1, 300_000)).directory("wide/b", &noise(2, 300_000));
    tree.file("wide/c", b"after the first leaf").file("zero", b"");
    tree.sparse("sparse", 10 << 20, 5 << 20, &noise(3, 90_000)).sparse("hole", 1 << 20, 0, b"");
    tree.link("link", "docs/00.txt");
    tree
}

/// A monitor that cancels as soon as something is in the tree and so many bytes were captured.
pub(crate) struct CancelAt {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) bytes: u64,
    pub(crate) cancel: CancelToken,
}

impl Monitor for CancelAt {
    fn event(&self, event: &backup_core::Event<'_>) {
        if let backup_core::Event::Progress { done, .. } = event {
            if done.items > 0 && done.bytes >= self.bytes {
                self.cancel.cancel();
            }
            // Progress comes at most every 50 ms of a clock that stands still otherwise.
            self.clock.advance(Duration::from_millis(50));
        }
    }
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        let (store, clock) = (MemoryBackend::new(), clock());
        let mut repository = init(&store, &clock).await;
        let mut expected = Expected::new();

        let mut tree = first_tree();
        let first = create(&repository, &clock, &tree).await;
        expected.insert(first.snapshot, tree.clone());

        repository.add_key(&NewKey::KeyFile(vec![9; 32].into()), &SlotNote::default()).await.unwrap();
        repository.rotate_epoch().await.unwrap();
        let repository = open(&store, &clock).await.unwrap();
        tree.file("docs/07.txt", b"changed").file("media/9.bin", &noise(77, 150_000)).remove("docs/20.txt");
        let second = create(&repository, &clock, &tree).await;
        expected.insert(second.snapshot, tree.clone());
        tree.file("docs/a new one", &noise(99, 5000));
        let third = create(&repository, &clock, &tree).await;
        expected.insert(third.snapshot, tree.clone());

        let list = repository.list_snapshots().await.unwrap();
        let first = list.snapshots.iter().find(|snapshot| snapshot.id == first.snapshot).unwrap();
        repository.annotate(first, &["kept".to_owned()], true, None).await.unwrap();
        check(&repository, CheckLevel::Data).await;
        interrupt(&repository, &clock, &tree).await;
        Self { store, clock, expected, tree }
    }

    /// A repository of its own with the same contents.
    pub(crate) fn fork(&self) -> Self {
        Self {
            store: self.store.fork(),
            clock: Arc::clone(&self.clock),
            expected: self.expected.clone(),
            tree: self.tree.clone(),
        }
    }

    pub(crate) async fn open(&self) -> Repository {
        open(&self.store, &self.clock).await.unwrap()
    }

    /// The keys of all objects under a folder.
    pub(crate) fn keys(&self, folder: &str) -> Vec<backup_core::ObjectKey> {
        self.store.keys().into_iter().filter(|key| key.as_str().starts_with(folder)).collect()
    }

    /// The data packs, or the tree packs.
    pub(crate) fn packs(&self, kind: u8) -> Vec<backup_core::ObjectKey> {
        let is_of_kind = |key: &backup_core::ObjectKey| self.store.peek(key).unwrap()[5] == kind;
        self.keys("packs/").into_iter().filter(is_of_kind).collect()
    }
}

/// Checks, and lets a second pass.
pub(crate) async fn check(repository: &Repository, level: CheckLevel) -> CheckReport {
    check_with(repository, CheckOptions::level(level)).await
}

pub(crate) async fn check_with(repository: &Repository, options: CheckOptions) -> CheckReport {
    repository.check(options, Arc::new(Silent), CancelToken::new()).await.unwrap()
}

/// Leaves an interrupted run of the same source behind, which has stored something.
pub(crate) async fn interrupt(repository: &Repository, clock: &Arc<ManualClock>, tree: &Tree) {
    let mut tree = tree.clone();
    tree.file("zz/interrupted", &noise(5, 100_000)).file("zz/later", &noise(6, 600_000));
    assert!(tree.0.contains_key(&path("zz/later")));
    let cancel = CancelToken::new();
    let monitor = Arc::new(CancelAt { clock: Arc::clone(clock), bytes: 0, cancel: cancel.clone() });
    let source = Arc::new(MemorySource::new("test", tree));
    let result = repository.create(source, create_options(), monitor, cancel).await;
    assert!(matches!(result, Err(CreateError::Cancelled { .. })), "{result:?}");
    clock.advance(Duration::from_secs(1));
}
