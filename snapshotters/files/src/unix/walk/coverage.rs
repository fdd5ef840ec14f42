//! How much of a directory the listing takes in, known before anything in it is looked at.

use backup_core::Coverage;

use super::Walk;
use super::frame::Scope;
use crate::rules::Verdict;
use crate::unix::listing::Hint;

impl Walk<'_> {
    /// Of the directory that was just gone into and listed. What the rules say about its names is kept for when their turn comes.
    pub(super) fn coverage(&mut self, scope: Scope) -> Coverage {
        // Which files are too large is only known when each is looked at.
        let mut whole = self.view.options.max_file_bytes.is_none();
        let asks_rules = !(self.rules(scope).is_trivial() && self.ignoring.is_empty());
        if !asks_rules && self.view.left_out.is_empty() {
            return if whole { Coverage::Whole } else { Coverage::Part };
        }
        let Some(frame) = self.frames.last() else { return Coverage::Part };
        let (count, above) = (frame.children.len(), frame.verdict);
        let mut decided = Vec::with_capacity(if asks_rules { count } else { 0 });
        self.path.clear();
        self.path.extend_from_slice(self.stack.path());
        if !self.path.is_empty() {
            self.path.push(b'/');
        }
        let below = self.path.len();
        for index in 0..count {
            let Some((name, hint)) = self.frames.last().and_then(|frame| frame.children.get(index)) else { break };
            self.path.truncate(below);
            self.path.extend_from_slice(name);
            whole &= !self.view.left_out.contains(&self.path);
            if !asks_rules {
                continue;
            }
            let verdict = match hint {
                Hint::Directory => Some(self.decide(scope, above, true)),
                Hint::Other => Some(self.decide(scope, above, false)),
                Hint::Unknown => None,
            };
            whole &= verdict == Some(Verdict::Included);
            decided.push(verdict);
        }
        if let Some(frame) = self.frames.last_mut() {
            frame.decided = decided;
        }
        if whole { Coverage::Whole } else { Coverage::Part }
    }
}
