//! Listing everything in canonical order.
//!
//! A directory is listed whole and its names sorted; then each name is looked at with one call, and a directory is gone
//! into at once. So entries come in canonical order by themselves, and memory holds the names of one directory a level.

mod coverage;
mod frame;
mod ignoring;
mod output;

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use backup_core::{Coverage, Entry, EntryError, SourceError};
use rustix::fs::{AtFlags, Stat, statat};

use self::frame::{Frame, Scope, leading_names};
use super::dir_stack::{DirStack, Use};
use super::listing::{Hint, Names};
use super::stat;
use super::system::ListBuffer;
use super::view::FilesView;
use crate::rules::{Rules, Verdict, ignored_by};

/// The entries of a view.
pub(super) struct Walk<'a> {
    view: &'a FilesView,
    stack: DirStack<'a>,
    frames: Vec<Frame>,
    /// Frames that have patterns from ignore files, by index.
    ignoring: Vec<usize>,
    ready: VecDeque<Result<Entry, EntryError>>,
    buffer: ListBuffer,
    /// The path that is being looked at.
    path: Vec<u8>,
    /// Whether directories wait for something below them that is included.
    restricted: bool,
}

/// How a name is to be treated, once the rules have spoken.
struct Plan {
    /// The roots at the path or below it.
    roots: Range<usize>,
    is_root: bool,
    /// `None` when it only leads to a root.
    scope: Option<Scope>,
    verdict: Verdict,
    /// What the rules have said about it already.
    decided: Option<Verdict>,
    hint: Hint,
}

impl<'a> Walk<'a> {
    pub(super) fn begin(view: &'a FilesView) -> io::Result<Self> {
        let everything = view.roots.everything();
        let used = if everything.is_some() { Use::List } else { Use::PassThrough };
        let mut walk = Self {
            view,
            stack: DirStack::at(view.beneath(), b"", used)?,
            frames: Vec::new(),
            ignoring: Vec::new(),
            ready: VecDeque::new(),
            buffer: ListBuffer::new(),
            path: Vec::new(),
            restricted: view.selections.iter().any(|selection| selection.rules.at_root() == Verdict::Passed),
        };
        let roots = 0..view.roots.paths().len();
        let (scope, verdict, children) = match everything {
            None => (None, Verdict::Included, Names::default()),
            Some(selection) => {
                let top = rustix::fs::fstat(walk.stack.top()?)?;
                let scope = Scope { below: 0, selection, device: stat::device(&top), frame: 0 };
                (Some(scope), walk.rules(scope).at_root(), walk.list(true)?.0)
            }
        };
        walk.enter(children, roots, scope, verdict);
        Ok(walk)
    }

