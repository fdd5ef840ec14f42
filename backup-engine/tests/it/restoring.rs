//! What a restore does where something is damaged, where something stands already, and what it removes.

use std::collections::BTreeMap;
use std::sync::Arc;

use backup_core::conflict::{KeepBackup, KeepBoth, KeepLocal};
use backup_core::{
    CancelToken, ConflictResolver, Coverage, EntryError, EntryKind, EntryPath, EntryWriter, ReadAt, RestoreTarget,
    Silent, SourceError,
};
use backup_engine::restore::{RestoreError, RestoreOptions, RestoreReport, Selection};

use crate::support::source::{Tree, path};
use crate::support::target::MemoryTarget;
use crate::support::{clock, create, init, noise};
use backup_core::storage::memory::MemoryBackend;
use backup_engine::repository::Repository;

async fn restore(
    repository: &Repository,
    target: &MemoryTarget,
    resolver: impl ConflictResolver + 'static,
    options: RestoreOptions,
) -> Result<RestoreReport, RestoreError> {
    let snapshot = repository.list_snapshots().await.unwrap().snapshots.pop().unwrap();
    let (target, resolver) = (Arc::new(target.clone()), Arc::new(resolver));
    repository.restore(&snapshot, target, resolver, options, Arc::new(Silent), CancelToken::new()).await
}

/// A repository with one snapshot of a tree.
async fn repository_of(tree: &Tree) -> (MemoryBackend, Repository) {
    let (store, clock) = (MemoryBackend::new(), clock());
    let repository = init(&store, &clock).await;
    create(&repository, &clock, tree).await;
    (store, repository)
}

/// The packs of a kind, the largest first.
fn packs(store: &MemoryBackend, kind: u8) -> Vec<backup_core::ObjectKey> {
    let mut packs: Vec<_> = store
        .keys()
        .into_iter()
        .filter(|key| key.as_str().starts_with("packs/") && store.peek(key).unwrap()[5] == kind)
        .collect();
    packs.sort_by_key(|key| std::cmp::Reverse(store.peek(key).unwrap().len()));
    packs
}

fn flip(store: &MemoryBackend, key: &backup_core::ObjectKey, at: usize) {
    let mut bytes = store.pluck(key).unwrap().to_vec();
    bytes[at] ^= 1;
    store.plant(key, bytes);
}

