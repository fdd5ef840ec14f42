//! The source as the engine sees it.

use std::path::Path;

use backup_core::{
    RestoreTarget, Snapshotter, SourceContext, SourceDescription, SourceError, SourceView, TargetOptions,
};

use crate::options::FilesOptions;
use crate::platform;
use crate::rules::Rules;

/// The type of this source in the configuration.
pub(crate) const KIND: &str = "files";

/// Captures files and folders, and restores them.
///
/// # What is captured
/// Every root with all that is below it, and the directories that lead to it (their metadata, not what else is in them).
/// Paths are absolute without the leading `/`. Links are captured as links and never followed; pipes, sockets and devices
/// are captured as such and never opened. A root inside another root is covered by it, but stays named: patterns and
/// `one_file_system` don't apply to it, only to what is below it.
///
/// # What it costs
/// Listing: one system call per entry and about five more per directory; memory for the names in one directory of each
/// level at a time. At most 24 descriptors are open for it, whatever the depth.
#[derive(Debug)]
pub struct FilesSnapshotter {
    options: FilesOptions,
    rules: Rules,
}

impl FilesSnapshotter {
    /// A snapshotter for what the options say; looks at no file yet.
    ///
    /// # Errors
    /// [`SourceError::Config`] without a root and for a pattern that can't be understood or that begins with a root's
    /// own path, which could never match; [`SourceError::Io`] when a root is relative and the working directory is gone.
    pub fn new(mut options: FilesOptions) -> Result<Self, SourceError> {
        if options.roots.is_empty() {
            return Err(SourceError::Config("no paths are given".to_owned()));
        }
        for root in &mut options.roots {
            let absolute = std::path::absolute(&*root).map_err(|source| SourceError::Io {
                action: "make absolute",
                path: root.display().to_string(),
                source,
            })?;
            *root = absolute;
        }
        for pattern in options.include.iter().chain(&options.exclude) {
            refuse_absolute(pattern, &options.roots)?;
        }
        for name in &options.ignore_files {
            if name.is_empty() || name.contains(['/', '\0']) {
                return Err(SourceError::Config(format!("`{name}` can't be the name of an ignore file")));
            }
        }
        let rules = Rules::new(&options.include, &options.exclude).map_err(SourceError::Config)?;
        Ok(Self { options, rules })
    }

    /// What it captures, with absolute roots.
    pub fn options(&self) -> &FilesOptions {
        &self.options
    }
}

/// Patterns count from the root; one that spells out the root's path would silently match nothing.
fn refuse_absolute(pattern: &str, roots: &[std::path::PathBuf]) -> Result<(), SourceError> {
    let plain = pattern.strip_prefix('!').unwrap_or(pattern);
    for root in roots.iter().filter(|root| root.parent().is_some()) {
        if let Ok(rest) = Path::new(plain).strip_prefix(root) {
            let way_out = match rest.display().to_string() {
                rest if rest.is_empty() => "give another root instead".to_owned(),
                rest => format!("write `/{rest}`"),
            };
            return Err(SourceError::Config(format!(
                "the pattern `{pattern}` begins with the root `{}`, but patterns count from the root: {way_out}",
                root.display(),
            )));
        }
    }
    Ok(())
}

impl Snapshotter for FilesSnapshotter {
    /// Roots are named as they are now, with links on the way to them resolved; a root `/` stands as no root at all,
    /// since it has no entry of its own.
    fn describe(&self) -> SourceDescription {
        SourceDescription {
            kind: KIND.to_owned(),
            name: self.options.name.clone(),
            roots: platform::outer_roots(&self.options.roots),
        }
    }

    fn begin(&self, context: &SourceContext<'_>) -> Result<Box<dyn SourceView>, SourceError> {
        platform::begin(&self.options, &self.rules, context)
    }

    fn target(&self, options: &TargetOptions) -> Result<Box<dyn RestoreTarget>, SourceError> {
        platform::target(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(roots: &[&str], exclude: &str) -> String {
        let mut options = FilesOptions::new(roots);
        options.exclude = vec![exclude.to_owned()];
        match FilesSnapshotter::new(options) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn pattern_that_spells_out_a_root_is_refused_with_the_right_one() {
        assert!(error_of(&["/home/u"], "/home/u/.cache").contains("write `/.cache`"));
        assert!(error_of(&["/home/u"], "!/home/u/.cache").contains("write `/.cache`"));
        assert_eq!(error_of(&["/home/u"], "/home/user"), "");
        assert_eq!(error_of(&["/"], "/home/u/.cache"), "");
    }

    #[test]
    fn no_root_and_odd_ignore_file_names_are_refused() {
        assert!(error_of(&[], "x").contains("no paths"));
        let mut options = FilesOptions::new(["/a"]);
        options.ignore_files = vec!["a/b".to_owned()];
        assert!(matches!(FilesSnapshotter::new(options), Err(SourceError::Config(_))));
    }
}
