//! What is wrong with a configuration, told without any value of it.

use std::fmt;
use std::sync::Arc;

/// Where a value of a configuration comes from: a file and line, a variable, a flag, a URL.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    source: Option<Arc<str>>,
    line: Option<u32>,
}

impl Origin {
    /// A place that has a name and no lines: `environment variable BACKUP_X`, `command line`.
    pub fn named(source: impl Into<Arc<str>>) -> Self {
        Self { source: Some(source.into()), line: None }
    }

    /// A line of a file; the first line is 1.
    pub fn line(file: impl Into<Arc<str>>, line: u32) -> Self {
        Self { source: Some(file.into()), line: Some(line) }
    }

    /// Whether nothing is known.
    pub fn is_unknown(&self) -> bool {
        self.source.is_none()
    }
}

impl fmt::Display for Origin {
    /// `/etc/backup.toml:3`, `command line`, or nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.source.as_deref().unwrap_or_default())?;
        match self.line {
            Some(line) => write!(f, ":{line}"),
            None => Ok(()),
        }
    }
}

/// One thing that is wrong with a configuration.
///
/// It names the place, the key and what is expected; it never holds a value, which may be a secret in the wrong place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    /// Where the value comes from.
    pub origin: Origin,
    /// The key, from the root: `repository.home.path`; empty for the whole configuration.
    pub key: String,
    /// What is wrong, a lower-case fragment without a full stop.
    pub message: String,
    /// What can be done about it.
    pub hint: Option<String>,
}

impl ConfigProblem {
    /// A problem with a key.
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { origin: Origin::default(), key: key.into(), message: message.into(), hint: None }
    }

    /// The same with what can be done about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with where the value comes from, unless that is known already.
    #[must_use]
    pub fn with_origin(mut self, origin: &Origin) -> Self {
        if self.origin.is_unknown() {
            self.origin = origin.clone();
        }
        self
    }

    /// The same problem seen from further out: `outer` is put before its key.
    #[must_use]
    pub fn within(mut self, outer: &str) -> Self {
        self.key = join(outer, &self.key);
        self
    }
}

impl std::error::Error for ConfigProblem {}

/// Two parts of a key path joined by a dot; either may be empty.
pub(crate) fn join(outer: &str, inner: &str) -> String {
    match (outer, inner) {
        ("", path) | (path, "") => path.to_owned(),
        (outer, inner) => format!("{outer}.{inner}"),
    }
}

impl fmt::Display for ConfigProblem {
    /// `/etc/backup.toml:3: repository.home.pth: unknown key (did you mean `path`?)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.origin.is_unknown() {
            write!(f, "{}: ", self.origin)?;
        }
        if !self.key.is_empty() {
            write!(f, "`{}`: ", self.key)?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong with a configuration, at least one problem, in an order that is always the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<ConfigProblem>,
}

impl ConfigError {
    /// An error of several problems; `None` when there is none.
    pub fn from_problems(problems: Vec<ConfigProblem>) -> Option<Self> {
        (!problems.is_empty()).then_some(Self { problems })
    }

    /// The problems, at least one.
    pub fn problems(&self) -> &[ConfigProblem] {
        &self.problems
    }
}

impl From<ConfigProblem> for ConfigError {
    fn from(problem: ConfigProblem) -> Self {
        Self { problems: vec![problem] }
    }
}

impl fmt::Display for ConfigError {
    /// One problem a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            write!(f, "{}{problem}", if i == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// The known name that a mistyped one most likely stands for.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Below this likeness a suggestion confuses more than it helps.
    const LEAST_LIKENESS: f64 = 0.75;
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= LEAST_LIKENESS)
        .max_by(|(a, x), (b, y)| a.total_cmp(b).then_with(|| y.cmp(x)))
        .map(|(_, candidate)| candidate)
}

/// A hint for a name that is not known: the nearest, or all of them.
pub(crate) fn suggest<'a>(name: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    match nearest(name, known.clone()) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None => {
            let all: Vec<String> = known.into_iter().map(|candidate| format!("`{candidate}`")).collect();
            if all.is_empty() { "there are none".to_owned() } else { format!("known are {}", all.join(", ")) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problem_is_told_by_place_key_and_way_out() {
        let problem = ConfigProblem::new("pth", "unknown key")
            .with_hint(suggest("pth", ["path", "sync"]))
            .within("repository.home")
            .with_origin(&Origin::line("/etc/b.toml", 3))
            .with_origin(&Origin::named("somewhere else"));
        assert_eq!(problem.to_string(), "/etc/b.toml:3: `repository.home.pth`: unknown key (did you mean `path`?)");
    }

    #[test]
    fn suggestion_is_the_nearest_or_the_whole_list() {
        assert_eq!(suggest("excldue", ["exclude", "include"]), "did you mean `exclude`?");
        assert_eq!(suggest("zzz", ["a", "b"]), "known are `a`, `b`");
        assert_eq!(nearest("ab", ["abx", "aby"]), Some("abx"), "ties go to the first by name");
    }
}
