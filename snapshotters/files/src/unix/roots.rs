//! Where the roots really are.

use std::ffi::OsString;
use std::ops::Range;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use backup_core::EntryPath;
use backup_core::entry::canonical_order;

/// Roots with the links on the way to them resolved, in canonical order, each once.
///
/// Resolved anew for every capture: a link on the way may lead elsewhere by then.
#[derive(Debug)]
pub(super) struct Roots {
    /// Whether `/` is one of them.
    everything: bool,
    paths: Vec<EntryPath>,
}

impl Roots {
    pub(super) fn resolve(roots: &[PathBuf]) -> Self {
        let mut everything = false;
        let mut paths = Vec::new();
        for root in roots {
            match entry_path(&resolve(root)) {
                Some(path) => paths.push(path),
                None => everything = true,
            }
        }
        paths.sort();
        paths.dedup();
        Self { everything, paths }
    }

    pub(super) fn everything(&self) -> bool {
        self.everything
    }

    /// All of them but `/`.
    pub(super) fn paths(&self) -> &[EntryPath] {
        &self.paths
    }

    /// Those that are not inside another; none when `/` is a root.
    pub(super) fn outer(&self) -> Vec<EntryPath> {
        let mut outer: Vec<EntryPath> = Vec::new();
        if !self.everything {
            for path in &self.paths {
                if !outer.last().is_some_and(|last| path.is_within(last)) {
                    outer.push(path.clone());
                }
            }
        }
        outer
    }

    /// Which of some neighbouring roots are a path or lie below it, and whether the first of them is the path itself.
    pub(super) fn within(&self, among: Range<usize>, path: &[u8]) -> (Range<usize>, bool) {
        let Some(roots) = self.paths.get(among.clone()).filter(|roots| !roots.is_empty()) else {
            return (0..0, false);
        };
        let first = roots.partition_point(|root| canonical_order(root.as_bytes(), path).is_lt());
        let is_within = |root: &EntryPath| match root.as_bytes().strip_prefix(path) {
            Some(rest) => rest.first().is_none_or(|&byte| byte == b'/'),
            None => false,
        };
        // What is within a path stands together, right where the path would stand.
        let count = roots.get(first..).map_or(0, |rest| rest.partition_point(is_within));
        if count == 0 {
            return (0..0, false);
        }
        let start = among.start + first;
        (start..start + count, roots.get(first).is_some_and(|root| root.as_bytes() == path))
    }
}

/// An absolute path as an entry's, `None` for `/`.
fn entry_path(path: &Path) -> Option<EntryPath> {
    let names: Vec<&[u8]> = path
        .components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.as_bytes()),
            Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::ParentDir => None,
        })
        .collect();
    // Components of a path are never empty, `.` or `..` here; a NUL in one is refused and never names a file.
    EntryPath::new(names.join(&b'/')).ok()
}

/// Resolves links on the way to a root, and the root itself when it ends with `/`, `/.` or `/..`.
///
/// What doesn't exist keeps its name, so that it can be reported under it.
fn resolve(root: &Path) -> PathBuf {
    let bytes = root.as_os_str().as_bytes();
    let follow = bytes.ends_with(b"/") || bytes.ends_with(b"/.") || bytes.ends_with(b"/..");
    if follow && let Ok(real) = root.canonicalize() {
        return real;
    }
    let mut missing: Vec<OsString> = Vec::new();
    let mut at = root;
    while let (Some(parent), Some(name)) = (at.parent(), at.components().next_back()) {
        missing.push(match name {
            Component::Normal(name) => name.to_os_string(),
            Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::ParentDir => {
                OsString::from_vec(b"..".to_vec())
            }
        });
        if let Ok(real) = parent.canonicalize() {
            return append(real, &missing);
        }
        at = parent;
    }
    root.to_path_buf()
}

fn append(mut path: PathBuf, names: &[OsString]) -> PathBuf {
    for name in names.iter().rev() {
        if name == ".." {
            path.pop();
        } else {
            path.push(name);
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn path(text: &str) -> EntryPath {
        EntryPath::new(text.as_bytes()).unwrap()
    }

    fn below(dir: &Path, name: &str) -> EntryPath {
        entry_path(&dir.canonicalize().unwrap().join(name)).unwrap()
    }

    #[test]
    fn links_on_the_way_are_resolved_and_the_last_one_only_with_a_slash() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("real/sub")).unwrap();
        symlink("real", dir.path().join("link")).unwrap();
        let roots = |name: &str| Roots::resolve(&[dir.path().join(name)]).outer();
        assert_eq!(roots("link/sub"), [below(dir.path(), "real/sub")]);
        assert_eq!(roots("link"), [below(dir.path(), "link")]);
        assert_eq!(roots("link/"), [below(dir.path(), "real")]);
        assert_eq!(roots("real/sub/.."), [below(dir.path(), "real")]);
        assert_eq!(roots("link/missing/x"), [below(dir.path(), "real/missing/x")]);
    }

    #[test]
    fn roots_inside_others_are_not_outer() {
        let roots = ["/b/c", "/a", "/a/x", "/b-c", "/b", "/a"].map(PathBuf::from);
        let roots = Roots { everything: false, paths: sorted(&roots) };
        assert_eq!(roots.outer(), ["a", "b", "b-c"].map(path));
        assert_eq!(Roots { everything: true, paths: Vec::new() }.outer(), []);
        assert!(Roots::resolve(&["/".into()]).everything());
    }

    fn sorted(roots: &[PathBuf]) -> Vec<EntryPath> {
        let mut paths: Vec<_> = roots.iter().filter_map(|root| entry_path(root)).collect();
        paths.sort();
        paths.dedup();
        paths
    }

    #[test]
    fn roots_within_a_path_are_found() {
        let roots = ["/a/b", "/a/b/c", "/a/b-c", "/d"].map(PathBuf::from);
        let roots = Roots { everything: false, paths: sorted(&roots) };
        assert_eq!(roots.within(0..4, b"a"), (0..3, false));
        assert_eq!(roots.within(0..3, b"a/b"), (0..2, true));
        assert_eq!(roots.within(1..2, b"a/b/x"), (0..0, false));
        assert_eq!(roots.within(0..4, b"d"), (3..4, true));
        assert_eq!(roots.within(0..0, b"d"), (0..0, false));
    }
}
