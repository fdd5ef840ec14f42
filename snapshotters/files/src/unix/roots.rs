//! Where the roots really are.

use std::collections::HashSet;
use std::ffi::OsString;
use std::ops::Range;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use backup_core::EntryPath;
use backup_core::entry::canonical_order;

use crate::selection::Selection;

/// Roots with the links on the way to them resolved, in canonical order, each once.
///
/// Resolved anew for every capture: a link on the way may lead elsewhere by then.
#[derive(Debug)]
pub(super) struct Roots {
    /// The selection that `/` belongs to, when it is a root.
    everything: Option<usize>,
    paths: Vec<EntryPath>,
    /// The selection of each path.
    owners: Vec<usize>,
}

impl Roots {
    pub(super) fn resolve(selections: &[Selection]) -> Self {
        let mut everything = None;
        let mut found = Vec::new();
        for (index, selection) in selections.iter().enumerate() {
            for root in selection.roots.iter().flat_map(|root| resolve(root)) {
                match entry_path(&root) {
                    Some(path) => found.push((path, index)),
                    None => everything = everything.or(Some(index)),
                }
            }
        }
        found.sort();
        // Two names of one place: the first selection has it.
        found.dedup_by(|later, first| later.0 == first.0);
        let (paths, owners) = found.into_iter().unzip();
        Self { everything, paths, owners }
    }

    /// The selection that `/` belongs to, when it is a root.
    pub(super) fn everything(&self) -> Option<usize> {
        self.everything
    }

    /// All of them but `/`.
    pub(super) fn paths(&self) -> &[EntryPath] {
        &self.paths
    }

    /// The selection that a root belongs to.
    pub(super) fn owner(&self, index: usize) -> usize {
        self.owners.get(index).copied().unwrap_or_default()
    }

    /// Those that are not inside another; none when `/` is a root.
    pub(super) fn outer(&self) -> Vec<EntryPath> {
        let mut outer: Vec<EntryPath> = Vec::new();
        if self.everything.is_none() {
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

/// The entry paths of what is left out by its absolute path.
pub(super) fn left_out(paths: &[PathBuf]) -> HashSet<Vec<u8>> {
    let real = paths.iter().flat_map(|path| resolve(path));
    real.filter_map(|path| entry_path(&path)).map(|path| path.as_bytes().to_vec()).collect()
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

/// Where a root really is: with the links on the way to it resolved and, when it is a link itself, both that link and
/// what it leads to. Written with `/`, `/.` or `/..` at its end, only what it leads to.
///
/// Who names a link means what is in it; a backup that holds nothing but the link would be found out too late.
fn resolve(root: &Path) -> Vec<PathBuf> {
    let bytes = root.as_os_str().as_bytes();
    let follow = bytes.ends_with(b"/") || bytes.ends_with(b"/.") || bytes.ends_with(b"/..");
    match (root.canonicalize(), follow) {
        (Ok(real), true) => vec![real],
        (Ok(real), false) => vec![named(root), real],
        (Err(_), _) => vec![named(root)],
    }
}

/// The name a root itself has. What doesn't exist keeps its name, so that it can be reported under it.
fn named(root: &Path) -> PathBuf {
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
    use crate::rules::Rules;
    use std::os::unix::fs::symlink;

    fn resolved<P: AsRef<Path>>(roots: &[P]) -> Roots {
        let roots = roots.iter().map(|root| root.as_ref().to_path_buf()).collect();
        Roots::resolve(&[Selection { roots, rules: Rules::new(&[], &[]).unwrap() }])
    }

    fn path(text: &str) -> EntryPath {
        EntryPath::new(text.as_bytes()).unwrap()
    }

    fn below(dir: &Path, name: &str) -> EntryPath {
        entry_path(&dir.canonicalize().unwrap().join(name)).unwrap()
    }

    #[test]
    fn links_on_the_way_are_resolved_and_the_last_one_stays_beside_what_it_leads_to() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("real/sub")).unwrap();
        symlink("real", dir.path().join("link")).unwrap();
        let roots = |name: &str| resolved(&[dir.path().join(name)]).outer();
        assert_eq!(roots("link/sub"), [below(dir.path(), "real/sub")]);
        symlink("nowhere", dir.path().join("broken")).unwrap();
        assert_eq!(roots("link"), [below(dir.path(), "link"), below(dir.path(), "real")]);
        assert_eq!(roots("broken"), [below(dir.path(), "broken")]);
        assert_eq!(roots("link/"), [below(dir.path(), "real")]);
        assert_eq!(roots("real/sub/.."), [below(dir.path(), "real")]);
        assert_eq!(roots("link/missing/x"), [below(dir.path(), "real/missing/x")]);
    }

    #[test]
    fn roots_inside_others_are_not_outer() {
        let roots = resolved(&["/b/c", "/a", "/a/x", "/b-c", "/b", "/a"]);
        assert_eq!(roots.outer(), ["a", "b", "b-c"].map(path));
        let all = resolved(&["/a", "/"]);
        assert_eq!((all.outer(), all.everything()), (vec![], Some(0)));
    }

    #[test]
    fn roots_within_a_path_are_found() {
        let roots = resolved(&["/a/b", "/a/b/c", "/a/b-c", "/d"]);
        assert_eq!(roots.within(0..4, b"a"), (0..3, false));
        assert_eq!(roots.within(0..3, b"a/b"), (0..2, true));
        assert_eq!(roots.within(1..2, b"a/b/x"), (0..0, false));
        assert_eq!(roots.within(0..4, b"d"), (3..4, true));
        assert_eq!(roots.within(0..0, b"d"), (0..0, false));
    }
}
