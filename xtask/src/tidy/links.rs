//! Every path that a document names exists.
//!
//! Two things count as a path: the target of a Markdown link that is not a URL, and a code span such as `xtask/src/tidy.rs` that
//! begins with a name at the repository's top, or ends like a source file. Spans with a placeholder or a wildcard in them are
//! left alone, and so are fenced blocks: those hold examples.

use std::collections::BTreeSet;

use super::Files;

/// Endings that make a code span without a known first component a path all the same.
const SOURCE_ENDINGS: [&str; 4] = [".rs", ".md", ".py", ".sh"];

/// Every finding, each as one sentence that begins with the document and line.
pub(super) fn check(files: &Files) -> Vec<String> {
    let known = Known::new(files);
    let mut findings = Vec::new();
    for (path, text) in files {
        let Some(text) = text.as_deref().filter(|_| path.ends_with(".md")) else { continue };
        let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
        let mut fenced = false;
        for (number, line) in (1_usize..).zip(text.lines()) {
            if line.trim_start().starts_with("```") {
                fenced = !fenced;
                continue;
            }
            if fenced {
                continue;
            }
            let spans = code_spans(line).into_iter().filter(|span| !known.holds_span(span, directory));
            let links = link_targets(line).into_iter().filter(|link| !known.holds_link(link, directory));
            findings.extend(spans.chain(links).map(|gone| format!("{path}:{number}: there is no `{gone}`")));
        }
        if fenced {
            findings.push(format!("{path}: a fenced block is not closed"));
        }
    }
    findings
}

struct Known<'a> {
    files: &'a Files,
    directories: BTreeSet<&'a str>,
}

impl<'a> Known<'a> {
    fn new(files: &'a Files) -> Self {
        let mut directories = BTreeSet::new();
        for path in files.keys() {
            directories.extend(path.match_indices('/').map(|(at, _)| &path[..at]));
        }
        Self { files, directories }
    }

    /// Whether a file or directory stands at this path below the root.
    fn exists(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        self.files.contains_key(path) || self.directories.contains(path)
    }

    fn holds_link(&self, link: &str, directory: &str) -> bool {
        let target = link.split('#').next().unwrap_or(link);
        if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
            return true;
        }
        resolve(directory, target).is_some_and(|path| path.is_empty() || self.exists(&path))
    }

    fn holds_span(&self, span: &str, directory: &str) -> bool {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
        if span.starts_with('/') || span.contains("..") || !span.chars().all(plain) {
            return true;
        }
        let source = SOURCE_ENDINGS.iter().any(|ending| span.len() > ending.len() && span.ends_with(ending));
        let Some((first, _)) = span.split_once('/') else {
            // A bare file name must be the name of some file of ours.
            let tail = format!("/{span}");
            return !source || self.files.keys().any(|path| path == span || path.ends_with(&tail));
        };
        if !source && !self.directories.contains(first) {
            return true;
        }
        self.exists(span) || resolve(directory, span).is_some_and(|path| self.exists(&path))
    }
}

/// The path below the root that a relative one means in a directory; `None` if it leaves the root.
fn resolve(directory: &str, relative: &str) -> Option<String> {
    let mut parts: Vec<&str> = directory.split('/').filter(|part| !part.is_empty()).collect();
    for part in relative.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// What stands between single backquotes.
fn code_spans(line: &str) -> Vec<&str> {
    line.split('`').skip(1).step_by(2).collect()
}

/// What stands in the round brackets of `[…](…)`.
fn link_targets(line: &str) -> Vec<&str> {
    line.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tree;
    use super::*;

    fn found(document: &str, text: &str) -> Vec<String> {
        let mut files =
            tree(&[("backup-core/src/key.rs", ""), ("docs/format.md", ""), ("README.md", ""), ("a/b/c.txt", "")]);
        files.insert(document.to_owned(), Some(text.to_owned()));
        check(&files)
    }

    #[test]
    fn what_exists_is_accepted() {
        for fine in [
            "`backup-core/src/key.rs` and `backup-core/` and `docs`, `key.rs`, `README.md`",
            "[the format](docs/format.md#keys), [site](https://example.org/x), [here](#below), [b](a/b)",
            "`packs/<xx>/<sha256>` `snapshots/latest` `backup-core/src/*.rs` `/etc/passwd` `cargo xtask test` `a::b`",
            "```\nbackup-core/none.rs\n`docs/none.md`\n```",
        ] {
            assert_eq!(found("ARCHITECTURE.md", fine), Vec::<String>::new(), "{fine}");
        }
        assert_eq!(found("docs/x.md", "[up](../README.md) [beside](format.md) `format.md`"), Vec::<String>::new());
    }

    #[test]
    fn what_is_gone_is_found_with_its_line() {
        for gone in
            ["backup-core/src/keys.rs", "docs/none.md", "backup-core/none", "pack/builder.rs", "none.rs", "a/b/d/"]
        {
            assert_eq!(
                found("ARCHITECTURE.md", &format!("\nsee `{gone}`")),
                [format!("ARCHITECTURE.md:2: there is no `{gone}`")]
            );
        }
        for gone in ["docs/none.md", "docs/none.md#part", "../outside.md", "format.md"] {
            assert_eq!(found("ARCHITECTURE.md", &format!("[x]({gone})")).len(), 1, "{gone}");
        }
        assert_eq!(found("docs/x.md", "[x](docs/format.md)").len(), 1);
    }

    #[test]
    fn a_block_that_is_never_closed_hides_nothing() {
        assert_eq!(found("ARCHITECTURE.md", "```\n`docs/none.md`\n").len(), 1);
    }
}
