//! Reads entries: the part of a capture that takes the time.

use std::sync::mpsc::Sender;

use backup_core::{CancelToken, Entry, EntryError, EntryReader, Extent, SourceView, Stability};
use sha2::{Digest, Sha256};

use super::counters::Counters;
use super::queue::{Batch, Item, Queue, Work};
use crate::chunker::Chunker;
use crate::crypto::{BlobHasher, two_lane};
use crate::error::RepositoryError;
use crate::format::BlobType;
use crate::format::tree::{ChunkList, ChunkRef, Content, TreeEntry};
use crate::id::BlobId;
use crate::index::KnownBlobs;
use crate::pack::seal::{BlockBuffer, BlockSealer};
use crate::pack::writer::PackWriter;

/// How often a file that changes while it is read is read before it is taken as it comes.
const READ_ATTEMPTS: u32 = 3;

/// The most bytes of extended attributes of one entry that are stored: they stand in a tree node.
const MAX_XATTR_BYTES: usize = 4 << 20;

/// The most of a file that is read where its size says that it is empty, as in `/proc` and on some file systems that make their
/// content up: far more than such files have, and an end to one that has none.
const MAX_SIZELESS_BYTES: u64 = 64 << 20;

/// What is read of a large file beyond the longest chunk: one whose end is not there yet is moved to the front, and with the room that
/// this makes at the least, something is read.
const READ_AHEAD_BYTES: usize = 64 << 10;

/// What all workers share.
pub(super) struct Shared<'a> {
    pub(super) queue: &'a Queue,
    pub(super) view: &'a dyn SourceView,
    pub(super) known: &'a KnownBlobs<'a>,
    pub(super) writer: &'a PackWriter,
    pub(super) hasher: BlobHasher,
    pub(super) chunker: &'a Chunker,
    pub(super) counters: &'a Counters,
    pub(super) cancel: &'a CancelToken,
    pub(super) level: i32,
}

/// The entries of one batch, done.
pub(super) struct Done {
    pub(super) serial: u64,
    pub(super) entries: Vec<TreeEntry>,
    /// Whether the batch was cut short because somebody cancelled.
    pub(super) cut_short: bool,
}

struct Worker<'a> {
    shared: &'a Shared<'a>,
    sealer: BlockSealer,
    /// The block that is being filled.
    block: BlockBuffer,
    /// The part of a large file that is being cut.
    stream: Vec<u8>,
    generation: u64,
}

/// Works until there is nothing left to do.
pub(super) fn work(shared: &Shared<'_>, results: &Sender<Done>) -> Result<(), RepositoryError> {
    let mut worker = Worker {
        shared,
        sealer: BlockSealer::new(shared.hasher.clone(), shared.level),
        block: empty_block(shared),
        stream: Vec::new(),
        generation: 0,
    };
    while let Some(work) = shared.queue.pop(&mut worker.generation) {
        match work {
            Work::Batch(batch) => {
                let done = worker.batch(batch)?;
                // Nobody listens any more only when the run has failed elsewhere.
                let _ = results.send(done);
                shared.queue.batch_done();
            }
            Work::Block(serial, block) => worker.seal_of_other(serial, block)?,
            Work::Flush => worker.flush()?,
        }
    }
    if shared.queue.is_stopped() { Ok(()) } else { worker.seal() }
}

/// Blocks of content are as long as the longest chunk: that much memory is needed for it anyway.
fn empty_block(shared: &Shared<'_>) -> BlockBuffer {
    BlockBuffer::new(shared.chunker.max_bytes())
}

/// What was read of a file.
struct Read {
    content: Content,
    bytes: u64,
    /// Whether there is more than was to be read.
    is_more: bool,
}

/// Why a file's content was not taken.
enum ReadFailure {
    Entry(EntryError),
    Repository(RepositoryError),
    Cancelled,
}

impl From<RepositoryError> for ReadFailure {
    fn from(error: RepositoryError) -> Self {
        Self::Repository(error)
    }
}

