//! While a single piece of work takes long, a run shows progress, says that it lives, and keeps what it has done.

use std::sync::Arc;
use std::time::Duration;

use backup_core::{CancelToken, Event, ManualClock, MemoryBackend, Monitor, ObjectKey, Silent, Snapshotter, Work};
use backup_engine::create::{CreateError, CreateOptions, CreateReport};
use backup_engine::format::ObjectKind;
use backup_engine::format::record::SessionRecord;
use backup_engine::repository::Repository;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use crate::support::gate::{GatedSource, Gatekeeper};
use crate::support::source::{MemorySource, Tree};
use crate::support::watch::{WatchedBackend, nothing, wait_for};
use crate::support::{CHUNK_BYTES, clock, create_options, noise, open_over, try_init};

const CHUNK: usize = 64 * 1024;
const MINUTE: Duration = Duration::from_secs(60);

/// Sends on what was done; its clock goes on with each report, so that the next one comes.
#[derive(Debug)]
struct Reports {
    clock: Arc<ManualClock>,
    done: UnboundedSender<Work>,
}

impl Monitor for Reports {
    fn event(&self, event: &Event<'_>) {
        if let Event::Progress { done, .. } = event {
            self.clock.advance(Duration::from_millis(50));
            let _ = self.done.send(*done);
        }
    }
}

/// A run under way.
struct Running {
    clock: Arc<ManualClock>,
    memory: MemoryBackend,
    repository: Repository,
    puts: UnboundedReceiver<ObjectKey>,
    reports: UnboundedReceiver<Work>,
    created: JoinHandle<Result<CreateReport, CreateError>>,
}

async fn begin(
    (memory, store, puts): (MemoryBackend, Arc<WatchedBackend>, UnboundedReceiver<ObjectKey>),
    source: Arc<dyn Snapshotter>,
    options: CreateOptions,
) -> Running {
    let clock = clock();
    let repository = try_init(store, &clock).await.unwrap();
    let (done, reports) = unbounded_channel();
    let monitor = Arc::new(Reports { clock: Arc::clone(&clock), done });
    let running = repository.clone();
    let created = tokio::spawn(async move { running.create(source, options, monitor, CancelToken::new()).await });
    Running { clock, memory, repository, puts, reports, created }
}

/// A store that only says what was put.
fn watched() -> (MemoryBackend, Arc<WatchedBackend>, UnboundedReceiver<ObjectKey>) {
    let memory = MemoryBackend::new();
    let (store, puts) = WatchedBackend::only(&memory);
    (memory, store, puts)
}

impl Running {
    /// Waits until this much is reported.
    async fn reported(&mut self, is_enough: impl Fn(Work) -> bool) {
        while !is_enough(self.reports.recv().await.unwrap()) {}
    }

    /// Waits until the session says something, and returns what.
    async fn heard(&mut self) -> SessionRecord {
        let key = wait_for(&mut self.puts, "sessions/").await;
        self.said(&key).await
    }

    async fn said(&self, key: &ObjectKey) -> SessionRecord {
        let payload = self.repository.store().get_record_as(key, ObjectKind::Session).await.unwrap();
        serde_json::from_slice(&payload).unwrap()
    }

    /// Lets the run end; nothing of its session is left.
    async fn end(self) -> CreateReport {
        let report = self.created.await.unwrap().unwrap();
        assert_eq!(report.problem_count, 0, "{:?}", report.problems);
        assert!(!self.memory.keys().iter().any(|key| key.as_str().starts_with("sessions/")));
        report
    }
}

