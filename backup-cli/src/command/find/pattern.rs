//! Patterns of names and paths.

use std::ffi::OsStr;
use std::path::Path;

use backup_core::EntryPath;
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::error::CliError;

/// Patterns of which one has to match.
#[derive(Debug)]
pub(super) struct Patterns {
    /// Those without a slash, for names.
    names: GlobSet,
    /// Those with one, for paths.
    paths: GlobSet,
}

impl Patterns {
    /// Reads them. One that begins with `/` counts from the top, another one with a slash in it from any folder.
    pub(super) fn new(patterns: &[String], ignore_case: bool) -> Result<Self, CliError> {
        let (mut names, mut paths) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        for text in patterns {
            let refused = |error: globset::Error| {
                CliError::usage(format!("the pattern `{text}` can't be understood")).because(error.kind().to_string())
            };
            let anywhere = format!("**/{text}");
            let (set, glob) = match text.strip_prefix('/') {
                Some(from_top) => (&mut paths, from_top),
                None if text.contains('/') => (&mut paths, anywhere.as_str()),
                None => (&mut names, text.as_str()),
            };
            let glob = GlobBuilder::new(glob).literal_separator(true).case_insensitive(ignore_case).build();
            set.add(glob.map_err(refused)?);
        }
        let build = |set: GlobSetBuilder| {
            set.build().map_err(|error| CliError::usage("the patterns can't be understood").because(error.to_string()))
        };
        Ok(Self { names: build(names)?, paths: build(paths)? })
    }

    /// Whether one of them matches.
    pub(super) fn accept(&self, path: &EntryPath) -> bool {
        self.names.is_match(Path::new(&os(path.name()))) || self.paths.is_match(Path::new(&os(path.as_bytes())))
    }
}

#[cfg(unix)]
fn os(bytes: &[u8]) -> &OsStr {
    std::os::unix::ffi::OsStrExt::from_bytes(bytes)
}

#[cfg(not(unix))]
fn os(bytes: &[u8]) -> std::ffi::OsString {
    String::from_utf8_lossy(bytes).into_owned().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &[u8]) -> bool {
        let patterns = Patterns::new(&[pattern.to_owned()], false).unwrap();
        patterns.accept(&EntryPath::new(path).unwrap())
    }

    #[test]
    fn pattern_without_a_slash_is_for_names_and_one_with_a_slash_for_paths() {
        assert!(matches("*.odt", b"home/ana/thesis.odt"));
        assert!(!matches("*.odt", b"home/x.odt/file"));
        assert!(matches("ana/*.odt", b"home/ana/thesis.odt"));
        assert!(matches("docs/**/*.pdf", b"home/docs/a/b/c.pdf"));
        assert!(!matches("docs/*.pdf", b"home/docs/a/c.pdf"), "a star stays in its folder");
        assert!(matches("/home/*", b"home/ana") && !matches("/ana/*", b"home/ana/x"));
        assert!(matches("odd?", b"a/odd\xff"));
        let any_case = Patterns::new(&["A*".to_owned()], true).unwrap();
        assert!(any_case.accept(&EntryPath::new(b"x/abc".as_slice()).unwrap()));
        assert!(Patterns::new(&["[".to_owned()], false).is_err());
    }
}
