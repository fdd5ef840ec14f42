//! A run says that it is there before it relies on anything, for as long as it goes on, and not longer.

use std::sync::Arc;

use backup_core::storage::layer::{FaultBackend, FaultKind, FaultRule};
use backup_core::{
    CancelToken, KeyPrefix, MemoryBackend, RestoreTarget, Silent, Snapshotter, SourceContext, SourceDescription,
    SourceError, SourceView, StorageOperation, TargetOptions,
};
use backup_engine::create::{CreateError, CreateReport};
use backup_engine::repository::Repository;

use crate::support::fixture::{Fixture, first_tree};
use crate::support::source::MemorySource;
use crate::support::{clock, create, create_options, init, open_over};

async fn try_create(repository: &Repository, source: Arc<dyn Snapshotter>) -> Result<CreateReport, CreateError> {
    repository.create(source, create_options(), Arc::new(Silent), CancelToken::new()).await
}

fn sessions(store: &MemoryBackend) -> usize {
    store.keys().iter().filter(|key| key.as_str().starts_with("sessions/")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn run_announces_itself_before_it_reads_anything() {
    let fixture = Fixture::new().await;
    let store = FaultBackend::new(Arc::new(fixture.store.clone()));
    let repository = open_over(Arc::new(store.clone()), &fixture.clock).await.unwrap();
    store.reset();
    create(&repository, &fixture.clock, &fixture.tree).await;
    let log = store.log();
    let first = log[0].key.as_ref().unwrap().as_str();
    assert!(log[0].operation == StorageOperation::Put && first.starts_with("sessions/"), "{:?}", log[0]);
    assert!(log.iter().any(|record| record.operation == StorageOperation::List), "the index is listed after it");
}

#[tokio::test(flavor = "multi_thread")]
async fn run_does_not_take_itself_for_an_interrupted_one() {
    let (store, clock) = (MemoryBackend::new(), clock());
    let repository = init(&store, &clock).await;
    for _ in 0..2 {
        assert_eq!(create(&repository, &clock, &first_tree()).await.resumed, None);
        assert_eq!(sessions(&store), 0);
    }
}

/// A source of the tests' name that can't be captured.
#[derive(Debug)]
struct NoSource;

impl Snapshotter for NoSource {
    fn describe(&self) -> SourceDescription {
        MemorySource::new("test", first_tree()).describe()
    }

    fn begin(&self, _context: &SourceContext<'_>) -> Result<Box<dyn SourceView>, SourceError> {
        Err(SourceError::NotFound("test".to_owned()))
    }

    fn target(&self, _options: &TargetOptions) -> Result<Box<dyn RestoreTarget>, SourceError> {
        Err(SourceError::Unsupported("restoring"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn run_that_fails_before_it_captures_leaves_no_session() {
    let (memory, clock) = (MemoryBackend::new(), clock());
    let repository = init(&memory, &clock).await;
    create(&repository, &clock, &first_tree()).await;
    let store = FaultBackend::new(Arc::new(memory.clone()));
    let repository = open_over(Arc::new(store.clone()), &clock).await.unwrap();

    let failed = try_create(&repository, Arc::new(NoSource)).await;
    assert!(matches!(failed, Err(CreateError::Source(SourceError::NotFound(_)))), "{failed:?}");
    assert_eq!(sessions(&memory), 0);

    let index = KeyPrefix::new("index/").unwrap();
    store.add(FaultRule::new(FaultKind::FailBefore).on(StorageOperation::Get).under(index));
    let failed = try_create(&repository, Arc::new(MemorySource::new("test", first_tree()))).await;
    assert!(matches!(failed, Err(CreateError::Repository(_))), "{failed:?}");
    assert_eq!(sessions(&memory), 0);

    store.heal();
    assert_eq!(create(&repository, &clock, &first_tree()).await.resumed, None);
}
