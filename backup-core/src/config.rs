//! The configuration of a program: repositories, sources, policies and defaults, layered and checked.
//!
//! This module is given text and pairs; which files there are, where they lie and what the environment holds is the
//! program's business. It knows no plug-in: a [`Registry`] tells what may stand in a table. Errors name file, line and
//! key and never hold a value; what is shown of a configuration shows secrets as references.
//!
//! ```toml
//! [defaults]
//! repository = "home"
//! retention = "standard"
//! time_zone = "Europe/Berlin"
//!
//! [repository.home]
//! url = "/srv/backup"
//! password = "file:${HOME}/.config/backup/password"
//! retry_for = "5min"
//!
//! [source.documents]
//! type = "files"
//! paths = ["${HOME}/Documents"]
//!
//! [retention.standard]
//! type = "gfs"
//! daily = 7
//! monthly = 12
//! ```

mod defaults;
mod expand;
mod layers;
mod patience;
mod read;
mod schema;
mod show;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::registry::problem::{nearest, suggest};
use crate::registry::{BackendConfig, ConfigError, ConfigProblem, ConflictConfig, Registry, RetentionConfig};
use crate::registry::{Family, OptionKind, SourceConfig, TYPE_KEY, Table};
use crate::retention::ZoneName;
use crate::secret::SecretRef;
pub use defaults::Defaults;
pub use layers::Layers;
pub use patience::Patience;
pub use schema::schema;
pub use show::Setting;

/// A configuration that was read from its layers and checked.
///
/// ```
/// use backup_core::Registry;
/// use backup_core::config::{Config, Layers};
///
/// let layers = Layers::new()
///     .user("config.toml", "[retention.mine]\ntype = \"keep_last\"\ncount = 3")
///     .environment([("BACKUP_RETENTION__MINE__COUNT".to_owned(), "5".to_owned())]);
/// let config = Config::load(&Registry::linked()?, &layers)?;
/// assert_eq!(config.retention.keys().collect::<Vec<_>>(), ["mine"]);
/// assert!(config.to_toml().contains("retention.mine.count = 5 # environment variable BACKUP_RETENTION__MINE__COUNT"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// What holds where nothing is said: `[defaults]`.
    pub defaults: Defaults,
    /// `[repository.NAME]`.
    pub repositories: BTreeMap<String, RepositoryConfig>,
    /// `[source.NAME]`.
    pub sources: BTreeMap<String, Arc<dyn SourceConfig>>,
    /// `[retention.NAME]`, with the default time zone where they have none of their own.
    pub retention: BTreeMap<String, Arc<dyn RetentionConfig>>,
    /// `[conflict.NAME]`.
    pub conflicts: BTreeMap<String, Arc<dyn ConflictConfig>>,
    /// Everything that is set, as it was written.
    settings: Table,
    /// What may stand under the options that plug-ins document, by path.
    kinds: BTreeMap<Vec<String>, OptionKind>,
}

/// A repository of the configuration, or one named by URL or path.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RepositoryConfig {
    /// The name it has in the configuration, if it has one.
    pub name: Option<String>,
    /// Where it is.
    pub backend: Arc<dyn BackendConfig>,
    /// Its password, if the configuration says where it is.
    pub password: Option<SecretRef>,
    /// The name of its retention policy, if it has one of its own.
    pub retention: Option<String>,
    /// How long its store is waited for.
    pub patience: Patience,
}

impl Config {
    /// Merges the layers, reads what they set and checks all of it.
    ///
    /// # Errors
    /// A [`ConfigError`] with every problem found: unknown sections, types and keys with the nearest known one, values
    /// that are none, names that stand for nothing, secrets written where a reference belongs.
    pub fn load(registry: &Registry, layers: &Layers) -> Result<Self, ConfigError> {
        read::read(registry, layers)
    }