    /// Deals with the next name of the directory on top.
    fn step(&mut self) {
        let Some(frame) = self.frames.last_mut() else { return };
        let Some((name, hint)) = frame.children.get(frame.next) else {
            self.leave();
            return;
        };
        let decided = frame.decided.get(frame.next).copied().flatten();
        frame.next += 1;
        self.path.clear();
        self.path.extend_from_slice(self.stack.path());
        if !self.path.is_empty() {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(name);
        let (roots, is_root) = self.view.roots.within(frame.roots.clone(), &self.path);
        if !is_root && !self.view.left_out.is_empty() && self.view.left_out.contains(&self.path) {
            return;
        }
        let mut plan = Plan { roots, is_root, scope: frame.scope, verdict: frame.verdict, decided, hint };
        match self.look(&mut plan) {
            Ok(Some(stat)) if stat::is_directory(&stat) => self.visit_directory(plan, &stat),
            Ok(Some(stat)) => self.visit_other(&plan, &stat),
            Ok(None) => {}
            // Deleted since its directory was listed: it simply isn't there. A root has to be.
            Err(error) if error.kind() == io::ErrorKind::NotFound && plan.roots.is_empty() => {}
            Err(error) => self.report(&plan.roots, "cannot look at", &error),
        }
    }

    /// Asks the rules, then the system; nothing when the rules leave it out.
    fn look(&mut self, plan: &mut Plan) -> io::Result<Option<Stat>> {
        if let Some(scope) = plan.scope
            && !plan.is_root
            && !(self.rules(scope).is_trivial() && self.ignoring.is_empty())
        {
            let (stat, is_directory) = match plan.hint {
                Hint::Directory => (None, true),
                Hint::Other => (None, false),
                Hint::Unknown => {
                    let stat = self.stat()?;
                    (Some(stat), stat::is_directory(&stat))
                }
            };
            plan.verdict = match plan.decided {
                Some(verdict) => verdict,
                None => self.decide(scope, plan.verdict, is_directory),
            };
            match (plan.verdict, plan.roots.is_empty(), is_directory) {
                (Verdict::Excluded, true, _) | (Verdict::Passed, _, false) => return Ok(None),
                (Verdict::Excluded, false, _) => plan.scope = None,
                (Verdict::Included | Verdict::Passed, ..) => {}
            }
            if stat.is_some() {
                return Ok(stat);
            }
        }
        self.stat().map(Some)
    }

    fn decide(&self, scope: Scope, above: Verdict, is_directory: bool) -> Verdict {
        let relative =
            |start: usize| Path::new(std::ffi::OsStr::from_bytes(self.path.get(start..).unwrap_or_default()));
        self.rules(scope).decide(above, relative(scope.below), is_directory, || {
            let deepest_first = self.ignoring.iter().rev().take_while(|&&index| index >= scope.frame);
            let frames = deepest_first.filter_map(|&index| self.frames.get(index));
            let sets = frames.flat_map(|frame| frame.ignores.iter().rev().map(|set| (set, relative(frame.below))));
            ignored_by(sets, is_directory)
        })
    }

    fn stat(&mut self) -> io::Result<Stat> {
        let below = self.frames.last().map_or(0, |frame| frame.below);
        let name = self.path.get(below..).unwrap_or_default();
        Ok(statat(self.stack.top()?, name, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    fn visit_other(&mut self, plan: &Plan, stat: &Stat) {
        let below_it = plan.roots.start + usize::from(plan.is_root)..plan.roots.end;
        if !below_it.is_empty() {
            self.report(&below_it, "cannot look at", &io::Error::from(io::ErrorKind::NotADirectory));
        }
        let too_large = self.view.options.max_file_bytes.is_some_and(|limit| stat::size_bytes(stat) > limit);
        let wanted = plan.is_root || (plan.scope.is_some() && plan.verdict == Verdict::Included && !too_large);
        if wanted && let Some(entry) = self.entry(stat) {
            self.emit(entry);
        }
    }

    fn visit_directory(&mut self, mut plan: Plan, listed: &Stat) {
        let owner = stat::owner(listed).0;
        if plan.is_root {
            let scope = self.new_scope(plan.roots.start, listed);
            plan.scope = Some(scope);
            plan.verdict = self.rules(scope).at_root();
        }
        let elsewhere = |scope: Scope, stat: &Stat| {
            self.view.options.one_file_system && !plan.is_root && stat::device(stat) != scope.device
        };
        let stays_out = plan.scope.is_some_and(|scope| elsewhere(scope, listed));
        if stays_out {
            plan.scope = None;
        }
        if plan.scope.is_none() && plan.roots.is_empty() {
            if plan.verdict == Verdict::Included
                && let Some(entry) = self.entry(listed)
            {
                self.emit(entry);
            }
            return;
        }
        let used = match plan.scope {
            None => Use::PassThrough,
            Some(_) if self.view.privilege.may_skip_access_time(owner) => Use::ListQuietly,
            Some(_) => Use::List,
        };
        let below = self.frames.last().map_or(0, |frame| frame.below);
        let opened = self.stack.push(self.path.get(below..).unwrap_or_default(), used);
        match opened {
            Ok(opened) => self.go_into(plan, &opened),
            Err(error) if error.kind() == io::ErrorKind::NotFound && plan.roots.is_empty() => {}
            Err(error) => {
                if let Some(entry) = self.entry(listed) {
                    self.offer(&plan, entry);
                }
                self.fail("cannot list", &error);
                let below_it = plan.roots.start + usize::from(plan.is_root)..plan.roots.end;
                self.report_roots(&below_it, "cannot look at", &error);
            }
        }
    }

    /// Goes on in a directory that was just opened.
    fn go_into(&mut self, mut plan: Plan, opened: &Stat) {
        // A directory can turn into a mount point by being opened.
        if let Some(scope) = &mut plan.scope {
            let device = stat::device(opened);
            if plan.is_root {
                scope.device = device;
            } else if self.view.options.one_file_system && device != scope.device {
                plan.scope = None;
            }
        }
        if self.frames.last().is_some_and(|frame| frame.next >= frame.children.len()) {
            self.stack.release_parent();
        }
        let Some(mut entry) = self.entry(opened) else {
            self.stack.pop();
            return;
        };
        if plan.scope.is_none() && !plan.roots.is_empty() {
            entry.coverage = Coverage::LeadIn;
        }
        let is_wanted = plan.verdict == Verdict::Included || plan.is_root || plan.scope.is_none();
        let mut children = Names::default();
        let mut is_cache = false;
        if plan.scope.is_some() {
            match self.list(plan.is_root) {
                Ok((names, only_tag)) => (children, is_cache) = (names, only_tag),
                Err(error) => {
                    self.fail("cannot list", &error);
                    plan.scope = None;
                }
            }
        }
        let inner = plan.roots.start + usize::from(plan.is_root)..plan.roots.end;
        self.enter(children, inner, plan.scope, plan.verdict);
        if let Some(scope) = plan.scope
            && !is_cache
        {
            entry.coverage = self.coverage(scope);
        }
        if is_wanted {
            self.emit(entry);
        } else if let Some(frame) = self.frames.last_mut() {
            frame.withheld = Some(entry);
        }
    }

    fn new_scope(&self, root: usize, stat: &Stat) -> Scope {
        Scope {
            below: self.path.len() + 1,
            selection: self.view.roots.owner(root),
            device: stat::device(stat),
            frame: self.frames.len(),
        }
    }

    fn rules(&self, scope: Scope) -> &'a Rules {
        let view: &'a FilesView = self.view;
        &view.selections[scope.selection].rules
    }

    /// The names in the directory on top, and whether it is a cache, of which there is only its tag.
    fn list(&mut self, is_root: bool) -> io::Result<(Names, bool)> {
        let names = Names::list(self.stack.top()?, &mut self.buffer)?;
        if self.view.options.exclude_caches && !is_root && frame::is_cache(self.stack.top()?, &names) {
            let mut tag = Names::default();
            tag.push(frame::CACHE_TAG, Hint::Other);
            return Ok((tag, true));
        }
        Ok((names, false))
    }

    fn enter(&mut self, mut children: Names, roots: Range<usize>, scope: Option<Scope>, verdict: Verdict) {
        let below = match self.stack.path().len() {
            0 => 0,
            len => len + 1,
        };
        let ignores = if scope.is_some() { self.ignore_files(&children) } else { Vec::new() };
        if !roots.is_empty() {
            let among = self.view.roots.paths().get(roots.clone()).unwrap_or_default();
            children = leading_names(children, among, below);
        }
        if !ignores.is_empty() {
            self.ignoring.push(self.frames.len());
        }
        self.frames.push(Frame {
            children,
            next: 0,
            decided: Vec::new(),
            roots,
            scope,
            verdict,
            below,
            ignores,
            withheld: None,
        });
    }

    fn leave(&mut self) {
        self.frames.pop();
        self.stack.pop();
        while self.ignoring.last().is_some_and(|&index| index >= self.frames.len()) {
            self.ignoring.pop();
        }
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<Entry, EntryError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Some(item);
            }
            if self.frames.is_empty() {
                return None;
            }
            if self.view.cancel.is_cancelled() {
                self.frames.clear();
                self.view.give_up(SourceError::Cancelled);
                return None;
            }
            self.step();
        }
    }
}
