//! The ignore files of a directory.

use backup_core::{EntryError, EntryPath};

use super::{Walk, frame};
use crate::rules::PatternSet;
use crate::unix::listing::Names;

impl Walk<'_> {
    /// The patterns of the ignore files among the names of the directory on top; problems with them are given out.
    pub(super) fn ignore_files(&mut self, children: &Names) -> Vec<PatternSet> {
        let mut sets = Vec::new();
        for name in &self.view.options.ignore_files {
            if !children.contains(name.as_bytes()) {
                continue;
            }
            let read = self.stack.top().and_then(|dir| frame::read_ignore_file(dir, name.as_bytes()));
            let problems = match read {
                Ok((set, problems)) => {
                    if !set.is_empty() {
                        sets.push(set);
                    }
                    problems
                }
                Err(error) => vec![error.to_string()],
            };
            let path = [self.stack.path(), name.as_bytes()].join(&b'/');
            let path = path.strip_prefix(b"/").unwrap_or(&path);
            if let Ok(path) = EntryPath::new(path) {
                let error = |problem| EntryError::other(&path, "cannot use the ignore file", problem);
                self.ready.extend(problems.into_iter().map(|problem| Err(error(problem))));
            }
        }
        sets
    }
}
