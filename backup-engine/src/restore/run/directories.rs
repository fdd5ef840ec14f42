//! Directories that the walk is in: made when something comes below them, finished when it leaves them.

use backup_core::{Entry, EntryPath};

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
    /// Names in it that the snapshot has; only filled when others are to be deleted.
    pub(super) names: Vec<Vec<u8>>,
    /// Whether everything the snapshot has in it is restored, so that others may be deleted.
    pub(super) complete: bool,
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

impl Restore<'_> {
    pub(super) fn enter_directory(&mut self, entry: Entry, make_now: bool) {
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
    pub(super) fn leave_directories(&mut self, path: Option<&EntryPath>) {
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

    /// The entry with the path under which it is restored; `None` where `strip` leaves it out.
    pub(super) fn placed(&self, mut entry: Entry) -> Option<Entry> {
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
}
