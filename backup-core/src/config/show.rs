//! Showing the configuration that is in effect.

use serde_json::{Value as Json, json};

use super::Config;
use crate::registry::table::{Data, Table, Value};
use crate::registry::text::structure;
use crate::registry::{OptionKind, Origin};
use crate::secret::{INLINE_PREFIX, SecretRef};

/// One value of the configuration in effect.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Setting {
    /// The parts of its key: `["repository", "home", "path"]`.
    pub key: Vec<String>,
    /// The value as it was written, `${NAME}` not replaced; a secret as its reference.
    pub value: Json,
    /// Where it was set.
    pub origin: Origin,
}

impl Config {
    /// Everything that is set, sorted by key. No secret is among it: references are shown, inline secrets hidden, and
    /// variables not replaced by what they hold.
    pub fn settings(&self) -> Vec<Setting> {
        let mut settings = Vec::new();
        self.collect(&self.settings, &mut Vec::new(), &mut settings);
        settings
    }

    /// Everything that is set as TOML, one setting a line with its origin as a comment.
    ///
    /// It can be read as a configuration again, unless an inline secret is hidden in it.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        for Setting { key, value, origin } in self.settings() {
            let key: Vec<String> = key.iter().map(|part| toml_key(part)).collect();
            text.push_str(&format!("{} = {}", key.join("."), toml_value(&value)));
            if !origin.is_unknown() {
                text.push_str(&format!(" # {}", one_line(&origin.to_string())));
            }
            text.push('\n');
        }
        text
    }

    fn collect(&self, table: &Table, path: &mut Vec<String>, settings: &mut Vec<Setting>) {
        for (name, value) in &table.entries {
            path.push(name.clone());
            match value.as_table().filter(|inner| !inner.entries.is_empty()) {
                Some(inner) => self.collect(inner, path, settings),
                None => {
                    let shown = shown(value, self.kinds.get(path).copied());
                    settings.push(Setting { key: path.clone(), value: shown, origin: value.origin.clone() });
                }
            }
            path.pop();
        }
    }
}

/// A value as it may be seen: secrets as references, and text of variables and flags as what the option reads it as.
fn shown(value: &Value, kind: Option<OptionKind>) -> Json {
    match (kind, &value.data) {
        (Some(OptionKind::Secret), _) => secret(value),
        (Some(OptionKind::Integer | OptionKind::Count), Data::Loose(text)) => {
            text.parse::<u64>().map_or_else(|_| json(value), |number| json!(number))
        }
        (Some(OptionKind::Bool), Data::Loose(text)) => {
            text.parse::<bool>().map_or_else(|_| json(value), |truth| json!(truth))
        }
        (Some(OptionKind::TextList | OptionKind::Nested), Data::Loose(text)) => {
            match (structure(text, &value.origin), kind) {
                (Some(structure), _) => json(&structure),
                (None, Some(OptionKind::TextList)) if text.is_empty() => json!([]),
                (None, Some(OptionKind::TextList)) => json!([json(value)]),
                (None, _) => json(value),
            }
        }
        (_, _) => json(value),
    }
}

/// A secret's reference; anything else under the key of a secret is hidden, since a variable in it may make it one.
fn secret(value: &Value) -> Json {
    match value.as_text().map(SecretRef::parse) {
        Some(Ok(_)) => json(value),
        Some(Err(_)) | None => json!("(hidden)"),
    }
}

fn hidden() -> Json {
    json!(format!("{INLINE_PREFIX}(hidden)"))
}

fn json(value: &Value) -> Json {
    match &value.data {
        Data::Bool(value) => json!(value),
        Data::Integer(value) => json!(value),
        Data::Float(value) => json!(value),
        // Wherever it stands, as in a table that a plug-in reads by itself.
        Data::Text(text) | Data::Loose(text) if text.starts_with(INLINE_PREFIX) => hidden(),
        Data::Text(text) | Data::Loose(text) => json!(text),
        Data::List(items) => items.iter().map(json).collect(),
        Data::Table(table) => table.entries.iter().map(|(name, value)| (name.clone(), json(value))).collect(),
    }
}

fn toml_key(part: &str) -> String {
    let bare = !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if bare { part.to_owned() } else { toml_value(&json!(part)) }
}

fn toml_value(value: &Json) -> String {
    match value {
        // JSON's `null` comes only from a number that is none, such as `nan`.
        Json::Null => "nan".to_owned(),
        Json::Bool(value) => value.to_string(),
        Json::Number(number) => number.to_string(),
        Json::String(text) => toml::Value::from(text.as_str()).to_string(),
        Json::Array(items) => format!("[{}]", items.iter().map(toml_value).collect::<Vec<_>>().join(", ")),
        Json::Object(entries) => {
            let entry = |(name, value): (&String, &Json)| format!("{} = {}", toml_key(name), toml_value(value));
            format!("{{ {} }}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
    }
}

/// A comment ends with its line; a file's name may hold a line end.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
