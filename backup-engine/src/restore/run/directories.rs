//! Directories that the walk is in: made when something comes below them, finished when it leaves them.

use std::collections::HashSet;

use backup_core::{Coverage, Entry, EntryError, EntryKind, EntryPath};

use super::Restore;
use crate::restore::decide::{Decision, decide};
use crate::restore::plan::After;

/// A directory that the walk is in.
pub(super) struct OpenDirectory {
    /// Where it is in the snapshot.
    pub(super) source: EntryPath,
    /// As it is restored; `None` where `strip` leaves it out.
    pub(super) entry: Option<Entry>,
    pub(super) made: Made,
    pub(super) standing: Standing,
    /// Names in it that are the backup's; only filled when others are to be deleted.
    pub(super) names: Vec<Vec<u8>>,
    /// Names in it that entries got because theirs were taken.
    pub(super) beside: Vec<Vec<u8>>,
    /// Whether everything that was in it is restored, so that anything else may be deleted.
    pub(super) complete: bool,
    /// Names of the directories in it, without regard to case; only filled when anything is to be deleted.
    pub(super) folded: HashSet<String>,
    /// Whether one that came before it in the same directory has a name that differs in case only.
    pub(super) has_twin: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Made {
    NotYet,
    /// It is there; `fresh` when this run made it, so that nothing can be in it.
    Yes {
        fresh: bool,
    },
    /// It was left out or failed; so is everything below it.
    No,
}

/// What a directory is to this restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is restored.
    Asked,
    /// It only leads to what is: where it is there already, nothing about it changes.
    Leads,
    /// The snapshot has nothing about it, or what it had is damaged.
    Unknown,
}

