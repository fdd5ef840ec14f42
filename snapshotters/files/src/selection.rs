//! Roots with the patterns that hold below them.

use std::path::{Path, PathBuf};

use backup_core::SourceError;

use crate::options::{FileSet, FilesOptions};
use crate::rules::Rules;

/// Some roots and their patterns, ready to be used.
#[derive(Debug)]
pub(crate) struct Selection {
    /// Absolute, as they were written otherwise.
    pub(crate) roots: Vec<PathBuf>,
    pub(crate) rules: Rules,
}

impl Selection {
    /// Everything that options select: their own roots first, then each set.
    ///
    /// Makes the options' roots absolute.
    pub(crate) fn all(options: &mut FilesOptions) -> Result<Vec<Self>, SourceError> {
        let own = FileSet {
            name: String::new(),
            roots: std::mem::take(&mut options.roots),
            include: options.include.clone(),
            exclude: options.exclude.clone(),
        };
        let mut selections: Vec<Self> = Vec::new();
        for set in std::iter::once(&own).chain(&options.sets) {
            let roots = set.roots.iter().map(|root| absolute(root)).collect::<Result<Vec<_>, _>>()?;
            for root in &roots {
                if selections.iter().any(|other| other.roots.contains(root)) {
                    let message =
                        format!("`{}` is in more than one set, and patterns would contradict", root.display());
                    return Err(SourceError::Config(message));
                }
            }
            for pattern in set.include.iter().chain(&set.exclude) {
                refuse_absolute(pattern, &roots)?;
            }
            let rules = Rules::new(&set.include, &set.exclude).map_err(SourceError::Config)?;
            selections.push(Self { roots, rules });
        }
        options.roots = selections.first().map(|own| own.roots.clone()).unwrap_or_default();
        if selections.iter().all(|selection| selection.roots.is_empty()) {
            return Err(SourceError::Config("no paths are given".to_owned()));
        }
        Ok(selections)
    }
}

fn absolute(root: &Path) -> Result<PathBuf, SourceError> {
    if root.as_os_str().is_empty() {
        return Err(SourceError::Config("a path is empty".to_owned()));
    }
    std::path::absolute(root).map_err(|source| SourceError::Io {
        action: "make absolute",
        path: root.display().to_string(),
        source,
    })
}

/// Patterns count from the root; one that spells out the root's path would silently match nothing.
fn refuse_absolute(pattern: &str, roots: &[PathBuf]) -> Result<(), SourceError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(roots: &[&str], exclude: &str, set: &[&str]) -> String {
        let mut options = FilesOptions::new(roots);
        options.exclude = vec![exclude.to_owned()];
        options.sets = vec![FileSet { roots: set.iter().map(PathBuf::from).collect(), ..FileSet::default() }];
        Selection::all(&mut options).err().map_or_else(String::new, |error| error.to_string())
    }

    #[test]
    fn pattern_that_spells_out_a_root_is_refused_with_the_right_one() {
        assert!(error_of(&["/home/u"], "/home/u/.cache", &[]).contains("write `/.cache`"));
        assert!(error_of(&["/home/u"], "!/home/u/.cache", &[]).contains("write `/.cache`"));
        assert!(error_of(&["/home/u"], "/home/u", &[]).contains("another root"));
        assert_eq!(error_of(&["/home/u"], "/home/user", &[]), "");
        assert_eq!(error_of(&["/"], "/home/u/.cache", &[]), "");
    }

    #[test]
    fn roots_are_needed_once() {
        assert!(error_of(&[], "x", &[]).contains("no paths"));
        assert!(error_of(&[""], "x", &[]).contains("empty"));
        assert_eq!(error_of(&[], "x", &["/a"]), "");
        assert_eq!(error_of(&["/a"], "x", &["/a/b"]), "");
        assert!(error_of(&["/a"], "x", &["/a"]).contains("more than one set"));
    }
}
