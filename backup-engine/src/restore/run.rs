//! One restore from beginning to end: a thread walks the snapshot and plans, others write.

mod directories;
mod place;
mod settle;

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use backup_core::{
    CancelToken, ConflictResolver, Entry, EntryError, EntryKind, EntryPath, Event, Monitor, Phase, RestoreTarget, Work,
};
use crossbeam_channel::{Receiver, Sender};
use tokio::runtime::Handle;

use self::directories::{Made, OpenDirectory};
use self::place::{LinkGroup, LinkKey};
use self::settle::Running;
use super::outcome::Outcome;
use super::plan::{Counted, Task, Window};
use super::write::{Writer, chain};
use super::{RestoreError, RestoreOptions, RestoreReport};
use crate::error::RepositoryError;
use crate::format::record::TreeRoot;
use crate::format::tree::TreeEntry;
use crate::pack::reader::BlobReader;
use crate::repository::Repository;
use crate::tree::TreeWalk;
use crate::tree::walk::TreeDamage;

/// Tasks that wait for a worker; each is small until it runs.
const MAX_WAITING_TASKS: usize = 64;

/// The clock is looked at after so many entries.
const PROGRESS_EVERY_ITEMS: u64 = 256;

/// Progress is reported at most so often.
const PROGRESS_EVERY: Duration = Duration::from_millis(50);

type Job = (Counted, Arc<Window>, Task);

struct Restore<'a> {
    reader: Arc<BlobReader>,
    root: &'a TreeRoot,
    target: &'a dyn RestoreTarget,
    resolver: &'a dyn ConflictResolver,
    options: &'a RestoreOptions,
    monitor: &'a dyn Monitor,
    cancel: &'a CancelToken,
    outcome: &'a Outcome,
    jobs: Sender<Job>,
    window: Window,
    running: VecDeque<Running>,
    directories: Vec<OpenDirectory>,
    hard_links: HashMap<LinkKey, LinkGroup>,
    /// Whether a part of the tree could not be read.
    tree_is_damaged: bool,
    /// Names at the top that entries got because theirs were taken.
    beside_top: Vec<Vec<u8>>,
    /// What `strip` took off the path before.
    stripped: Option<Vec<u8>>,
    report: RestoreReport,
    items: u64,
    now: &'a dyn Fn() -> Duration,
    reported: Duration,
}

#[expect(
    clippy::too_many_arguments,
    reason = "the arguments of the public operation and what it took from its surroundings"
)]
pub(super) fn run(
    repository: &Repository,
    handle: &Handle,
    root: &TreeRoot,
    target: &dyn RestoreTarget,
    resolver: &dyn ConflictResolver,
    options: &RestoreOptions,
    monitor: &dyn Monitor,
    cancel: &CancelToken,
) -> Result<RestoreReport, RestoreError> {
    let clock = &**repository.clock();
    let began = clock.monotonic();
    let now = || clock.monotonic();
    monitor.event(&Event::PhaseStarted { phase: Phase::Open, total: None });
    let index = handle.block_on(repository.load_index())?.index;
    let reader = Arc::new(BlobReader::new(handle.clone(), repository.store().clone(), Arc::new(index)));
    let total = Work { items: root.entries, bytes: root.bytes };
    monitor.event(&Event::PhaseStarted { phase: Phase::Restore, total: Some(total) });

    let outcome = Outcome::new(cancel);
    let (jobs, waiting) = crossbeam_channel::bounded(MAX_WAITING_TASKS);
    let mut report = std::thread::scope(|scope| {
        for _ in 0..options.workers.max(1) {
            let waiting = waiting.clone();
            let (reader, outcome) = (&*reader, &outcome);
            scope.spawn(move || serve(&waiting, reader, target, outcome, handle));
        }
        drop(waiting);
        let restore = Restore {
            reader: Arc::clone(&reader),
            root,
            target,
            resolver,
            options,
            monitor,
            cancel,
            outcome: &outcome,
            jobs,
            window: Window::default(),
            running: VecDeque::new(),
            directories: Vec::new(),
            hard_links: HashMap::new(),
            tree_is_damaged: false,
            beside_top: Vec::new(),
            stripped: None,
            report: RestoreReport::default(),
            items: 0,
            now: &now,
            reported: Duration::ZERO,
        };
        restore.run()
    })?;
    if let Some(error) = outcome.fatal.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Err(error.into());
    }
    reader.index().failure()?;
    if !options.dry_run {
        target.finish()?;
    }
    report.restored_files += outcome.restored_files.into_inner();
    report.restored_bytes += outcome.restored_bytes.into_inner();
    report.read_bytes = outcome.read_bytes.into_inner();
    report.kept_both = outcome.kept_both.into_inner();
    report.problem_count = outcome.problem_count.into_inner();
    report.damaged_files = outcome.damaged_files.into_inner();
    report.problems = outcome.problems.into_inner().unwrap_or_else(PoisonError::into_inner);
    report.conflicts = outcome.conflicts.into_inner().unwrap_or_else(PoisonError::into_inner);
    if options.record && !options.dry_run {
        let recorded = handle.block_on(repository.remember_damage(reader.index()));
        report.unrecorded = recorded.err().map(|error| error.to_string());
    }
    report.duration = clock.monotonic().saturating_sub(began);
    Ok(report)
}

fn serve(waiting: &Receiver<Job>, reader: &BlobReader, target: &dyn RestoreTarget, outcome: &Outcome, handle: &Handle) {
    let mut writer = Writer::new(reader, target, outcome, handle);
    for (_counted, window, task) in waiting {
        if outcome.is_stopped() {
            continue;
        }
        // A thread that died would leave what is queued behind it uncounted, and the planner waiting for it.
        let ran = catch_unwind(AssertUnwindSafe(|| writer.run(&window, task)));
        if let Err(error) = ran.unwrap_or(Err(RepositoryError::WorkerDied)) {
            outcome.fail(error);
        }
    }
}

