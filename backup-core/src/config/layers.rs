//! The layers of a configuration and what is left when one is laid over the other.

use std::collections::BTreeMap;
use std::fmt;

use figment::value::{Dict, Tag, Value as Merged};
use figment::{Figment, Metadata, Profile, Provider};

use super::expand::Variables;
use crate::registry::problem::{Origin, join, suggest};
use crate::registry::table::{Data, Value};
use crate::registry::{ConfigProblem, Table};

/// Where the values of a configuration come from, one laid over the other.
///
/// From the lowest to the highest: defaults, the system's file, the user's file, the file that was named, the
/// environment, the command line. A table is merged key by key; any other value, lists too, replaces the one below.
///
/// In the files' texts, `${NAME}` stands for a variable of the environment, `${NAME:-text}` for one that may be missing,
/// and `$${` for `${` itself.
#[derive(Clone, Default)]
pub struct Layers {
    files: BTreeMap<Rank, (String, String)>,
    environment: BTreeMap<String, String>,
    flags: Vec<(String, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Defaults,
    System,
    User,
    Named,
}

/// How variables that are settings begin.
const VARIABLE_PREFIX: &str = "BACKUP_";

/// What separates the parts of a key in a variable's name; a single `_` is part of a key.
const VARIABLE_SEPARATOR: &str = "__";

/// The sections of a configuration.
pub(super) const SECTIONS: [&str; 5] = ["conflict", "defaults", "repository", "retention", "source"];

impl Layers {
    /// No layers.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with the program's own defaults, as TOML.
    #[must_use]
    pub fn defaults(self, text: impl Into<String>) -> Self {
        self.toml(Rank::Defaults, "built-in defaults".to_owned(), text.into())
    }

    /// The same with the text of the system's file; `file` names it in messages.
    #[must_use]
    pub fn system(self, file: impl Into<String>, text: impl Into<String>) -> Self {
        self.toml(Rank::System, file.into(), text.into())
    }

    /// The same with the text of the user's file.
    #[must_use]
    pub fn user(self, file: impl Into<String>, text: impl Into<String>) -> Self {
        self.toml(Rank::User, file.into(), text.into())
    }

    /// The same with the text of the file that was named on the command line.
    #[must_use]
    pub fn file(self, file: impl Into<String>, text: impl Into<String>) -> Self {
        self.toml(Rank::Named, file.into(), text.into())
    }

    /// The same with the variables of the environment, all of them.
    ///
    /// One whose name begins with `BACKUP_` and has `__` in it is a setting: `BACKUP_REPOSITORY__HOME__PATH` is
    /// `repository.home.path`, in lower case. Its value is taken as it is where text is wanted, `0123` with its zero, and
    /// read as a number, a truth value or a list (`["a", "b"]`, or one text for a list of one) where the option wants
    /// that. Other variables that begin with `BACKUP_` are the program's own and no settings.
    #[must_use]
    pub fn environment(mut self, pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        self.environment.extend(pairs);
        self
    }

    /// The same with a setting of the command line: `repository.home.path` and its value, taken as those of the
    /// environment are.
    #[must_use]
    pub fn flag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.flags.push((key.into(), value.into()));
        self
    }

    fn toml(mut self, rank: Rank, file: String, text: String) -> Self {
        self.files.insert(rank, (file, text));
        self
    }

    /// The variables that `${NAME}` may stand for.
    pub(super) fn variables(&self) -> Variables<'_> {
        Variables(&self.environment)
    }

    /// Lays the layers over each other; nothing is expanded yet.
    pub(super) fn merged(&self) -> Result<Table, Vec<ConfigProblem>> {
        let mut problems = Vec::new();
        let mut tables = Vec::new();
        for (file, text) in self.files.values() {
            match Table::from_toml(file, text) {
                Ok(table) => tables.push(table),
                Err(problem) => problems.push(problem),
            }
        }
        tables.push(self.environment_table(&mut problems));
        tables.push(self.flags_table(&mut problems));
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(merge(&tables))
    }

    fn environment_table(&self, problems: &mut Vec<ConfigProblem>) -> Table {
        let mut table = Table::new();
        for (name, value) in &self.environment {
            let Some(key) = name.strip_prefix(VARIABLE_PREFIX).filter(|key| key.contains(VARIABLE_SEPARATOR)) else {
                continue;
            };
            let origin = Origin::named(format!("environment variable {name}"));
            let key = key.to_lowercase();
            let parts: Vec<&str> = key.split(VARIABLE_SEPARATOR).collect();
            problems.extend(set(&mut table, &parts, value, &origin).err());
        }
        table
    }

    fn flags_table(&self, problems: &mut Vec<ConfigProblem>) -> Table {
        let origin = Origin::named("command line");
        let mut table = Table::new();
        for (key, value) in &self.flags {
            let parts: Vec<&str> = key.split('.').collect();
            problems.extend(set(&mut table, &parts, value, &origin).err());
        }
        table
    }
}

