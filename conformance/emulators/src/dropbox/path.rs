//! Paths as requests name them, and names that Dropbox refuses.

use super::errors::{LookupError, WriteError};

/// The longest name, in characters.
const NAME_CHARACTERS: usize = 255;

/// Names that no file or folder may have, in lower case.
const RESERVED: [&str; 7] =
    [".dropbox", ".dropbox.attr", ".dropbox.cache", ".ds_store", "desktop.ini", "icon\r", "thumbs.db"];

/// A place in a namespace: `/a/B` as it was written, and in lower case, which tells places apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) display: String,
    pub(super) lower: String,
}

/// What the path argument of a request names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// The folder that holds everything.
    Root,
    /// A place.
    Place(Place),
    /// A file or folder by its identity, and what is under it.
    Id(String, Option<Place>),
    /// A revision of a file.
    Rev(String),
    /// Something in another namespace.
    Elsewhere,
}

/// A path that breaks a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl From<Malformed> for LookupError {
    fn from(_: Malformed) -> Self {
        Self::MalformedPath
    }
}

impl From<Malformed> for WriteError {
    fn from(_: Malformed) -> Self {
        Self::MalformedPath
    }
}

impl Target {
    /// Reads the path argument of a request whose root is the given namespace.
    pub(super) fn parse(text: &str, namespace: u64) -> Result<Self, Malformed> {
        if text.is_empty() {
            return Ok(Self::Root);
        }
        if let Some(rev) = text.strip_prefix("rev:") {
            return Ok(Self::Rev(rev.to_owned()));
        }
        if text.starts_with("id:") {
            return Ok(match text.split_once('/') {
                None => Self::Id(text.to_owned(), None),
                Some((id, _)) => Self::Id(id.to_owned(), Some(Place::parse(&text[id.len()..])?)),
            });
        }
        if let Some(rest) = text.strip_prefix("ns:") {
            let number = rest.split('/').next().unwrap_or_default();
            if number.parse() != Ok(namespace) {
                return Ok(Self::Elsewhere);
            }
            return Self::parse(&rest[number.len()..], namespace);
        }
        Place::parse(text).map(Self::Place)
    }
}

impl Place {
    /// Reads `/name` or `/name/name` and so on.
    pub(super) fn parse(text: &str) -> Result<Self, Malformed> {
        let names = text.strip_prefix('/').ok_or(Malformed)?;
        if names.split('/').all(is_well_formed) { Ok(Self::of(text.to_owned())) } else { Err(Malformed) }
    }

    fn of(display: String) -> Self {
        let lower = display.chars().flat_map(char::to_lowercase).collect();
        Self { display, lower }
    }

    /// The place of another name in the same folder.
    pub(super) fn sibling(&self, name: &str) -> Self {
        let folder = self.display.len() - self.name().len();
        Self::of(format!("{}{name}", &self.display[..folder]))
    }

    /// The same place under another folder.
    pub(super) fn under(&self, folder: &Self) -> Self {
        Self::of(format!("{}{}", folder.display, self.display))
    }

    /// The last part.
    pub(super) fn name(&self) -> &str {
        self.display.rsplit('/').next().unwrap_or_default()
    }

    /// All folders that it lies in, outermost first, without the root.
    pub(super) fn ancestors(&self) -> impl Iterator<Item = Self> {
        let ends = self.display.match_indices('/').map(|(at, _)| at).filter(|at| *at > 0);
        ends.map(|at| Self::of(self.display[..at].to_owned()))
    }

    /// Whether something may have this name; the ends of the path may be ones that existed before the rule.
    pub(super) fn check_names(&self) -> Result<(), WriteError> {
        let is_reserved = |name: &str| RESERVED.contains(&name) || is_of_an_editor(name);
        match self.lower.split('/').any(is_reserved) {
            true => Err(WriteError::DisallowedName),
            false => Ok(()),
        }
    }
}

/// The folder that something lies in, by its path in lower case; the root's is empty.
pub(super) fn folder_of(lower: &str) -> &str {
    lower.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Whether a path in lower case lies somewhere under a folder.
pub(super) fn is_under(lower: &str, folder: &str) -> bool {
    lower.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

fn is_well_formed(name: &str) -> bool {
    let is_refused = |character| matches!(character, '\\' | '\0' | '\x7f');
    !matches!(name, "" | "." | "..")
        && !name.ends_with(' ')
        && !name.contains(is_refused)
        && name.chars().count() <= NAME_CHARACTERS
}

/// Files that office programs and editors keep while they work.
fn is_of_an_editor(name: &str) -> bool {
    name.starts_with("~$") || name.starts_with(".~") || (name.starts_with('~') && name.ends_with(".tmp"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_named_by_nothing() {
        assert_eq!(Target::parse("", 1), Ok(Target::Root));
        assert_eq!(Target::parse("/", 1), Err(Malformed));
        assert_eq!(Target::parse("ns:1", 1), Ok(Target::Root));
        assert_eq!(Target::parse("ns:2/a", 1), Ok(Target::Elsewhere));
    }

    #[test]
    fn malformed_names_are_found_anywhere_in_a_path() {
        let long = "x".repeat(NAME_CHARACTERS + 1);
        for name in ["", ".", "..", "a ", "a\\b", "a\0", "a\x7f", &long] {
            for path in [format!("/{name}"), format!("/a/{name}"), format!("/{name}/b")] {
                assert_eq!(Place::parse(&path), Err(Malformed), "{path:?}");
            }
        }
        for name in [" a", "a.", "a b", "\u{1}", "ä", "…", &long[1..]] {
            Place::parse(&format!("/{name}")).unwrap();
        }
    }

    #[test]
    fn places_differ_in_lower_case_only() {
        assert_eq!(Place::parse("/A/Ä").unwrap().lower, Place::parse("/a/ä").unwrap().lower);
        assert_eq!(Place::parse("/A/Ä").unwrap().display, "/A/Ä");
    }

    #[test]
    fn reserved_names_are_refused_in_every_case() {
        for name in ["Desktop.INI", ".Dropbox", "~$a.doc", "~b.TMP", ".~lock"] {
            let place = Place::parse(&format!("/a/{name}/b")).unwrap();
            assert_eq!(place.check_names(), Err(WriteError::DisallowedName), "{name}");
        }
        assert_eq!(Place::parse("/desktop.ini.txt").unwrap().check_names(), Ok(()));
    }

    #[test]
    fn parts_of_a_place() {
        let place = Place::parse("/A/b/C.txt").unwrap();
        let ancestors: Vec<_> = place.ancestors().map(|folder| folder.display).collect();
        assert_eq!(ancestors, ["/A", "/A/b"]);
        assert_eq!(place.name(), "C.txt");
        assert_eq!(place.sibling("D").display, "/A/b/D");
        assert_eq!(folder_of(&place.lower), "/a/b");
        assert_eq!(folder_of("/a"), "");
        assert!(is_under("/a/b", "/a") && is_under("/a", "") && !is_under("/ab", "/a") && !is_under("/a", "/a"));
    }
}
