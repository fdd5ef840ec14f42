//! One entry that is no directory: what becomes of it where it is to be.

use std::sync::Arc;

use backup_core::{Entry, EntryError, EntryKind, EntryPath};

use super::Restore;
use crate::format::BlobType;
use crate::format::tree::{ChunkRef, Content, TreeEntry};
use crate::restore::RestoreError;
use crate::restore::decide::{Decision, decide};
use crate::restore::plan::{After, FileJob, WINDOW_CHUNKS};
use crate::restore::write::chain;
use crate::tree::walk::chunks_of;

impl Restore<'_> {
    pub(super) fn place(
        &mut self,
        item: TreeEntry,
        source: &EntryPath,
        parent_is_fresh: bool,
    ) -> Result<(), RestoreError> {
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
    fn has_same_content(&self, entry: &Entry, content: &Content) -> Result<bool, RestoreError> {
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
}

fn stored_bytes(entry: &Entry) -> u64 {
    match &entry.extents {
        None => entry.size_bytes,
        Some(extents) => extents.iter().map(|extent| extent.len_bytes).sum(),
    }
}
