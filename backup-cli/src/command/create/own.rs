//! Leaving the repository out of what is stored in it.

use std::path::{Path, PathBuf};

/// The patterns that leave `repository` out where it lies inside one of `roots`: each counts from its root.
///
/// A repository that stores itself grows by its own size with each run.
pub(super) fn patterns(repository: &Path, roots: &[PathBuf]) -> Vec<String> {
    let Ok(repository) = repository.canonicalize() else { return Vec::new() };
    let inside = |root: &PathBuf| {
        let relative = repository.strip_prefix(root.canonicalize().ok()?).ok()?.to_str()?;
        // A root that is the repository was asked for by name.
        (!relative.is_empty()).then(|| format!("/{}", escaped(relative)))
    };
    let mut patterns: Vec<String> = roots.iter().filter_map(inside).collect();
    patterns.sort();
    patterns.dedup();
    patterns
}

/// A path as a pattern that matches nothing else.
fn escaped(path: &str) -> String {
    let mut pattern = String::with_capacity(path.len());
    for character in path.chars() {
        if matches!(character, '\\' | '*' | '?' | '[' | ']' | '!' | '#' | '{' | '}' | ' ') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repository_is_left_out_only_where_it_lies_inside_a_root() {
        let folder = tempfile::tempdir().unwrap();
        let repository = folder.path().join("a/re[po]*");
        std::fs::create_dir_all(&repository).unwrap();
        std::fs::create_dir(folder.path().join("b")).unwrap();
        let found = |roots: &[&str]| {
            let roots: Vec<PathBuf> = roots.iter().map(|root| folder.path().join(root)).collect();
            patterns(&repository, &roots)
        };
        assert_eq!(found(&["a"]), ["/re\\[po\\]\\*"]);
        assert_eq!(found(&["", "a", "b"]), ["/a/re\\[po\\]\\*", "/re\\[po\\]\\*"]);
        assert!(found(&["b", "a/re[po]*", "missing"]).is_empty());
    }
}
