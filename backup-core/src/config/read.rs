//! From the merged table to a checked configuration.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::defaults::{self, COMPRESSION_LEVELS};
use super::layers::{Layers, SECTIONS};
use super::patience::{self, Patience};
use super::{Config, Defaults, RepositoryConfig};
use crate::registry::decode::decode;
use crate::registry::problem::{join, suggest};
use crate::registry::{ConfigError, ConfigProblem, Descriptor, Family, OptionKind, Registry, TYPE_KEY, Table};
use crate::retention::ZoneName;
use crate::secret::{INLINE_PREFIX, SecretRef};

/// The keys of `[repository.NAME]` that are the framework's, but for `type`.
const URL_KEY: &str = "url";
const PASSWORD_KEY: &str = "password";
const RETENTION_KEY: &str = "retention";

pub(super) fn read(registry: &Registry, layers: &Layers) -> Result<Config, ConfigError> {
    let settings = layers.merged().map_err(some_problems)?;
    let mut problems = Vec::new();
    let expanded = layers.variables().expand(&settings, &mut problems);
    let mut reader = Reader { registry, problems, allow_inline: false };
    let config = reader.read(settings, &expanded);
    match ConfigError::from_problems(reader.problems) {
        None => Ok(config),
        Some(error) => Err(error),
    }
}

fn some_problems(problems: Vec<ConfigProblem>) -> ConfigError {
    ConfigError::from_problems(problems).unwrap_or_else(|| ConfigProblem::new("", "cannot be read").into())
}

struct Reader<'a> {
    registry: &'a Registry,
    problems: Vec<ConfigProblem>,
    allow_inline: bool,
}

