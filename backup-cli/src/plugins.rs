//! The plug-ins of this binary. The only module that names concrete ones.

use std::path::PathBuf;

use backup_core::{Snapshotter, SourceError};

// A crate that nothing names is not linked, and its plug-ins would not be found.
#[cfg(feature = "dropbox")]
extern crate backup_backend_dropbox as _;
#[cfg(feature = "local")]
extern crate backup_backend_local as _;
#[cfg(feature = "s3")]
extern crate backup_backend_s3 as _;
#[cfg(feature = "sftp")]
extern crate backup_backend_sftp as _;

/// What `create PATH…` captures.
#[derive(Debug, Clone, Default)]
#[cfg_attr(not(feature = "files"), expect(dead_code, reason = "only that feature reads them"))]
pub(crate) struct PathsOptions {
    pub(crate) paths: Vec<PathBuf>,
    pub(crate) include: Vec<String>,
    pub(crate) exclude: Vec<String>,
    pub(crate) templates: Vec<String>,
    pub(crate) exclude_caches: bool,
    pub(crate) one_file_system: bool,
    pub(crate) max_file_bytes: Option<u64>,
}

/// The type of source that paths on the command line are.
pub(crate) const PATHS_KIND: &str = "files";

/// A source of paths. Paths come here as they were typed: a configuration could not hold those that are no text.
///
/// # Errors
/// What is wrong with patterns or templates.
#[cfg(feature = "files")]
pub(crate) fn paths_source(options: PathsOptions) -> Result<Box<dyn Snapshotter>, SourceError> {
    use backup_snapshotter_files::{FilesOptions, FilesSnapshotter};
    let mut files = FilesOptions::new(options.paths);
    for name in &options.templates {
        files.exclude.extend(template_patterns(name)?);
    }
    files.include = options.include;
    files.exclude.extend(options.exclude);
    files.exclude_caches = options.exclude_caches;
    files.one_file_system = options.one_file_system;
    files.max_file_bytes = options.max_file_bytes;
    Ok(Box::new(FilesSnapshotter::new(files)?))
}

#[cfg(feature = "files")]
fn template_patterns(name: &str) -> Result<Vec<String>, SourceError> {
    use backup_snapshotter_files::{template, templates};
    match template(name) {
        Some(template) => Ok(template.patterns.iter().map(|pattern| (*pattern).to_owned()).collect()),
        None => {
            let known: Vec<&str> = templates().iter().map(|template| template.name).collect();
            let hint = crate::error::did_you_mean(name, known.iter().copied())
                .unwrap_or_else(|| format!("known are {}", known.join(", ")));
            Err(SourceError::Config(format!("there is no template `{name}` ({hint})")))
        }
    }
}

/// Says that this binary can't.
///
/// # Errors
/// Always.
#[cfg(not(feature = "files"))]
pub(crate) fn paths_source(_: PathsOptions) -> Result<Box<dyn Snapshotter>, SourceError> {
    Err(SourceError::Config("this program was built without the feature `files`".to_owned()))
}

/// What puts files back; it needs to know nothing of what was captured.
///
/// # Errors
/// When this binary can't.
#[cfg(feature = "files")]
pub(crate) fn paths_target() -> Result<Box<dyn Snapshotter>, SourceError> {
    // A source has roots; a target doesn't use them.
    paths_source(PathsOptions { paths: vec![PathBuf::from("/")], ..PathsOptions::default() })
}

/// Says that this binary can't.
///
/// # Errors
/// Always.
#[cfg(not(feature = "files"))]
pub(crate) fn paths_target() -> Result<Box<dyn Snapshotter>, SourceError> {
    paths_source(PathsOptions::default())
}

#[cfg(test)]
mod tests {
    use backup_core::Registry;

    /// A hint that names a feature must name one that there is.
    #[test]
    fn features_of_plug_ins_that_can_be_left_out_exist() {
        let manifest: toml::Table = include_str!("../Cargo.toml").parse().unwrap();
        let features = manifest["features"].as_table().unwrap();
        for (family, tag, feature) in Registry::standard().unwrap().absent() {
            assert!(features.contains_key(feature), "{family:?} `{tag}`: there is no feature `{feature}`");
        }
    }

    /// What `backup backends` shows can be copied into a configuration.
    #[test]
    fn every_plug_in_that_is_linked_has_an_example_that_works() {
        let registry = Registry::linked().unwrap();
        registry.check_examples().unwrap();
        #[cfg(feature = "local")]
        assert!(registry.descriptor(backup_core::registry::Family::Backend, "local").is_some());
        #[cfg(feature = "files")]
        assert!(registry.descriptor(backup_core::registry::Family::Source, "files").is_some());
    }
}
