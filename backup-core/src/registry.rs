//! Plug-ins by name: from a table of configuration or a URL to a backend, source, policy or resolver.
//!
//! A plug-in's crate implements one of the configuration traits here with `#[typetag::serde(name = "…")]` and submits a
//! [`Descriptor`]. Being linked is all that it takes; since a crate that nothing names is not linked, a program names its
//! plug-ins once (`extern crate backup_backend_local as _;`). Where link-time registration doesn't work,
//! [`Registry::with`] takes a descriptor by hand.

mod check;
mod contract;
pub(crate) mod decode;
mod descriptor;
mod official;
pub(crate) mod probe;
pub(crate) mod problem;
pub(crate) mod table;
pub(crate) mod text;
mod url;

use std::collections::BTreeMap;

pub use contract::{
    BackendConfig, ConflictConfig, ConnectContext, Introduction, InvalidConfig, Login, OpenContext, RetentionConfig,
    SourceConfig, Standing,
};
use decode::DecodeError;
use descriptor::Decode;
pub use descriptor::{Descriptor, Family, FromUrl, OptionDoc, OptionKind};
pub use problem::{ConfigError, ConfigProblem, Origin};
pub use table::Table;
pub use url::{InvalidUrl, StoreUrl};

use crate::secret::INLINE_PREFIX;

/// The key that says which plug-in a table is for.
pub(crate) const TYPE_KEY: &str = "type";

/// The plug-ins of a program.
///
/// ```
/// use backup_core::registry::{Family, Registry, Table};
///
/// let registry = Registry::linked()?;
/// let policy = registry.retention(&Table::new().with_text("type", "keep_last").with_text("count", "3"))?;
/// assert!(policy.validate().is_ok());
///
/// let error = registry.retention(&Table::new().with_text("type", "kep_last")).unwrap_err();
/// assert!(error.to_string().contains("did you mean `keep_last`?"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Registry {
    descriptors: BTreeMap<(Family, &'static str), Descriptor>,
}

/// Plug-ins that can't be together in one program, or that describe themselves wrongly.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// Two crates have a plug-in of the same type or URL scheme.
    #[error("the {what} `{name}` is claimed by both {first} and {second}")]
    Twice {
        /// What they both claim: `storage backend`, `URL scheme`.
        what: &'static str,
        /// Its name.
        name: &'static str,
        /// One crate.
        first: &'static str,
        /// The other crate.
        second: &'static str,
    },
    /// A descriptor doesn't agree with the type it is for.
    #[error("the {family} `{tag}` of {crate_name} describes itself wrongly: {reason}", family = family.as_str())]
    Descriptor {
        /// Its family.
        family: Family,
        /// Its type.
        tag: &'static str,
        /// Its crate.
        crate_name: &'static str,
        /// What doesn't agree.
        reason: String,
    },
}

/// Keys of `[repository.NAME]` that the framework reads, so that no backend may have an option of that name.
pub(crate) const REPOSITORY_KEYS: [&str; 7] =
    [TYPE_KEY, "url", "password", "retention", "retry_attempts", "retry_for", "idle_timeout"];

impl Registry {
    /// The standard policies and resolvers, and every plug-in that is linked into the program.
    ///
    /// # Errors
    /// [`RegistryError`] when two crates claim the same name or a descriptor contradicts its type.
    pub fn linked() -> Result<Self, RegistryError> {
        inventory::iter::<Descriptor>.into_iter().copied().try_fold(Self::standard()?, Self::with)
    }

    /// The standard policies and resolvers only.
    ///
    /// # Errors
    /// As [`Registry::linked`].
    pub fn standard() -> Result<Self, RegistryError> {
        let standard = crate::retention::DESCRIPTORS.iter().chain(crate::conflict::DESCRIPTORS);
        standard.copied().try_fold(Self { descriptors: BTreeMap::new() }, Self::with)
    }

    /// The same with one more plug-in; one of the same crate that is there already changes nothing.
    ///
    /// # Errors
    /// As [`Registry::linked`].
    pub fn with(mut self, descriptor: Descriptor) -> Result<Self, RegistryError> {
        let family = descriptor.family();
        let twice = |what, name, first: &Descriptor| RegistryError::Twice {
            what,
            name,
            first: first.crate_name.min(descriptor.crate_name),
            second: first.crate_name.max(descriptor.crate_name),
        };
        if let Some(first) = self.descriptors.get(&(family, descriptor.tag)) {
            if first.crate_name == descriptor.crate_name {
                return Ok(self);
            }
            return Err(twice(family.as_str(), descriptor.tag, first));
        }
        for scheme in descriptor.schemes {
            if let Some(first) = self.by_scheme(scheme) {
                return Err(twice("URL scheme", scheme, first));
            }
        }
        check::options(&descriptor)?;
        self.descriptors.insert((family, descriptor.tag), descriptor);
        Ok(self)
    }

