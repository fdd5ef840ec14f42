//! Folders, deleting, moving, copying and bringing back.

use jiff::Timestamp;
use serde_json::Value;

use super::commit::Mode;
use super::errors::{Conflict, LookupError, WriteError, tag, tagged};
use super::path::{Place, Target, is_under};
use super::tree::{Node, Revision, State, Tree};

/// Where something is brought.
#[derive(Clone, Debug)]
pub(super) struct Relocation {
    pub(super) from: Target,
    pub(super) to: Target,
    pub(super) autorename: bool,
    /// Whether it is gone from where it was.
    pub(super) is_move: bool,
}

impl Tree {
    /// Makes a folder and those that it lies in.
    pub(super) fn create_folder(&mut self, target: Target, autorename: bool) -> Result<&Node, WriteError> {
        let mut place = self.place_to_write(target)?;
        place.check_names()?;
        self.check_ancestors(&place).map_err(WriteError::Conflict)?;
        if let Some(node) = self.live(&place.lower) {
            let with = if node.file().is_some() { Conflict::File } else { Conflict::Folder };
            if !autorename {
                return Err(WriteError::Conflict(with));
            }
            place = self.other_name(&place, &Mode::Add);
        }
        let id = self.new_id();
        Ok(self.put(place, State::Folder { id }))
    }

    /// Deletes a file or a folder with everything in it and tells what it was.
    pub(super) fn delete(&mut self, target: Target, rev: Option<&str>, now: Timestamp) -> Result<Node, Value> {
        let place = self.resolve(target).map_err(|error| tagged("path_lookup", error))?;
        // The root can't be named here.
        let place = place.ok_or_else(|| tagged("path_lookup", LookupError::MalformedPath))?;
        let there = self.live(&place.lower).cloned();
        let node = there.ok_or_else(|| tagged("path_lookup", LookupError::NotFound))?;
        if rev.is_some() && node.file().map(|file| &*file.rev) != rev {
            let with = if node.file().is_some() { Conflict::File } else { Conflict::Folder };
            return Err(tagged("path_write", WriteError::Conflict(with)));
        }
        self.remove(&place.lower, now);
        Ok(node)
    }

    /// Moves or copies a file or a folder with everything in it.
    pub(super) fn relocate(&mut self, relocation: Relocation, free_bytes: u64, now: Timestamp) -> Result<&Node, Value> {
        let Relocation { from, to, autorename, is_move } = relocation;
        let from = self.resolve(from).map_err(|error| tagged("from_lookup", error))?;
        let from = from.ok_or_else(|| tagged("from_lookup", LookupError::MalformedPath))?;
        let refused = |error: WriteError| tagged("to", error);
        let mut to = self.place_to_write(to).map_err(refused)?;
        let there = self.live(&from.lower).cloned();
        let node = there.ok_or_else(|| tagged("from_lookup", LookupError::NotFound))?;
        to.check_names().map_err(refused)?;
        if is_move && is_under(&to.lower, &from.lower) {
            return Err(tag("cant_move_folder_into_itself"));
        }
        if !is_move && is_under(&to.lower, &from.lower) {
            return Err(tag("duplicated_or_nested_paths"));
        }
        self.check_ancestors(&to).map_err(|conflict| refused(WriteError::Conflict(conflict)))?;
        if let Some(in_the_way) = self.live(&to.lower) {
            let with = if in_the_way.file().is_some() { Conflict::File } else { Conflict::Folder };
            if !autorename {
                return Err(refused(WriteError::Conflict(with)));
            }
            to = self.other_name(&to, &Mode::Add);
        }
        let inside: Vec<_> = self.under(&from.lower).cloned().collect();
        let files = inside.iter().chain([&node]).filter_map(Node::file);
        let size_bytes: u64 = files.map(|file| file.content.size_bytes()).sum();
        if !is_move && size_bytes > free_bytes {
            return Err(tag("insufficient_quota"));
        }
        if is_move {
            self.remove(&from.lower, now);
        }
        let from_length = node.place.display.len();
        let lower = to.lower.clone();
        self.put_again(to.clone(), node, is_move, now);
        for node in inside {
            let rest = node.place.display.get(from_length..);
            let rest = rest.and_then(|rest| Place::parse(rest).ok()).unwrap_or_else(|| tail(&node.place, &from));
            self.put_again(rest.under(&to), node, is_move, now);
        }
        Ok(self.live(&lower).expect("it was just put there"))
    }

