//! One restore from beginning to end.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backup_core::{
    CancelToken, ConflictResolver, Entry, EntryError, EntryKind, EntryPath, Event, Monitor, Phase, RestoreTarget, Work,
};
use crossbeam_channel::{Receiver, Sender};
use tokio::runtime::Handle;

use super::decide::{Decision, decide};
use super::plan::{After, FileJob, Latch, Task, WINDOW_CHUNKS, Window};
use super::write::{Writer, chain};
use super::{ConflictOutcome, MAX_LISTED, RestoreError, RestoreOptions, RestoreReport};
use crate::error::RepositoryError;
use crate::format::BlobType;
use crate::format::record::TreeRoot;
use crate::format::tree::{ChunkRef, TreeEntry};
use crate::pack::reader::BlobReader;
use crate::repository::Repository;
use crate::tree::TreeWalk;
use crate::tree::walk::{TreeDamage, chunks_of};

/// Windows that are worked on while the next is planned.
const WINDOWS_AHEAD: usize = 2;

/// Tasks that wait for a worker; each is small until it runs.
const MAX_WAITING_TASKS: usize = 64;

/// Progress is reported at most so often.
const PROGRESS_EVERY: Duration = Duration::from_millis(50);

/// What all threads report.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) restored_files: AtomicU64,
    pub(super) restored_bytes: AtomicU64,
    pub(super) read_bytes: AtomicU64,
    kept_both: AtomicU64,
    problem_count: AtomicU64,
    problems: Mutex<Vec<EntryError>>,
    conflicts: Mutex<Vec<ConflictOutcome>>,
    fatal: Mutex<Option<RepositoryError>>,
    stopped: AtomicBool,
}

impl Outcome {
    pub(super) fn problem(&self, problem: EntryError) {
        self.problem_count.fetch_add(1, Ordering::Relaxed);
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        if problems.len() < MAX_LISTED {
            problems.push(problem);
        }
    }

    pub(super) fn conflict(&self, conflict: ConflictOutcome) {
        let mut conflicts = self.conflicts.lock().unwrap_or_else(PoisonError::into_inner);
        if conflicts.len() < MAX_LISTED {
            conflicts.push(conflict);
        }
    }

    pub(super) fn kept_both(&self) {
        self.kept_both.fetch_add(1, Ordering::Relaxed);
    }

    fn fail(&self, error: RepositoryError) {
        self.fatal.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.stopped.store(true, Ordering::Release);
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }
}

/// A window that workers are busy with.
struct Running {
    latch: Arc<Latch>,
    after: Vec<After>,
}

type Job = (Arc<Window>, Arc<Latch>, Task);

/// A directory that the walk is in.
struct OpenDirectory {
    /// Where it is in the snapshot.
    source: EntryPath,
    /// As it is restored; `None` where `strip` leaves it out.
    entry: Option<Entry>,
    made: Made,
    /// Names in it that the snapshot has; only filled when others are to be deleted.
    names: Vec<Vec<u8>>,
    /// Whether everything the snapshot has in it is restored, so that others may be deleted.
    complete: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Made {
    NotYet,
    /// It is there; `fresh` when this run made it, so that nothing can be in it.
    Yes {
        fresh: bool,
    },
    /// It was left out or failed; so is everything below it.
    No,
}

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
    hard_links: HashMap<(u64, u64), (EntryPath, u64)>,
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

    let outcome = Outcome::default();
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
    report.problems = outcome.problems.into_inner().unwrap_or_else(PoisonError::into_inner);
    report.conflicts = outcome.conflicts.into_inner().unwrap_or_else(PoisonError::into_inner);
    report.duration = clock.monotonic().saturating_sub(began);
    Ok(report)
}

fn serve(waiting: &Receiver<Job>, reader: &BlobReader, target: &dyn RestoreTarget, outcome: &Outcome, handle: &Handle) {
    let mut writer = Writer::new(reader, target, outcome, handle);
    for (window, latch, task) in waiting {
        // Counted down even when this thread panics: the planner must not wait for ever.
        let _done = CountDown(&latch, outcome);
        if outcome.is_stopped() {
            continue;
        }
        if let Err(error) = writer.run(&window, task) {
            outcome.fail(error);
        }
    }
}

struct CountDown<'a>(&'a Latch, &'a Outcome);

impl Drop for CountDown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.1.fail(RepositoryError::WorkerDied);
        }
        self.0.count_down();
    }
}

