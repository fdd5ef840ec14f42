//! What a program says of a file: read, checked and written into it.

use serde_json::{Map, Value};

use super::account::Caller;
use super::refusal::Refusal;
use super::resource::read_time;
use super::schema::{FILE_FIELDS, Kind, WITHIN, Write};
use super::state::{Node, SHORTCUT, State};

/// The longest key and value of a property together, in bytes.
const MAX_PROPERTY_BYTES: usize = 124;

/// What for a body is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Create,
    Copy,
    Update,
}

/// The fields that a program sent.
#[derive(Debug, Clone, Default)]
pub(super) struct Metadata(Map<String, Value>);

impl Metadata {
    /// Reads a body and refuses fields that there are not or that can't be written.
    pub(super) fn parse(body: &[u8], purpose: Purpose) -> Result<Self, Refusal> {
        if body.is_empty() {
            return Ok(Self::default());
        }
        let parsed: Value = serde_json::from_slice(body).map_err(|_| Refusal::new(400, "parseError", "Parse Error"))?;
        let fields = match parsed {
            Value::Object(fields) => fields,
            // What Go's client sends for no metadata at all.
            Value::Null => Map::new(),
            _ => return Err(Refusal::new(400, "parseError", "Parse Error")),
        };
        for (name, value) in &fields {
            let field = FILE_FIELDS.iter().find(|field| field.name == name);
            let unknown = || Refusal::malformed(format!("Invalid JSON payload received. Unknown name \"{name}\""));
            let field = field.ok_or_else(unknown)?;
            match field.write {
                Write::Always => {}
                Write::Create if purpose != Purpose::Update => {}
                Write::NotEmulated => return Err(Refusal::not_emulated(&format!("the field '{name}'"))),
                Write::Create if name == "parents" => {
                    let message = "The parents field is not directly writable in update requests. Use the addParents and \
                                   removeParents parameters instead.";
                    return Err(Refusal::new(403, "fieldNotWritable", message));
                }
                Write::Create | Write::Never => {
                    let message = "The resource body includes fields which are not directly writable.";
                    return Err(Refusal::new(403, "fieldNotWritable", message));
                }
            }
            let within = WITHIN.iter().find(|(outer, _)| outer == name).map(|(_, inner)| *inner);
            if let Some(inner) = within.and_then(|known| unwritable(value, known)) {
                return Err(Refusal::malformed(format!("'{inner}' can't be written in '{name}'.")));
            }
            if !fits(field.kind, value) {
                return Err(Refusal::invalid(name, format!("Invalid value for field '{name}'")));
            }
        }
        let trashed = fields.get("trashed").is_some_and(|value| *value == Value::Bool(true));
        if trashed && purpose != Purpose::Update {
            return Err(Refusal::new(403, "fieldNotWritable", "A file can't be made in the trash."));
        }
        Ok(Self(fields))
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// The one parent that is named, if any is.
    pub(super) fn parent(&self) -> Result<Option<&str>, Refusal> {
        match self.0.get("parents").and_then(Value::as_array).map(Vec::as_slice) {
            None | Some([]) => Ok(None),
            Some([one]) => Ok(one.as_str()),
            Some(_) => Err(Self::too_many_parents()),
        }
    }

    pub(super) fn too_many_parents() -> Refusal {
        Refusal::new(403, "cannotAddParent", "Increasing the number of parents is not allowed")
    }

    /// Says of which type the content is, where nothing else was said.
    pub(super) fn default_mime(&mut self, mime: &str) {
        self.0.entry("mimeType").or_insert_with(|| mime.into());
    }
}

/// A field within a field, or within one of its items, that can't be written.
fn unwritable<'a>(value: &'a Value, known: &[&str]) -> Option<&'a str> {
    let items = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    let names = items.iter().filter_map(Value::as_object).flat_map(Map::keys);
    names.map(String::as_str).find(|name| !known.contains(name))
}

fn fits(kind: Kind, value: &Value) -> bool {
    match kind {
        Kind::Text => value.is_string(),
        Kind::Flag => value.is_boolean(),
        Kind::Time => value.as_str().is_some_and(|text| read_time(text).is_some()),
        Kind::Texts => value.as_array().is_some_and(|items| items.iter().all(Value::is_string)),
        Kind::Map => value.as_object().is_some_and(|map| map.values().all(|v| v.is_string() || v.is_null())),
        Kind::Other => value.is_object() || value.is_array(),
    }
}

impl State {
    /// Writes what a program said into a node; where it lies and what it holds are other matters.
    pub(super) fn write(&mut self, caller: &Caller, node: &mut Node, metadata: &Metadata) -> Result<(), Refusal> {
        for (name, value) in &metadata.0 {
            let text = value.as_str().unwrap_or_default();
            match name.as_str() {
                // Where it is made, these are seen to.
                "id" | "parents" => {}
                // Never told again.
                "contentHints" => {}
                "name" => {
                    if node.name != text {
                        node.name = text.to_owned();
                        node.named_ms = self.clock.tick_ms();
                    }
                }
                "mimeType" => node.mime = text.to_owned(),
                "createdTime" => node.created_ms = read_time(text).unwrap_or(node.created_ms),
                "modifiedTime" => node.modified_ms = read_time(text).unwrap_or(node.modified_ms),
                "starred" => node.is_starred = value == &Value::Bool(true),
                "trashed" => node.is_trashed = value == &Value::Bool(true),
                "properties" => {
                    for (key, value) in value.as_object().into_iter().flatten() {
                        let value = property(key, value)?;
                        set(&mut node.properties, key.clone(), value);
                    }
                }
                "appProperties" => {
                    for (key, value) in value.as_object().into_iter().flatten() {
                        let value = property(key, value)?;
                        set(&mut node.app_properties, (caller.client.clone(), key.clone()), value);
                    }
                }
                "shortcutDetails" => {
                    let target = value.get("targetId").and_then(Value::as_str).unwrap_or_default();
                    self.seen(caller, target, true)?;
                    node.target = Some(target.to_owned());
                }
                _ => {
                    node.kept.insert(name.clone(), value.clone());
                }
            }
        }
        if node.target.is_some() != (node.mime == SHORTCUT) {
            return Err(Refusal::malformed("Shortcuts have a target, and nothing else has."));
        }
        Ok(())
    }
}

fn property(key: &str, value: &Value) -> Result<Option<String>, Refusal> {
    let value = value.as_str();
    if key.len() + value.unwrap_or_default().len() > MAX_PROPERTY_BYTES {
        let message = "A property's key and value are at most 124 bytes together.";
        return Err(Refusal::new(403, "propertyTooLong", message));
    }
    Ok(value.map(str::to_owned))
}

fn set<K: Ord>(map: &mut std::collections::BTreeMap<K, String>, key: K, value: Option<String>) {
    match value {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    };
}