    /// Looks whether every plug-in's example can be read, is valid and is written back under the same type.
    ///
    /// For tests of programs and of plug-ins: it catches a descriptor and a `#[typetag::serde]` that disagree.
    ///
    /// # Errors
    /// [`RegistryError::Descriptor`] for the first one that is not.
    pub fn check_examples(&self) -> Result<(), RegistryError> {
        self.descriptors.values().try_for_each(|descriptor| check::example(self, descriptor))
    }

    /// The plug-ins of a family, sorted by type.
    pub fn descriptors(&self, family: Family) -> impl Iterator<Item = &Descriptor> + Clone {
        self.descriptors.values().filter(move |descriptor| descriptor.family() == family)
    }

    /// One plug-in.
    pub fn descriptor(&self, family: Family, tag: &str) -> Option<&Descriptor> {
        self.descriptors(family).find(|descriptor| descriptor.tag == tag)
    }

    /// Official plug-ins that this program was built without, with the feature of the command line that brings each.
    pub fn absent(&self) -> impl Iterator<Item = (Family, &'static str, &'static str)> {
        official::ALL
            .iter()
            .filter(|known| self.descriptor(known.family, known.tag).is_none())
            .filter_map(|known| Some((known.family, known.tag, known.feature?)))
    }

    /// A storage backend's configuration, read from a table with `type` and checked.
    ///
    /// # Errors
    /// A [`ConfigProblem`] that names the key: unknown type, unknown or missing key, a value that is none.
    pub fn backend(&self, table: &Table) -> Result<Box<dyn BackendConfig>, ConfigProblem> {
        let descriptor = self.find(Family::Backend, table)?;
        let config = match descriptor.decode {
            Decode::Backend(decode) => decode(&options_of(table)).map_err(|error| explained(descriptor, error))?,
            Decode::Source(_) | Decode::Retention(_) | Decode::Conflict(_) => return Err(wrong_family(table)),
        };
        validated(table, config.validate())?;
        Ok(config)
    }

    /// A source's configuration, read from a table with `type` and checked.
    ///
    /// # Errors
    /// As [`Registry::backend`].
    pub fn source(&self, table: &Table) -> Result<Box<dyn SourceConfig>, ConfigProblem> {
        let descriptor = self.find(Family::Source, table)?;
        let config = match descriptor.decode {
            Decode::Source(decode) => decode(&options_of(table)).map_err(|error| explained(descriptor, error))?,
            Decode::Backend(_) | Decode::Retention(_) | Decode::Conflict(_) => return Err(wrong_family(table)),
        };
        validated(table, config.validate())?;
        Ok(config)
    }

    /// A retention policy, read from a table with `type` and checked.
    ///
    /// # Errors
    /// As [`Registry::backend`].
    pub fn retention(&self, table: &Table) -> Result<Box<dyn RetentionConfig>, ConfigProblem> {
        let descriptor = self.find(Family::Retention, table)?;
        let config = match descriptor.decode {
            Decode::Retention(decode) => decode(&options_of(table)).map_err(|error| explained(descriptor, error))?,
            Decode::Backend(_) | Decode::Source(_) | Decode::Conflict(_) => return Err(wrong_family(table)),
        };
        validated(table, config.validate())?;
        Ok(config)
    }

    /// A conflict resolver's configuration, read from a table with `type` and checked.
    ///
    /// # Errors
    /// As [`Registry::backend`].
    pub fn conflict(&self, table: &Table) -> Result<Box<dyn ConflictConfig>, ConfigProblem> {
        let descriptor = self.find(Family::Conflict, table)?;
        let config = match descriptor.decode {
            Decode::Conflict(decode) => decode(&options_of(table)).map_err(|error| explained(descriptor, error))?,
            Decode::Backend(_) | Decode::Source(_) | Decode::Retention(_) => return Err(wrong_family(table)),
        };
        validated(table, config.validate())?;
        Ok(config)
    }

    /// A storage backend's configuration from a URL or a plain path.
    ///
    /// # Errors
    /// As [`Registry::table_from_url`] and [`Registry::backend`].
    pub fn backend_from_url(&self, text: &str) -> Result<Box<dyn BackendConfig>, ConfigProblem> {
        self.backend(&self.table_from_url(text)?)
    }

