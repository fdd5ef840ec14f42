//! The plug-in `files`: its configuration and how it is found.

use std::collections::BTreeMap;
use std::path::PathBuf;

use backup_core::registry::{Descriptor, InvalidConfig, OptionDoc, OptionKind, SourceConfig};
use backup_core::retention::ByteSize;
use backup_core::{OpenContext, Snapshotter, SourceError};
use serde::{Deserialize, Serialize};

use crate::options::{DEFAULT_IGNORE_FILE, FileSet, FilesOptions};
use crate::rules::PatternSet;
use crate::snapshotter::{FilesSnapshotter, KIND};
use crate::templates::{template, templates};

/// The configuration of a [`FilesSnapshotter`], as it stands under `[source.NAME]`.
///
/// Paths have to be absolute, since a configuration is read in many working directories. What the options mean is said at
/// [`FilesOptions`].
///
/// ```
/// use backup_core::registry::{Registry, Table};
/// # use backup_snapshotter_files as _;
///
/// let table = Table::from_toml("config.toml", r#"
///     type = "files"
///     paths = ["/home/u/Documents"]
///     exclude = ["*.iso"]
///     templates = ["node", "os-files"]
///
///     [sets.photos]
///     paths = ["/home/u/Photos"]
///     include = ["*.jpg", "*.raw"]
/// "#)?;
/// assert!(Registry::linked()?.source(&table).is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct FilesConfig {
    /// What to capture.
    pub paths: Vec<PathBuf>,
    /// What it is restricted to.
    pub include: Vec<String>,
    /// What is left out.
    pub exclude: Vec<String>,
    /// Ready-made exclude patterns by name, for the paths and for every set; see [`templates`]. They come before
    /// `exclude`, so that `!pattern` there can take something back.
    pub templates: Vec<String>,
    /// Names of ignore files.
    pub ignore_files: Vec<String>,
    /// Whether only the tag is kept of a directory with a valid `CACHEDIR.TAG`.
    pub exclude_caches: bool,
    /// Whether directories on another file system than their root are kept empty.
    pub one_file_system: bool,
    /// Larger regular files are left out.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "bytes")]
    pub max_file_size: Option<ByteSize>,
    /// More paths with patterns of their own, by a name for people.
    pub sets: BTreeMap<String, SetConfig>,
}

/// Paths with patterns of their own, as they stand under `[source.NAME.sets.SET]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct SetConfig {
    /// What to capture.
    pub paths: Vec<PathBuf>,
    /// What it is restricted to.
    pub include: Vec<String>,
    /// What is left out.
    pub exclude: Vec<String>,
    /// More ready-made exclude patterns.
    pub templates: Vec<String>,
}

impl Default for FilesConfig {
    fn default() -> Self {
        Self {
            paths: Vec::new(),
            include: Vec::new(),
            exclude: Vec::new(),
            templates: Vec::new(),
            ignore_files: vec![DEFAULT_IGNORE_FILE.to_owned()],
            exclude_caches: false,
            one_file_system: false,
            max_file_size: None,
            sets: BTreeMap::new(),
        }
    }
}

fn bytes<S: serde::Serializer>(size: &Option<ByteSize>, serializer: S) -> Result<S::Ok, S::Error> {
    size.map(|size| size.0).serialize(serializer)
}

impl FilesConfig {
    /// The same as options.
    ///
    /// # Errors
    /// [`InvalidConfig`] when a template is not known.
    pub fn to_options(&self, name: Option<&str>) -> Result<FilesOptions, InvalidConfig> {
        let mut options = FilesOptions::new(&self.paths);
        let common = patterns_of("templates", &self.templates)?;
        let exclude = |own: Vec<String>, more: &[String]| [common.as_slice(), &own, more].concat();
        options.name = name.map(str::to_owned);
        options.include.clone_from(&self.include);
        options.exclude = exclude(Vec::new(), &self.exclude);
        options.ignore_files.clone_from(&self.ignore_files);
        options.exclude_caches = self.exclude_caches;
        options.one_file_system = self.one_file_system;
        options.max_file_bytes = self.max_file_size.map(|size| size.0);
        for (name, set) in &self.sets {
            let own = patterns_of(&format!("sets.{name}.templates"), &set.templates)?;
            options.sets.push(FileSet {
                name: name.clone(),
                roots: set.paths.clone(),
                include: set.include.clone(),
                exclude: exclude(own, &set.exclude),
            });
        }
        Ok(options)
    }
}

