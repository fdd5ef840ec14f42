//! What a walk gives out.

use std::io;
use std::ops::Range;

use backup_core::{Entry, EntryError, EntryPath};
use rustix::fs::Stat;

use super::{Plan, Walk};
use crate::rules::Verdict;
use crate::unix::stat;

impl Walk<'_> {
    /// An entry for the path that is being looked at.
    pub(super) fn entry(&mut self, stat: &Stat) -> Option<Entry> {
        let path = self.entry_path()?;
        match stat::entry(path, stat, &self.view.accounts, Some(self.view.recency)) {
            Ok(entry) => Some(entry),
            Err(error) => {
                self.fail("cannot capture", &error);
                None
            }
        }
    }

    fn entry_path(&self) -> Option<EntryPath> {
        // The kernel refuses names that are no names, so this can't be lost in practice.
        EntryPath::new(self.path.as_slice()).ok()
    }

    pub(super) fn offer(&mut self, plan: &Plan, entry: Entry) {
        if plan.verdict == Verdict::Included || plan.is_root || plan.scope.is_none() {
            self.emit(entry);
        }
    }

    /// Gives out an entry, after the directories that were waiting for something below them.
    pub(super) fn emit(&mut self, entry: Entry) {
        if self.restricted {
            let waiting = self.frames.iter_mut().filter_map(|frame| frame.withheld.take());
            self.ready.extend(waiting.map(Ok));
        }
        self.ready.push_back(Ok(entry));
    }

    pub(super) fn fail(&mut self, action: &'static str, cause: &io::Error) {
        if let Some(path) = self.entry_path() {
            self.ready.push_back(Err(EntryError::io(&path, action, cause)));
        }
    }

    /// Reports the roots that can't be reached, or the path itself when it leads to none.
    pub(super) fn report(&mut self, roots: &Range<usize>, action: &'static str, cause: &io::Error) {
        if roots.is_empty() {
            self.fail(action, cause);
        } else {
            self.report_roots(roots, action, cause);
        }
    }

    pub(super) fn report_roots(&mut self, roots: &Range<usize>, action: &'static str, cause: &io::Error) {
        let roots = self.view.roots.paths().get(roots.clone()).unwrap_or_default();
        self.ready.extend(roots.iter().map(|path| Err(EntryError::io(path, action, cause))));
    }
}