    /// The table, with `type`, that a URL or a plain path stands for.
    ///
    /// A text with `scheme://` is a URL; any other text is a path of the file system, taken as it is. A path with a `:` before its first
    /// `/` is written with `./` in front, so that an address of another program is never taken for a folder.
    ///
    /// # Errors
    /// A [`ConfigProblem`] when the scheme is not known, there is a password in it, or it is malformed.
    pub fn table_from_url(&self, text: &str) -> Result<Table, ConfigProblem> {
        let invalid = |error: InvalidUrl| ConfigProblem::new("", error.to_string());
        let url = match url::split_scheme(text) {
            Some(_) => StoreUrl::parse(text).map_err(invalid)?,
            None => {
                self.refuse_lookalike(text)?;
                StoreUrl::from_path(text)
            }
        };
        let found = self.by_scheme(url.scheme()).and_then(|found| Some((found, found.from_url?)));
        let Some((descriptor, from_url)) = found else {
            return Err(official::unknown_scheme(self, url.scheme()));
        };
        let table = from_url(&url).map_err(invalid)?;
        // URLs are shown and end up in histories of shells, so not even `inline:` is taken from one.
        let secrets = descriptor.options.iter().filter(|option| option.kind == OptionKind::Secret);
        for OptionDoc { name, .. } in secrets {
            if table.text(name).is_some_and(|text| text.starts_with(INLINE_PREFIX)) {
                let hint = "refer to it by env:, file:, cmd: or keyring:";
                return Err(ConfigProblem::new(*name, "a secret has no place in a URL").with_hint(hint));
            }
        }
        Ok(table.with_text(TYPE_KEY, descriptor.tag))
    }

    /// Refuses `sftp:user@host:/path`, `user@host:path` and `rest:http://host/`, which other programs understand and which would
    /// otherwise name a local folder. One letter before the colon is a drive of Windows.
    fn refuse_lookalike(&self, text: &str) -> Result<(), ConfigProblem> {
        let Some((before, _)) = text.split_once(':') else { return Ok(()) };
        if before.contains(['/', '\\']) || before.chars().count() < 2 {
            return Ok(());
        }
        if self.by_scheme(before).is_some() || official::is_scheme(before) {
            let hint = format!("write `{before}://…` for a URL, or `./{before}:…` for a path");
            return Err(ConfigProblem::new("", format!("it begins with `{before}:` but is no URL")).with_hint(hint));
        }
        // What stands there is not repeated: it may hold a password.
        let hint = "write `./` in front of a path, or a URL such as `file:///…`; `backup backends` lists what there is";
        Err(ConfigProblem::new("", "a `:` before the first `/` looks like an address elsewhere").with_hint(hint))
    }

    fn by_scheme(&self, scheme: &str) -> Option<&Descriptor> {
        self.descriptors(Family::Backend).find(|descriptor| descriptor.schemes.contains(&scheme))
    }

    /// The plug-in a table is for; refuses keys that it doesn't document.
    fn find(&self, family: Family, table: &Table) -> Result<&Descriptor, ConfigProblem> {
        let Some(tag) = table.text(TYPE_KEY) else {
            let message = if table.contains(TYPE_KEY) { "expected the name of a type" } else { "is missing" };
            let known = self.descriptors(family).map(|descriptor| descriptor.tag);
            return Err(ConfigProblem::new(TYPE_KEY, message)
                .with_hint(problem::suggest("", known))
                .with_origin(table.origin_of(TYPE_KEY)));
        };
        let Some(descriptor) = self.descriptor(family, tag) else {
            return Err(official::unknown_type(self, family, tag).with_origin(table.origin_of(TYPE_KEY)));
        };
        let known = descriptor.options.iter().map(|option| option.name);
        match table.names().find(|name| *name != TYPE_KEY && !known.clone().any(|option| option == *name)) {
            None => Ok(descriptor),
            Some(name) => Err(ConfigProblem::new(name, format!("unknown key of the type `{tag}`"))
                .with_hint(problem::suggest(name, known))
                .with_origin(table.origin_of(name))),
        }
    }
}

/// The table without `type`, which a plug-in's own structure doesn't have.
fn options_of(table: &Table) -> Table {
    let mut options = table.clone();
    options.entries.remove(TYPE_KEY);
    options
}

/// A problem with the help of its option, where the plug-in's own words can't be shown since they may hold the value.
fn explained(descriptor: &Descriptor, error: DecodeError) -> ConfigProblem {
    let wordless = error.is_wordless();
    let problem = ConfigProblem::from(error);
    let name = problem.key.split('.').next().unwrap_or_default();
    match descriptor.options.iter().find(|option| wordless && option.name == name) {
        Some(option) => {
            let hint = option.help.trim_end_matches('.').to_owned();
            problem.with_hint(hint)
        }
        None => problem,
    }
}

fn wrong_family(table: &Table) -> ConfigProblem {
    ConfigProblem::new(TYPE_KEY, "is a type of another family").with_origin(table.origin_of(TYPE_KEY))
}

fn validated(table: &Table, result: Result<(), InvalidConfig>) -> Result<(), ConfigProblem> {
    result.map_err(|error| {
        let option = error.option.unwrap_or_default();
        let origin = table.origin_of(option.split('.').next().unwrap_or_default()).clone();
        ConfigProblem::new(option, error.message).with_origin(&origin)
    })
}

#[cfg(test)]
mod tests;
