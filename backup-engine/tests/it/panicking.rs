//! A backend that panics, as a plug-in may, ends the run with an error; nobody waits for what will never come.

use std::sync::Arc;

use backup_core::{CancelToken, MemoryBackend, Silent};

use backup_engine::create::CreateError;
use backup_engine::error::RepositoryError;

use crate::support::source::{MemorySource, Tree};
use crate::support::watch::{WatchedBackend, nothing};
use crate::support::{clock, create, create_options, init, open_over};

/// Files of a batch each, more batches than may be under way at once.
fn tree() -> Tree {
    let mut tree = Tree::default();
    for n in 0..20 {
        tree.file(&format!("{n}"), &vec![n; 1 << 20]);
    }
    tree
}

#[tokio::test(flavor = "multi_thread")]
async fn put_that_panics_fails_the_run_and_the_next_one_succeeds() {
    for folder in ["packs/", "index/", "snapshots/"] {
        let (memory, clock) = (MemoryBackend::new(), clock());
        init(&memory, &clock).await;
        let (store, _puts) = WatchedBackend::new(
            &memory,
            Box::new(move |key| {
                assert!(!key.as_str().starts_with(folder), "this backend panics on purpose");
                Box::pin(std::future::ready(()))
            }),
            nothing(),
        );
        let repository = open_over(store, &clock).await.unwrap();
        let mut options = create_options();
        options.index_every_blobs = 1;
        options.pack_bytes = Some(1);
        let source = Arc::new(MemorySource::new("test", tree()));
        let failed = repository.create(source, options, Arc::new(Silent), CancelToken::new()).await;
        let died = matches!(failed, Err(CreateError::Repository(RepositoryError::WorkerDied)));
        assert!(died, "{folder}: {failed:?}");

        let repository = open_over(Arc::new(memory.clone()), &clock).await.unwrap();
        create(&repository, &clock, &tree()).await;
    }
}