impl Restore<'_> {
    fn run(mut self) -> Result<RestoreReport, RestoreError> {
        let walked = self.walk();
        if walked.is_ok() {
            self.leave_directories(None);
        }
        self.dispatch();
        while self.settle_oldest() {}
        walked.map(|()| self.report)
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

    /// Visits the directories above a selected entry, so that they come back with their metadata.
    fn enter_ancestors(&mut self, path: &EntryPath) -> Result<(), RestoreError> {
        let mut ancestors: Vec<_> = std::iter::successors(path.parent(), EntryPath::parent).collect();
        ancestors.reverse();
        for ancestor in ancestors {
            if self.directories.iter().any(|open| open.source == ancestor) {
                continue;
            }
            let mut walk = TreeWalk::from_path(Arc::clone(&self.reader), self.root, &ancestor);
            if let Some(Ok(item)) = walk.next()
                && item.entry.path == ancestor
                && item.entry.kind == EntryKind::Directory
            {
                self.leave_directories(Some(&ancestor));
                self.enter_directory(item.entry, false);
            }
        }
        Ok(())
    }

    /// Restores what a walk gives, up to the end of a subtree.
    fn take(&mut self, walk: TreeWalk, subtree: Option<&EntryPath>) -> Result<(), RestoreError> {
        let mut found = false;
        for item in walk {
            if self.cancel.is_cancelled() {
                return Err(RestoreError::Cancelled);
            }
            if self.outcome.is_stopped() {
                return Ok(());
            }
            match item {
                Err(damage) => self.tree_damage(damage, subtree)?,
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
            Some(path) if !found && self.outcome.problem_count.load(Ordering::Relaxed) == 0 => {
                Err(RestoreError::NotInSnapshot(path.clone()))
            }
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
        self.directories.iter_mut().for_each(|directory| directory.complete = false);
        Ok(())
    }

    fn progress(&mut self) {
        self.items += 1;
        if !self.items.is_multiple_of(256) {
            return;
        }
        let now = (self.now)();
        if now.saturating_sub(self.reported) >= PROGRESS_EVERY {
            self.reported = now;
            let done = Work { items: self.items, bytes: self.outcome.restored_bytes.load(Ordering::Relaxed) };
            let total = Work { items: self.root.entries, bytes: self.root.bytes };
            self.monitor.event(&Event::Progress { phase: Phase::Restore, done, total: Some(total) });
        }
    }

    fn is_accepted(&self, entry: &Entry) -> bool {
        self.options.selection.matcher.as_ref().is_none_or(|matcher| matcher(&entry.path, entry.kind))
    }

    fn entry(&mut self, item: TreeEntry) -> Result<(), RestoreError> {
        self.leave_directories(Some(&item.entry.path));
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

    /// The entry with the path under which it is restored; `None` where `strip` leaves it out.
    fn placed(&self, mut entry: Entry) -> Option<Entry> {
        let depth = entry.path.components().count();
        if depth <= self.options.strip {
            return None;
        }
        let parent = self.directories.last().and_then(|open| open.entry.as_ref());
        let path = match parent {
            Some(parent) => parent.path.join(entry.path.name()),
            // Its directory is stripped or not in the snapshot: what is left of its own path counts.
            None => EntryPath::new(entry.path.components().skip(self.options.strip).collect::<Vec<_>>().join(&b'/')),
        };
        entry.path = path.ok()?;
        Some(entry)
    }

    fn enter_directory(&mut self, entry: Entry, make_now: bool) {
        let source = entry.path.clone();
        let entry = self.placed(entry);
        let made = match self.directories.last() {
            Some(OpenDirectory { made: Made::No, .. }) => Made::No,
            _ => Made::NotYet,
        };
        let complete = self.options.selection.matcher.is_none();
        self.directories.push(OpenDirectory { source, entry, made, names: Vec::new(), complete });
        if make_now {
            self.make_directories();
        }
    }

    /// Makes every directory that the walk is in and that is not there yet; says what became of the innermost.
    fn make_directories(&mut self) -> Made {
        let mut fresh = false;
        for at in 0..self.directories.len() {
            let made = match self.directories[at].made {
                Made::NotYet => match self.directories[at].entry.clone() {
                    None => Made::Yes { fresh: false },
                    Some(entry) => self.make_directory(at, entry, fresh),
                },
                made => made,
            };
            self.directories[at].made = made;
            match made {
                Made::Yes { fresh: is_fresh } => fresh = is_fresh,
                Made::No | Made::NotYet => {
                    self.directories[at..].iter_mut().for_each(|below| below.made = Made::No);
                    return Made::No;
                }
            }
        }
        Made::Yes { fresh }
    }

    fn make_directory(&mut self, at: usize, entry: Entry, parent_is_fresh: bool) -> Made {
        let mut entry = entry;
        if !parent_is_fresh {
            match decide(&entry, self.target, self.resolver, self.outcome, self.options.dry_run) {
                Ok(Decision::Unchanged { .. }) => {}
                Ok(Decision::Write { path, .. }) => {
                    entry.path = path;
                    self.directories[at].entry = Some(entry.clone());
                }
                Ok(Decision::Skip) => {
                    self.report.skipped += 1;
                    return Made::No;
                }
                Err(problem) => {
                    self.outcome.problem(problem);
                    return Made::No;
                }
            }
        }
        self.report.restored_others += 1;
        if self.options.dry_run {
            return Made::Yes { fresh: false };
        }
        match self.target.create_directory(&entry) {
            Ok(fresh) => Made::Yes { fresh },
            Err(problem) => {
                self.outcome.problem(problem);
                Made::No
            }
        }
    }

    /// Leaves directories that don't hold `path`; all of them for `None`.
    fn leave_directories(&mut self, path: Option<&EntryPath>) {
        while let Some(open) = self.directories.pop_if(|open| path.is_none_or(|path| !path.is_within(&open.source))) {
            let Some(entry) = open.entry else { continue };
            if !matches!(open.made, Made::Yes { .. }) {
                continue;
            }
            if self.options.delete_extra && open.complete {
                self.window.after.push(After::DeleteExtra { directory: entry.path.clone(), keep: open.names });
            }
            self.window.after.push(After::FinishDirectory(entry));
        }
    }

    fn place(&mut self, item: TreeEntry, source: &EntryPath, parent_is_fresh: bool) -> Result<(), RestoreError> {
        let TreeEntry { mut entry, content } = item;
        let mut replaces = None;
        if !parent_is_fresh {
            match decide(&entry, self.target, self.resolver, self.outcome, self.options.dry_run) {
                Ok(Decision::Skip) => {
                    self.report.skipped += 1;
                    return Ok(());
                }
                Ok(Decision::Unchanged { local }) => {
                    let is_right = !self.options.verify_existing
                        || entry.kind != EntryKind::File
                        || self.has_same_content(&entry, &content)?;
                    if is_right {
                        self.unchanged(entry, &local);
                        return Ok(());
                    }
                    replaces = Some(local);
                }
                Ok(Decision::Write { path, replaces: there }) => {
                    entry.path = path;
                    replaces = there;
                }
                Err(problem) => {
                    self.outcome.problem(problem);
                    return Ok(());
                }
            }
        }
        // Links, pipes and devices can have several names as well.
        if entry.links > 1 {
            if let Some((existing, left)) = self.hard_links.get_mut(&(entry.device, entry.inode)) {
                let existing = existing.clone();
                *left -= 1;
                if *left == 0 {
                    self.hard_links.remove(&(entry.device, entry.inode));
                }
                self.report.restored_others += 1;
                self.after(After::HardLink { entry, existing });
                return Ok(());
            }
            self.hard_links.insert((entry.device, entry.inode), (entry.path.clone(), entry.links - 1));
        }
        if entry.kind != EntryKind::File {
            self.report.restored_others += 1;
            self.after(After::Special(entry));
            return Ok(());
        }
        if self.options.dry_run {
            self.report.restored_files += 1;
            self.report.restored_bytes += entry.size_bytes;
            return Ok(());
        }
        let chunks = match chunks_of(&self.reader, stored_bytes(&entry), &content) {
            Ok(chunks) => chunks,
            Err(error) if error.is_damage() => {
                self.outcome.problem(EntryError::other(source, "cannot restore", chain(&error)));
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        self.add_file(entry, chunks, replaces.is_some());
        Ok(())
    }

    fn add_file(&mut self, entry: Entry, chunks: Vec<ChunkRef>, replaces_a_file: bool) {
        if chunks.is_empty() {
            self.window.add_empty(entry);
        } else if replaces_a_file && entry.extents.is_none() && (chunks.len() > 1 || self.options.verify_existing) {
            let existing = entry.path.clone();
            self.window.add_delta(entry, existing, chunks);
        } else {
            let job = Arc::new(FileJob::new(entry, chunks.len()));
            let mut offset = 0;
            for part in chunks.chunks(WINDOW_CHUNKS) {
                self.window.add_chunks(&job, part, offset, self.reader.index());
                offset += part.iter().map(|chunk| chunk.len_bytes).sum::<u64>();
                if self.window.is_full() {
                    self.dispatch();
                }
            }
        }
        if self.window.is_full() {
            self.dispatch();
        }
    }

    /// Whether the file that is there has the backup's content, chunk by chunk.
    fn has_same_content(&self, entry: &Entry, content: &crate::format::tree::Content) -> Result<bool, RestoreError> {
        if entry.extents.is_some() {
            return Ok(false);
        }
        let chunks = match chunks_of(&self.reader, entry.size_bytes, content) {
            Ok(chunks) => chunks,
            Err(error) if error.is_damage() => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let Ok(local) = self.target.open_existing(&entry.path) else { return Ok(false) };
        let hasher = self.reader.store().keyring().hasher();
        let mut buffer = Vec::new();
        let mut offset = 0;
        for chunk in chunks {
            buffer.resize(usize::try_from(chunk.len_bytes).unwrap_or(0), 0);
            let read = local.read_at(offset, &mut buffer);
            if !matches!(read, Ok(n) if n == buffer.len()) || hasher.id(BlobType::Data, &buffer) != chunk.id {
                return Ok(false);
            }
            offset += chunk.len_bytes;
        }
        Ok(true)
    }

    fn unchanged(&mut self, entry: Entry, local: &Entry) {
        self.report.unchanged += 1;
        let same_metadata = entry.mode == local.mode
            && entry.uid == local.uid
            && entry.gid == local.gid
            && entry.modified == local.modified
            && entry.xattrs == local.xattrs;
        if !same_metadata
            && !self.options.dry_run
            && let Err(problem) = self.target.set_metadata(&entry)
        {
            self.outcome.problem(problem);
        }
        if entry.links > 1 {
            let (device, inode, links) = (entry.device, entry.inode, entry.links);
            self.hard_links.entry((device, inode)).or_insert((entry.path, links - 1));
        }
    }

    fn after(&mut self, after: After) {
        self.window.after.push(after);
        if self.window.is_full() {
            self.dispatch();
        }
    }

    /// Hands the window to the workers and begins the next.
    fn dispatch(&mut self) {
        if self.window.is_empty() {
            return;
        }
        let mut window = std::mem::take(&mut self.window);
        let tasks = if self.options.dry_run { Vec::new() } else { window.take_tasks() };
        let after = std::mem::take(&mut window.after);
        let latch = Arc::new(Latch::new(tasks.len()));
        let window = Arc::new(window);
        for task in tasks {
            if self.jobs.send((Arc::clone(&window), Arc::clone(&latch), task)).is_err() {
                // All workers are gone, which only happens when they died.
                self.outcome.fail(RepositoryError::WorkerDied);
                return;
            }
        }
        self.running.push_back(Running { latch, after });
        while self.running.len() > WINDOWS_AHEAD {
            self.settle_oldest();
        }
    }

    /// Waits for the oldest window and does what had to wait for its files. Returns whether there was one.
    fn settle_oldest(&mut self) -> bool {
        let Some(Running { latch, after }) = self.running.pop_front() else { return false };
        latch.wait();
        if self.options.dry_run || self.outcome.is_stopped() {
            return true;
        }
        for after in after {
            let done = match after {
                After::Special(entry) => self.target.create_special(&entry),
                After::HardLink { entry, existing } => self.target.create_hard_link(&entry, &existing),
                After::FinishDirectory(entry) => self.target.finish_directory(&entry),
                After::DeleteExtra { directory, keep } => self.delete_extra(&directory, &keep),
            };
            if let Err(problem) = done {
                self.outcome.problem(problem);
            }
        }
        true
    }

    fn delete_extra(&mut self, directory: &EntryPath, keep: &[Vec<u8>]) -> Result<(), EntryError> {
        let keep: std::collections::HashSet<&[u8]> = keep.iter().map(Vec::as_slice).collect();
        for name in self.target.names(directory)? {
            if keep.contains(name.as_slice()) {
                continue;
            }
            let Ok(path) = directory.join(&name) else { continue };
            self.target.remove(&path)?;
            self.report.deleted += 1;
        }
        Ok(())
    }
}

fn stored_bytes(entry: &Entry) -> u64 {
    match &entry.extents {
        None => entry.size_bytes,
        Some(extents) => extents.iter().map(|extent| extent.len_bytes).sum(),
    }
}
