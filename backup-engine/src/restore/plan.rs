//! A window of files, and the blocks that they need.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::time::Duration;

use backup_core::{Entry, EntryPath, EntryWriter};

use crate::format::tree::ChunkRef;
use crate::id::BlobId;
use crate::index::{BlobIndex, BlobLocation};

/// Frames this near to each other in a pack are fetched with one request.
const MAX_GAP_BYTES: u64 = 64 * 1024;

/// A request for neighbouring frames ends with the frame that reaches this size: two for each worker are held in memory.
const RUN_BYTES: u64 = 2 << 20;

/// A window ends at so many files: enough that blocks are shared, few enough to hold in memory.
const WINDOW_FILES: usize = 4096;

/// A window ends at so many chunks; a larger file is spread over windows.
pub(super) const WINDOW_CHUNKS: usize = 16 * 1024;

/// A window ends at so many bytes, so that progress is seen and directories are finished.
const WINDOW_BYTES: u64 = 256 << 20;

/// Set when the first name of several could not be restored, so that no other is linked to what stands there instead.
pub(super) type Lost = Arc<AtomicBool>;

/// An entry that is no directory, with the path under which it is restored.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) entry: Entry,
    /// Whether a directory stands in its place.
    pub(super) clears: bool,
    /// Of the first of several names.
    pub(super) lost: Option<Lost>,
}

/// One file that is being restored.
pub(super) struct FileJob {
    /// The entry, with the path under which it is restored.
    pub(super) entry: Entry,
    /// Chunks that are not written yet.
    pub(super) left: AtomicUsize,
    pub(super) failed: AtomicBool,
    /// Where its other names look whether it is there; `None` when it has none.
    pub(super) lost: Option<Lost>,
    /// Whether a directory stands in its place and goes when the file is whole.
    pub(super) clears: bool,
    /// Filled by the first chunk, taken by the last.
    pub(super) writer: RwLock<Option<Box<dyn EntryWriter>>>,
    /// How many chunks the file has.
    pub(super) chunks: usize,
}

impl FileJob {
    pub(super) fn new(placed: Placed, chunks: usize) -> Self {
        let Placed { entry, clears, lost } = placed;
        Self {
            entry,
            left: AtomicUsize::new(chunks),
            failed: AtomicBool::new(false),
            lost,
            clears,
            writer: RwLock::new(None),
            chunks,
        }
    }
}

/// One place where a blob is wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Use {
    pub(super) file: usize,
    pub(super) id: BlobId,
    /// The blob's place in its block.
    pub(super) number: u16,
    /// Where it belongs in the file's content.
    pub(super) content_offset: u64,
}

/// A block and who wants what of it.
#[derive(Debug)]
pub(super) struct BlockUses {
    pub(super) location: BlobLocation,
    pub(super) uses: Vec<Use>,
}

/// Something a worker does at once.
#[derive(Debug)]
pub(super) enum Task {
    /// Fetch neighbouring frames and write what they hold.
    Run(Vec<BlockUses>),
    /// Make files without content.
    Empty(Vec<usize>),
    /// Take over what an existing file has in common with the backup, and fetch the rest.
    Delta { file: usize, existing: EntryPath, chunks: Vec<ChunkRef> },
    /// Blobs that the index doesn't have.
    Missing(Vec<Use>),
}

/// Files whose blocks are fetched together.
#[derive(Default)]
pub(super) struct Window {
    pub(super) files: Vec<Arc<FileJob>>,
    blocks: HashMap<(u32, u32), usize>,
    uses: Vec<BlockUses>,
    empty: Vec<usize>,
    deltas: Vec<Task>,
    missing: Vec<Use>,
    pub(super) content_bytes: u64,
    pub(super) chunk_count: usize,
    /// What comes after all files of the window, in order.
    pub(super) after: Vec<After>,
}

/// What has to wait for files.
#[derive(Debug)]
pub(super) enum After {
    Special(Placed),
    /// Another name of something that is restored, unless that was lost.
    HardLink {
        placed: Placed,
        existing: EntryPath,
        lost: Lost,
    },
    FinishDirectory(Entry),
    DeleteExtra {
        directory: EntryPath,
        keep: Vec<Vec<u8>>,
        /// Whether another directory of the backup has a name that differs in case only.
        has_twin: bool,
    },
}

impl Window {
    /// Adds a file without content.
    pub(super) fn add_empty(&mut self, file: Placed) {
        self.empty.push(self.files.len());
        self.files.push(Arc::new(FileJob::new(file, 0)));
    }