    fn put_again(&mut self, place: Place, node: Node, is_move: bool, now: Timestamp) {
        let state = match node.now {
            State::File(revision) => {
                let id = if is_move { revision.id } else { self.new_id() };
                let rev = self.new_rev();
                State::File(Revision { id, rev, server_modified: now, ..revision })
            }
            State::Folder { id } => State::Folder { id: if is_move { id } else { self.new_id() } },
            deleted @ State::Deleted { .. } => deleted,
        };
        self.put(place, state);
    }

    /// Makes an old revision of a file the present one.
    pub(super) fn restore(
        &mut self,
        target: Target,
        rev: &str,
        free_bytes: u64,
        now: Timestamp,
    ) -> Result<&Node, Value> {
        let place = self.place_to_write(target).map_err(|error| tagged("path_write", error))?;
        place.check_names().map_err(|error| tagged("path_write", error))?;
        let Some((_, revision)) = self.revision(rev) else { return Err(tag("invalid_revision")) };
        let revision = revision.clone();
        if self.live(&place.lower).is_some_and(|node| node.file().is_none()) {
            return Err(tagged("path_write", WriteError::Conflict(Conflict::Folder)));
        }
        self.check_ancestors(&place).map_err(|with| tagged("path_write", WriteError::Conflict(with)))?;
        if revision.content.size_bytes() > free_bytes {
            return Err(tagged("path_write", WriteError::InsufficientSpace));
        }
        let there = self.live(&place.lower).and_then(Node::id).map(str::to_owned);
        let id = there.unwrap_or_else(|| self.new_id());
        let rev = self.new_rev();
        Ok(self.put(place, State::File(Revision { id, rev, server_modified: now, ..revision })))
    }

    /// The place that a path argument of a write names; there are no writes to the root.
    pub(super) fn place_to_write(&self, target: Target) -> Result<Place, WriteError> {
        let place = self.resolve(target).map_err(|_| WriteError::MalformedPath)?;
        place.ok_or(WriteError::MalformedPath)
    }
}

/// What is left of a path after a folder whose case differs in length.
fn tail(place: &Place, folder: &Place) -> Place {
    let depth = folder.display.matches('/').count();
    let at = place.display.match_indices('/').nth(depth).map_or(0, |(at, _)| at);
    Place::parse(&place.display[at..]).expect("a part of a path that was parsed is one too")
}

#[cfg(test)]
mod tests {
    use super::super::commit::Commit;
    use super::super::content::Content;
    use super::*;

    const MANY: u64 = 1 << 20;
    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn target(path: &str) -> Target {
        Target::parse(path, 7).unwrap()
    }

    fn put(tree: &mut Tree, path: &str, bytes: &'static [u8]) -> String {
        let place = Place::parse(path).unwrap();
        let (mode, autorename, client_modified, strict_conflict) = (Mode::Overwrite, false, None, false);
        let commit = Commit { place, mode, autorename, client_modified, strict_conflict };
        tree.commit(&commit, Content::new(bytes.into()), MANY, NOW).unwrap().file().unwrap().rev.clone()
    }

    fn tree() -> Tree {
        let mut tree = Tree::new(7);
        put(&mut tree, "/A/B/c.txt", b"c");
        put(&mut tree, "/A/d", b"dd");
        tree
    }

    fn paths(tree: &Tree) -> Vec<&str> {
        tree.all().map(|node| &*node.place.display).collect()
    }