/// A file of so many chunks, the last one cut short, behind a gate.
fn gated(mut tree: Tree, chunks: usize) -> (Arc<GatedSource>, Gatekeeper) {
    assert_eq!(u32::try_from(CHUNK), Ok(CHUNK_BYTES));
    tree.file("large", &noise(42, chunks * CHUNK - 5));
    GatedSource::new(tree, "large")
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_and_heartbeats_go_on_while_one_file_is_read() {
    let (source, mut gate) = gated(Tree::default(), 10);
    let mut running = begin(watched(), source, create_options()).await;
    assert_eq!(running.heard().await.sequence, 0);
    gate.let_read(4).await;
    // The reader is stuck now. Nothing is finished, and what was read of the file is reported all the same.
    running.reported(|done| done.items == 0 && done.bytes == 4 * u64::from(CHUNK_BYTES)).await;
    for sequence in 1..4 {
        running.clock.advance(10 * MINUTE);
        let heartbeat = running.heard().await;
        assert_eq!((heartbeat.sequence, heartbeat.tree, heartbeat.ended), (sequence, None, false));
    }
    drop(gate);
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_of_a_file_is_indexed_while_it_is_read() {
    for by_time in [false, true] {
        let (source, mut gate) = gated(Tree::default(), 20);
        let mut options = create_options();
        options.pack_bytes = Some(CHUNK);
        if !by_time {
            options.index_every_blobs = 3;
        }
        let mut running = begin(watched(), source, options).await;
        gate.let_read(8).await;
        // Each chunk is a block here, and each block a pack.
        for _ in 0..3 {
            wait_for(&mut running.puts, "packs/").await;
        }
        if by_time {
            running.clock.advance(2 * MINUTE);
        }
        wait_for(&mut running.puts, "index/").await;
        let index = running.repository.load_index().await.unwrap().index;
        assert!(index.len() >= 3, "{}", index.len());
        drop(gate);
        running.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn checkpoint_keeps_what_was_finished_before_a_file_that_is_still_read() {
    let mut tree = Tree::default();
    // As large as a batch, so that it doesn't wait for the other file.
    tree.file("before", &noise(1, 1 << 20));
    let (source, mut gate) = gated(tree, 200);
    let mut running = begin(watched(), source, create_options()).await;
    assert_eq!(running.heard().await.tree, None);
    running.reported(|done| done.items == 1).await;
    running.clock.advance(2 * MINUTE);
    // Workers seal what belongs to the checkpoint between two chunks: with each report, one more is read.
    let checkpoint = loop {
        running.reported(|_| true).await;
        gate.asked().await;
        gate.open();
        let put = std::iter::from_fn(|| running.puts.try_recv().ok()).find(|key| key.as_str().starts_with("sessions/"));
        if let Some(key) = put {
            break running.said(&key).await;
        }
    };
    let kept = checkpoint.tree.unwrap();
    assert_eq!((checkpoint.sequence, kept.entries, kept.bytes), (1, 1, 1 << 20));
    // What says later that the run lives does not take it back.
    gate.asked().await;
    running.clock.advance(10 * MINUTE);
    let heartbeat = running.heard().await;
    assert_eq!((heartbeat.sequence, heartbeat.tree), (2, Some(kept)));
    drop(gate);
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_go_on_while_packs_are_on_their_way() {
    let (memory, line) = (MemoryBackend::new(), Arc::new(Semaphore::new(0)));
    let (started, mut starts) = unbounded_channel();
    let slow = Arc::clone(&line);
    let (store, puts) = WatchedBackend::new(
        &memory,
        Box::new(move |key| {
            let (is_pack, slow) = (key.as_str().starts_with("packs/"), Arc::clone(&slow));
            let started = started.clone();
            Box::pin(async move {
                if is_pack {
                    let _ = started.send(());
                    slow.acquire().await.unwrap().forget();
                }
            })
        }),
        nothing(),
    );
    let mut tree = Tree::default();
    tree.file("small", b"content");
    let source = Arc::new(MemorySource::new("test", tree));
    let mut running = begin((memory, store, puts), source, create_options()).await;
    assert_eq!(running.heard().await.sequence, 0);
    starts.recv().await.unwrap();
    running.reported(|done| done.items == 1).await;
    running.clock.advance(10 * MINUTE);
    assert_eq!(running.heard().await.sequence, 1);
    line.add_permits(100);
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_go_on_while_the_index_is_read() {
    let memory = MemoryBackend::new();
    let mut tree = Tree::default();
    tree.file("small", b"content");
    let source = Arc::new(MemorySource::new("test", tree));
    begin((memory.clone(), WatchedBackend::only(&memory).0, unbounded_channel().1), source.clone(), create_options())
        .await
        .end()
        .await;

    let (line, (started, mut starts)) = (Arc::new(Semaphore::new(0)), unbounded_channel());
    let slow = Arc::clone(&line);
    let (store, mut puts) = WatchedBackend::new(
        &memory,
        nothing(),
        Box::new(move |key| {
            let (is_index, slow) = (key.as_str().starts_with("index/"), Arc::clone(&slow));
            let started = started.clone();
            Box::pin(async move {
                if is_index {
                    let _ = started.send(());
                    slow.acquire().await.unwrap().forget();
                }
            })
        }),
    );
    let clock = clock();
    let repository = open_over(store, &clock).await.unwrap();
    let running = repository.clone();
    let created =
        tokio::spawn(
            async move { running.create(source, create_options(), Arc::new(Silent), CancelToken::new()).await },
        );
    let announced = wait_for(&mut puts, "sessions/").await;
    starts.recv().await.unwrap();
    clock.advance(10 * MINUTE);
    let heartbeat = wait_for(&mut puts, "sessions/").await;
    let of_session = |key: &ObjectKey| key.as_str().rsplit_once('/').unwrap().0.to_owned();
    assert_eq!(of_session(&heartbeat), of_session(&announced));
    assert_ne!(heartbeat, announced);
    line.add_permits(100);
    created.await.unwrap().unwrap();
}
