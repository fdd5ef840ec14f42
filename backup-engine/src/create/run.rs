//! One capture from beginning to end.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use backup_core::{
    CancelToken, Entry, EntryError, EntryKind, Event, Monitor, Phase, Snapshotter, SourceContext, SourceView, Work,
};
use tokio::runtime::Handle;

use super::checkpoint::{Checkpoints, Interrupted, Parts, Session, find_interrupted, remove_objects, sweep_uploads};
use super::parent::Parents;
use super::queue::Queue;
use super::sink::TreeSink;
use super::walk::walk;
use super::worker::{Done, Shared, work};
use super::{CreateError, CreateOptions, CreateReport, MAX_LISTED_PROBLEMS};
use crate::chunker::Chunker;
use crate::error::RepositoryError;
use crate::format::ObjectKind;
use crate::format::record::{SnapshotRecord, SnapshotStatistics, SourceRecord, TreeRoot};
use crate::format::tree::{Content, TreeEntry};
use crate::id::{PackId, SnapshotId};
use crate::index::{BlobIndex, KnownBlobs};
use crate::layout;
use crate::pack::reader::BlobReader;
use crate::pack::upload::Uploader;
use crate::pack::writer::PackWriter;
use crate::repository::Repository;
use crate::snapshots::{Snapshot, format_time};
use crate::tree::writer::store_chunk_list;
use crate::tree::{TreeWalk, TreeWriter};

/// Progress is reported at most so often.
const PROGRESS_EVERY: Duration = Duration::from_millis(50);

/// Blobs after which an index object is written while the run goes on: bounds what is held, and what a crash costs.
const INDEX_EVERY_BLOBS: usize = 50_000;

/// Packs begin at this size.
const PACK_BYTES: usize = 16 << 20;

/// Packs where requests are dear.
const DEAR_PACK_BYTES: usize = 64 << 20;

/// More packs than this on their way at once would not fit the memory we promise.
const MAX_UPLOADS: usize = 8;

/// Numbers that all threads count.
#[derive(Debug, Default)]
pub(super) struct Counters {
    files_new: AtomicU64,
    files_changed: AtomicU64,
    files_unchanged: AtomicU64,
    read_bytes: AtomicU64,
    unchanged_bytes: AtomicU64,
    new_bytes: AtomicU64,
    items: AtomicU64,
    problem_count: AtomicU64,
    problems: Mutex<Vec<EntryError>>,
}

impl Counters {
    pub(super) fn problem(&self, problem: EntryError) {
        self.problem_count.fetch_add(1, Ordering::Relaxed);
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        if problems.len() < MAX_LISTED_PROBLEMS {
            problems.push(problem);
        }
    }

    pub(super) fn unchanged(&self, entry: &Entry) {
        self.files_unchanged.fetch_add(1, Ordering::Relaxed);
        self.unchanged_bytes.fetch_add(entry.size_bytes, Ordering::Relaxed);
    }

