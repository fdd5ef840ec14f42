//! A piece of configuration as a plug-in gets it: names and values, each with where it comes from.

use std::collections::BTreeMap;
use std::fmt;

use super::problem::{ConfigProblem, Origin};

/// Names and values, as they stand in a table of the configuration or as a URL gives them.
///
/// Keeps for every value where it comes from, so that an error can name the line. `Debug` shows names, never values.
///
/// ```
/// use backup_core::registry::Table;
///
/// let table = Table::new().with_text("type", "local").with_text("path", "/srv/backup");
/// assert_eq!(table.text("path"), Some("/srv/backup"));
/// assert_eq!(format!("{table:?}"), r#"Table {"path": text, "type": text}"#);
/// ```
#[derive(Clone, Default, PartialEq)]
pub struct Table {
    pub(crate) entries: BTreeMap<String, Value>,
    pub(crate) origin: Origin,
}

/// One value of a [`Table`].
#[derive(Clone, PartialEq)]
pub(crate) struct Value {
    pub(crate) data: Data,
    pub(crate) origin: Origin,
}

#[derive(Clone, PartialEq)]
pub(crate) enum Data {
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    /// Text from a place that knows only text (a variable, a flag, a URL); read as whatever the option wants.
    Loose(String),
    List(Vec<Value>),
    Table(Table),
}

impl Table {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a TOML document; every value knows its line in `file`, a name for messages.
    ///
    /// # Errors
    /// A [`ConfigProblem`] that names the line and repeats no part of the text.
    pub fn from_toml(file: &str, text: &str) -> Result<Self, ConfigProblem> {
        super::text::document(file, text)
    }

    /// The same, coming from `origin`.
    #[must_use]
    pub fn from_origin(mut self, origin: Origin) -> Self {
        self.origin = origin;
        self
    }

    /// The same with one more text. It is taken as it is where text is wanted, and read as a number, a truth value or a
    /// list where the option wants that.
    #[must_use]
    pub fn with_text(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.insert(name, Data::Loose(text.into()));
        self
    }

    /// The text under a name, `None` when there is no such name or no text under it.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.entries.get(name)?.as_text()
    }

    /// The table that a path of names leads to.
    pub(crate) fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |table, name| table.entries.get(*name)?.as_table())
    }

    /// Whether there is a value under a name.
    pub fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// The names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Where the table as a whole comes from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    pub(crate) fn insert(&mut self, name: impl Into<String>, data: Data) {
        let origin = self.origin.clone();
        self.entries.insert(name.into(), Value { data, origin });
    }

    /// Where a value comes from, or the table where there is no such value.
    pub(crate) fn origin_of(&self, name: &str) -> &Origin {
        match self.entries.get(name) {
            Some(value) if !value.origin.is_unknown() => &value.origin,
            _ => &self.origin,
        }
    }
}

impl Value {
    /// The table it is, `None` for anything else.
    pub(crate) fn as_table(&self) -> Option<&Table> {
        match &self.data {
            Data::Table(table) => Some(table),
            Data::Bool(_) | Data::Integer(_) | Data::Float(_) | Data::Text(_) | Data::Loose(_) | Data::List(_) => None,
        }
    }

    /// As [`Value::as_table`], to be changed.
    pub(crate) fn as_table_mut(&mut self) -> Option<&mut Table> {
        match &mut self.data {
            Data::Table(table) => Some(table),
            Data::Bool(_) | Data::Integer(_) | Data::Float(_) | Data::Text(_) | Data::Loose(_) | Data::List(_) => None,
        }
    }

    /// The text it is, `None` for anything else.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match &self.data {
            Data::Text(text) | Data::Loose(text) => Some(text),
            Data::Bool(_) | Data::Integer(_) | Data::Float(_) | Data::List(_) | Data::Table(_) => None,
        }
    }
}

impl Data {
    /// What kind of value it is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Bool(_) => "truth value",
            Self::Integer(_) => "number",
            Self::Float(_) => "fraction",
            Self::Text(_) | Self::Loose(_) => "text",
            Self::List(_) => "list",
            Self::Table(_) => "table",
        }
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Table ")?;
        f.debug_map().entries(self.entries.iter()).finish()
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_table() {
            Some(table) => fmt::Debug::fmt(table, f),
            None => f.write_str(self.data.kind()),
        }
    }
}
