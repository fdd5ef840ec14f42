//! Files that are longer or shorter than they say, as in `/proc`, or when somebody writes to them: what is stored is never
//! silently less than what could be read.

use std::sync::Arc;

use backup_core::conflict::KeepBackup;
use backup_core::{CancelToken, MemoryBackend, RestoreTarget, Silent};
use backup_engine::create::CreateReport;
use backup_engine::repository::Repository;
use backup_engine::restore::RestoreOptions;

use crate::support::source::{MemorySource, Tree, path};
use crate::support::target::MemoryTarget;
use crate::support::{CHUNK_BYTES, clock, create_options, init, noise};

const CHUNK: u64 = CHUNK_BYTES as u64;

/// What is read at most of a file that says it is empty.
const MAX_SIZELESS_BYTES: u64 = 64 << 20;

/// A file that says it has `said_bytes` and has another content.
fn tree(content: &[u8], said_bytes: u64) -> Tree {
    let mut tree = Tree::default();
    tree.file("file", content);
    tree.0.get_mut(&path("file")).unwrap().entry.size_bytes = said_bytes;
    tree
}

async fn capture(repository: &Repository, tree: &Tree) -> CreateReport {
    let source = Arc::new(MemorySource::new("test", tree.clone()));
    repository.create(source, create_options(), Arc::new(Silent), CancelToken::new()).await.unwrap()
}

/// What comes back of the file, its size, and the problems of the capture.
async fn captured_and_restored(content: &[u8], said_bytes: u64) -> (Vec<u8>, u64, Vec<String>) {
    let (store, clock) = (MemoryBackend::new(), clock());
    let repository = init(&store, &clock).await;
    let report = capture(&repository, &tree(content, said_bytes)).await;
    let snapshot = repository.list_snapshots().await.unwrap().find("latest").unwrap().clone();
    let target = MemoryTarget::default();
    let (into, rule, monitor) = (Arc::new(target.clone()), Arc::new(KeepBackup {}), Arc::new(Silent));
    let restored = repository.restore(&snapshot, into, rule, RestoreOptions::default(), monitor, CancelToken::new());
    assert_eq!(restored.await.unwrap().problem_count, 0);
    let entry = target.inspect(&path("file")).unwrap().unwrap();
    let bytes = target.contents().remove(&path("file")).unwrap().1;
    assert_eq!(entry.torn, report.problem_count > 0, "who is told of a problem finds it in the snapshot");
    (bytes, entry.size_bytes, report.problems.iter().map(ToString::to_string).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn file_of_the_length_it_says_is_no_problem_at_any_boundary() {
    for len in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK - 1, 2 * CHUNK, 2 * CHUNK + 1, 4 * CHUNK] {
        let content = noise(len, usize::try_from(len).unwrap());
        assert_eq!(captured_and_restored(&content, len).await, (content, len, Vec::new()), "{len}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn file_that_says_it_is_empty_comes_back_with_its_content_and_real_size() {
    for len in [1, 100, CHUNK, CHUNK + 1, 5 * CHUNK + 3] {
        let content = noise(len, usize::try_from(len).unwrap());
        let (bytes, size_bytes, problems) = captured_and_restored(&content, 0).await;
        assert!(bytes == content && size_bytes == len, "{len}: {size_bytes}");
        assert!(matches!(&problems[..], [problem] if problem.contains("what could be read")), "{problems:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn file_that_says_it_is_empty_and_does_not_end_is_cut_and_named() {
    let content = vec![7; usize::try_from(MAX_SIZELESS_BYTES + 1).unwrap()];
    let (bytes, size_bytes, problems) = captured_and_restored(&content, 0).await;
    assert!(size_bytes == MAX_SIZELESS_BYTES && content.starts_with(&bytes), "{size_bytes}");
    assert!(matches!(&problems[..], [problem] if problem.contains("only its beginning")), "{problems:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn file_that_is_longer_than_it_says_is_stored_to_that_length_and_named() {
    for said in [10, CHUNK, CHUNK + 10, 2 * CHUNK, 3 * CHUNK] {
        let content = noise(said, usize::try_from(said).unwrap() + 1);
        let (bytes, size_bytes, problems) = captured_and_restored(&content, said).await;
        assert!(size_bytes == said && content[..content.len() - 1] == bytes, "{said}: {size_bytes}");
        assert!(matches!(&problems[..], [problem] if problem.contains("torn copy")), "{problems:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn file_that_is_shorter_than_it_says_is_stored_as_far_as_it_goes_and_named() {
    for len in [0, 10, CHUNK, 3 * CHUNK] {
        let content = noise(len, usize::try_from(len).unwrap());
        let (bytes, size_bytes, problems) = captured_and_restored(&content, len + CHUNK).await;
        assert!(bytes == content && size_bytes == len, "{len}: {size_bytes}");
        assert!(matches!(&problems[..], [problem] if problem.contains("torn copy")), "{problems:?}");
    }
}

/// It can change without a sign: neither its size nor, in `/proc`, its times tell.
#[tokio::test(flavor = "multi_thread")]
async fn file_that_says_it_is_empty_is_read_again_every_time() {
    let (store, clock) = (MemoryBackend::new(), clock());
    let repository = init(&store, &clock).await;
    for _ in 0..2 {
        let report = capture(&repository, &tree(b"content", 0)).await;
        assert_eq!((report.problem_count, report.record.statistics.files_unchanged), (1, 0));
        clock.advance(std::time::Duration::from_secs(1));
    }
}
