//! The session of a run: its presence, its checkpoints, and what an earlier interrupted run left (format §10).

use std::pin::pin;
use std::time::Duration;

use backup_core::{ObjectKey, ObjectMeta, StorageErrorKind, Timestamp};
use futures::TryStreamExt;
use tokio::runtime::Handle;

use super::queue::Queue;
use super::sink::TreeSink;
use super::upkeep::TICK;
use crate::crypto::random;
use crate::error::RepositoryError;
use crate::format::ObjectKind;
use crate::format::record::{SessionRecord, SourceRecord, TreeRoot};
use crate::id::hex;
use crate::layout;
use crate::pack::upload::Uploader;
use crate::pack::writer::PackWriter;
use crate::repository::Repository;
use crate::snapshots::{format_time, parse_time};
use crate::tree::TreeWriter;

/// The session of the run in this process.
pub(super) struct Session<'a> {
    repository: &'a Repository,
    handle: &'a Handle,
    name: String,
    host: String,
    source: SourceRecord,
    next_sequence: u64,
    /// What the newest object holds.
    tree: Option<TreeRoot>,
    /// When it was put, by the monotonic clock.
    heard: Duration,
}

impl<'a> Session<'a> {
    /// Announces a run before it reads or stores anything else.
    pub(super) fn begin(
        repository: &'a Repository,
        handle: &'a Handle,
        host: &str,
        source: &SourceRecord,
    ) -> Result<Self, RepositoryError> {
        let name = hex(&random::<16>());
        let mut session = Self {
            repository,
            handle,
            name,
            host: host.to_owned(),
            source: source.clone(),
            next_sequence: 0,
            tree: None,
            heard: Duration::ZERO,
        };
        session.put(None, false)?;
        Ok(session)
    }

    /// The session's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The runtime that the run waits on.
    pub(super) fn handle(&self) -> &'a Handle {
        self.handle
    }

    /// Stores the session's state; a tree must be complete and indexed, and replaces the one before.
    pub(super) fn put(&mut self, tree: Option<TreeRoot>, ended: bool) -> Result<(), RepositoryError> {
        let now = self.repository.clock().monotonic();
        let record = SessionRecord {
            session: self.name.clone(),
            sequence: self.next_sequence,
            at: format_time(self.repository.clock().now()),
            host: self.host.clone(),
            source: self.source.clone(),
            tree,
            ended,
        };
        let key = layout::session_object(&self.name, self.next_sequence);
        self.next_sequence += 1;
        let payload = serde_json::to_vec(&record).expect("a session is plain data");
        self.handle.block_on(self.repository.store().put_record_as(&key, ObjectKind::Session, &payload))?;
        self.tree = tree;
        self.heard = now;
        Ok(())
    }

    /// Says that the run goes on, where nothing has said so for a while.
    pub(super) fn keep_alive(&mut self) -> Result<(), RepositoryError> {
        let silent = self.repository.clock().monotonic().saturating_sub(self.heard);
        // The newest object counts alone, so it says again what the last checkpoint kept.
        if silent >= HEARTBEAT_EVERY { self.put(self.tree, false) } else { Ok(()) }
    }

    /// Waits for something that may take long, and says now and then that the run goes on.
    pub(super) fn alive_while<T>(
        &mut self,
        work: impl Future<Output = Result<T, RepositoryError>>,
    ) -> Result<T, RepositoryError> {
        let mut work = pin!(work);
        loop {
            // Made in the runtime, whose timer it needs.
            let waited = self.handle.block_on(async { tokio::time::timeout(TICK, work.as_mut()).await });
            match waited {
                Ok(done) => return done,
                Err(_) => self.keep_alive()?,
            }
        }
    }

    /// Removes the session after its snapshot is stored, or when nothing came of it.
    ///
    /// What can't be removed (an append-only store) stays and does no harm.
    pub(super) fn remove(self) {
        let keys: Vec<_> =
            (0..self.next_sequence).map(|sequence| layout::session_object(&self.name, sequence)).collect();
        remove_objects(self.repository, self.handle, &keys);
    }
}

/// Removes objects, newest first so that what is left of a session is never a later state without its beginning.
pub(super) fn remove_objects(repository: &Repository, handle: &Handle, keys: &[ObjectKey]) {
    for key in keys.iter().rev() {
        if let Err(error) = handle.block_on(repository.store().backend().delete(key)) {
            tracing::debug!(%key, %error, "a session's object stays");
        }
    }
}

/// An interrupted run of the same source, from which this one goes on.
#[derive(Debug)]
pub(super) struct Interrupted {
    pub(super) session: String,
    pub(super) tree: Option<TreeRoot>,
    /// Its objects, where nobody can need them once its work is taken over; empty for a run that may still go on.
    pub(super) removable: Vec<ObjectKey>,
}

/// A session whose newest object is older than this, by the store's own clock where it tells, is taken for dead.
const SESSION_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// A running session is heard of at least so often: several of these may be lost or late before it is taken for dead.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(10 * 60);

/// An upload that was begun longer ago than this is taken for one that nobody will finish: no object takes a day.
const UPLOAD_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// Removes the unfinished uploads of runs that died, before this one needs the room: where looking for them is cheap, or
/// where a run is known to have died.
pub(super) fn sweep_uploads(repository: &Repository, handle: &Handle, interrupted: &[Interrupted]) {
    let backend = repository.store().backend();
    let is_due = !backend.info().capabilities.requests_are_dear || !interrupted.is_empty();
    let Some(uploads) = backend.uploads().filter(|_| is_due) else { return };
    match handle.block_on(uploads.abort_older_than(UPLOAD_LIFETIME)) {
        Ok(0) => {}
        Ok(swept) => tracing::debug!(swept, "unfinished uploads of earlier runs are removed"),
        // They take room and do no harm.
        Err(error) => tracing::debug!(%error, "unfinished uploads stay"),
    }
}

