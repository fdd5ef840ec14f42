//! The framework's own plug-ins by name, so that a program built without one can say how to get it.

use super::descriptor::Family;
use super::problem::{ConfigProblem, suggest};
use super::{Registry, TYPE_KEY};

pub(super) struct Official {
    pub(super) family: Family,
    pub(super) tag: &'static str,
    schemes: &'static [&'static str],
    /// The feature of the package `backup-cli` that brings it; `None` while no version has it.
    pub(super) feature: Option<&'static str>,
}

const fn backend(tag: &'static str, schemes: &'static [&'static str], feature: Option<&'static str>) -> Official {
    Official { family: Family::Backend, tag, schemes, feature }
}

const fn source(tag: &'static str, feature: Option<&'static str>) -> Official {
    Official { family: Family::Source, tag, schemes: &[], feature }
}

/// A test of the command line compares the features with those that it has.
pub(super) const ALL: [Official; 9] = [
    backend("local", &["file"], Some("local")),
    backend("s3", &["s3"], Some("s3")),
    backend("sftp", &["sftp"], Some("sftp")),
    backend("gdrive", &["gdrive"], None),
    backend("dropbox", &["dropbox"], Some("dropbox")),
    backend("opendal", &["opendal"], None),
    source("files", Some("files")),
    source("sqlite", None),
    source("command", None),
];

pub(super) fn is_scheme(scheme: &str) -> bool {
    ALL.iter().any(|known| known.schemes.contains(&scheme))
}

/// What to do about a plug-in that is not there: how it comes in, or what there is instead.
fn instead_of(known: &Official, registry: &Registry) -> String {
    if let Some(feature) = known.feature {
        return format!("build it in with the feature `{feature}` of backup-cli");
    }
    let tags: Vec<String> = registry.descriptors(known.family).map(|found| format!("`{}`", found.tag)).collect();
    match tags.is_empty() {
        true => "it has none at all".to_owned(),
        false => format!("it has {}", tags.join(", ")),
    }
}

pub(super) fn unknown_type(registry: &Registry, family: Family, tag: &str) -> ConfigProblem {
    match ALL.iter().find(|known| known.family == family && known.tag == tag) {
        Some(known) => {
            let message = format!("this program has no {} `{}`", family.as_str(), known.tag);
            ConfigProblem::new(TYPE_KEY, message).with_hint(instead_of(known, registry))
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
            let message = format!("this program has no storage backend `{}`", known.tag);
            ConfigProblem::new("", message).with_hint(instead_of(known, registry))
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