    pub(super) fn file_to_read(&self, is_new: bool) {
        let counter = if is_new { &self.files_new } else { &self.files_changed };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read(&self, bytes: u64) {
        self.read_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn new_bytes(&self, bytes: u64) {
        self.new_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn done(&self) -> Work {
        let bytes = self.read_bytes.load(Ordering::Relaxed) + self.unchanged_bytes.load(Ordering::Relaxed);
        Work { items: self.items.load(Ordering::Relaxed), bytes }
    }
}

/// What the tree thread counts.
#[derive(Debug, Default)]
struct Tally {
    files: u64,
    directories: u64,
    others: u64,
}

/// The parts of the repository that a run reads before it begins.
struct Base {
    reader: Arc<BlobReader>,
    parent: Option<Snapshot>,
}

/// What a run goes on from.
struct Prepared {
    interrupted: Vec<Interrupted>,
    base: Base,
    view: Box<dyn SourceView>,
}

pub(super) fn run(
    repository: &Repository,
    handle: &Handle,
    source: &dyn Snapshotter,
    options: &CreateOptions,
    monitor: &dyn Monitor,
    cancel: &CancelToken,
) -> Result<CreateReport, CreateError> {
    let clock = &**repository.clock();
    let began = clock.monotonic();
    let time = clock.now();
    let chunker = repository.chunker()?;
    let record: SourceRecord = source.describe().into();
    monitor.event(&Event::PhaseStarted { phase: Phase::Open, total: None });
    // Announced before the index is read: nobody may delete from then on what this run is about to rely on.
    let mut session = Session::begin(repository, handle, &options.host, &record)?;
    let prepared = prepare(repository, handle, source, options, &record, &session, cancel);
    let Prepared { interrupted, base, view } = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            // It has stored nothing that the next run could go on from.
            session.remove();
            return Err(error);
        }
    };

    monitor.event(&Event::PhaseStarted { phase: Phase::Capture, total: None });
    let mut roots: Vec<TreeRoot> = interrupted.iter().filter_map(|interrupted| interrupted.tree).collect();
    roots.extend(base.parent.as_ref().map(|parent| parent.record.tree));
    if options.force_read {
        roots.clear();
    }
    let capture =
        Capture { repository, handle, options, monitor, cancel, chunker: &chunker, base: &base, roots: &roots };
    let counters = Counters::default();
    let captured = capture.run(&*view, &mut session, &counters)?;
    if captured.cut_short {
        return Err(CreateError::Cancelled { checkpointed: captured.tree.is_some() });
    }
    view.finish()?;

    monitor.event(&Event::PhaseStarted { phase: Phase::Commit, total: None });
    let Captured { tree: Some(tree), tally, stored_bytes, .. } = captured else {
        return Err(RepositoryError::WorkerDied.into());
    };
    let problem_count = counters.problem_count.load(Ordering::Relaxed);
    let mut tags = options.tags.clone();
    tags.sort();
    tags.dedup();
    let duration = clock.monotonic().saturating_sub(began);
    let statistics = SnapshotStatistics {
        files: tally.files,
        directories: tally.directories,
        others: tally.others,
        files_new: counters.files_new.load(Ordering::Relaxed),
        files_changed: counters.files_changed.load(Ordering::Relaxed),
        files_unchanged: counters.files_unchanged.load(Ordering::Relaxed),
        read_bytes: counters.read_bytes.load(Ordering::Relaxed),
        new_bytes: counters.new_bytes.load(Ordering::Relaxed),
        stored_bytes,
        duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
    };
    let record = SnapshotRecord {
        version: 1,
        time: format_time(time),
        host: options.host.clone(),
        user: options.user.clone(),
        program: options.program.clone(),
        source: record,
        tree,
        parent: base.parent.map(|parent| parent.id),
        tags,
        session: session.name().to_owned(),
        problems: problem_count,
        statistics,
    };
    let payload = serde_json::to_vec(&record).expect("a snapshot is plain data");
    let (id, _) = handle.block_on(repository.store().put_record(ObjectKind::Snapshot, &payload))?;
    session.remove();
    let resumed = interrupted.first().map(|interrupted| interrupted.session.clone());
    for interrupted in &interrupted {
        remove_objects(repository, handle, &interrupted.removable);
    }
    let problems = counters.problems.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(CreateReport { snapshot: SnapshotId::from_bytes(*id.as_bytes()), record, problems, problem_count, resumed })
}

/// Reads what there is and opens the source; the session has been announced.
fn prepare(
    repository: &Repository,
    handle: &Handle,
    source: &dyn Snapshotter,
    options: &CreateOptions,
    record: &SourceRecord,
    session: &Session<'_>,
    cancel: &CancelToken,
) -> Result<Prepared, CreateError> {
    let interrupted = find_interrupted(repository, handle, session)?;
    sweep_uploads(repository, handle, &interrupted);
    let base = read_base(repository, handle, options, record, !interrupted.is_empty())?;
    let clock = &**repository.clock();
    let view = source.begin(&SourceContext { clock, cancel, left_out: &options.left_out })?;
    Ok(Prepared { interrupted, base, view })
}

fn read_base(
    repository: &Repository,
    handle: &Handle,
    options: &CreateOptions,
    source: &SourceRecord,
    is_resumed: bool,
) -> Result<Base, RepositoryError> {
    let mut loaded = handle.block_on(repository.load_index())?;
    // Packs that an interrupted run stored last, or that only a damaged index object named, need not be stored again.
    if (is_resumed || !loaded.damaged.is_empty() || loaded.objects == 0)
        && handle.block_on(repository.adopt_orphans(&loaded))?.packs > 0
    {
        loaded = handle.block_on(repository.load_index())?;
    }
    let index = loaded.index;
    mark_known_damage(repository, handle, &index)?;
    let reader = Arc::new(BlobReader::new(handle.clone(), repository.store().clone(), Arc::new(index)));
    let snapshots = handle.block_on(repository.list_snapshots())?.snapshots;
    let parent = snapshots
        .into_iter()
        .filter(|snapshot| snapshot.record.host == options.host && snapshot.record.source == *source)
        .max_by_key(Snapshot::time);
    Ok(Base { reader, parent })
}

/// Treats what is known to be lost as absent, so that this run stores it again.
///
/// Packs are listed where that is cheap; damage inside packs is known from the records of earlier checks.
fn mark_known_damage(repository: &Repository, handle: &Handle, index: &BlobIndex) -> Result<(), RepositoryError> {
    /// Above this many packs, a listing takes long enough to leave it to `check`.
    const MAX_LISTED_PACKS: usize = 20_000;
    for damaged in handle.block_on(repository.known_damage())? {
        let (key, offset) =
            damaged.split_once('#').map_or((damaged.as_str(), None), |(key, offset)| (key, offset.parse().ok()));
        if let Some(pack) = backup_core::ObjectKey::new(key).ok().as_ref().and_then(layout::pack_of) {
            index.mark_damaged(&pack, offset);
        }
    }
    let is_cheap = !repository.store().backend().info().capabilities.requests_are_dear;
    if is_cheap && index.packs().len() <= MAX_LISTED_PACKS {
        let listed = handle.block_on(repository.store().list(&layout::packs()))?;
        let sizes: BTreeMap<PackId, u64> =
            listed.into_iter().filter_map(|meta| Some((layout::pack_of(&meta.key)?, meta.size_bytes))).collect();
        let lost: Vec<PackId> = index
            .packs()
            .iter()
            .filter(|pack| sizes.get(&pack.id) != Some(&pack.size_bytes))
            .map(|pack| pack.id)
            .collect();
        lost.iter().for_each(|pack| index.mark_damaged(pack, None));
    }
    Ok(())
}

struct Capture<'a> {
    repository: &'a Repository,
    handle: &'a Handle,
    options: &'a CreateOptions,
    monitor: &'a dyn Monitor,
    cancel: &'a CancelToken,
    chunker: &'a Chunker,
    base: &'a Base,
    roots: &'a [TreeRoot],
}