impl fmt::Debug for Layers {
    /// Names only: texts and variables may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: Vec<&str> = self.files.values().map(|(file, _)| file.as_str()).collect();
        let flags: Vec<&str> = self.flags.iter().map(|(key, _)| key.as_str()).collect();
        let variables = self.environment.len();
        f.debug_struct("Layers").field("files", &files).field("variables", &variables).field("flags", &flags).finish()
    }
}

/// Puts a text under a path of keys.
fn set(table: &mut Table, parts: &[&str], value: &str, origin: &Origin) -> Result<(), ConfigProblem> {
    let problem = |message: &str| ConfigProblem::new(parts.join("."), message).with_origin(origin);
    let Some(((last, first), section)) = parts.split_last().zip(parts.first()) else { return Ok(()) };
    if !SECTIONS.contains(section) {
        return Err(problem("unknown section").with_hint(suggest(section, SECTIONS)));
    }
    if first.is_empty() || parts.iter().any(|part| part.is_empty()) {
        return Err(problem("a part of the key is empty"));
    }
    let mut table = table;
    for part in first {
        let inner = table.entries.entry((*part).to_owned()).or_insert_with(|| Value {
            data: Data::Table(Table::new().from_origin(origin.clone())),
            origin: origin.clone(),
        });
        table =
            inner.as_table_mut().ok_or_else(|| problem("another setting gives this key a value and not a table"))?;
    }
    if table.contains(last) {
        return Err(problem("is set twice, once as a table"));
    }
    let data = Data::Loose(value.to_owned());
    table.entries.insert((*last).to_owned(), Value { data, origin: origin.clone() });
    Ok(())
}

/// Lets figment merge, and then takes each value from the layer that figment says it is from: figment would change
/// numbers and knows no lines.
fn merge(tables: &[Table]) -> Table {
    let layers = tables.iter().enumerate().map(|(index, table)| Layer { index, table });
    let figment = layers.fold(Figment::new(), Figment::merge);
    match figment.find_value("") {
        Ok(Merged::Dict(_, dict)) => picked(&figment, tables, &dict, &mut Vec::new()),
        // A layer gives nothing but a dictionary and no error, so this is the value of no layers.
        Ok(_) | Err(_) => Table::new(),
    }
}

fn picked<'a>(figment: &Figment, tables: &[Table], dict: &'a Dict, path: &mut Vec<&'a str>) -> Table {
    let mut table = Table::new();
    table.origin =
        tables.iter().rev().find_map(|layer| layer.at(path)).map(|found| found.origin.clone()).unwrap_or_default();
    for (name, merged) in dict {
        path.push(name);
        let layer = figment.get_metadata(merged.tag()).and_then(|metadata| metadata.name.parse::<usize>().ok());
        let original = layer.and_then(|layer| tables.get(layer)?.value_at(path));
        let value = match (merged, original) {
            (Merged::Dict(_, inner), original) => {
                let inner = picked(figment, tables, inner, path);
                let origin = original.map_or_else(|| inner.origin.clone(), |value| value.origin.clone());
                Some(Value { data: Data::Table(inner), origin })
            }
            (_, original) => original.cloned(),
        };
        table.entries.extend(value.map(|value| (name.clone(), value)));
        path.pop();
    }
    table
}

impl Table {
    fn value_at(&self, path: &[&str]) -> Option<&Value> {
        let (last, first) = path.split_last()?;
        self.at(first)?.entries.get(*last)
    }
}

struct Layer<'a> {
    index: usize,
    table: &'a Table,
}

impl Provider for Layer<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.index.to_string())
    }

    fn data(&self) -> Result<figment::value::Map<Profile, Dict>, figment::Error> {
        Ok([(Profile::Default, shape(self.table))].into())
    }
}

/// A table's shape for figment: the tables, and a placeholder for every other value.
fn shape(table: &Table) -> Dict {
    let one = |(name, value): (&String, &Value)| {
        let value = match value.as_table() {
            Some(inner) => Merged::Dict(Tag::Default, shape(inner)),
            None => Merged::from(true),
        };
        (name.clone(), value)
    };
    table.entries.iter().map(one).collect()
}

/// Calls `change` on every value that is no table or list, with its path.
pub(super) fn for_each_leaf(
    table: &mut Table,
    path: &str,
    change: &mut impl FnMut(&str, &mut Value) -> Result<(), ConfigProblem>,
    problems: &mut Vec<ConfigProblem>,
) {
    for (name, value) in &mut table.entries {
        leaf(value, &join(path, name), change, problems);
    }
}

fn leaf(
    value: &mut Value,
    path: &str,
    change: &mut impl FnMut(&str, &mut Value) -> Result<(), ConfigProblem>,
    problems: &mut Vec<ConfigProblem>,
) {
    match &mut value.data {
        Data::Table(table) => for_each_leaf(table, path, change, problems),
        Data::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                leaf(item, &format!("{path}.{index}"), change, problems);
            }
        }
        Data::Bool(_) | Data::Integer(_) | Data::Float(_) | Data::Text(_) | Data::Loose(_) => {
            problems.extend(change(path, value).err().map(|problem| problem.with_origin(&value.origin)));
        }
    }
}