    /// Adds neighbouring chunks of a file, from an offset of its content on, and notes which blocks they need.
    pub(super) fn add_chunks(
        &mut self,
        job: &Arc<FileJob>,
        chunks: &[ChunkRef],
        mut content_offset: u64,
        index: &BlobIndex,
    ) {
        let file = self.files.len();
        self.chunk_count += chunks.len();
        for chunk in chunks {
            match index.find(&chunk.id).or_else(|| index.locations(&chunk.id).first().copied()) {
                None => self.missing.push(Use { file, id: chunk.id, number: 0, content_offset }),
                Some(location) => {
                    let uses = &mut self.uses;
                    let at = *self.blocks.entry((location.pack, location.offset_bytes)).or_insert_with(|| {
                        uses.push(BlockUses { location, uses: Vec::new() });
                        uses.len() - 1
                    });
                    uses[at].uses.push(Use { file, id: chunk.id, number: location.number, content_offset });
                }
            }
            content_offset += chunk.len_bytes;
            self.content_bytes += chunk.len_bytes;
        }
        self.files.push(Arc::clone(job));
    }

    /// Adds a file that replaces an existing one with which it may have much in common.
    pub(super) fn add_delta(&mut self, placed: Placed, existing: EntryPath, chunks: Vec<ChunkRef>) {
        let file = self.files.len();
        self.content_bytes += placed.entry.size_bytes;
        self.files.push(Arc::new(FileJob::new(placed, chunks.len())));
        self.deltas.push(Task::Delta { file, existing, chunks });
    }

    /// Whether it has grown to where it should be worked on.
    pub(super) fn is_full(&self) -> bool {
        self.files.len() >= WINDOW_FILES
            || self.chunk_count >= WINDOW_CHUNKS
            || self.content_bytes >= WINDOW_BYTES
            || self.after.len() >= WINDOW_FILES
    }

    /// Whether it holds nothing to do.
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.after.is_empty()
    }

    /// The tasks, in the order in which files need them first.
    pub(super) fn take_tasks(&mut self) -> Vec<Task> {
        self.blocks = HashMap::new();
        let mut blocks = std::mem::take(&mut self.uses);
        blocks.sort_by_key(|block| (block.location.pack, block.location.offset_bytes));
        let mut runs: Vec<Vec<BlockUses>> = Vec::new();
        let mut end = (0, 0u64);
        let mut run_bytes = 0;
        for block in blocks {
            let from = u64::from(block.location.offset_bytes);
            let frame = u64::from(block.location.sealed_bytes) + crate::format::envelope::FRAME_PREFIX_BYTES as u64;
            let joins =
                end.0 == block.location.pack && from >= end.1 && from - end.1 <= MAX_GAP_BYTES && run_bytes < RUN_BYTES;
            end = (block.location.pack, from + frame);
            match runs.last_mut() {
                Some(run) if joins => {
                    run.push(block);
                    run_bytes += frame;
                }
                _ => {
                    runs.push(vec![block]);
                    run_bytes = frame;
                }
            }
        }
        let first_file =
            |run: &Vec<BlockUses>| run.iter().flat_map(|block| block.uses.iter().map(|r#use| r#use.file)).min();
        runs.sort_by_key(first_file);
        let mut tasks: Vec<Task> = runs.into_iter().map(Task::Run).collect();
        tasks.append(&mut self.deltas);
        if !self.empty.is_empty() {
            tasks.push(Task::Empty(std::mem::take(&mut self.empty)));
        }
        if !self.missing.is_empty() {
            tasks.push(Task::Missing(std::mem::take(&mut self.missing)));
        }
        tasks
    }
}

/// One task of a window, counted down when this is dropped, whatever became of it.
pub(super) struct Counted(pub(super) Arc<Latch>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.count_down();
    }
}

/// Counts down the tasks of a window.
#[derive(Debug)]
pub(super) struct Latch {
    left: Mutex<usize>,
    done: Condvar,
}

impl Latch {
    pub(super) fn new(count: usize) -> Self {
        Self { left: Mutex::new(count), done: Condvar::new() }
    }

    pub(super) fn count_down(&self) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        *left -= 1;
        if *left == 0 {
            self.done.notify_all();
        }
    }

    /// Waits until all is done, but not longer than that; says whether it is.
    pub(super) fn wait(&self, longest: Duration) -> bool {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let (left, _) =
            self.done.wait_timeout_while(left, longest, |left| *left > 0).unwrap_or_else(PoisonError::into_inner);
        *left == 0
    }
}