/// Two directories share each leaf's edge; names that don't compress make leaves of several blocks.
fn wide_tree() -> Tree {
    let mut tree = Tree::default();
    let mut paths = Vec::new();
    for directory in 0..90 {
        for file in 0..90_u64 {
            let name: String = noise(directory * 1000 + file, 120).iter().map(|byte| format!("{byte:02x}")).collect();
            paths.push(format!("top/{directory:02}/{file:02}-{name}"));
        }
    }
    // In two steps: a directory is added with its first file.
    for path in paths {
        tree.file(&path, path.as_bytes());
    }
    tree
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_part_of_the_tree_costs_its_entries_and_moves_no_other() {
    let tree = wide_tree();
    let expected = MemoryTarget::expected(&tree);
    let (store, repository) = repository_of(&tree).await;
    let trees = packs(&store, 2);
    assert!(trees.len() > 2, "leaves in several packs: {}", trees.len());
    let mut fewest = usize::MAX;
    for pack in &trees {
        flip(&store, pack, store.peek(pack).unwrap().len() / 2);
        let target = MemoryTarget::default();
        let local = path("top/local");
        target.put(&local, b"mine");
        let report = restore(&repository, &target, KeepBackup::default(), RestoreOptions::default()).await.unwrap();
        flip(&store, pack, store.peek(pack).unwrap().len() / 2);
        assert!(report.problem_count > 0, "damage is told");
        let mut found = target.contents();
        assert_eq!(found.remove(&local).unwrap().1, b"mine");
        for (path, (kind, content)) in &found {
            let wanted = expected.get(path).unwrap_or_else(|| panic!("`{path}` was never in the backup"));
            assert_eq!((kind, content), (&wanted.0, &wanted.1), "{path}");
        }
        // The nodes over others lie apart, in the smallest: without them there is no way to any leaf.
        let is_inner = pack == trees.last().unwrap();
        if !is_inner {
            fewest = fewest.min(found.len());
        }
        for problem in &report.problems {
            assert!(problem.to_string().contains("cannot restore"), "{problem}");
        }
    }
    assert!(fewest > expected.len() / 3, "{fewest} of {} came back where the most was lost", expected.len());
    let target = MemoryTarget::default();
    restore(&repository, &target, KeepBackup::default(), RestoreOptions::default()).await.unwrap();
    assert_eq!(target.contents(), expected, "undamaged, it comes back whole");
}

/// Two names of one file.
fn linked(first: (&str, &[u8]), second: (&str, &[u8])) -> Tree {
    let mut tree = Tree::default();
    for (name, content) in [first, second] {
        tree.file(name, content);
        let entry = &mut tree.0.get_mut(&path(name)).unwrap().entry;
        (entry.inode, entry.device, entry.links) = (77, 7, 2);
    }
    tree
}

#[tokio::test(flavor = "multi_thread")]
async fn name_is_not_linked_to_what_stands_where_its_file_could_not_be_restored() {
    let content = noise(3, 300_000);
    let (store, repository) = repository_of(&linked(("d/a", &content), ("d/b", &content))).await;
    for pack in packs(&store, 1) {
        store.pluck(&pack).unwrap();
    }
    let target = MemoryTarget::default();
    target.put(&path("d/a"), b"old a");
    target.put(&path("d/b"), b"old b");
    let report = restore(&repository, &target, KeepBackup::default(), RestoreOptions::default()).await.unwrap();
    let contents = target.contents();
    assert_eq!((&*contents[&path("d/a")].1, &*contents[&path("d/b")].1), (&b"old a"[..], &b"old b"[..]));
    let problems: Vec<_> = report.problems.iter().map(ToString::to_string).collect();
    assert_eq!(report.problem_count, 2, "{problems:?}");
    assert!(problems.iter().any(|problem| problem.contains("another name of `d/a`")), "{problems:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_one_file_that_changed_between_them_each_get_their_own_content() {
    let (_, repository) = repository_of(&linked(("d/a", b"before"), ("d/b", b"after!"))).await;
    let target = MemoryTarget::default();
    restore(&repository, &target, KeepBackup::default(), RestoreOptions::default()).await.unwrap();
    let contents = target.contents();
    assert_eq!((&*contents[&path("d/a")].1, &*contents[&path("d/b")].1), (&b"before"[..], &b"after!"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn directory_goes_only_when_there_is_a_file_to_put_in_its_place() {
    let mut tree = Tree::default();
    tree.file("d/f", &noise(5, 200_000)).link("d/l", "f");
    let (store, repository) = repository_of(&tree).await;
    let target = MemoryTarget::default();
    target.put(&path("d/f/important"), b"mine");
    target.put(&path("d/l/other"), b"mine");
    let lost: Vec<_> = packs(&store, 1).into_iter().map(|key| (key.clone(), store.pluck(&key).unwrap())).collect();
    let report = restore(&repository, &target, KeepBackup::default(), RestoreOptions::default()).await.unwrap();
    assert_eq!(report.problem_count, 1);
    assert_eq!(target.contents()[&path("d/f/important")].1, b"mine");
    assert_eq!(target.contents()[&path("d/l")].0, EntryKind::Symlink);
    for (key, bytes) in lost {
        store.plant(&key, bytes);
    }
    restore(&repository, &target, KeepBackup::default(), RestoreOptions::default()).await.unwrap();
    assert_eq!(target.contents(), MemoryTarget::expected(&tree));
}

/// A root `r` below a lead-in, with a whole directory, one of which a part was left out, and an extra file in each.
fn covered() -> (Tree, MemoryTarget) {
    let mut tree = Tree::default();
    tree.file("home/r/whole/in/a", b"a").file("home/r/part/b", b"b");
    let coverage = [
        ("home", Coverage::LeadIn),
        ("home/r", Coverage::Whole),
        ("home/r/whole", Coverage::Whole),
        ("home/r/whole/in", Coverage::Whole),
        ("home/r/part", Coverage::Part),
    ];
    for (name, coverage) in coverage {
        tree.0.get_mut(&path(name)).unwrap().entry.coverage = coverage;
    }
    let target = MemoryTarget::default();
    for extra in ["other", "home/x", "home/r/x", "home/r/whole/x/y", "home/r/whole/in/x", "home/r/part/x"] {
        target.put(&path(extra), b"mine");
    }
    (tree, target)
}

fn names(target: &MemoryTarget) -> Vec<String> {
    let files = target.contents().into_iter().filter(|(_, (kind, _))| *kind == EntryKind::File);
    files.map(|(path, _)| path.to_string()).collect()
}

fn deleting() -> RestoreOptions {
    let mut options = RestoreOptions::default();
    options.delete_extra = true;
    options
}

#[tokio::test(flavor = "multi_thread")]
async fn only_directories_of_which_the_snapshot_has_everything_lose_what_it_lacks() {
    let (tree, target) = covered();
    let (_, repository) = repository_of(&tree).await;
    let before = names(&target);
    let mut options = deleting();
    options.dry_run = true;
    let report = restore(&repository, &target, KeepBackup::default(), options).await.unwrap();
    let deletions = ["home/r/whole/in/x", "home/r/whole/x", "home/r/x"].map(path);
    assert_eq!((report.deletions.as_slice(), report.deleted), (deletions.as_slice(), 3));
    assert_eq!(names(&target), before, "a dry run removes nothing");
    let report = restore(&repository, &target, KeepBackup::default(), deleting()).await.unwrap();
    assert_eq!((report.deletions.as_slice(), report.deleted), (deletions.as_slice(), 3));
    assert_eq!(names(&target), ["home/r/part/b", "home/r/part/x", "home/r/whole/in/a", "home/x", "other"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn selected_path_loses_nothing_outside_it() {
    let (tree, target) = covered();
    let (_, repository) = repository_of(&tree).await;
    let mut options = deleting();
    options.selection = Selection { include: vec![path("home/r/whole/in")], matcher: None };
    let report = restore(&repository, &target, KeepBackup::default(), options).await.unwrap();
    assert_eq!(report.deletions, [path("home/r/whole/in/x")]);
    assert_eq!(target.contents()[&path("home/r/whole/in/a")].1, b"a");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_restored_beside_a_local_entry_is_not_removed_as_extra() {
    let (tree, target) = covered();
    target.put(&path("home/r/whole/in/a"), b"another");
    let (_, repository) = repository_of(&tree).await;
    let report = restore(&repository, &target, KeepBoth::default(), deleting()).await.unwrap();
    assert_eq!((report.kept_both, report.deleted), (1, 3));
    let in_it: Vec<_> = names(&target).into_iter().filter(|name| name.starts_with("home/r/whole/in/a")).collect();
    assert_eq!(in_it.len(), 2, "{in_it:?}");
}

/// Two folders that are one without their first component.
fn mergeable() -> Tree {
    let mut tree = Tree::default();
    tree.file("a/d/one", b"1").file("a/d/same", b"of a").file("b/d/same", b"of b").file("b/d/two", b"2");
    tree.0.values_mut().for_each(|node| {
        if node.entry.kind == EntryKind::Directory {
            node.entry.coverage = Coverage::Whole;
        }
    });
    tree
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_that_become_one_remove_nothing_of_each_other() {
    let (_, repository) = repository_of(&mergeable()).await;
    let mut options = deleting();
    options.strip = 1;
    for include in [vec![], vec![path("a"), path("b")], vec![path("a/d"), path("b/d/two")]] {
        options.selection = Selection { include, matcher: None };
        let refused = restore(&repository, &MemoryTarget::default(), KeepLocal::default(), options.clone()).await;
        assert!(matches!(refused, Err(RestoreError::SeveralPlaces)), "{refused:?}");
    }
    let target = MemoryTarget::default();
    target.put(&path("d/two"), b"mine");
    options.selection = Selection { include: vec![path("a/d")], matcher: None };
    let report = restore(&repository, &target, KeepLocal::default(), options).await.unwrap();
    assert_eq!(report.deletions, [path("d/two")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_that_meet_at_one_name_are_a_conflict_like_any_other() {
    let (_, repository) = repository_of(&mergeable()).await;
    let mut options = RestoreOptions::default();
    options.strip = 1;
    let target = MemoryTarget::default();
    let report = restore(&repository, &target, KeepBoth::default(), options).await.unwrap();
    assert_eq!((report.kept_both, report.restored_files), (1, 4));
    let contents: Vec<_> = target.contents().into_values().map(|(_, content)| content).collect();
    for content in [&b"1"[..], b"2", b"of a", b"of b"] {
        assert!(contents.iter().any(|found| found == content), "{contents:?}");
    }

    // The name that one entry gets beside a local file is another entry's own.
    let first = restored_beside("f", &Tree::default()).await;
    let mut tree = Tree::default();
    tree.file("f", b"of f").file(&first, b"its own");
    let (_, repository) = repository_of(&tree).await;
    let target = MemoryTarget::default();
    target.put(&path("f"), b"mine");
    restore(&repository, &target, KeepBoth::default(), RestoreOptions::default()).await.unwrap();
    let contents: Vec<_> = target.contents().into_values().map(|(_, content)| content).collect();
    for content in [&b"mine"[..], b"of f", b"its own"] {
        assert!(contents.iter().any(|found| found == content), "{contents:?}");
    }
}

/// The name that a file gets beside a local one.
async fn restored_beside(name: &str, others: &Tree) -> String {
    let mut tree = others.clone();
    tree.file(name, b"of the backup");
    let (_, repository) = repository_of(&tree).await;
    let target = MemoryTarget::default();
    target.put(&path(name), b"mine");
    restore(&repository, &target, KeepBoth::default(), RestoreOptions::default()).await.unwrap();
    names(&target).into_iter().find(|found| found != name).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn file_that_only_looks_the_same_is_a_conflict_when_contents_are_compared() {
    let mut tree = Tree::default();
    tree.file("f", b"of the backup");
    let (_, repository) = repository_of(&tree).await;
    let target = MemoryTarget::default();
    restore(&repository, &target, KeepBackup::default(), RestoreOptions::default()).await.unwrap();
    let entry = target.entry(&path("f")).unwrap();
    target.put(&path("f"), b"of the locals");
    target.set_metadata(&entry).unwrap();
    let mut options = RestoreOptions::default();
    options.verify_existing = true;
    let report = restore(&repository, &target, KeepLocal::default(), options.clone()).await.unwrap();
    assert_eq!((report.conflicts.len(), report.skipped), (1, 1));
    assert_eq!(target.contents()[&path("f")].1, b"of the locals");
    restore(&repository, &target, KeepBackup::default(), options).await.unwrap();
    assert_eq!(target.contents()[&path("f")].1, b"of the backup");
}

#[tokio::test(flavor = "multi_thread")]
async fn second_restore_finds_nothing_to_do() {
    let (tree, target) = covered();
    let (_, repository) = repository_of(&tree).await;
    restore(&repository, &target, KeepBackup::default(), RestoreOptions::default()).await.unwrap();
    let again = restore(&repository, &target, KeepBackup::default(), RestoreOptions::default()).await.unwrap();
    assert_eq!((again.restored_files, again.restored_others, again.unchanged), (0, 0, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn dry_run_foresees_a_file_that_gives_way_to_a_directory() {
    let mut tree = Tree::default();
    tree.file("d/in/f", b"1");
    let (_, repository) = repository_of(&tree).await;
    let target = MemoryTarget::default();
    target.put(&path("d"), b"a file");
    let mut options = RestoreOptions::default();
    options.dry_run = true;
    let foreseen = restore(&repository, &target, KeepBackup::default(), options).await.unwrap();
    let done = restore(&repository, &target, KeepBackup::default(), RestoreOptions::default()).await.unwrap();
    let numbers = |report: &RestoreReport| (report.restored_files, report.restored_others, report.problem_count);
    assert_eq!((numbers(&foreseen), numbers(&done)), ((1, 2, 0), (1, 2, 0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn directory_that_only_leads_to_what_is_restored_keeps_its_own_metadata() {
    let (tree, target) = covered();
    let (_, repository) = repository_of(&tree).await;
    let marked = |name: &str| {
        let mut entry = target.entry(&path(name)).unwrap();
        entry.mode = 0o711;
        target.set_metadata(&entry).unwrap();
    };
    ["home", "home/r", "home/r/whole"].into_iter().for_each(marked);
    let mut options = RestoreOptions::default();
    options.selection = Selection { include: vec![path("home/r/whole")], matcher: None };
    restore(&repository, &target, KeepBackup::default(), options).await.unwrap();
    let modes = ["home", "home/r", "home/r/whole"].map(|name| target.entry(&path(name)).unwrap().mode);
    assert_eq!(modes, [0o711, 0o711, 0o755]);
    restore(&repository, &target, KeepBackup::default(), RestoreOptions::default()).await.unwrap();
    let modes = ["home", "home/r"].map(|name| target.entry(&path(name)).unwrap().mode);
    assert_eq!(modes, [0o711, 0o755], "a lead-in of the snapshot stays, a root is restored");
}

/// Cancels as soon as the first file is begun, or dies then.
#[derive(Debug)]
struct CancellingTarget {
    inner: MemoryTarget,
    cancel: CancelToken,
    dies: bool,
}

impl RestoreTarget for CancellingTarget {
    fn inspect(&self, path: &EntryPath) -> Result<Option<backup_core::Entry>, EntryError> {
        self.inner.inspect(path)
    }
    fn create_directory(&self, entry: &backup_core::Entry) -> Result<bool, EntryError> {
        self.inner.create_directory(entry)
    }
    fn create_file(&self, entry: &backup_core::Entry) -> Result<Box<dyn EntryWriter>, EntryError> {
        assert!(!self.dies, "as asked");
        self.cancel.cancel();
        self.inner.create_file(entry)
    }
    fn create_special(&self, entry: &backup_core::Entry) -> Result<(), EntryError> {
        self.inner.create_special(entry)
    }
    fn create_hard_link(&self, entry: &backup_core::Entry, existing: &EntryPath) -> Result<(), EntryError> {
        self.inner.create_hard_link(entry, existing)
    }
    fn open_existing(&self, path: &EntryPath) -> Result<Box<dyn ReadAt>, EntryError> {
        self.inner.open_existing(path)
    }
    fn set_metadata(&self, entry: &backup_core::Entry) -> Result<(), EntryError> {
        self.inner.set_metadata(entry)
    }
    fn finish_directory(&self, entry: &backup_core::Entry) -> Result<(), EntryError> {
        self.inner.finish_directory(entry)
    }
    fn remove(&self, path: &EntryPath) -> Result<(), EntryError> {
        self.inner.remove(path)
    }
    fn extra_names(&self, directory: &EntryPath, keep: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, EntryError> {
        self.inner.extra_names(directory, keep)
    }
    fn finish(&self) -> Result<(), SourceError> {
        panic!("what was cut short is not finished")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_restore_says_so_even_when_everything_is_planned_and_leaves_only_whole_files() {
    let mut tree = Tree::default();
    // All of them fit the first window, so the walk has long ended when workers begin.
    for number in 0..20 {
        tree.file(&format!("d/{number}"), &noise(number, 500_000));
    }
    let (_, repository) = repository_of(&tree).await;
    let cancel = CancelToken::new();
    let target = Arc::new(CancellingTarget { inner: MemoryTarget::default(), cancel: cancel.clone(), dies: false });
    let snapshot = repository.list_snapshots().await.unwrap().snapshots.pop().unwrap();
    let resolver = Arc::new(KeepBackup::default());
    let ended = repository.restore(
        &snapshot,
        Arc::clone(&target) as _,
        resolver,
        RestoreOptions::default(),
        Arc::new(Silent),
        cancel,
    );
    assert!(matches!(ended.await, Err(RestoreError::Cancelled)));
    let expected: BTreeMap<_, _> = MemoryTarget::expected(&tree);
    let found = target.inner.contents();
    assert!(found.len() < expected.len(), "it stopped before the end");
    assert!(found.iter().all(|(path, content)| expected[path] == *content), "no file is half there");
}

#[tokio::test(flavor = "multi_thread")]
async fn restore_whose_workers_die_fails_and_does_not_hang() {
    let mut tree = Tree::default();
    for number in 0..200 {
        tree.file(&format!("d/{number}"), &noise(number, 70_000));
    }
    let (_, repository) = repository_of(&tree).await;
    let cancel = CancelToken::new();
    let target = Arc::new(CancellingTarget { inner: MemoryTarget::default(), cancel: cancel.clone(), dies: true });
    let snapshot = repository.list_snapshots().await.unwrap().snapshots.pop().unwrap();
    let mut options = RestoreOptions::default();
    options.workers = 1;
    let resolver = Arc::new(KeepBackup::default());
    let ended = repository.restore(&snapshot, target, resolver, options, Arc::new(Silent), cancel).await;
    assert!(matches!(ended, Err(RestoreError::Repository(_))), "{ended:?}");
}
