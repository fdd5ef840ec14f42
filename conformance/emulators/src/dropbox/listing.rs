//! Listing folders: pages, cursors, and what changed since.
//!
//! A listing runs through the journal of the namespace: first what is there, oldest change first, then whatever changes. So what is there for
//! the whole time of a listing is in it, what changes meanwhile comes again, and the order is no order that a client could rely on.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::errors::LookupError;
use super::metadata;
use super::path::{Target, is_under};
use super::tree::{Node, State, Tree};

/// Entries of a page when the request names no number.
const PAGE_ENTRIES: usize = 500;

/// Where a listing is; the client holds it as an opaque word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) namespace: u64,
    /// Cursors of an older generation are told to begin again.
    pub(super) generation: u64,
    /// In lower case; empty for the root.
    folder: String,
    is_recursive: bool,
    include_deleted: bool,
    limit: Option<usize>,
    /// The last change that the client has seen.
    seen: u64,
    /// The last change there was when the listing began: deletions up to it are no news.
    began: u64,
    /// Pages given so far.
    pages: u64,
}

/// How pages are cut.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Paging {
    /// No page is longer than this.
    pub(super) at_most: Option<usize>,
    /// Every other page has nothing in it, though there is more.
    pub(super) empty_pages: bool,
}

impl Cursor {
    /// The word that stands for it.
    pub(super) fn word(&self) -> String {
        let Self { namespace, generation, folder, is_recursive, include_deleted, limit, seen, began, pages } = self;
        let flags = (is_recursive, include_deleted);
        let state = json!([namespace, generation, folder, flags, limit, seen, began, pages]);
        format!("AA{}", URL_SAFE_NO_PAD.encode(state.to_string()))
    }

    /// Reads the word again.
    pub(super) fn read(word: &str) -> Option<Self> {
        let state = URL_SAFE_NO_PAD.decode(word.strip_prefix("AA")?).ok()?;
        let state: Value = serde_json::from_slice(&state).ok()?;
        let limit = state[4].as_u64().and_then(|limit| limit.try_into().ok());
        Some(Self {
            namespace: state[0].as_u64()?,
            generation: state[1].as_u64()?,
            folder: state[2].as_str()?.to_owned(),
            is_recursive: state[3][0].as_bool()?,
            include_deleted: state[3][1].as_bool()?,
            limit,
            seen: state[5].as_u64()?,
            began: state[6].as_u64()?,
            pages: state[7].as_u64()?,
        })
    }

    fn shows(&self, node: &Node) -> bool {
        let lower = &node.place.lower;
        let is_inside = match self.is_recursive {
            // A recursive listing shows the folder itself, too.
            true => is_under(lower, &self.folder) || *lower == self.folder,
            false => node.folder() == self.folder,
        };
        let is_told = match &node.now {
            State::Deleted { with_folder, .. } => self.include_deleted || (node.change > self.began && !with_folder),
            _ => true,
        };
        is_inside && is_told
    }
}

impl Tree {
    /// The cursor of a listing that has shown nothing, or with `of_now` everything.
    pub(super) fn cursor(
        &self,
        target: Target,
        generation: u64,
        argument: &Value,
        of_now: bool,
    ) -> Result<Cursor, LookupError> {
        let place = self.resolve(target)?;
        let folder = place.map_or(String::new(), |place| place.lower);
        self.check_folder(&folder)?;
        Ok(Cursor {
            namespace: self.namespace,
            generation,
            folder,
            is_recursive: argument["recursive"] == true,
            include_deleted: argument["include_deleted"] == true,
            limit: argument["limit"].as_u64().and_then(|limit| limit.try_into().ok()),
            seen: if of_now { self.last_change() } else { 0 },
            began: self.last_change(),
            pages: 0,
        })
    }

    /// The next page of a listing.
    pub(super) fn page(&self, cursor: &Cursor, paging: Paging) -> Result<Value, LookupError> {
        self.check_folder(&cursor.folder)?;
        let asked = cursor.limit.unwrap_or(PAGE_ENTRIES);
        // The number is approximate: now and then there is one more or one less than asked for.
        let wanted = match cursor.pages % 3 {
            1 => asked + 1,
            2 => (asked - 1).max(1),
            _ => asked,
        };
        let wanted = wanted.min(paging.at_most.unwrap_or(usize::MAX));
        let is_empty = paging.empty_pages && cursor.pages.is_multiple_of(2);
        let mut next = Cursor { pages: cursor.pages + 1, ..cursor.clone() };
        let mut entries = Vec::new();
        let mut has_more = false;
        for node in self.changed_after(cursor.seen).filter(|node| cursor.shows(node)) {
            has_more = is_empty || entries.len() == wanted;
            if has_more {
                break;
            }
            entries.push(metadata::of_node(node));
            next.seen = node.change;
        }
        if !has_more {
            next.seen = self.last_change();
        }
        Ok(json!({ "entries": entries, "cursor": next.word(), "has_more": has_more }))
    }

    /// Whether there is anything new for a cursor.
    pub(super) fn has_news(&self, cursor: &Cursor) -> bool {
        self.changed_after(cursor.seen).any(|node| cursor.shows(node))
    }

