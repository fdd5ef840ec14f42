//! From a [`Table`] to a plug-in's own type.
//!
//! A deserialiser of its own, for three reasons: errors must never hold a value (it may be a secret in the wrong place),
//! they must name key and line, and text from places that know only text must stay as it is where text is wanted, with
//! its leading zeros, and become a number only where a number is wanted.

mod node;
mod word;

use std::cell::RefCell;
use std::fmt;

use serde::de::{self, DeserializeOwned, Expected, Unexpected};

use super::problem::{ConfigProblem, Origin, join, suggest};
use super::table::Table;
use super::text;
use node::TableNode;

/// Makes a `T` of a table.
pub(crate) fn decode<T: DeserializeOwned>(table: &Table) -> Result<T, DecodeError> {
    let trail = Trail::default();
    T::deserialize(TableNode { table, trail: &trail }).map_err(|error| trail.locate(error, &table.origin))
}

/// Why a table can't become what it should; holds no value.
#[derive(Debug, Clone)]
pub(crate) struct DecodeError {
    place: Option<(String, Origin)>,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    Expected {
        expected: String,
        found: &'static str,
    },
    UnknownKey {
        key: String,
        known: &'static [&'static str],
    },
    MissingKey(&'static str),
    DoubleKey(&'static str),
    UnknownWord(&'static [&'static str]),
    /// A message in the words of a plug-in or of another library, which may hold a value and so is not kept.
    Opaque,
}

impl From<DecodeError> for ConfigProblem {
    fn from(error: DecodeError) -> Self {
        let (path, origin) = error.place.unwrap_or_default();
        let problem = match error.what {
            What::Expected { expected, found } => Self::new(path, format!("expected {expected}, found a {found}")),
            What::UnknownKey { key, known } => {
                let hint = suggest(&key, known.iter().copied());
                Self::new(join(&path, &key), "unknown key").with_hint(hint)
            }
            What::MissingKey(key) => Self::new(join(&path, key), "is missing"),
            What::DoubleKey(key) => Self::new(join(&path, key), "is there twice"),
            What::UnknownWord(known) => {
                let all: Vec<String> = known.iter().map(|word| format!("`{word}`")).collect();
                Self::new(path, "is none of the known words").with_hint(format!("known are {}", all.join(", ")))
            }
            What::Opaque => Self::new(path, "the value is not accepted"),
        };
        problem.with_origin(&origin)
    }
}

impl DecodeError {
    fn new(what: What) -> Self {
        Self { place: None, what }
    }

    /// Whether nothing can be told but that the value is not accepted.
    pub(crate) fn is_wordless(&self) -> bool {
        matches!(self.what, What::Opaque)
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", ConfigProblem::from(self.clone()))
    }
}

impl std::error::Error for DecodeError {}

impl de::Error for DecodeError {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::new(What::Opaque)
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(What::Expected { expected: text::plain(&expected.to_string()), found: text::kind(&unexpected) })
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(What::Expected {
            expected: text::plain(&expected.to_string()),
            found: match text::kind(&unexpected) {
                "number" => "number out of range",
                "text" => "text that is none",
                kind => kind,
            },
        })
    }

    fn invalid_length(_: usize, expected: &dyn Expected) -> Self {
        Self::new(What::Expected { expected: text::plain(&expected.to_string()), found: "list of another length" })
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::new(What::UnknownWord(expected))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new(What::UnknownKey { key: field.to_owned(), known: expected })
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(What::MissingKey(field))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new(What::DoubleKey(field))
    }
}

/// Where the deserialiser stands, and the last error that was given a place.
///
/// typetag passes errors on as text, which loses their place; the last one that had one is then what happened.
#[derive(Default)]
struct Trail {
    path: RefCell<Vec<String>>,
    last: RefCell<Option<DecodeError>>,
}

impl Trail {
    fn locate(&self, mut error: DecodeError, origin: &Origin) -> DecodeError {
        if error.place.is_some() {
            return error;
        }
        let here = self.path.borrow().join(".");
        if let (What::Opaque, Some(last)) = (&error.what, &*self.last.borrow()) {
            // Only when it happened here or further in: another one may have been passed over long ago.
            let inside = last.place.as_ref().and_then(|(path, _)| path.strip_prefix(&here));
            if inside.is_some_and(|rest| here.is_empty() || rest.is_empty() || rest.starts_with('.')) {
                return last.clone();
            }
        }
        error.place = Some((here, origin.clone()));
        *self.last.borrow_mut() = Some(error.clone());
        error
    }

    fn inside<T>(&self, name: String, visit: impl FnOnce() -> T) -> T {
        self.path.borrow_mut().push(name);
        let result = visit();
        self.path.borrow_mut().pop();
        result
    }
}

#[cfg(test)]
mod tests {
    use serde::de::Error as _;

    use super::*;

    fn at(trail: &Trail, name: &str, error: DecodeError) -> String {
        trail.inside(name.to_owned(), || ConfigProblem::from(trail.locate(error, &Origin::default())).to_string())
    }

    #[test]
    fn error_that_lost_its_words_gets_those_of_what_failed_inside_it_and_of_nothing_else() {
        let lost = || DecodeError::custom("words that may hold a value");
        let trail = Trail::default();
        let told = trail.inside("hosts".to_owned(), || at(&trail, "0", DecodeError::missing_field("name")));
        assert_eq!(told, "`hosts.0.name`: is missing");
        assert_eq!(at(&trail, "hosts", lost()), told, "the one inside it");
        assert_eq!(at(&trail, "hosts", lost()), told, "and again, however often it is passed on");
        assert_eq!(at(&trail, "host", lost()), "`host`: the value is not accepted");
        assert_eq!(at(&trail, "other", lost()), "`other`: the value is not accepted");
    }
}
