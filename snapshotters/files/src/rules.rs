//! Deciding by patterns what is captured.

use std::path::Path;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

/// The directory that patterns are relative to: paths are handed in relative already.
const RELATIVE: &str = ".";

/// Compiled patterns of `.gitignore` form.
#[derive(Debug, Clone)]
pub(crate) struct PatternSet(Gitignore);

impl PatternSet {
    /// Compiles patterns from the configuration; a broken one is an error that names it.
    pub(crate) fn new<S: AsRef<str>>(patterns: &[S]) -> Result<Self, String> {
        let mut builder = GitignoreBuilder::new(RELATIVE);
        builder.allow_unclosed_class(false);
        for pattern in patterns {
            builder.add_line(None, pattern.as_ref()).map_err(|error| error.to_string())?;
        }
        builder.build().map(Self).map_err(|error| error.to_string())
    }

    /// Compiles an ignore file, and says what could not be used of it; the other lines hold.
    pub(crate) fn from_file(content: &[u8]) -> (Self, Vec<String>) {
        let mut builder = GitignoreBuilder::new(RELATIVE);
        let mut problems = Vec::new();
        let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
        for (number, line) in (1_u64..).zip(content.split(|&byte| byte == b'\n')) {
            match std::str::from_utf8(line) {
                Ok(line) => {
                    if let Err(error) = builder.add_line(None, line) {
                        problems.push(format!("line {number}: {error}"));
                    }
                }
                Err(_) => problems.push(format!("line {number} is not UTF-8")),
            }
        }
        match builder.build() {
            Ok(set) => (Self(set), problems),
            Err(error) => {
                problems.push(error.to_string());
                (Self(Gitignore::empty()), problems)
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `Some(true)` when the last pattern that matches is a plain one, `Some(false)` when it is a `!` one.
    fn matches(&self, relative: &Path, is_directory: bool) -> Option<bool> {
        match self.0.matched(relative, is_directory) {
            Match::None => None,
            Match::Ignore(_) => Some(true),
            Match::Whitelist(_) => Some(false),
        }
    }
}

/// The patterns of one source.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    exclude: PatternSet,
    include: Option<PatternSet>,
}

/// What the rules say about a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Left out, with everything below it.
    Excluded,
    /// Captured.
    Included,
    /// Captured only when something below it is.
    Passed,
}

impl Rules {
    /// Compiles both lists; a broken pattern is an error that names it.
    pub(crate) fn new(include: &[String], exclude: &[String]) -> Result<Self, String> {
        let include = if include.is_empty() { None } else { Some(PatternSet::new(include)?) };
        Ok(Self { exclude: PatternSet::new(exclude)?, include })
    }

    /// What roots and what leads to them are taken for, before any pattern is looked at.
    pub(crate) fn at_root(&self) -> Verdict {
        if self.include.is_some() { Verdict::Passed } else { Verdict::Included }
    }

    /// Whether nothing but ignore files can leave anything out.
    pub(crate) fn is_trivial(&self) -> bool {
        self.exclude.is_empty() && self.include.is_none()
    }

    /// Decides about a path below a root whose directory got the verdict `above`.
    ///
    /// `ignored` says what ignore files have to say; it is asked only when `exclude` is silent.
    pub(crate) fn decide(
        &self,
        above: Verdict,
        relative: &Path,
        is_directory: bool,
        ignored: impl FnOnce() -> bool,
    ) -> Verdict {
        if self.exclude.matches(relative, is_directory).unwrap_or_else(ignored) {
            return Verdict::Excluded;
        }
        let include = self.include.as_ref().and_then(|set| set.matches(relative, is_directory));
        match include {
            Some(true) => Verdict::Included,
            Some(false) => Verdict::Passed,
            None => above,
        }
    }
}

/// Decides by ignore files, deepest first: each with the path relative to where it lies.
pub(crate) fn ignored_by<'a>(files: impl Iterator<Item = (&'a PatternSet, &'a Path)>, is_directory: bool) -> bool {
    files.into_iter().find_map(|(set, relative)| set.matches(relative, is_directory)).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excluded(patterns: &[&str], path: &str) -> bool {
        let patterns: Vec<String> = patterns.iter().map(|&p| p.to_owned()).collect();
        let rules = Rules::new(&[], &patterns).unwrap();
        let (path, is_directory) = path.strip_suffix('/').map_or((path, false), |path| (path, true));
        rules.decide(Verdict::Included, Path::new(path), is_directory, || false) == Verdict::Excluded
    }

