//! The JSON schema of a configuration, made from what the plug-ins say about themselves.

use serde_json::{Map, Value as Json, json};

use super::defaults::{COMPRESSION_LEVELS, OPTIONS};
use super::patience;
use crate::registry::{Descriptor, Family, OptionDoc, OptionKind, Registry, TYPE_KEY};

/// A JSON schema (draft 2020-12) of a configuration file for the plug-ins of this program.
///
/// An editor that knows TOML schemas checks and completes with it. It is made from the descriptors whose options
/// [`Registry`] holds against the types they are for, so it can't promise an option that isn't read. It is narrower than
/// the loader in one point: a number written as `"${NAME}"` is accepted by the loader only.
pub fn schema(registry: &Registry) -> Json {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "backup configuration",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "defaults": defaults(),
            "repository": section(registry, Family::Backend),
            "source": section(registry, Family::Source),
            "retention": section(registry, Family::Retention),
            "conflict": section(registry, Family::Conflict),
        },
    })
}

fn defaults() -> Json {
    let mut properties: Map<String, Json> =
        OPTIONS.iter().map(|option| (option.name.to_owned(), option_schema(option))).collect();
    properties["compression"]["minimum"] = json!(COMPRESSION_LEVELS.start());
    properties["compression"]["maximum"] = json!(COMPRESSION_LEVELS.end());
    json!({
        "type": "object",
        "description": "What holds where nothing else is said.",
        "additionalProperties": false,
        "properties": properties,
    })
}

fn section(registry: &Registry, family: Family) -> Json {
    let mut variants: Vec<Json> = registry.descriptors(family).map(|descriptor| variant(descriptor, family)).collect();
    if family == Family::Backend {
        let mut properties = repository_properties();
        properties.insert("url".into(), json!({ "type": "string", "description": "The store as a URL or a path." }));
        variants.push(json!({
            "type": "object",
            "description": "A store by URL; its options may stand beside it.",
            "properties": properties,
            "required": ["url"],
            "not": { "required": [TYPE_KEY] },
        }));
    }
    let names = "^[A-Za-z0-9][A-Za-z0-9_-]*$";
    json!({
        "type": "object",
        "propertyNames": { "pattern": names },
        "additionalProperties": { "oneOf": variants },
    })
}

fn variant(descriptor: &Descriptor, family: Family) -> Json {
    let mut properties = match family {
        Family::Backend => repository_properties(),
        Family::Source | Family::Retention | Family::Conflict => Map::new(),
    };
    properties.insert(TYPE_KEY.into(), json!({ "const": descriptor.tag }));
    let mut required = vec![TYPE_KEY];
    for option in descriptor.options {
        properties.insert(option.name.into(), option_schema(option));
        required.extend(option.required.then_some(option.name));
    }
    json!({
        "type": "object",
        "description": descriptor.summary,
        "additionalProperties": false,
        "properties": properties,
        "required": required,
    })
}

fn repository_properties() -> Map<String, Json> {
    let password = OptionDoc::optional("password", OptionKind::Secret, "Where the repository's password is.");
    let retention = OptionDoc::optional("retention", OptionKind::Text, "The repository's retention policy.");
    let options = [password, retention].into_iter().chain(patience::OPTIONS.iter().copied());
    options.map(|option| (option.name.to_owned(), option_schema(&option))).collect()
}

fn option_schema(option: &OptionDoc) -> Json {
    let mut schema = match option.kind {
        OptionKind::Text | OptionKind::Path | OptionKind::Duration => json!({ "type": "string" }),
        OptionKind::Integer => json!({ "type": "integer", "minimum": 0 }),
        OptionKind::Bool => json!({ "type": "boolean" }),
        OptionKind::Size => json!({ "type": ["string", "integer"], "minimum": 0 }),
        OptionKind::Secret => json!({ "type": "string", "pattern": "^(env|file|cmd|keyring|inline):" }),
        OptionKind::Choice(words) => json!({ "enum": words }),
        OptionKind::Count => json!({ "anyOf": [{ "type": "integer", "minimum": 1 }, { "const": "all" }] }),
        OptionKind::TextList => json!({ "type": "array", "items": { "type": "string" } }),
        OptionKind::Nested => json!({}),
    };
    let help = match option.unit {
        Some(unit) => format!("{} In {unit}.", option.help),
        None => option.help.to_owned(),
    };
    schema["description"] = json!(help);
    if let Some(default) = option.default {
        schema["description"] = json!(format!("{help} Default: {default}."));
    }
    schema
}
