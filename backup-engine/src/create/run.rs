//! One capture from beginning to end.

use std::sync::{Arc, mpsc};

use backup_core::{CancelToken, Event, Monitor, Phase, Snapshotter, SourceView};
use tokio::runtime::Handle;

use super::base::{Base, Prepared, prepare};
use super::build::{Built, build_tree};
use super::checkpoint::{Checkpoints, Parts, Session, remove_objects};
use super::counters::{Counters, Tally};
use super::parent::Parents;
use super::queue::Queue;
use super::sink::TreeSink;
use super::upkeep::Upkeep;
use super::walk::walk;
use super::worker::{Shared, work};
use super::{CreateError, CreateOptions, CreateReport};
use crate::chunker::Chunker;
use crate::error::RepositoryError;
use crate::format::ObjectKind;
use crate::format::record::{SnapshotRecord, SourceRecord, TreeRoot};
use crate::id::SnapshotId;
use crate::index::KnownBlobs;
use crate::pack::upload::Uploader;
use crate::pack::writer::PackWriter;
use crate::repository::Repository;
use crate::snapshots::format_time;
use crate::tree::{TreeWalk, TreeWriter};

/// Packs are closed at this size. With the blocks that are just being sealed they have about 16 MiB.
const PACK_BYTES: usize = 14 << 20;

/// Packs where requests are dear. Three of them are 192 MiB: there, memory is what fewer requests cost.
const DEAR_PACK_BYTES: usize = 64 << 20;

/// More uploads at once than this gain nothing, where packs are so small that there is room for more.
const MAX_UPLOADS: usize = 8;

/// Packs that are being filled or stored hold so much, or there are [`MIN_PACKS`]: half of the 128 MiB we promise, the other half is
/// for what workers hold.
const MAX_HELD_BYTES: usize = 64 << 20;

/// One pack of data and one of trees are filled while one is stored.
const MIN_PACKS: usize = 3;

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
    let prepared = prepare(repository, handle, source, options, &record, &mut session, cancel);
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
    let problem_count = counters.problem_count();
    let mut tags = options.tags.clone();
    tags.sort();
    tags.dedup();
    let duration = clock.monotonic().saturating_sub(began);
    let statistics = counters.statistics(&tally, stored_bytes, duration);
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
    let problems = counters.into_problems();
    Ok(CreateReport { snapshot: SnapshotId::from_bytes(*id.as_bytes()), record, problems, problem_count, resumed })
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
        let pack_bytes = self.options.pack_bytes.unwrap_or(if capabilities.requests_are_dear {
            DEAR_PACK_BYTES
        } else {
            PACK_BYTES
        });
        let uploads = capabilities.suggested_concurrency.clamp(1, MAX_UPLOADS);
        let max_packs = (MAX_HELD_BYTES / pack_bytes.max(1)).clamp(MIN_PACKS, MIN_PACKS - 1 + uploads);
        let uploader = Arc::new(Uploader::new(self.handle.clone(), store.clone(), max_packs));
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
        let clock = &**self.repository.clock();
        let checkpoints = Checkpoints::new(self.options.checkpoint_every, clock.monotonic());
        let mut upkeep = Upkeep {
            clock,
            monitor: self.monitor,
            counters,
            uploader: &uploader,
            session,
            index_every_blobs: self.options.index_every_blobs,
            reported: None,
            total: None,
        };

        let Built { tally, cut_short } = std::thread::scope(|scope| {
            let _stop = StopOnPanic(&queue);
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
            let built = build_tree(&received, parts, checkpoints, &mut upkeep);
            if built.is_err() {
                queue.stop();
            }
            let worked = threads.into_iter().map(|thread| thread.join().unwrap_or(Err(RepositoryError::WorkerDied)));
            first_cause(worked.collect(), built)
        })?;
        let cut_short = cut_short || self.cancel.is_cancelled();
        let tree = if cut_short && tree.entries() == 0 { None } else { Some(tree.finish(&mut sink)?) };
        sink.flush()?;
        data.close()?;
        trees.close()?;
        upkeep.wait_for_uploads()?;
        uploader.write_index()?;
        if cut_short {
            session.put(tree, true)?;
        }
        Ok(Captured { tree, tally, stored_bytes: uploader.stored_bytes(), cut_short })
    }
}

/// What went wrong first, where several threads failed: the others only met that the run was over.
fn first_cause(
    worked: Vec<Result<(), RepositoryError>>,
    built: Result<Built, RepositoryError>,
) -> Result<Built, RepositoryError> {
    let errors = worked.into_iter().filter_map(Result::err);
    let mut causes: Vec<_> = errors.collect();
    match built {
        Ok(built) if causes.is_empty() => return Ok(built),
        Ok(_) => {}
        Err(error) => causes.push(error),
    }
    let at = causes.iter().position(|error| !matches!(error, RepositoryError::Cancelled)).unwrap_or(0);
    Err(causes.swap_remove(at))
}

/// Keeps the other threads from waiting for one that panicked: a backend, a source or a monitor may.
struct StopOnPanic<'a>(&'a Queue);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop();
        }
    }
}