impl Restore<'_> {
    pub(super) fn enter_directory(&mut self, entry: Entry, asked: bool) {
        let standing = if asked && entry.coverage != Coverage::LeadIn { Standing::Asked } else { Standing::Leads };
        let complete = standing == Standing::Asked
            && entry.coverage == Coverage::Whole
            && self.options.selection.matcher.is_none();
        self.open_directory(entry, standing, complete);
        if asked {
            self.make_directories();
        }
    }

    /// Opens the directories above a path that the walk has not come by: the source has no entries for them, or they are lost.
    pub(super) fn open_missing(&mut self, path: &EntryPath) {
        let from = self.directories.last().map_or(0, |open| open.source.as_bytes().len() + 1);
        let rest = path.as_bytes().get(from..).unwrap_or_default();
        let ends: Vec<usize> =
            rest.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| from + at).collect();
        for end in ends {
            let Ok(missing) = EntryPath::new(&path.as_bytes()[..end]) else { return };
            if self.tree_is_damaged {
                let cause = "what the backup knew of it is damaged; it gets default permissions where it is not there";
                self.outcome.problem(EntryError::other(&missing, "cannot restore the metadata of", cause));
            }
            let mut entry = Entry::new(missing, EntryKind::Directory);
            // Perhaps nobody else was to look into it.
            entry.mode = 0o700;
            if let Some(parent) = self.directories.last_mut().filter(|_| self.options.delete_extra) {
                parent.names.push(entry.path.name().to_vec());
            }
            self.open_directory(entry, Standing::Unknown, false);
        }
    }

    fn open_directory(&mut self, entry: Entry, standing: Standing, complete: bool) {
        let source = entry.path.clone();
        let entry = self.placed(entry);
        let made = match self.directories.last() {
            Some(OpenDirectory { made: Made::No, .. }) => Made::No,
            _ => Made::NotYet,
        };
        let mut has_twin = false;
        if self.options.delete_extra
            && let (Some(parent), Some(entry)) = (self.directories.last_mut(), &entry)
        {
            has_twin = !parent.folded.insert(String::from_utf8_lossy(entry.path.name()).to_lowercase());
        }
        self.directories.push(OpenDirectory {
            source,
            entry,
            made,
            standing,
            names: Vec::new(),
            beside: Vec::new(),
            complete,
            folded: HashSet::new(),
            has_twin,
        });
    }

    /// Makes every directory that the walk is in and that is not there yet; says what became of the innermost.
    pub(super) fn make_directories(&mut self) -> Made {
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
        let mut is_new = true;
        if !parent_is_fresh {
            self.see_beside(at.checked_sub(1), &entry.path);
            match decide(&entry, self.target, self.resolver, self.outcome, self.options.dry_run) {
                Ok(Decision::Unchanged { .. }) => is_new = false,
                Ok(Decision::Write { path, .. }) => {
                    self.kept_beside(at.checked_sub(1), &entry.path, &path);
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
        if is_new {
            self.report.restored_others += 1;
        }
        if self.options.dry_run {
            // Nothing would be in a new one; what stands in its place now does not count.
            return Made::Yes { fresh: is_new };
        }
        match self.target.create_directory(&entry) {
            Ok(fresh) => Made::Yes { fresh },
            Err(problem) => {
                self.outcome.problem(problem);
                Made::No
            }
        }
    }

    /// Remembers a name that the backup's entry got beside a local one: it is not to be deleted as one that the backup lacks, and not
    /// to be taken by an entry of the backup that has that name.
    pub(super) fn kept_beside(&mut self, parent: Option<usize>, wanted: &EntryPath, got: &EntryPath) {
        if wanted == got {
            return;
        }
        match parent.and_then(|at| self.directories.get_mut(at)) {
            Some(parent) => {
                parent.names.push(got.name().to_vec());
                parent.beside.push(got.name().to_vec());
            }
            None => self.beside_top.push(got.name().to_vec()),
        }
    }

    /// Waits for what was restored beside a local entry where the next entry has that very name, so that it is seen there.
    pub(super) fn see_beside(&mut self, parent: Option<usize>, path: &EntryPath) {
        let parent = parent.and_then(|at| self.directories.get(at));
        let beside = parent.map_or(&self.beside_top, |parent| &parent.beside);
        if beside.iter().any(|name| name == path.name()) {
            self.settle();
        }
    }

    /// Leaves directories that don't hold `path`; all of them for `None`.
    pub(super) fn leave_directories(&mut self, path: Option<&EntryPath>) {
        while let Some(open) = self.directories.pop_if(|open| path.is_none_or(|path| !path.is_within(&open.source))) {
            let Some(entry) = open.entry else { continue };
            let Made::Yes { fresh } = open.made else { continue };
            if self.options.delete_extra && open.complete && !fresh {
                let (directory, keep, has_twin) = (entry.path.clone(), open.names, open.has_twin);
                self.window.after.push(After::DeleteExtra { directory, keep, has_twin });
            }
            if open.standing == Standing::Asked || (fresh && open.standing == Standing::Leads) {
                self.window.after.push(After::FinishDirectory(entry));
            }
            if self.window.is_full() {
                self.dispatch();
            }
        }
    }

    /// The entry with the path under which it is restored; `None` where `strip` leaves it out.
    pub(super) fn placed(&mut self, mut entry: Entry) -> Option<Entry> {
        let depth = entry.path.components().count();
        if depth <= self.options.strip {
            return None;
        }
        let path = match self.directories.last().and_then(|open| open.entry.as_ref()) {
            Some(parent) => parent.path.join(entry.path.name()),
            // Its directory is stripped, or it has none: what is left of its own path counts.
            None => {
                let stripped: Vec<&[u8]> = entry.path.components().take(self.options.strip).collect();
                let stripped = stripped.join(&b'/');
                if self.stripped.as_ref().is_some_and(|before| *before != stripped) {
                    // Several directories become one: what is restored into it already has to be there to be seen.
                    self.settle();
                }
                self.stripped = Some(stripped);
                EntryPath::new(entry.path.components().skip(self.options.strip).collect::<Vec<_>>().join(&b'/'))
            }
        };
        entry.path = path.ok()?;
        Some(entry)
    }

    /// Removes what the backup doesn't have from a directory of which it has everything.
    pub(super) fn delete_extra(
        &mut self,
        directory: &EntryPath,
        keep: &[Vec<u8>],
        has_twin: bool,
    ) -> Result<(), EntryError> {
        if self.options.dry_run && self.target.inspect(directory)?.is_none() {
            return Ok(());
        }
        if has_twin {
            // Where the target doesn't tell them apart, two directories became one, and what is of the other is in it.
            let Some(parent) = directory.parent() else { return Ok(()) };
            if !self.target.extra_names(&parent, &[])?.iter().any(|name| name == directory.name()) {
                return Ok(());
            }
        }
        for name in self.target.extra_names(directory, keep)? {
            let Ok(path) = directory.join(&name) else { continue };
            if !self.options.dry_run {
                self.target.remove(&path)?;
            }
            self.report.deleted += 1;
            if self.report.deletions.len() < crate::restore::MAX_LISTED {
                self.report.deletions.push(path);
            }
        }
        Ok(())
    }
}