    fn check_folder(&self, lower: &str) -> Result<(), LookupError> {
        if lower.is_empty() {
            return Ok(());
        }
        match &self.live(lower).ok_or(LookupError::NotFound)?.now {
            State::Folder { .. } => Ok(()),
            _ => Err(LookupError::NotFolder),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn tree(folders: &[&str]) -> Tree {
        let mut tree = Tree::new(7);
        for folder in folders {
            tree.create_folder(Target::parse(folder, 7).unwrap(), false).unwrap();
        }
        tree
    }

    fn cursor(tree: &Tree, path: &str, argument: &Value) -> Result<Cursor, LookupError> {
        tree.cursor(Target::parse(path, 7).unwrap(), 0, argument, false)
    }

    /// The names on a page, deleted ones with a minus, and the cursor of the next.
    fn page(tree: &Tree, cursor: &Cursor) -> (Vec<String>, Cursor, bool) {
        paged(tree, cursor, Paging::default())
    }

    fn paged(tree: &Tree, cursor: &Cursor, paging: Paging) -> (Vec<String>, Cursor, bool) {
        let page = tree.page(cursor, paging).unwrap();
        let name = |entry: &Value| {
            let sign = if entry[".tag"] == "deleted" { "-" } else { "" };
            format!("{sign}{}", entry["path_display"].as_str().unwrap())
        };
        let names = page["entries"].as_array().unwrap().iter().map(name).collect();
        (names, Cursor::read(page["cursor"].as_str().unwrap()).unwrap(), page["has_more"] == true)
    }

    #[test]
    fn what_lies_deeper_is_shown_on_request_with_the_folder_itself() {
        let tree = tree(&["/a/b", "/c"]);
        let names = |path, argument: Value| page(&tree, &cursor(&tree, path, &argument).unwrap()).0;
        assert_eq!(names("", json!({})), ["/a", "/c"]);
        assert_eq!(names("", json!({ "recursive": true })), ["/a", "/a/b", "/c"]);
        assert_eq!(names("/A", json!({})), ["/a/b"]);
        assert_eq!(names("/A", json!({ "recursive": true })), ["/a", "/a/b"]);
        assert_eq!(cursor(&tree, "/d", &json!({})), Err(LookupError::NotFound));
    }

    #[test]
    fn pages_together_are_everything_once() {
        let folders: Vec<_> = (0..20).map(|number| format!("/f/{number}")).collect();
        let tree = tree(&folders.iter().map(String::as_str).collect::<Vec<_>>());
        for paging in [
            Paging::default(),
            Paging { at_most: Some(1), empty_pages: false },
            Paging { at_most: Some(4), empty_pages: true },
        ] {
            let mut at = cursor(&tree, "/f", &json!({ "limit": 3 })).unwrap();
            let mut all = Vec::new();
            let mut lengths = Vec::new();
            loop {
                let (names, next, has_more) = paged(&tree, &at, paging);
                lengths.push(names.len());
                all.extend(names);
                at = next;
                if !has_more {
                    break;
                }
            }
            assert_eq!(all, folders, "{paging:?}");
            assert!(lengths.iter().all(|length| *length <= paging.at_most.unwrap_or(4)), "{paging:?}: {lengths:?}");
            assert_eq!(lengths.contains(&0), paging.empty_pages, "{paging:?}: {lengths:?}");
        }
    }

    #[test]
    fn what_changes_during_a_listing_comes_in_it() {
        let mut tree = tree(&["/a", "/b", "/c", "/d"]);
        tree.remove("/d", Timestamp::UNIX_EPOCH);
        let begin = cursor(&tree, "", &json!({ "limit": 2 })).unwrap();
        let (names, rest, has_more) = page(&tree, &begin);
        assert_eq!((names, has_more), (vec!["/a".to_owned(), "/b".into()], true));
        tree.remove("/a", Timestamp::UNIX_EPOCH);
        tree.create_folder(Target::parse("/e", 7).unwrap(), false).unwrap();
        let (names, rest, has_more) = page(&tree, &rest);
        assert_eq!((names, has_more), (vec!["/c".to_owned(), "-/a".into(), "/e".into()], false));
        assert!(!tree.has_news(&rest));
        tree.remove("/e", Timestamp::UNIX_EPOCH);
        assert!(tree.has_news(&rest));
        assert_eq!(page(&tree, &rest).0, ["-/e"]);
    }

    #[test]
    fn of_a_deleted_folder_only_the_folder_is_told() {
        let mut tree = tree(&["/a/b/c"]);
        let now = tree.cursor(Target::Root, 0, &json!({ "recursive": true }), true).unwrap();
        tree.remove("/a", Timestamp::UNIX_EPOCH);
        assert_eq!(page(&tree, &now).0, ["-/a"]);
        let with_deleted = json!({ "recursive": true, "include_deleted": true });
        let mut all = page(&tree, &cursor(&tree, "", &with_deleted).unwrap()).0;
        all.sort();
        assert_eq!(all, ["-/a", "-/a/b", "-/a/b/c"]);
        assert_eq!(page(&tree, &cursor(&tree, "", &json!({})).unwrap()).0, [""; 0]);
    }

    #[test]
    fn words_that_are_no_cursors_are_none() {
        for word in ["", "AA", "AAWzFd", "x"] {
            assert_eq!(Cursor::read(word), None, "{word}");
        }
    }
}
