//! What workers do: fetch, verify, write.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use backup_core::{ByteRange, Entry, EntryError, EntryPath, EntryWriter, RestoreTarget};

use super::decide::looks_same;
use super::outcome::Outcome;
use super::plan::{BlockUses, FileJob, Task, Use, Window};
use crate::compress::Decompressor;
use crate::crypto::two_lane::{Digest, LANES, digest_all};
use crate::error::RepositoryError;
use crate::format::BlobType;
use crate::format::envelope::FRAME_PREFIX_BYTES;
use crate::format::pack::Block;
use crate::format::tree::ChunkRef;
use crate::layout;
use crate::pack::reader::{BlobReader, decode_frame, into_own};

/// One thread that restores.
pub(super) struct Writer<'a> {
    pub(super) reader: &'a BlobReader,
    pub(super) target: &'a dyn RestoreTarget,
    pub(super) outcome: &'a Outcome,
    pub(super) handle: &'a tokio::runtime::Handle,
    decompressor: Decompressor,
    /// The blocks at hand, whose blobs are hashed together.
    decoded: [Block; LANES],
    digests: Vec<Digest>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        reader: &'a BlobReader,
        target: &'a dyn RestoreTarget,
        outcome: &'a Outcome,
        handle: &'a tokio::runtime::Handle,
    ) -> Self {
        let (decoded, digests) = (Default::default(), Vec::new());
        Self { reader, target, outcome, handle, decompressor: Decompressor::new(), decoded, digests }
    }

    /// Does one task; problems of files go to the outcome.
    ///
    /// # Errors
    /// What stops the whole restore: storage that can't be reached.
    pub(super) fn run(&mut self, window: &Window, task: Task) -> Result<(), RepositoryError> {
        match task {
            Task::Run(blocks) => self.run_blocks(window, &blocks),
            Task::Empty(files) => {
                for file in files {
                    let job = &window.files[file];
                    match self.target.create_file(&job.entry) {
                        Ok(writer) => self.commit(job, writer),
                        Err(problem) => self.problem_once(job, problem),
                    }
                }
                Ok(())
            }
            Task::Delta { file, existing, chunks } => self.run_delta(&window.files[file], &existing, &chunks),
            Task::Missing(uses) => {
                for wanted in uses {
                    self.fail(&window.files[wanted.file], &RepositoryError::MissingBlob(wanted.id));
                }
                Ok(())
            }
        }
    }

    fn run_blocks(&mut self, window: &Window, blocks: &[BlockUses]) -> Result<(), RepositoryError> {
        let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else { return Ok(()) };
        let pack = self.reader.index().pack(first.location.pack).id;
        let start = u64::from(first.location.offset_bytes);
        let end =
            u64::from(last.location.offset_bytes) + u64::from(last.location.sealed_bytes) + FRAME_PREFIX_BYTES as u64;
        let range = ByteRange::Span { offset_bytes: start, len_bytes: end - start };
        let fetched = self.reader.envelope(&pack).and_then(|envelope| {
            let bytes = self.handle.block_on(self.reader.store().backend().get(&layout::pack(&pack), range))?;
            Ok((envelope, bytes))
        });
        let (envelope, bytes) = match fetched {
            Ok(fetched) => fetched,
            Err(error) if error.is_damage() => {
                let uses = blocks.iter().flat_map(|block| &block.uses);
                return uses
                    .copied()
                    .collect::<Vec<_>>()
                    .iter()
                    .try_for_each(|wanted| self.write_other_copy(window, wanted));
            }
            Err(error) => return Err(error),
        };
        self.outcome.read_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let mut bytes = into_own(bytes);
        for blocks in blocks.chunks(LANES) {
            if self.outcome.is_stopped() {
                return Ok(());
            }
            let mut decoded = std::mem::take(&mut self.decoded);
            for (block, decoded) in blocks.iter().zip(&mut decoded) {
                let from = usize::try_from(u64::from(block.location.offset_bytes) - start).expect("a run is short");
                let frame = &mut bytes[from..from + block.location.sealed_bytes as usize + FRAME_PREFIX_BYTES];
                if decode_frame(&envelope, frame, &mut self.decompressor, decoded).is_err() {
                    decoded.clear();
                }
            }
            let result = self.write_blocks(window, blocks, &decoded);
            self.decoded = decoded;
            result?;
        }
        Ok(())
    }

    /// Verifies and writes what is wanted of blocks; one that could not be decoded is empty.
    fn write_blocks(
        &mut self,
        window: &Window,
        blocks: &[BlockUses],
        decoded: &[Block],
    ) -> Result<(), RepositoryError> {
        let mut wanted = Vec::new();
        for (block, decoded) in blocks.iter().zip(decoded) {
            wanted.extend(block.uses.iter().map(|wanted| (*wanted, decoded.blob(usize::from(wanted.number)))));
        }
        digest_all(wanted.iter().filter_map(|(_, blob)| *blob), &mut self.digests);
        let hasher = self.reader.store().keyring().hasher();
        let mut digests = self.digests.iter();
        for (wanted, blob) in &wanted {
            let found = blob.and_then(|blob| Some((blob, digests.next()?)));
            match found.filter(|(_, digest)| hasher.id_of_digest(BlobType::Data, digest) == wanted.id) {
                Some((blob, _)) => self.write(&window.files[wanted.file], wanted.content_offset, blob),
                None => self.write_other_copy(window, wanted)?,
            }
        }
        Ok(())
    }

    /// Writes a blob whose first copy is damaged from any other, or fails its file.
    fn write_other_copy(&self, window: &Window, wanted: &Use) -> Result<(), RepositoryError> {
        let job = &window.files[wanted.file];
        match self.reader.read(BlobType::Data, &wanted.id) {
            Ok(blob) => self.write(job, wanted.content_offset, &blob),
            Err(error) if error.is_damage() => self.fail(job, &error),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Writes a verified blob to its place and commits the file when it was the last.
    fn write(&self, job: &FileJob, content_offset: u64, blob: &[u8]) {
        self.outcome.done_bytes.fetch_add(blob.len() as u64, Ordering::Relaxed);
        if let Err(problem) = self.try_write(job, content_offset, blob) {
            self.problem_once(job, problem);
        }
        self.count_down(job);
    }

    fn try_write(&self, job: &FileJob, content_offset: u64, blob: &[u8]) -> Result<(), EntryError> {
        if job.failed.load(Ordering::Acquire) {
            return Ok(());
        }
        if job.chunks == 1 {
            // Most files: no other thread has anything to do with it.
            let writer = self.target.create_file(&job.entry)?;
            write_content(&*writer, &job.entry, content_offset, blob)?;
            *job.writer.write().unwrap_or_else(PoisonError::into_inner) = Some(writer);
            return Ok(());
        }
        {
            let writer = job.writer.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(writer) = &*writer {
                return write_content(&**writer, &job.entry, content_offset, blob);
            }
        }
        {
            let mut writer = job.writer.write().unwrap_or_else(PoisonError::into_inner);
            if writer.is_none() {
                *writer = Some(self.target.create_file(&job.entry)?);
            }
        }
        let writer = job.writer.read().unwrap_or_else(PoisonError::into_inner);
        match &*writer {
            Some(writer) => write_content(&**writer, &job.entry, content_offset, blob),
            None => Ok(()),
        }
    }

    fn count_down(&self, job: &FileJob) {
        if job.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            let writer = job.writer.write().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(writer) = writer
                && !job.failed.load(Ordering::Acquire)
            {
                self.commit(job, writer);
            }
        }
    }

    /// Puts a whole file in its place.
    fn commit(&self, job: &FileJob, writer: Box<dyn EntryWriter>) {
        // Not before: what stands there is all there is when the backup's content turns out to be damaged.
        let cleared = if job.clears { self.target.remove(&job.entry.path) } else { Ok(()) };
        match cleared.and_then(|()| writer.commit(&job.entry)) {
            Ok(()) => {
                self.outcome.restored_files.fetch_add(1, Ordering::Relaxed);
                self.outcome.restored_bytes.fetch_add(job.entry.size_bytes, Ordering::Relaxed);
            }
            Err(problem) if self.is_in_place(&job.entry) => {
                // Whole, but for something of its metadata: other names can be linked to it.
                self.outcome.restored_files.fetch_add(1, Ordering::Relaxed);
                self.outcome.restored_bytes.fetch_add(job.entry.size_bytes, Ordering::Relaxed);
                self.outcome.problem(problem);
            }
            Err(problem) => self.problem_once(job, problem),
        }
    }

    fn is_in_place(&self, entry: &Entry) -> bool {
        matches!(self.target.inspect(&entry.path), Ok(Some(there)) if looks_same(entry, &there))
    }

    fn problem_once(&self, job: &FileJob, problem: EntryError) {
        self.first_problem(job, problem);
    }

    /// Tells a problem of a file that had none before, and says whether that is so.
    fn first_problem(&self, job: &FileJob, problem: EntryError) -> bool {
        let is_first = !job.failed.swap(true, Ordering::AcqRel);
        if is_first {
            if let Some(lost) = &job.lost {
                lost.store(true, Ordering::Release);
            }
            self.outcome.problem(problem);
        }
        is_first
    }

    fn fail(&self, job: &FileJob, error: &RepositoryError) {
        let is_first = self.first_problem(job, EntryError::other(&job.entry.path, "cannot restore", chain(error)));
        if is_first && error.is_damage() {
            self.outcome.damaged_files.fetch_add(1, Ordering::Relaxed);
        }
        self.count_down(job);
    }

    fn run_delta(&self, job: &FileJob, existing: &EntryPath, chunks: &[ChunkRef]) -> Result<(), RepositoryError> {
        let hasher = self.reader.store().keyring().hasher();
        let local = self.target.open_existing(existing).ok();
        let mut buffer = Vec::new();
        let mut offset = 0;
        for chunk in chunks {
            if self.outcome.is_stopped() {
                return Ok(());
            }
            let content_offset = offset;
            offset += chunk.len_bytes;
            let matches = local.as_ref().is_some_and(|local| {
                buffer.resize(usize::try_from(chunk.len_bytes).unwrap_or(0), 0);
                matches!(local.read_at(content_offset, &mut buffer), Ok(n) if n == buffer.len())
                    && hasher.id(BlobType::Data, &buffer) == chunk.id
            });
            if matches {
                self.write(job, content_offset, &buffer);
                continue;
            }
            match self.reader.read(BlobType::Data, &chunk.id) {
                Ok(blob) => {
                    self.outcome.read_bytes.fetch_add(blob.len() as u64, Ordering::Relaxed);
                    self.write(job, content_offset, &blob);
                }
                Err(error) if error.is_damage() => self.fail(job, &error),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// An error and its causes in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Writes a part of the content where the entry's extents put it.
fn write_content(writer: &dyn EntryWriter, entry: &Entry, content_offset: u64, blob: &[u8]) -> Result<(), EntryError> {
    let failed = |error: std::io::Error| EntryError::io(&entry.path, "cannot write", &error);
    let Some(extents) = &entry.extents else {
        return writer.write_at(content_offset, blob).map_err(failed);
    };
    let (mut skipped, mut rest) = (0u64, blob);
    for extent in extents {
        if rest.is_empty() {
            break;
        }
        let within = (content_offset + (blob.len() - rest.len()) as u64) - skipped;
        if within < extent.len_bytes {
            let len = usize::try_from(extent.len_bytes - within).unwrap_or(usize::MAX).min(rest.len());
            writer.write_at(extent.offset_bytes + within, &rest[..len]).map_err(failed)?;
            rest = &rest[len..];
        }
        skipped += extent.len_bytes;
    }
    Ok(())
}
