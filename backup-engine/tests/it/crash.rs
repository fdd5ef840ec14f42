//! The process, or the store, dies in any one storage operation: what was acknowledged stays, what was not is absent or complete, and the
//! next run succeeds unattended.

use std::sync::Arc;

use backup_core::conflict::KeepBackup;
use backup_core::storage::layer::{FaultBackend, FaultKind};
use backup_core::{CancelToken, MemoryBackend, Silent};
use backup_engine::check::CheckLevel;
use backup_engine::id::SnapshotId;
use backup_engine::repository::{InitError, OpenError, Repository};
use backup_engine::restore::{RestoreError, RestoreOptions, RestoreReport};

use crate::support::fixture::{check, first_tree};
use crate::support::oracle::{Expected, lost};
use crate::support::source::{MemorySource, Tree};
use crate::support::target::MemoryTarget;
use crate::support::{clock, create, create_options, init, noise, open, open_over, try_init};

/// More operations than any run of these tests has; a sweep that reaches it does not end by itself.
const MAX_OPERATIONS: u64 = 500;

fn second_tree() -> Tree {
    let mut tree = first_tree();
    tree.file("docs/07.txt", b"changed").file("media/9.bin", &noise(77, 450_000)).remove("docs/20.txt");
    tree
}

async fn restore(repository: &Repository, target: &MemoryTarget) -> Result<RestoreReport, RestoreError> {
    let snapshot = repository.list_snapshots().await?.find("latest").unwrap();
    let (target, monitor) = (Arc::new(target.clone()), Arc::new(Silent));
    repository
        .restore(&snapshot, target, Arc::new(KeepBackup {}), RestoreOptions::default(), monitor, CancelToken::new())
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn capture_that_dies_in_any_operation_loses_nothing_and_the_next_one_succeeds() {
    let clock = clock();
    let base = MemoryBackend::new();
    let repository = init(&base, &clock).await;
    let mut acknowledged = Expected::new();
    acknowledged.insert(create(&repository, &clock, &first_tree()).await.snapshot, first_tree());
    let tree = second_tree();

    for kind in FaultKind::CRASHES {
        let mut survived = false;
        for number in 0..MAX_OPERATIONS {
            let store = base.fork();
            let faulty = FaultBackend::new(Arc::new(store.clone()));
            faulty.crash_at(number, kind);
            let result = match open_over(Arc::new(faulty.clone()), &clock).await {
                Ok(repository) => {
                    let source = Arc::new(MemorySource::new("test", tree.clone()));
                    let run = repository.create(source, create_options(), Arc::new(Silent), CancelToken::new());
                    run.await.map(|report| report.snapshot).map_err(|error| error.to_string())
                }
                Err(error) => Err(error.to_string()),
            };
            let at =
                format!("{kind:?} of operation {number}: {:?}", faulty.log().get(usize::try_from(number).unwrap()));

            // I1, I2, I3: what is listed reads back exactly, and what was acknowledged is listed.
            let repository = open(&store, &clock).await.unwrap();
            let list = repository.list_snapshots().await.unwrap();
            let mut expected = acknowledged.clone();
            for snapshot in &list.snapshots {
                expected.entry(snapshot.id).or_insert_with(|| tree.clone());
            }
            let listed = |id: &SnapshotId| list.snapshots.iter().any(|snapshot| snapshot.id == *id);
            assert!(acknowledged.keys().all(listed), "{at}");
            assert!(list.snapshots.len() <= 2, "{at}");
            if let Ok(id) = &result {
                assert!(listed(id), "{at}");
            }
            // A torn snapshot is one that the store broke; it was never acknowledged.
            let mut broken = lost(&repository, &expected).await;
            broken.retain(|id, _| acknowledged.contains_key(id) || listed(id));
            assert!(broken.is_empty(), "{at}: {broken:?}");

            // I8: the next run needs no help. I5: the one after it finds nothing left to store.
            let report = create(&repository, &clock, &tree).await;
            let target = MemoryTarget::default();
            assert_eq!(restore(&repository, &target).await.unwrap().problem_count, 0, "{at}");
            assert!(target.contents() == MemoryTarget::expected(&tree), "{at}: restored wrong");
            let again = create(&repository, &clock, &tree).await;
            assert_eq!(again.record.statistics.new_bytes, 0, "{at}");
            assert_eq!(again.record.statistics.files_unchanged, again.record.statistics.files, "{at}");
            assert_eq!(report.record.tree.entries, again.record.tree.entries, "{at}");
            let checked = check(&repository, CheckLevel::Data).await;
            let victims: Vec<_> = checked.findings.iter().flat_map(|finding| &finding.victims).collect();
            let allowed = |id: &SnapshotId| kind == FaultKind::Tear && !listed(id);
            assert!(victims.iter().all(|victim| allowed(&victim.snapshot)), "{at}: {victims:?}");
            assert!(kind == FaultKind::Tear || checked.is_sound(), "{at}: {:?}", checked.findings);

            if result.is_ok() && faulty.operations() <= number {
                survived = true;
                break;
            }
        }
        assert!(survived, "{kind:?}: the sweep has to reach the end of the run");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn restore_that_dies_in_any_operation_writes_nothing_wrong_and_the_next_one_completes_it() {
    let clock = clock();
    let base = MemoryBackend::new();
    let repository = init(&base, &clock).await;
    let tree = first_tree();
    create(&repository, &clock, &tree).await;
    let expected = MemoryTarget::expected(&tree);

    for kind in FaultKind::CRASHES {
        let mut survived = false;
        for number in 0..MAX_OPERATIONS {
            let faulty = FaultBackend::new(Arc::new(base.clone()));
            let repository = open_over(Arc::new(faulty.clone()), &clock).await.unwrap();
            faulty.crash_at(faulty.operations() + number, kind);
            let target = MemoryTarget::default();
            let (before, result) = (faulty.operations() + number, restore_or_error(&repository, &target).await);
            let is_complete = faulty.operations() <= before;
            assert_eq!(is_complete, result.as_ref().is_ok_and(|report| report.problem_count == 0), "{kind:?} {number}");
            // I3: what is there is exact.
            for (path, found) in target.contents() {
                assert!(expected.get(&path) == Some(&found), "{kind:?} of operation {number}: `{path}` is wrong");
            }
            // I8: over the half-restored target, the next attempt makes everything right.
            let repository = open(&base, &clock).await.unwrap();
            assert_eq!(restore(&repository, &target).await.unwrap().problem_count, 0);
            assert!(target.contents() == expected, "{kind:?} of operation {number}");
            if is_complete {
                survived = true;
                break;
            }
        }
        assert!(survived, "{kind:?}: the sweep has to reach the end of the run");
    }
}

async fn restore_or_error(repository: &Repository, target: &MemoryTarget) -> Result<RestoreReport, RestoreError> {
    // Listing the snapshots is part of the run that dies.
    repository.list_snapshots().await?;
    restore(repository, target).await
}

#[tokio::test(flavor = "multi_thread")]
async fn initialisation_that_dies_in_any_operation_leaves_none_or_a_whole_repository() {
    let clock = clock();
    for kind in FaultKind::CRASHES {
        let mut survived = false;
        for number in 0..MAX_OPERATIONS {
            let store = MemoryBackend::new();
            let faulty = FaultBackend::new(Arc::new(store.clone()));
            faulty.crash_at(number, kind);
            let made = try_init(Arc::new(faulty.clone()), &clock).await;
            match open(&store, &clock).await {
                Ok(_) => {
                    assert!(matches!(try_init(Arc::new(store.clone()), &clock).await, Err(InitError::AlreadyExists)));
                }
                Err(OpenError::NotFound | OpenError::TornConfig(_)) => {
                    assert!(made.is_err(), "{kind:?} of operation {number}: acknowledged and not there");
                    try_init(Arc::new(store.clone()), &clock).await.unwrap();
                }
                Err(error) => panic!("{kind:?} of operation {number}: {error}"),
            }
            let repository = open(&store, &clock).await.unwrap();
            create(&repository, &clock, &first_tree()).await;
            if made.is_ok() && faulty.operations() <= number {
                survived = true;
                break;
            }
        }
        assert!(survived, "{kind:?}: the sweep has to reach the end of the run");
    }
}