impl Worker<'_> {
    fn flush(&mut self) -> Result<(), RepositoryError> {
        self.seal()?;
        self.shared.queue.flush_done();
        Ok(())
    }

    /// Seals a block that another worker filled.
    fn seal_of_other(&mut self, serial: u64, mut block: BlockBuffer) -> Result<(), RepositoryError> {
        self.sealer.seal(&mut block, self.shared.writer)?;
        self.shared.queue.block_done(serial, block);
        Ok(())
    }

    fn seal(&mut self) -> Result<(), RepositoryError> {
        self.sealer.seal(&mut self.block, self.shared.writer)
    }

    fn batch(&mut self, batch: Batch) -> Result<Done, RepositoryError> {
        let mut done = Done { serial: batch.serial, entries: Vec::with_capacity(batch.items.len()), cut_short: false };
        for item in batch.items {
            if self.shared.cancel.is_cancelled() {
                done.cut_short = true;
                break;
            }
            match item {
                Item::Ready(item) => done.entries.push(*item),
                Item::Load(mut entry) => match self.shared.view.load(&mut entry) {
                    Ok(()) => {
                        self.limit_xattrs(&mut entry);
                        done.entries.push(TreeEntry { entry, content: Content::None });
                    }
                    Err(problem) => self.shared.counters.problem(problem),
                },
                Item::Read { entry, is_new } => match self.file(entry) {
                    Ok(item) => {
                        self.shared.counters.file_read(is_new);
                        done.entries.push(item);
                    }
                    Err(ReadFailure::Entry(problem)) => self.shared.counters.problem(problem),
                    Err(ReadFailure::Repository(error)) => return Err(error),
                    Err(ReadFailure::Cancelled) => {
                        done.cut_short = true;
                        break;
                    }
                },
            }
        }
        Ok(done)
    }

    fn limit_xattrs(&self, entry: &mut Entry) {
        let bytes: usize = entry.xattrs.iter().map(|xattr| xattr.name.len() + xattr.value.len()).sum();
        if bytes > MAX_XATTR_BYTES {
            let cause =
                format!("{bytes} bytes of extended attributes are more than the {MAX_XATTR_BYTES} that are stored");
            self.shared.counters.problem(EntryError::other(
                &entry.path,
                "cannot store the extended attributes of",
                cause,
            ));
            entry.xattrs.clear();
        }
    }

    /// Reads a file, again when it changes meanwhile, and in the end as it comes.
    fn file(&mut self, mut entry: Entry) -> Result<TreeEntry, ReadFailure> {
        // Nearly every file without a size is empty: a small read shows it.
        let mut sizeless_bytes = self.shared.chunker.min_bytes() as u64;
        let mut attempt = 1;
        loop {
            let mut reader = self.shared.view.open(&mut entry).map_err(ReadFailure::Entry)?;
            self.limit_xattrs(&mut entry);
            let is_sizeless = entry.size_bytes == 0;
            let said_bytes = stored_bytes(&entry);
            let expected = if is_sizeless { sizeless_bytes } else { said_bytes };
            let is_small = expected <= self.shared.chunker.min_bytes() as u64;
            let Read { content, bytes, is_more } = if is_small {
                self.read_small(&mut *reader, &entry, expected)?
            } else {
                self.read_large(&mut *reader, &entry, expected)?
            };
            if is_sizeless && is_more && sizeless_bytes < MAX_SIZELESS_BYTES {
                sizeless_bytes = MAX_SIZELESS_BYTES;
                continue;
            }
            let stability = reader
                .stability()
                .map_err(|error| ReadFailure::Entry(EntryError::io(&entry.path, "cannot read", &error)))?;
            let torn = stability == Stability::Changed || is_more || bytes != said_bytes;
            if torn && attempt < READ_ATTEMPTS {
                attempt += 1;
                continue;
            }
            if torn {
                entry.torn = true;
                clip(&mut entry, bytes);
                let cause = match (is_sizeless && bytes > 0, is_more) {
                    (true, true) => "its size says that it is empty; only its beginning was stored",
                    (true, false) => "its size says that it is empty; what could be read was stored",
                    (false, _) => "it changed while it was read, again and again; what was stored may mix two states",
                };
                self.shared.counters.problem(EntryError::other(&entry.path, "torn copy of", cause));
            }
            return Ok(TreeEntry { entry, content });
        }
    }

    fn read_small(&mut self, reader: &mut dyn EntryReader, entry: &Entry, expected: u64) -> Result<Read, ReadFailure> {
        let expected = usize::try_from(expected).expect("small files fit memory");
        if !self.block.has_room_for(expected) {
            self.seal()?;
        }
        // Room for one byte more shows, with the same call, whether the file ends where it should.
        let room = &mut self.block.spare(expected + 1)[..=expected];
        let read = fill(reader, room)
            .map_err(|error| ReadFailure::Entry(EntryError::io(&entry.path, "cannot read", &error)))?;
        let (filled, is_more) = (read.min(expected), read > expected);
        if filled == 0 {
            return Ok(Read { content: Content::None, bytes: 0, is_more });
        }
        self.shared.counters.read(filled as u64);
        let digest: [u8; 32] = Sha256::digest(&room[..filled]).into();
        let id = self.shared.hasher.id_of_digest(BlobType::Data, &digest);
        if self.shared.known.claim(&id) {
            self.block.commit(BlobType::Data, id, filled);
            self.shared.counters.new_bytes(filled as u64);
            if self.block.is_full() {
                self.seal()?;
            }
        }
        Ok(Read { content: Content::Single { digest }, bytes: filled as u64, is_more })
    }

    fn read_large(&mut self, reader: &mut dyn EntryReader, entry: &Entry, expected: u64) -> Result<Read, ReadFailure> {
        let max = self.shared.chunker.max_bytes();
        let mut stream = std::mem::take(&mut self.stream);
        stream.resize(max + READ_AHEAD_BYTES, 0);
        let result = self.cut_stream(reader, entry, expected, &mut stream);
        self.stream = stream;
        result
    }

    /// Adds a chunk to the block that is being filled.
    fn add_chunk(&mut self, id: BlobId, chunk: &[u8]) -> Result<(), RepositoryError> {
        if !self.block.has_room_for(chunk.len()) {
            self.pass_on()?;
        }
        self.block.push(BlobType::Data, id, chunk);
        if self.block.is_full() { self.pass_on() } else { Ok(()) }
    }

    /// Lets somebody seal the block: others compress while this thread goes on reading; when they are busy, it compresses itself.
    fn pass_on(&mut self) -> Result<(), RepositoryError> {
        let block = std::mem::replace(&mut self.block, empty_block(self.shared));
        match self.shared.queue.offer_block(block) {
            Ok(spare) => {
                if let Some(spare) = spare {
                    self.block = spare;
                }
                Ok(())
            }
            Err(block) => {
                self.block = block;
                self.seal()
            }
        }
    }

    fn cut_stream(
        &mut self,
        reader: &mut dyn EntryReader,
        entry: &Entry,
        expected: u64,
        stream: &mut [u8],
    ) -> Result<Read, ReadFailure> {
        let max = self.shared.chunker.max_bytes();
        let mut whole = two_lane::Sha256::new();
        let mut chunks = Vec::new();
        let mut last_digest = [0; 32];
        let (mut from, mut to, mut read_bytes) = (0, 0, 0u64);
        let (mut at_end, mut is_more) = (false, false);
        loop {
            if from == to && at_end {
                break;
            }
            if self.shared.cancel.is_cancelled() || self.shared.queue.is_stopped() {
                return Err(ReadFailure::Cancelled);
            }
            let cut = self.shared.chunker.cut(&stream[from..to]);
            if !at_end && cut == to - from && cut < max {
                // Where it ends is not to be seen yet.
                stream.copy_within(from..to, 0);
                (from, to) = (0, to - from);
                // A file that grows without end is read up to the length it had when it was opened, and a byte more to see that.
                let left = usize::try_from(expected - read_bytes).unwrap_or(usize::MAX);
                let room = (stream.len() - to).min(left.saturating_add(1));
                let read = fill(reader, &mut stream[to..to + room])
                    .map_err(|error| ReadFailure::Entry(EntryError::io(&entry.path, "cannot read", &error)))?;
                let filled = read.min(left);
                is_more = read > left;
                to += filled;
                read_bytes += filled as u64;
                at_end = is_more || read < room;
                continue;
            }
            let chunk = &stream[from..from + cut];
            let is_whole = at_end && chunks.is_empty() && from + chunk.len() == to;
            last_digest = if is_whole { Sha256::digest(chunk).into() } else { digest_with(&mut whole, chunk) };
            let id = self.shared.hasher.id_of_digest(BlobType::Data, &last_digest);
            chunks.push(ChunkRef { id, len_bytes: chunk.len() as u64 });
            from += chunk.len();
            self.shared.counters.read(chunk.len() as u64);
            if self.shared.known.claim(&id) {
                self.shared.counters.new_bytes(chunk.len() as u64);
                self.add_chunk(id, chunk)?;
            }
            if self.shared.queue.take_flush(&mut self.generation) {
                self.flush()?;
                if let Some((serial, block)) = self.shared.queue.take_block() {
                    self.seal_of_other(serial, block)?;
                }
            }
        }
        let content = match chunks.len() {
            0 => Content::None,
            1 => Content::Single { digest: last_digest },
            _ => Content::List { digest: whole.finalize(), list: ChunkList { form: 1, chunks } },
        };
        Ok(Read { content, bytes: read_bytes, is_more })
    }
}

