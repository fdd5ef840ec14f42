//! One entry that is no directory: what becomes of it where it is to be.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use backup_core::{Entry, EntryError, EntryKind, EntryPath};

use super::Restore;
use crate::format::BlobType;
use crate::format::tree::{ChunkRef, Content, TreeEntry};
use crate::restore::RestoreError;
use crate::restore::decide::{Decision, decide, resolve};
use crate::restore::plan::{After, FileJob, Lost, Placed, WINDOW_CHUNKS};
use crate::restore::write::chain;
use crate::tree::walk::chunks_of;

/// What names of one file have in common: where it was, what it was, and its content, which may have changed between two of them.
pub(super) type LinkKey = (u64, u64, EntryKind, Option<[u8; 32]>);

fn link_key(entry: &Entry, content: &Content) -> LinkKey {
    let digest = match content {
        Content::None => None,
        Content::Single { digest } | Content::List { digest, .. } => Some(*digest),
    };
    (entry.device, entry.inode, entry.kind, digest)
}

/// A file with several names, once the first of them was met.
pub(super) struct LinkGroup {
    /// The first, as it is restored.
    path: EntryPath,
    /// How many names are still to come.
    left: u64,
    lost: Lost,
}

impl Restore<'_> {
    pub(super) fn place(
        &mut self,
        item: TreeEntry,
        source: &EntryPath,
        parent_is_fresh: bool,
    ) -> Result<(), RestoreError> {
        let TreeEntry { mut entry, content } = item;
        let (mut replaces, mut clears) = (None, false);
        if !parent_is_fresh {
            self.see_beside(self.directories.len().checked_sub(1), &entry.path);
            let decided = decide(&entry, self.target, self.resolver, self.outcome, self.options.dry_run);
            let decided = match decided {
                // The same by its size and times, and not by its content: as much a conflict as any other.
                Ok(Decision::Unchanged { local }) if !self.is_right(&entry, &content)? => {
                    resolve(&entry, *local, self.target, self.resolver, self.outcome, self.options.dry_run)
                }
                decided => decided,
            };
            match decided {
                Ok(Decision::Skip) => {
                    self.report.skipped += 1;
                    self.pass_over(entry.size_bytes);
                    return Ok(());
                }
                Ok(Decision::Unchanged { local }) => {
                    self.pass_over(entry.size_bytes);
                    self.unchanged(entry, &content, &local);
                    return Ok(());
                }
                Ok(Decision::Write { path, replaces: there, clears: is_directory }) => {
                    self.kept_beside(self.directories.len().checked_sub(1), &entry.path, &path);
                    entry.path = path;
                    (replaces, clears) = (there, is_directory);
                }
                Err(problem) => {
                    self.outcome.problem(problem);
                    return Ok(());
                }
            }
        }
        // Links, pipes and devices can have several names as well.
        let mut lost = None;
        if entry.links > 1 {
            let key = link_key(&entry, &content);
            if let Some(group) = self.hard_links.get_mut(&key) {
                let (existing, first_lost) = (group.path.clone(), Arc::clone(&group.lost));
                group.left -= 1;
                if group.left == 0 {
                    self.hard_links.remove(&key);
                }
                self.report.restored_others += 1;
                self.pass_over(entry.size_bytes);
                self.after(After::HardLink {
                    placed: Placed { entry, clears, lost: None },
                    existing,
                    lost: first_lost,
                });
                return Ok(());
            }
            let group = LinkGroup { path: entry.path.clone(), left: entry.links - 1, lost: Lost::default() };
            lost = Some(Arc::clone(&group.lost));
            self.hard_links.insert(key, group);
        }
        if entry.kind != EntryKind::File {
            self.report.restored_others += 1;
            self.after(After::Special(Placed { entry, clears, lost }));
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
                if let Some(lost) = lost {
                    lost.store(true, Ordering::Release);
                }
                self.outcome.problem(EntryError::other(source, "cannot restore", chain(&error)));
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        // Holes are not written, but they count.
        self.pass_over(entry.size_bytes - stored_bytes(&entry).min(entry.size_bytes));
        self.add_file(Placed { entry, clears, lost }, chunks, replaces.is_some());
        Ok(())
    }

    /// Whether a file that looks the same is the same, as far as that is to be found out.
    fn is_right(&self, entry: &Entry, content: &Content) -> Result<bool, RestoreError> {
        if !self.options.verify_existing || entry.kind != EntryKind::File {
            return Ok(true);
        }
        self.has_same_content(entry, content)
    }

    /// Counts content that need not be written.
    fn pass_over(&self, bytes: u64) {
        self.outcome.done_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn add_file(&mut self, placed: Placed, chunks: Vec<ChunkRef>, replaces_a_file: bool) {
        if chunks.is_empty() {
            self.window.add_empty(placed);
        } else if replaces_a_file
            && placed.entry.extents.is_none()
            && (chunks.len() > 1 || self.options.verify_existing)
        {
            let existing = placed.entry.path.clone();
            self.window.add_delta(placed, existing, chunks);
        } else {
            let job = Arc::new(FileJob::new(placed, chunks.len()));
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

    fn unchanged(&mut self, entry: Entry, content: &Content, local: &Entry) {
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
            let key = link_key(&entry, content);
            match self.hard_links.get_mut(&key) {
                Some(group) if group.left == 1 => {
                    self.hard_links.remove(&key);
                }
                Some(group) => group.left -= 1,
                None => {
                    let group = LinkGroup { path: entry.path, left: entry.links - 1, lost: Lost::default() };
                    self.hard_links.insert(key, group);
                }
            }
        }
    }
}

fn stored_bytes(entry: &Entry) -> u64 {
    match &entry.extents {
        None => entry.size_bytes,
        Some(extents) => extents.iter().map(|extent| extent.len_bytes).sum(),
    }
}