/// Finds what earlier runs of the same source on the same host left.
///
/// A run of the same source on the same host may still go on: its checkpoints are read, and its session is left alone until it has ended
/// or has not been heard of for an hour.
pub(super) fn find_interrupted(
    repository: &Repository,
    handle: &Handle,
    own: &Session<'_>,
) -> Result<Vec<Interrupted>, RepositoryError> {
    let backend = repository.store().backend();
    let folder = layout::sessions();
    let mut listed: Vec<_> = handle.block_on(backend.list(&folder).try_collect())?;
    listed.sort_by(|a, b| a.key.cmp(&b.key));
    let mut sessions: Vec<(String, Vec<ObjectMeta>)> = Vec::new();
    for meta in listed {
        let Some((session, _)) = meta.key.as_str().strip_prefix("sessions/").and_then(|rest| rest.split_once('/'))
        else {
            continue;
        };
        match sessions.last_mut() {
            Some((last, objects)) if last == session => objects.push(meta),
            _ => sessions.push((session.to_owned(), vec![meta])),
        }
    }
    let mut found = Vec::new();
    for (session, objects) in sessions {
        let Some(newest) = objects.last().filter(|_| session != own.name) else { continue };
        let record = match handle.block_on(repository.store().get_record_as(&newest.key, ObjectKind::Session)) {
            Ok(payload) => serde_json::from_slice::<SessionRecord>(&payload).ok(),
            Err(RepositoryError::Storage(error)) if error.kind() == StorageErrorKind::NotFound => None,
            Err(error) if error.is_damage() => None,
            // Sessions are not named by their hash, so that this may be a flipped bit; nothing depends on them.
            Err(RepositoryError::NewerVersion { .. }) => None,
            Err(error) => return Err(error),
        };
        // One that says that it belongs elsewhere was moved: an old checkpoint, or one of a run that goes on.
        let record = record.filter(|record| record.belongs_at(&newest.key));
        if let Some(record) = record.filter(|record| record.host == own.host && record.source == own.source) {
            let heard = newest.stored_at.or_else(|| parse_time(&record.at)).unwrap_or(Timestamp::EPOCH);
            let is_over = record.ended || repository.clock().now().saturating_since(heard) >= SESSION_LIFETIME;
            let removable = if is_over { objects.into_iter().map(|meta| meta.key).collect() } else { Vec::new() };
            found.push(Interrupted { session, tree: record.tree, removable });
        }
    }
    // The one that got furthest first.
    found.sort_by_key(|interrupted| std::cmp::Reverse(interrupted.tree.map_or(0, |tree| tree.entries)));
    Ok(found)
}

/// Brings a running capture to a state from which it can be resumed, step by step beside the work. No step waits for
/// more than room for a pack of trees.
pub(super) struct Checkpoints {
    every: Duration,
    last: Duration,
    /// Entries in the tree of the last one.
    entries: u64,
    step: Step,
}

enum Step {
    Idle,
    /// Workers are sealing what belongs to this tree.
    Flushing(TreeRoot),
    /// The packs that belong to this tree, so many of data and of trees, wait for blocks that are being sealed, or for the uploader.
    Closing(TreeRoot, u64, u64),
    /// The packs that belong to this tree are among so many that were submitted first, and on their way.
    Storing(TreeRoot, u64),
}

/// What a checkpoint works on.
pub(super) struct Parts<'a, 'b> {
    pub(super) queue: &'a Queue,
    pub(super) workers: usize,
    pub(super) tree: &'a mut TreeWriter,
    pub(super) sink: &'a mut TreeSink<'b>,
    pub(super) data: &'a PackWriter,
    pub(super) trees: &'a PackWriter,
    pub(super) uploader: &'a Uploader,
}

impl Checkpoints {
    pub(super) fn new(every: Duration, now: Duration) -> Self {
        Self { every, last: now, entries: 0, step: Step::Idle }
    }

    /// Goes on with a checkpoint, or begins one when it is time; called again and again, whether work gets finished or not.
    pub(super) fn advance(
        &mut self,
        now: Duration,
        parts: &mut Parts<'_, '_>,
        session: &mut Session<'_>,
    ) -> Result<(), RepositoryError> {
        match self.step {
            Step::Idle if now.saturating_sub(self.last) < self.every => {}
            Step::Idle if parts.tree.entries() == self.entries => {
                // In the middle of a large file. Its beginning can't stand in a tree, but what of it is stored can be found again.
                parts.uploader.write_index()?;
                self.last = now;
            }
            Step::Idle => {
                if let Some(root) = parts.tree.checkpoint(parts.sink)? {
                    parts.sink.flush()?;
                    parts.queue.begin_flush();
                    self.step = Step::Flushing(root);
                }
            }
            Step::Flushing(root) if parts.queue.is_flushed(parts.workers) => {
                self.step = Step::Closing(root, parts.data.close()?, parts.trees.close()?);
            }
            Step::Flushing(_) => {}
            Step::Closing(root, data, trees) => {
                if parts.data.has_handed_over(data) && parts.trees.has_handed_over(trees) {
                    self.step = Step::Storing(root, parts.uploader.submitted());
                }
            }
            Step::Storing(root, until) => {
                if parts.uploader.has_stored(until)? {
                    parts.uploader.write_index()?;
                    session.put(Some(root), false)?;
                    self.last = now;
                    self.entries = root.entries;
                    self.step = Step::Idle;
                }
            }
        }
        Ok(())
    }
}
