//! Writing a file: modes, conflicts, other names and room.

use jiff::Timestamp;

use super::content::Content;
use super::errors::{Conflict, WriteError};
use super::path::Place;
use super::tree::{Node, Revision, State, Tree};

/// How often another name is tried before that is an error of the emulator's user.
const OTHER_NAMES_TRIED: u32 = 10_000;

/// When a write takes the place of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Never.
    Add,
    /// Always.
    Overwrite,
    /// When the file is of this revision.
    Update(String),
}

/// How a file is to be written.
#[derive(Clone, Debug)]
pub(super) struct Commit {
    pub(super) place: Place,
    pub(super) mode: Mode,
    /// Whether to take another name where something is in the way.
    pub(super) autorename: bool,
    pub(super) client_modified: Option<Timestamp>,
    /// Whether equal bytes, or a file to be updated that is gone, are a conflict too.
    pub(super) strict_conflict: bool,
}

impl Tree {
    /// Writes a file and tells where it is, or what was there already with the same bytes.
    pub(super) fn commit(
        &mut self,
        commit: &Commit,
        content: Content,
        free_bytes: u64,
        now: Timestamp,
    ) -> Result<&Node, WriteError> {
        commit.place.check_names()?;
        let mut place = commit.place.clone();
        if let Err(conflict) = self.conflict_of(commit, &content) {
            if !commit.autorename || conflict == Conflict::FileAncestor {
                return Err(WriteError::Conflict(conflict));
            }
            place = self.other_name(&place, &commit.mode);
        }
        let there = self.live(&place.lower).and_then(Node::file);
        if there.is_some_and(|file| file.content.hash == content.hash) && !commit.strict_conflict {
            return Ok(self.live(&place.lower).expect("it was just there"));
        }
        let freed_bytes = there.map_or(0, |file| file.content.size_bytes());
        if content.size_bytes() > free_bytes.saturating_add(freed_bytes) {
            return Err(WriteError::InsufficientSpace);
        }
        let id = there.map(|file| file.id.clone());
        let id = id.unwrap_or_else(|| self.new_id());
        let rev = self.new_rev();
        let client_modified = commit.client_modified.unwrap_or(now);
        Ok(self.put(place, State::File(Revision { id, rev, content, client_modified, server_modified: now })))
    }

    fn conflict_of(&self, commit: &Commit, content: &Content) -> Result<(), Conflict> {
        let Commit { place, mode, strict_conflict, .. } = commit;
        self.check_ancestors(place)?;
        let Some(node) = self.live(&place.lower) else {
            // The file to be updated is gone, or never was.
            let is_strict_update = *strict_conflict && matches!(mode, Mode::Update(_));
            return if is_strict_update { Err(Conflict::File) } else { Ok(()) };
        };
        let file = node.file().ok_or(Conflict::Folder)?;
        let is_equal = file.content.hash == content.hash && !strict_conflict;
        let may_replace = match mode {
            Mode::Add => false,
            Mode::Overwrite => true,
            Mode::Update(rev) => file.rev == *rev,
        };
        if may_replace || is_equal { Ok(()) } else { Err(Conflict::File) }
    }

    /// Whether all folders of a place are folders or can be made.
    pub(super) fn check_ancestors(&self, place: &Place) -> Result<(), Conflict> {
        let is_file = |folder: Place| self.live(&folder.lower).is_some_and(|node| node.file().is_some());
        if place.ancestors().any(is_file) { Err(Conflict::FileAncestor) } else { Ok(()) }
    }

