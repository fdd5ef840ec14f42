//! The framework's own plug-ins by name, so that a program built without one can say how to get it.

use super::descriptor::Family;
use super::problem::{ConfigProblem, suggest};
use super::{Registry, TYPE_KEY};

pub(super) struct Official {
    pub(super) family: Family,
    pub(super) tag: &'static str,
    schemes: &'static [&'static str],
    /// The feature of the package `backup-cli` that brings it.
    pub(super) feature: &'static str,
}

const fn backend(tag: &'static str, schemes: &'static [&'static str]) -> Official {
    Official { family: Family::Backend, tag, schemes, feature: tag }
}

const fn source(tag: &'static str) -> Official {
    Official { family: Family::Source, tag, schemes: &[], feature: tag }
}

pub(super) const ALL: [Official; 9] = [
    backend("local", &["file"]),
    backend("s3", &["s3"]),
    backend("sftp", &["sftp"]),
    backend("gdrive", &["gdrive"]),
    backend("dropbox", &["dropbox"]),
    backend("opendal", &["opendal"]),
    source("files"),
    source("sqlite"),
    source("command"),
];

pub(super) fn is_scheme(scheme: &str) -> bool {
    ALL.iter().any(|known| known.schemes.contains(&scheme))
}

fn how_to_get(feature: &str) -> String {
    format!("build it in with the feature `{feature}` of backup-cli")
}

pub(super) fn unknown_type(registry: &Registry, family: Family, tag: &str) -> ConfigProblem {
    match ALL.iter().find(|known| known.family == family && known.tag == tag) {
        Some(known) => {
            let message = format!("this program was built without the {} `{}`", family.as_str(), known.tag);
            ConfigProblem::new(TYPE_KEY, message).with_hint(how_to_get(known.feature))
        }
        // The unknown word is not repeated: nothing under a key ever is.
        None => {
            let known: Vec<&str> = registry.descriptors(family).map(|descriptor| descriptor.tag).collect();
            let message = format!("is no known type of {}", family.as_str());
            ConfigProblem::new(TYPE_KEY, message).with_hint(known_list(tag, &known))
        }
    }
}

pub(super) fn unknown_scheme(registry: &Registry, scheme: &str) -> ConfigProblem {
    match ALL.iter().find(|known| known.schemes.contains(&scheme)) {
        Some(known) => {
            let message = format!("this program was built without the storage backend `{}`", known.tag);
            ConfigProblem::new("", message).with_hint(how_to_get(known.feature))
        }
        None => {
            let descriptors = registry.descriptors(Family::Backend);
            let known: Vec<&str> = descriptors.flat_map(|descriptor| descriptor.schemes).copied().collect();
            ConfigProblem::new("", "the URL's scheme is not known").with_hint(known_list(scheme, &known))
        }
    }
}

/// The nearest name, where there is one, and all of them.
fn known_list(name: &str, known: &[&str]) -> String {
    let nearest = suggest(name, known.iter().copied());
    if nearest.starts_with("known") || known.is_empty() {
        return nearest;
    }
    let all: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
    format!("{nearest} known are {}", all.join(", "))
}