    /// The repository that a person named, or the default one.
    ///
    /// A name of the configuration comes first; any other text is a URL or a path. What is said behind the `?` of a URL are options of the
    /// store, and `retry_attempts`, `retry_for` and `idle_timeout`.
    ///
    /// # Errors
    /// A [`ConfigProblem`] when nothing is named, or the text is no usable URL.
    pub fn repository(&self, registry: &Registry, named: Option<&str>) -> Result<RepositoryConfig, ConfigProblem> {
        let Some(text) = named.or(self.defaults.repository.as_deref()) else {
            let hint = "name one, or set `repository` in [defaults]";
            return Err(ConfigProblem::new("", "no repository is named").with_hint(hint));
        };
        if let Some(configured) = self.repositories.get(text) {
            return Ok(configured.clone());
        }
        let mut table = registry.table_from_url(text)?;
        let patience = Patience::take_from(&mut table)?;
        let backend = registry.backend(&table)?.into();
        Ok(RepositoryConfig { name: None, backend, password: None, retention: None, patience })
    }

    /// The configured repository whose name is nearest to a text that is none: a hint for when the path it would be
    /// doesn't hold a repository.
    pub fn nearest_repository(&self, text: &str) -> Option<&str> {
        nearest(text, self.repositories.keys().map(String::as_str))
    }

    /// A source of the configuration.
    ///
    /// # Errors
    /// A [`ConfigProblem`] that names the nearest one.
    pub fn source(&self, name: &str) -> Result<Arc<dyn SourceConfig>, ConfigProblem> {
        match self.sources.get(name) {
            Some(source) => Ok(Arc::clone(source)),
            None => Err(ConfigProblem::new("source", format!("there is no source `{name}`"))
                .with_hint(suggest(name, self.sources.keys().map(String::as_str)))),
        }
    }

    /// A retention policy by name, or by a type that needs no options.
    ///
    /// # Errors
    /// A [`ConfigProblem`] that names the nearest one.
    pub fn retention(&self, registry: &Registry, name: &str) -> Result<Arc<dyn RetentionConfig>, ConfigProblem> {
        if let Some(policy) = self.retention.get(name) {
            return Ok(Arc::clone(policy));
        }
        let names = self.retention.keys().map(String::as_str);
        let bare = by_bare_type(name, names, |table| registry.retention(table), registry, Family::Retention);
        bare.map(|mut policy| {
            policy.adopt_time_zone(self.defaults.time_zone.as_ref().unwrap_or(&ZoneName::utc()));
            policy.into()
        })
    }

    /// A conflict resolver by name, or by a type that needs no options: `keep_local`, `newest`.
    ///
    /// # Errors
    /// A [`ConfigProblem`] that names the nearest one.
    pub fn conflict(&self, registry: &Registry, name: &str) -> Result<Arc<dyn ConflictConfig>, ConfigProblem> {
        if let Some(resolver) = self.conflicts.get(name) {
            return Ok(Arc::clone(resolver));
        }
        let names = self.conflicts.keys().map(String::as_str);
        let bare = by_bare_type(name, names, |table| registry.conflict(table), registry, Family::Conflict);
        bare.map(Into::into)
    }
}

/// A plug-in by the name of its type alone; the names of the configuration are for the hint.
fn by_bare_type<'a, T>(
    name: &str,
    configured: impl Iterator<Item = &'a str>,
    build: impl FnOnce(&Table) -> Result<T, ConfigProblem>,
    registry: &Registry,
    family: Family,
) -> Result<T, ConfigProblem> {
    if registry.descriptor(family, name).is_some() {
        return build(&Table::new().with_text(TYPE_KEY, name));
    }
    let mut known: Vec<&str> = configured.collect();
    known.extend(registry.descriptors(family).map(|descriptor| descriptor.tag));
    let message = format!("there is no {} of that name", family.as_str());
    Err(ConfigProblem::new("", message).with_hint(suggest(name, known.iter().copied())))
}

#[cfg(test)]
mod tests;