/// The patterns of templates; the option is for the error.
fn patterns_of(option: &str, names: &[String]) -> Result<Vec<String>, InvalidConfig> {
    let mut patterns = Vec::new();
    for name in names {
        let Some(template) = template(name) else {
            let known: Vec<String> = templates().iter().map(|template| format!("`{}`", template.name)).collect();
            let message = format!("names the template `{name}`, which is not known; known are {}", known.join(", "));
            return Err(InvalidConfig::at(option, message));
        };
        patterns.extend(template.patterns.iter().map(|&pattern| pattern.to_owned()));
    }
    Ok(patterns)
}

fn check_paths(option: &str, paths: &[PathBuf]) -> Result<(), InvalidConfig> {
    for path in paths {
        let shown = path.display();
        if path.starts_with("~") {
            return Err(InvalidConfig::at(
                option,
                format!("has `{shown}`, but `~` is not expanded; write `${{HOME}}`"),
            ));
        }
        if !path.is_absolute() {
            return Err(InvalidConfig::at(option, format!("has `{shown}`, which is not absolute")));
        }
    }
    Ok(())
}

fn check_patterns(option: &str, patterns: &[String]) -> Result<(), InvalidConfig> {
    PatternSet::new(patterns)
        .map(drop)
        .map_err(|error| InvalidConfig::at(option, format!("has a bad pattern: {error}")))
}

#[typetag::serde(name = "files")]
impl SourceConfig for FilesConfig {
    fn validate(&self) -> Result<(), InvalidConfig> {
        check_paths("paths", &self.paths)?;
        check_patterns("include", &self.include)?;
        check_patterns("exclude", &self.exclude)?;
        for (name, set) in &self.sets {
            if set.paths.is_empty() {
                return Err(InvalidConfig::at(format!("sets.{name}.paths"), "is empty"));
            }
            check_paths(&format!("sets.{name}.paths"), &set.paths)?;
            check_patterns(&format!("sets.{name}.include"), &set.include)?;
            check_patterns(&format!("sets.{name}.exclude"), &set.exclude)?;
        }
        if self.paths.is_empty() && self.sets.is_empty() {
            return Err(InvalidConfig::at("paths", "is empty: there is nothing to capture"));
        }
        // What is left is how options go together; it looks at no file either.
        let whole = |error: SourceError| InvalidConfig::whole(error.to_string());
        FilesSnapshotter::new(self.to_options(None)?).map(drop).map_err(whole)
    }

    fn open(&self, context: &OpenContext) -> Result<Box<dyn Snapshotter>, SourceError> {
        let options =
            self.to_options(context.name.as_deref()).map_err(|error| SourceError::Config(error.to_string()))?;
        Ok(Box::new(FilesSnapshotter::new(options)?))
    }
}