/// Adds the next chunk to the hash of a file and returns the digest of the chunk.
fn digest_with(whole: &mut two_lane::Sha256, chunk: &[u8]) -> [u8; 32] {
    let mut hasher = two_lane::Sha256::new();
    two_lane::Sha256::update_both(whole, chunk, &mut hasher, chunk);
    hasher.finalize()
}

/// Reads until the room is full or the content ends.
fn fill(reader: &mut dyn EntryReader, room: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < room.len() {
        match reader.read(&mut room[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// How many bytes of content the entry's blobs will hold.
pub(super) fn stored_bytes(entry: &Entry) -> u64 {
    match &entry.extents {
        None => entry.size_bytes,
        Some(extents) => extents.iter().map(|extent| extent.len_bytes).sum(),
    }
}

/// Makes an entry fit what could be read of it.
fn clip(entry: &mut Entry, read_bytes: u64) {
    if entry.size_bytes == 0 {
        entry.extents = None;
    }
    match &mut entry.extents {
        None => entry.size_bytes = read_bytes,
        Some(extents) => {
            let mut left = read_bytes;
            for extent in extents.iter_mut() {
                extent.len_bytes = extent.len_bytes.min(left);
                left -= extent.len_bytes;
            }
            extents.retain(|Extent { len_bytes, .. }| *len_bytes > 0);
        }
    }
}