struct Captured {
    tree: Option<TreeRoot>,
    tally: Tally,
    stored_bytes: u64,
    cut_short: bool,
}

impl Capture<'_> {
    fn run(
        &self,
        view: &dyn SourceView,
        session: &mut Session<'_>,
        counters: &Counters,
    ) -> Result<Captured, RepositoryError> {
        let store = self.repository.store();
        let index = self.base.reader.index();
        let keyring = Arc::clone(store.keyring());
        let hasher = keyring.hasher().clone();
        let capabilities = &store.backend().info().capabilities;
        let uploads = capabilities.suggested_concurrency.clamp(1, MAX_UPLOADS);
        let pack_bytes = self.options.pack_bytes.unwrap_or(if capabilities.requests_are_dear {
            DEAR_PACK_BYTES
        } else {
            PACK_BYTES
        });
        let uploader = Arc::new(Uploader::new(self.handle.clone(), store.clone(), uploads));
        let data = PackWriter::new(ObjectKind::DataPack, Arc::clone(&keyring), pack_bytes, Arc::clone(&uploader));
        let trees = PackWriter::new(ObjectKind::TreePack, keyring, pack_bytes, Arc::clone(&uploader));
        let known = KnownBlobs::new(index, self.repository.cache_folder());
        let queue = Queue::default();
        let workers = self.options.workers.max(1);
        let shared = Shared {
            queue: &queue,
            view,
            known: &known,
            writer: &data,
            hasher: hasher.clone(),
            chunker: self.chunker,
            counters,
            cancel: self.cancel,
            level: self.options.compression_level,
        };
        let parents =
            Parents::new(self.roots.iter().map(|root| TreeWalk::new(Arc::clone(&self.base.reader), root)).collect());
        let mut sink = TreeSink::new(&known, hasher, &trees, self.options.compression_level);
        let mut tree = TreeWriter::default();
        let (results, received) = mpsc::channel();

        let (tally, cut_short) = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..workers)
                .map(|_| {
                    let results = results.clone();
                    let shared = &shared;
                    scope.spawn(move || {
                        let _stop = StopOnPanic(shared.queue);
                        let worked = work(shared, &results);
                        if worked.is_err() {
                            shared.queue.stop();
                        }
                        worked
                    })
                })
                .collect();
            drop(results);
            let reader = &self.base.reader;
            let queue = &queue;
            scope.spawn(move || {
                let _stop = StopOnPanic(queue);
                walk(view, parents, reader, queue, counters, self.cancel);
            });
            let parts = Parts {
                queue,
                workers,
                tree: &mut tree,
                sink: &mut sink,
                data: &data,
                trees: &trees,
                uploader: &uploader,
            };
            let built = self.build_tree(&received, parts, session, counters);
            if built.is_err() {
                queue.stop();
            }
            // A worker's own error says more than what the others met because of it.
            for thread in threads {
                thread.join().unwrap_or(Err(RepositoryError::WorkerDied))?;
            }
            built
        })?;
        let cut_short = cut_short || self.cancel.is_cancelled();
        let tree = if cut_short && tree.entries() == 0 { None } else { Some(tree.finish(&mut sink)?) };
        sink.flush()?;
        data.close()?;
        trees.close()?;
        uploader.wait()?;
        uploader.write_index()?;
        if cut_short {
            session.put(tree, true)?;
        }
        Ok(Captured { tree, tally, stored_bytes: uploader.stored_bytes(), cut_short })
    }

    /// Puts finished batches in order and their entries into the tree, until there are no more.
    fn build_tree(
        &self,
        received: &mpsc::Receiver<Done>,
        mut parts: Parts<'_, '_>,
        session: &mut Session<'_>,
        counters: &Counters,
    ) -> Result<(Tally, bool), RepositoryError> {
        let clock = self.repository.clock();
        let mut checkpoints = Checkpoints::new(self.options.checkpoint_every, clock.monotonic());
        let mut tally = Tally::default();
        let mut waiting: BTreeMap<u64, Done> = BTreeMap::new();
        let mut next = 0;
        let mut reported = Duration::ZERO;
        let mut cut_short = false;
        for done in received {
            waiting.insert(done.serial, done);
            while let Some(done) = waiting.remove(&next) {
                next += 1;
                if !cut_short {
                    for mut item in done.entries {
                        store_long_list(&mut item, &mut parts)?;
                        tally.count(item.entry.kind);
                        counters.items.fetch_add(1, Ordering::Relaxed);
                        parts.tree.push(&item, parts.sink)?;
                    }
                }
                // Nothing after a batch that was cut short may enter the tree: a tree is a beginning of the listing.
                cut_short |= done.cut_short;
                parts.queue.emitted(next);
            }
            let now = clock.monotonic();
            checkpoints.advance(now, &mut parts, session)?;
            if parts.uploader.unindexed_blobs() >= INDEX_EVERY_BLOBS {
                parts.uploader.write_index()?;
            }
            if now.saturating_sub(reported) >= PROGRESS_EVERY {
                reported = now;
                self.monitor.event(&Event::Progress { phase: Phase::Capture, done: counters.done(), total: None });
            }
        }
        self.monitor.event(&Event::Progress {
            phase: Phase::Capture,
            done: counters.done(),
            total: Some(counters.done()),
        });
        Ok((tally, cut_short))
    }
}

/// A list too long for a leaf goes into blobs of its own.
fn store_long_list(item: &mut TreeEntry, parts: &mut Parts<'_, '_>) -> Result<(), RepositoryError> {
    if let Content::List { list, .. } = &mut item.content
        && list.form == 1
    {
        *list = store_chunk_list(std::mem::take(&mut list.chunks), parts.sink)?;
    }
    Ok(())
}

impl Tally {
    fn count(&mut self, kind: EntryKind) {
        match kind {
            EntryKind::File => self.files += 1,
            EntryKind::Directory => self.directories += 1,
            EntryKind::Symlink
            | EntryKind::Fifo
            | EntryKind::Socket
            | EntryKind::CharDevice
            | EntryKind::BlockDevice => self.others += 1,
        }
    }
}

/// Keeps the other threads from waiting for one that died.
struct StopOnPanic<'a>(&'a Queue);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop();
        }
    }
}