inventory::submit! {
    Descriptor::source::<FilesConfig>(KIND, env!("CARGO_PKG_NAME"))
        .summary("files and folders")
        .options(&[
            OptionDoc::optional("paths", OptionKind::TextList, "What to capture: absolute paths of files and folders."),
            OptionDoc::optional("include", OptionKind::TextList, "Only what matches one of these patterns is captured."),
            OptionDoc::optional("exclude", OptionKind::TextList, "Patterns, as in .gitignore, of what is left out."),
            OptionDoc::optional("templates", OptionKind::TextList, "Ready-made exclude patterns: caches, node, rust, ….")
                .default("[]"),
            OptionDoc::optional("ignore_files", OptionKind::TextList, "Names of files with patterns for their folder.")
                .default("[\".backupignore\"]"),
            OptionDoc::optional("exclude_caches", OptionKind::Bool, "Whether folders with a CACHEDIR.TAG are left out.")
                .default("false"),
            OptionDoc::optional("one_file_system", OptionKind::Bool, "Whether other file systems are left out.")
                .default("false"),
            OptionDoc::optional("max_file_size", OptionKind::Size, "Larger files are left out.").unit("bytes"),
            OptionDoc::optional("sets", OptionKind::Nested, "More paths with patterns of their own, each under a name."),
        ])
        .example("paths = [\"/home/u\"]\nexclude = [\"/.cache/\", \"*.tmp\"]\nexclude_caches = true")
}

#[cfg(test)]
mod tests {
    use backup_core::MapResolver;
    use backup_core::registry::{Registry, Table};

    use super::*;

    fn read(text: &str) -> Result<Box<dyn SourceConfig>, String> {
        let table = Table::from_toml("c.toml", text).unwrap().with_text("type", "files");
        Registry::linked().unwrap().source(&table).map_err(|problem| problem.to_string())
    }

    #[test]
    fn descriptor_and_type_agree() {
        Registry::linked().unwrap().check_examples().unwrap();
    }

    #[test]
    fn wrong_values_are_refused_with_the_way_out() {
        for (text, part) in [
            ("", "nothing to capture"),
            ("paths = [\"a/b\"]", "not absolute"),
            ("paths = [\"~/a\"]", "${HOME}"),
            ("paths = [\"/a\"]\nexclude = [\"[a\"]", "[a"),
            ("paths = [\"/a\"]\ntemplates = [\"nodes\"]", "`node`"),
            ("paths = [\"/a\"]\nexclude = [\"/a/b\"]", "write `/b`"),
            ("paths = [\"/a\"]\nignore_files = [\"x/y\"]", "ignore file"),
            ("paths = [\"/a\"]\nexclud = []", "exclude"),
            ("paths = [\"/a\"]\nmax_file_size = \"big\"", "size"),
            ("[sets.x]\ninclude = [\"a\"]", "sets.x.paths"),
            ("[sets.x]\npaths = [\"/a\"]\nexlude = []", "exclude"),
            ("paths = [\"/a\"]\n[sets.x]\npaths = [\"/a\"]", "more than one set"),
        ] {
            let error = read(text).err().unwrap_or_default();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn templates_come_before_patterns_and_hold_in_sets() {
        let config = FilesConfig {
            paths: vec!["/a".into()],
            exclude: vec!["!keep.tmp".into()],
            templates: vec!["temporary".into()],
            max_file_size: Some(ByteSize(5)),
            sets: [(
                "s".to_owned(),
                SetConfig { paths: vec!["/b".into()], templates: vec!["vcs".into()], ..SetConfig::default() },
            )]
            .into(),
            ..FilesConfig::default()
        };
        let options = config.to_options(Some("home")).unwrap();
        assert_eq!((options.name.as_deref(), options.max_file_bytes), (Some("home"), Some(5)));
        assert_eq!(
            (options.exclude.first().unwrap(), options.exclude.last().unwrap()),
            (&"*.tmp".into(), &"!keep.tmp".into())
        );
        let set = &options.sets[0].exclude;
        assert!(
            set.contains(&"*.tmp".to_owned())
                && set.contains(&".git/".to_owned())
                && !set.contains(&"!keep.tmp".to_owned())
        );
    }

    #[test]
    fn configured_source_carries_its_name() {
        let config = read("paths = [\"/etc\"]").unwrap();
        let secrets = std::sync::Arc::new(MapResolver::default());
        let source = config.open(&OpenContext::new(Some("system".into()), secrets)).unwrap();
        assert_eq!((source.describe().kind.as_str(), source.describe().name.as_deref()), ("files", Some("system")));
    }
}