impl Restore<'_> {
    fn run(mut self) -> Result<RestoreReport, RestoreError> {
        let walked = self.walk();
        if walked.is_ok() {
            self.leave_directories(None);
        }
        self.settle();
        walked?;
        if self.cancel.is_cancelled() { Err(RestoreError::Cancelled) } else { Ok(self.report) }
    }

    fn walk(&mut self) -> Result<(), RestoreError> {
        if self.options.selection.include.is_empty() {
            let walk = TreeWalk::new(Arc::clone(&self.reader), self.root);
            return self.take(walk, None);
        }
        let mut include = self.options.selection.include.clone();
        include.sort();
        include.dedup_by(|path, before| path.is_within(before));
        for path in include {
            self.enter_ancestors(&path)?;
            let walk = TreeWalk::from_path(Arc::clone(&self.reader), self.root, &path);
            self.take(walk, Some(&path))?;
        }
        Ok(())
    }

    /// Visits the directories above a selected entry, so that those that have to be made get their metadata.
    fn enter_ancestors(&mut self, path: &EntryPath) -> Result<(), RestoreError> {
        let mut ancestors: Vec<_> = std::iter::successors(path.parent(), EntryPath::parent).collect();
        ancestors.reverse();
        for ancestor in ancestors {
            if self.directories.iter().any(|open| open.source == ancestor) {
                continue;
            }
            let mut walk = TreeWalk::from_path(Arc::clone(&self.reader), self.root, &ancestor);
            match walk.next() {
                Some(Ok(item)) if item.entry.path == ancestor && item.entry.kind == EntryKind::Directory => {
                    self.leave_directories(Some(&ancestor));
                    self.open_missing(&ancestor);
                    self.enter_directory(item.entry, false);
                }
                Some(Err(damage)) => self.tree_damage(damage, Some(path))?,
                Some(Ok(_)) | None => {}
            }
        }
        Ok(())
    }

    /// Restores what a walk gives, up to the end of a subtree.
    fn take(&mut self, walk: TreeWalk, subtree: Option<&EntryPath>) -> Result<(), RestoreError> {
        let (mut found, mut damaged) = (false, false);
        for item in walk {
            if self.cancel.is_cancelled() {
                return Err(RestoreError::Cancelled);
            }
            if self.outcome.is_stopped() {
                return Ok(());
            }
            match item {
                // What is lost begins after all that was asked for.
                Err(TreeDamage { from: Some(from), .. })
                    if subtree.is_some_and(|subtree| from > *subtree && !from.is_within(subtree)) =>
                {
                    break;
                }
                Err(damage) => {
                    damaged = true;
                    self.tree_damage(damage, subtree)?;
                }
                Ok(item) => {
                    if subtree.is_some_and(|subtree| !item.entry.path.is_within(subtree)) {
                        break;
                    }
                    found = true;
                    self.entry(item)?;
                }
            }
            self.progress();
        }
        match subtree {
            Some(path) if !found && !damaged => Err(RestoreError::NotInSnapshot(path.clone())),
            _ => Ok(()),
        }
    }

    /// A damaged part of the tree is one problem; what lies in it isn't known, so nothing may be deleted on its account.
    fn tree_damage(&mut self, damage: TreeDamage, subtree: Option<&EntryPath>) -> Result<(), RestoreError> {
        if !damage.source.is_damage() {
            return Err(damage.source.into());
        }
        let path = damage.from.clone().or_else(|| subtree.cloned()).or_else(|| EntryPath::new(b"?".as_slice()).ok());
        if let Some(path) = path {
            self.outcome.problem(EntryError::other(&path, "cannot restore everything from", chain(&damage)));
        }
        self.tree_is_damaged = true;
        self.directories.iter_mut().for_each(|directory| directory.complete = false);
        Ok(())
    }

    fn progress(&mut self) {
        self.items += 1;
        if self.items.is_multiple_of(PROGRESS_EVERY_ITEMS) {
            self.tick();
        }
    }

    /// Reports progress, now and then.
    fn tick(&mut self) {
        let now = (self.now)();
        if now.saturating_sub(self.reported) >= PROGRESS_EVERY {
            self.reported = now;
            let done = Work { items: self.items, bytes: self.outcome.done_bytes.load(Ordering::Relaxed) };
            let total = Work { items: self.root.entries, bytes: self.root.bytes };
            self.monitor.event(&Event::Progress { phase: Phase::Restore, done, total: Some(total) });
        }
    }

    fn is_accepted(&self, entry: &Entry) -> bool {
        self.options.selection.matcher.as_ref().is_none_or(|matcher| matcher(&entry.path, entry.kind))
    }

    fn entry(&mut self, item: TreeEntry) -> Result<(), RestoreError> {
        self.leave_directories(Some(&item.entry.path));
        self.open_missing(&item.entry.path);
        let accepted = self.is_accepted(&item.entry);
        if let Some(parent) = self.directories.last_mut() {
            if self.options.delete_extra {
                parent.names.push(item.entry.path.name().to_vec());
            }
            parent.complete &= accepted;
        }
        if item.entry.kind == EntryKind::Directory {
            self.enter_directory(item.entry, accepted);
            return Ok(());
        }
        if !accepted {
            return Ok(());
        }
        let source = item.entry.path.clone();
        let Some(entry) = self.placed(item.entry) else { return Ok(()) };
        let Made::Yes { fresh } = self.make_directories() else {
            self.report.skipped += 1;
            return Ok(());
        };
        self.place(TreeEntry { entry, content: item.content }, &source, fresh)
    }
}