impl Reader<'_> {
    fn read(&mut self, settings: Table, expanded: &Table) -> Config {
        for name in expanded.names().filter(|name| !SECTIONS.contains(name)) {
            let problem = ConfigProblem::new(name, "unknown section").with_hint(suggest(name, SECTIONS));
            self.problems.push(problem.with_origin(expanded.origin_of(name)));
        }
        let defaults = self.defaults(expanded);
        self.allow_inline = defaults.allow_inline_secrets;
        let zone = defaults.time_zone.clone().unwrap_or_else(ZoneName::utc);
        let repositories = self.section(expanded, Family::Backend, Self::repository);
        let sources = self.section(expanded, Family::Source, |reader, _, table| {
            reader.plug_in(Family::Source, table, |table| reader.registry.source(table)).map(Arc::from)
        });
        let retention = self.section(expanded, Family::Retention, |reader, _, table| {
            let policy = reader.plug_in(Family::Retention, table, |table| reader.registry.retention(table));
            policy.map(|mut policy| {
                policy.adopt_time_zone(&zone);
                Arc::from(policy)
            })
        });
        let conflicts = self.section(expanded, Family::Conflict, |reader, _, table| {
            reader.plug_in(Family::Conflict, table, |table| reader.registry.conflict(table)).map(Arc::from)
        });
        let kinds = self.kinds(expanded);
        let config = Config { defaults, repositories, sources, retention, conflicts, settings, kinds };
        self.check_names(&config, expanded);
        config
    }

    fn defaults(&mut self, expanded: &Table) -> Defaults {
        let (Some(table), origin) = (self.table(expanded, "defaults"), expanded.origin_of("defaults")) else {
            return Defaults::default();
        };
        let read = decode::<Defaults>(table).map_err(ConfigProblem::from).and_then(|defaults| {
            match defaults.compression.is_none_or(|level| COMPRESSION_LEVELS.contains(&level)) {
                true => Ok(defaults),
                false => Err(ConfigProblem::new("compression", "expected a level from 1 to 19")
                    .with_origin(table.origin_of("compression"))),
            }
        });
        read.unwrap_or_else(|problem| {
            self.problems.push(problem.within("defaults").with_origin(origin));
            Defaults::default()
        })
    }

    /// Reads every table of a section; what can't be read is a problem and left out.
    fn section<T>(
        &mut self,
        expanded: &Table,
        family: Family,
        mut read: impl FnMut(&Self, &str, &Table) -> Result<T, ConfigProblem>,
    ) -> BTreeMap<String, T> {
        let section = family.section();
        let mut found = BTreeMap::new();
        let Some(tables) = self.table(expanded, section) else { return found };
        for (name, value) in &tables.entries {
            let result = match value.as_table() {
                _ if !is_name(name) => Err(ConfigProblem::new("", "a name is made of letters, digits, `-` and `_`")),
                Some(table) => read(self, name, table),
                None => Err(ConfigProblem::new("", format!("expected a table, found a {}", value.data.kind()))),
            };
            match result {
                Ok(read) => drop(found.insert(name.clone(), read)),
                Err(problem) => {
                    self.problems.push(problem.within(&join(section, name)).with_origin(&value.origin));
                }
            }
        }
        found
    }

    fn table<'t>(&mut self, outer: &'t Table, name: &str) -> Option<&'t Table> {
        let value = outer.entries.get(name)?;
        if value.as_table().is_none() {
            let message = format!("expected a table, found a {}", value.data.kind());
            self.problems.push(ConfigProblem::new(name, message).with_origin(&value.origin));
        }
        value.as_table()
    }

    fn repository(&self, name: &str, table: &Table) -> Result<RepositoryConfig, ConfigProblem> {
        let mut rest = table.clone();
        let mut take = |key: &str| {
            let Some(value) = rest.entries.remove(key) else { return Ok(None) };
            match value.as_text() {
                Some(text) => Ok(Some((text.to_owned(), value))),
                None => {
                    let message = format!("expected text, found a {}", value.data.kind());
                    Err(ConfigProblem::new(key, message).with_origin(&value.origin))
                }
            }
        };
        let (url, password, retention) = (take(URL_KEY)?, take(PASSWORD_KEY)?, take(RETENTION_KEY)?);
        let patience = Patience::take_from(&mut rest)?;
        self.refuse_inline(table, PASSWORD_KEY)?;
        let password = password.map(|(text, value)| {
            let parsed = SecretRef::parse(&text);
            parsed.map_err(|error| ConfigProblem::new(PASSWORD_KEY, error.to_string()).with_origin(&value.origin))
        });
        let password = password.transpose()?;
        let backend = match url {
            None if !rest.contains(TYPE_KEY) => {
                let hint = "or give the store as `url = \"…\"`";
                return Err(ConfigProblem::new(TYPE_KEY, "is missing").with_hint(hint).with_origin(&table.origin));
            }
            None => self.plug_in(Family::Backend, &rest, |table| self.registry.backend(table))?,
            Some((_, value)) if rest.contains(TYPE_KEY) => {
                let message = format!("stands beside `type` ({}): give one or the other", rest.origin_of(TYPE_KEY));
                return Err(ConfigProblem::new(URL_KEY, message).with_origin(&value.origin));
            }
            Some((text, value)) => {
                let in_url = |problem: ConfigProblem| problem.within(URL_KEY).with_origin(&value.origin);
                let mut from_url = self.registry.table_from_url(&text).map_err(in_url)?;
                // Options beside the URL belong to the same store; what both say is said twice.
                for (option, beside) in rest.entries {
                    if from_url.contains(&option) {
                        let message = "is in the URL already";
                        return Err(ConfigProblem::new(option, message).with_origin(&beside.origin));
                    }
                    from_url.entries.insert(option, beside);
                }
                self.plug_in(Family::Backend, &from_url, |table| self.registry.backend(table))
                    .map_err(|problem| problem.with_origin(&value.origin))?
            }
        };
        let retention = retention.map(|(name, _)| name);
        let (name, backend) = (Some(name.to_owned()), Arc::from(backend));
        Ok(RepositoryConfig { name, backend, password, retention, patience })
    }

    /// Builds a plug-in's configuration, inline secrets refused unless they are allowed.
    fn plug_in<T>(
        &self,
        family: Family,
        table: &Table,
        build: impl FnOnce(&Table) -> Result<T, ConfigProblem>,
    ) -> Result<T, ConfigProblem> {
        let secrets = table.text(TYPE_KEY).and_then(|tag| self.registry.descriptor(family, tag)).map(secret_options);
        for option in secrets.into_iter().flatten() {
            self.refuse_inline(table, option)?;
        }
        build(table)
    }

    fn refuse_inline(&self, table: &Table, option: &str) -> Result<(), ConfigProblem> {
        if self.allow_inline || !table.text(option).is_some_and(|text| text.starts_with(INLINE_PREFIX)) {
            return Ok(());
        }
        Err(ConfigProblem::new(option, "a secret written into the configuration is not allowed")
            .with_hint("refer to it by env:, file:, cmd: or keyring:, or set `allow_inline_secrets` in [defaults]")
            .with_origin(table.origin_of(option)))
    }

    /// What may stand under each documented option, by path: for showing secrets as references and numbers as numbers.
    fn kinds(&self, expanded: &Table) -> BTreeMap<Vec<String>, OptionKind> {
        let mut kinds = BTreeMap::new();
        for option in defaults::OPTIONS {
            kinds.insert(vec!["defaults".to_owned(), option.name.to_owned()], option.kind);
        }
        for family in Family::ALL {
            let Some(tables) = expanded.at(&[family.section()]) else { continue };
            for (name, value) in &tables.entries {
                let Some(table) = value.as_table() else { continue };
                let from_url = table.text(URL_KEY).and_then(|url| self.registry.table_from_url(url).ok());
                let tag = table.text(TYPE_KEY).or_else(|| from_url.as_ref()?.text(TYPE_KEY));
                let descriptor = tag.and_then(|tag| self.registry.descriptor(family, tag));
                let options = descriptor.into_iter().flat_map(|descriptor| descriptor.options);
                let own = [(PASSWORD_KEY, OptionKind::Secret)].into_iter();
                let own = own.chain(patience::OPTIONS.iter().map(|option| (option.name, option.kind)));
                let own = own.filter(|_| family == Family::Backend);
                for (option, kind) in options.map(|option| (option.name, option.kind)).chain(own) {
                    kinds.insert(vec![family.section().to_owned(), name.clone(), option.to_owned()], kind);
                }
            }
        }
        kinds
    }

    /// Looks whether the names that stand for something do.
    fn check_names(&mut self, config: &Config, expanded: &Table) {
        let mut problems = Vec::new();
        let mut note = |path: &[&str], key: &str, problem: Option<ConfigProblem>| {
            let origin = expanded.at(path).map(|table| table.origin_of(key).clone()).unwrap_or_default();
            let outer = join(&path.join("."), key);
            problems.extend(problem.map(|problem| problem.within(&outer).with_origin(&origin)));
        };
        // A name whose table is there but couldn't be read is no second problem.
        let unread = |section: &str, name: &str| expanded.at(&[section, name]).is_some();
        let registry = self.registry;
        let retention =
            |name: &str| config.retention(registry, name).err().filter(|_| !unread(Family::Retention.section(), name));
        let conflict =
            |name: &str| config.conflict(registry, name).err().filter(|_| !unread(Family::Conflict.section(), name));
        let place = |text: &str| no_place(registry, config, text).filter(|_| !unread(Family::Backend.section(), text));
        let defaults = &config.defaults;
        note(&["defaults"], "retention", defaults.retention.as_deref().and_then(retention));
        note(&["defaults"], "conflict", defaults.conflict.as_deref().and_then(conflict));
        note(&["defaults"], "repository", defaults.repository.as_deref().and_then(place));
        for (name, repository) in &config.repositories {
            let problem = repository.retention.as_deref().and_then(retention);
            note(&[Family::Backend.section(), name], RETENTION_KEY, problem);
        }
        self.problems.extend(problems);
    }
}

/// Why the default repository is neither a name nor a place; a bare word is a name and not a folder.
fn no_place(registry: &Registry, config: &Config, text: &str) -> Option<ConfigProblem> {
    if config.repositories.contains_key(text) {
        return None;
    }
    if !text.contains(['/', '\\']) {
        let names = config.repositories.keys().map(String::as_str);
        let problem = ConfigProblem::new("", "names no repository; a folder is written with a `/`");
        return Some(problem.with_hint(suggest(text, names)));
    }
    registry.backend_from_url(text).err()
}

fn secret_options(descriptor: &Descriptor) -> impl Iterator<Item = &'static str> + use<> {
    descriptor.options.iter().filter(|option| option.kind == OptionKind::Secret).map(|option| option.name)
}

/// Whether a text can name something: it can't be taken for a URL or a path, and is easy to type.
fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
}