    fn relocate(tree: &mut Tree, from: &str, to: &str, is_move: bool) -> Result<String, Value> {
        let relocation = Relocation { from: target(from), to: target(to), autorename: false, is_move };
        tree.relocate(relocation, MANY, NOW).map(|node| node.id().unwrap().to_owned())
    }

    #[test]
    fn moving_a_folder_keeps_identities_and_brings_everything() {
        let mut tree = tree();
        let id = tree.live("/a/b/c.txt").unwrap().id().unwrap().to_owned();
        relocate(&mut tree, "/a", "/New/A", true).unwrap();
        assert_eq!(paths(&tree), ["/New", "/New/A", "/New/A/B", "/New/A/B/c.txt", "/New/A/d"]);
        assert_eq!(tree.place_of(&id).unwrap().display, "/New/A/B/c.txt");
        assert_eq!(tree.used_bytes(), 3);
    }

    #[test]
    fn copying_makes_new_identities() {
        let mut tree = tree();
        let copy = relocate(&mut tree, "/a/d", "/e", false).unwrap();
        assert_ne!(tree.live("/a/d").unwrap().id(), Some(&*copy));
        assert_eq!(tree.used_bytes(), 5);
    }

    #[test]
    fn nothing_is_moved_over_something() {
        let mut tree = tree();
        let file = tagged("to", WriteError::Conflict(Conflict::File));
        assert_eq!(relocate(&mut tree, "/a/b/c.txt", "/A/D", true), Err(file.clone()));
        // Names can't change in case only.
        assert_eq!(relocate(&mut tree, "/a/d", "/a/D", true), Err(file));
        assert_eq!(relocate(&mut tree, "/a", "/a/b/x", true), Err(tag("cant_move_folder_into_itself")));
        assert_eq!(relocate(&mut tree, "/x", "/y", true), Err(tagged("from_lookup", LookupError::NotFound)));
    }

    #[test]
    fn deleting_takes_what_is_inside_and_minds_the_revision() {
        let mut tree = tree();
        let rev = put(&mut tree, "/A/d", b"new");
        let conflict = tagged("path_write", WriteError::Conflict(Conflict::File));
        assert_eq!(tree.delete(target("/a/d"), Some("0123456789"), NOW).map(|_| ()), Err(conflict));
        tree.delete(target("/a/d"), Some(&rev), NOW).unwrap();
        tree.delete(target("/A"), None, NOW).unwrap();
        assert_eq!(paths(&tree), [""; 0]);
        let missing = tagged("path_lookup", LookupError::NotFound);
        assert_eq!(tree.delete(target("/a/b"), None, NOW).map(|_| ()), Err(missing));
    }

    #[test]
    fn deleted_files_can_be_brought_back() {
        let mut tree = tree();
        let old = tree.live("/a/d").unwrap().file().unwrap().rev.clone();
        tree.delete(target("/a"), None, NOW).unwrap();
        tree.restore(target("/a/d"), &old, MANY, NOW).unwrap();
        assert_eq!(tree.live("/a/d").unwrap().file().unwrap().content.bytes, "dd");
        assert_eq!(tree.restore(target("/a/d"), "fffffffff", MANY, NOW).map(|_| ()), Err(tag("invalid_revision")));
    }

    #[test]
    fn folders_are_made_once() {
        let mut tree = tree();
        tree.create_folder(target("/x/y"), false).unwrap();
        let result = tree.create_folder(target("/X/Y"), false).map(|_| ());
        assert_eq!(result, Err(WriteError::Conflict(Conflict::Folder)));
        let result = tree.create_folder(target("/a/d"), false).map(|_| ());
        assert_eq!(result, Err(WriteError::Conflict(Conflict::File)));
        assert_eq!(tree.create_folder(Target::Root, false).map(|_| ()), Err(WriteError::MalformedPath));
        assert_eq!(tree.create_folder(target("/x/y"), true).unwrap().place.display, "/x/y (2)");
    }
}