    #[test]
    fn exclude_patterns_follow_the_gitignore_rules() {
        for (patterns, path, expected) in [
            (&["*.o"][..], "a/b/c.o", true),
            (&["*.o"], "a.o/", true),
            (&["/build"], "build/", true),
            (&["/build"], "src/build/", false),
            (&["build/"], "src/build/", true),
            (&["build/"], "src/build", false),
            (&["docs/*.pdf"], "docs/a.pdf", true),
            (&["docs/*.pdf"], "x/docs/a.pdf", false),
            (&["docs/*.pdf"], "docs/x/a.pdf", false),
            (&["docs/**/*.pdf"], "docs/x/y/a.pdf", true),
            (&["**/tmp"], "a/b/tmp", true),
            (&["tmp/**"], "tmp/", false),
            (&["tmp/**"], "tmp/a", true),
            (&["*.log", "!keep.log"], "keep.log", false),
            (&["*.log", "!keep.log"], "other.log", true),
            (&["!keep.log", "*.log"], "keep.log", true),
            (&["# *.log"], "# a.log", false),
            (&["\\#*"], "#a", true),
            (&["\\!a"], "!a", true),
            (&["a?c"], "abc", true),
            (&["a?c"], "a/c", false),
            (&["[a-c]x"], "bx", true),
            (&["a\\*"], "ab", false),
            (&["a\\*"], "a*", true),
            (&["A"], "a", false),
            (&[""], "a", false),
        ] {
            assert_eq!(excluded(patterns, path), expected, "{patterns:?} on {path}");
        }
    }

    #[test]
    fn include_restricts_and_reaches_down() {
        let rules = Rules::new(&["*.rs".into(), "/docs/".into(), "!gen.rs".into()], &["secret".into()]).unwrap();
        let decide = |above, path: &str, dir| rules.decide(above, Path::new(path), dir, || false);
        assert_eq!(rules.at_root(), Verdict::Passed);
        assert_eq!(decide(Verdict::Passed, "src", true), Verdict::Passed);
        assert_eq!(decide(Verdict::Passed, "src/a.rs", false), Verdict::Included);
        assert_eq!(decide(Verdict::Passed, "src/gen.rs", false), Verdict::Passed);
        assert_eq!(decide(Verdict::Passed, "docs", true), Verdict::Included);
        assert_eq!(decide(Verdict::Included, "docs/a.txt", false), Verdict::Included);
        assert_eq!(decide(Verdict::Included, "docs/secret", false), Verdict::Excluded);
    }

    #[test]
    fn exclude_is_asked_before_ignore_files() {
        let rules = Rules::new(&[], &["!kept".into(), "out".into()]).unwrap();
        let decide = |path: &str, ignored| rules.decide(Verdict::Included, Path::new(path), false, || ignored);
        assert_eq!(decide("kept", true), Verdict::Included);
        assert_eq!(decide("out", false), Verdict::Excluded);
        assert_eq!(decide("other", true), Verdict::Excluded);
        assert_eq!(decide("other", false), Verdict::Included);
    }

    #[test]
    fn broken_lines_of_an_ignore_file_are_named_and_the_rest_holds() {
        let (set, problems) = PatternSet::from_file(b"\xef\xbb\xbf*.a\n\xff\n{x\r\n*.b\r\n");
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].contains("line 2") && problems[1].contains("line 3"), "{problems:?}");
        assert_eq!(set.matches(Path::new("x.a"), false), Some(true));
        assert_eq!(set.matches(Path::new("x.b"), false), Some(true));
    }

    #[test]
    fn broken_configured_pattern_is_an_error_that_names_it() {
        for pattern in ["[a", "{a", "a\\"] {
            let error = Rules::new(&[], &[pattern.to_owned()]).unwrap_err();
            assert!(error.contains(pattern), "{error}");
        }
    }
}