    /// A free name beside one that is taken.
    pub(super) fn other_name(&self, place: &Place, mode: &Mode) -> Place {
        let name = place.name();
        let (stem, extension) = match name.rfind('.') {
            Some(dot) if dot > 0 => name.split_at(dot),
            _ => (name, ""),
        };
        let names = (2..OTHER_NAMES_TRIED).map(|number| match mode {
            Mode::Update(_) if number == 2 => format!("{stem} (conflicted copy){extension}"),
            Mode::Update(_) => format!("{stem} (conflicted copy {}){extension}", number - 1),
            _ => format!("{stem} ({number}){extension}"),
        });
        let mut places = names.map(|name| place.sibling(&name));
        places.find(|other| self.live(&other.lower).is_none()).expect("no test takes that many names")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: u64 = 1 << 20;

    fn tree() -> Tree {
        let mut tree = Tree::new(7);
        put(&mut tree, "/F/A.txt", b"one", Mode::Add).unwrap();
        tree
    }

    fn commit(path: &str, mode: Mode) -> Commit {
        let place = Place::parse(path).unwrap();
        Commit { place, mode, autorename: false, client_modified: None, strict_conflict: false }
    }

    fn content(bytes: &'static [u8]) -> Content {
        Content::new(bytes.into())
    }

    fn put(tree: &mut Tree, path: &str, bytes: &'static [u8], mode: Mode) -> Result<(String, String), WriteError> {
        let node = tree.commit(&commit(path, mode), content(bytes), MANY, Timestamp::UNIX_EPOCH)?;
        Ok((node.place.display.clone(), node.file().unwrap().rev.clone()))
    }

    fn strictly(tree: &mut Tree, path: &str, bytes: &'static [u8], mode: Mode) -> Result<String, WriteError> {
        let strict = Commit { strict_conflict: true, ..commit(path, mode) };
        let node = tree.commit(&strict, content(bytes), MANY, Timestamp::UNIX_EPOCH)?;
        Ok(node.file().unwrap().rev.clone())
    }

    fn rev(tree: &Tree, lower: &str) -> String {
        tree.live(lower).unwrap().file().unwrap().rev.clone()
    }

    const FILE: Result<String, WriteError> = Err(WriteError::Conflict(Conflict::File));

    #[test]
    fn add_conflicts_with_other_bytes_and_not_with_the_same() {
        let mut tree = tree();
        let before = rev(&tree, "/f/a.txt");
        assert_eq!(put(&mut tree, "/f/a.TXT", b"two", Mode::Add), Err(WriteError::Conflict(Conflict::File)));
        assert_eq!(put(&mut tree, "/f/a.TXT", b"one", Mode::Add), Ok(("/F/A.txt".into(), before.clone())));
        assert_eq!(strictly(&mut tree, "/f/a.TXT", b"one", Mode::Add), FILE);
        assert_eq!(rev(&tree, "/f/a.txt"), before);
    }

    #[test]
    fn overwriting_keeps_the_identity_and_the_case() {
        let mut tree = tree();
        let id = tree.live("/f/a.txt").unwrap().id().unwrap().to_owned();
        let (display, _) = put(&mut tree, "/f/a.TXT", b"two", Mode::Overwrite).unwrap();
        assert_eq!(display, "/F/A.txt");
        assert_eq!(tree.live("/f/a.txt").unwrap().id(), Some(&*id));
        tree.remove("/f/a.txt", Timestamp::UNIX_EPOCH);
        let (display, _) = put(&mut tree, "/f/a.TXT", b"two", Mode::Overwrite).unwrap();
        assert_eq!(display, "/f/a.TXT");
        assert_ne!(tree.live("/f/a.txt").unwrap().id(), Some(&*id));
    }

    #[test]
    fn overwriting_with_the_same_bytes_writes_nothing_unless_strict() {
        let mut tree = tree();
        let before = rev(&tree, "/f/a.txt");
        assert_eq!(put(&mut tree, "/f/a.txt", b"one", Mode::Overwrite).unwrap().1, before);
        assert_ne!(strictly(&mut tree, "/f/a.txt", b"one", Mode::Overwrite).unwrap(), before);
    }

    #[test]
    fn update_takes_the_place_of_one_revision_only() {
        let mut tree = tree();
        let first = rev(&tree, "/f/a.txt");
        let (_, second) = put(&mut tree, "/f/a.txt", b"two", Mode::Update(first.clone())).unwrap();
        assert_eq!(strictly(&mut tree, "/f/a.txt", b"three", Mode::Update(first)), FILE);
        tree.remove("/f/a.txt", Timestamp::UNIX_EPOCH);
        assert_eq!(strictly(&mut tree, "/f/a.txt", b"three", Mode::Update(second.clone())), FILE);
        put(&mut tree, "/f/a.txt", b"three", Mode::Update(second)).unwrap();
    }

    #[test]
    fn folders_and_files_are_in_each_others_way() {
        let mut tree = tree();
        for mode in [Mode::Add, Mode::Overwrite] {
            let result = put(&mut tree, "/f", b"one", mode.clone());
            assert_eq!(result, Err(WriteError::Conflict(Conflict::Folder)));
            let result = put(&mut tree, "/f/a.txt/b", b"one", mode);
            assert_eq!(result, Err(WriteError::Conflict(Conflict::FileAncestor)));
        }
    }

    #[test]
    fn another_name_is_taken_on_request() {
        let mut tree = tree();
        let mut renamed = |bytes, mode| {
            let renaming = Commit { autorename: true, ..commit("/F/A.txt", mode) };
            let node = tree.commit(&renaming, content(bytes), MANY, Timestamp::UNIX_EPOCH).unwrap();
            node.place.display.clone()
        };
        assert_eq!(renamed(b"one", Mode::Add), "/F/A.txt");
        assert_eq!(renamed(b"two", Mode::Add), "/F/A (2).txt");
        assert_eq!(renamed(b"three", Mode::Add), "/F/A (3).txt");
        assert_eq!(renamed(b"four", Mode::Update("000000000".into())), "/F/A (conflicted copy).txt");
    }

    #[test]
    fn without_room_nothing_is_written_and_what_is_replaced_makes_room() {
        let mut tree = tree();
        let mut put = |path, bytes, free_bytes| {
            let result = tree.commit(&commit(path, Mode::Overwrite), content(bytes), free_bytes, Timestamp::UNIX_EPOCH);
            result.map(|_| ())
        };
        assert_eq!(put("/f/b", b"1234", 3), Err(WriteError::InsufficientSpace));
        assert_eq!(put("/f/a.txt", b"1234", 1), Ok(()));
        assert_eq!(tree.live("/f/b").map(|_| ()), None);
        assert_eq!(tree.used_bytes(), 4);
    }
}
