//! Holding what plug-ins say about themselves against what they are.

use serde_json::Value as Json;

use super::{Descriptor, Family, REPOSITORY_KEYS, Registry, RegistryError, TYPE_KEY};

/// Looks whether the example of a descriptor is one.
pub(super) fn example(registry: &Registry, descriptor: &Descriptor) -> Result<(), RegistryError> {
    let written = || -> Result<serde_json::Result<Json>, super::ConfigProblem> {
        let table = descriptor.example_table()?;
        Ok(match descriptor.family() {
            Family::Backend => serde_json::to_value(registry.backend(&table)?),
            Family::Source => serde_json::to_value(registry.source(&table)?),
            Family::Retention => serde_json::to_value(registry.retention(&table)?),
            Family::Conflict => serde_json::to_value(registry.conflict(&table)?),
        })
    };
    let written = written().map_err(|problem| wrong(descriptor, format!("its example is not valid: {problem}")))?;
    match written {
        Ok(json) if json[TYPE_KEY] == descriptor.tag => Ok(()),
        Ok(_) => Err(wrong(descriptor, "`#[typetag::serde]` gives it another name".to_owned())),
        Err(_) => Err(wrong(descriptor, "its example can't be written".to_owned())),
    }
}

fn wrong(descriptor: &Descriptor, reason: String) -> RegistryError {
    let Descriptor { tag, crate_name, .. } = *descriptor;
    RegistryError::Descriptor { family: descriptor.family(), tag, crate_name, reason }
}

/// Holds what a descriptor says against the type it is for.
pub(super) fn options(descriptor: &Descriptor) -> Result<(), RegistryError> {
    let wrong = |reason: String| Err(wrong(descriptor, reason));
    let mut documented: Vec<&str> = descriptor.options.iter().map(|option| option.name).collect();
    documented.sort_unstable();
    if let Some(pair) = documented.windows(2).find(|pair| pair[0] == pair[1]) {
        return wrong(format!("the option `{}` is documented twice", pair[0]));
    }
    if let Some(fields) = (descriptor.fields)() {
        let mut fields = fields.to_vec();
        fields.sort_unstable();
        if fields != documented {
            return wrong(format!("it documents the options {documented:?} and reads {fields:?}"));
        }
    }
    let reserved: &[&str] = match descriptor.family() {
        Family::Backend => &REPOSITORY_KEYS,
        Family::Source | Family::Retention | Family::Conflict => &[TYPE_KEY],
    };
    if let Some(name) = documented.iter().find(|name| reserved.contains(name)) {
        return wrong(format!("the option name `{name}` is taken by the framework"));
    }
    Ok(())
}
