//! Paths that a restore never removes.

use std::path::{Path, PathBuf};

use super::extra::folded;
use crate::unix::roots;

/// What is kept below a target, by entry path as a file system that doesn't tell capitals apart may see it: such a one lists a
/// repository under another spelling than its path was given in. Elsewhere, what differs in case only is spared with it.
#[derive(Debug, Default)]
pub(super) struct Kept(Vec<Vec<u8>>);

impl Kept {
    /// Of some absolute paths, those that lie below a directory.
    pub(super) fn below(directory: &Path, paths: &[PathBuf]) -> Self {
        let above = roots::left_out(&[directory.to_owned()]);
        let within = |path: &[u8]| {
            // No path for the directory itself means that it is `/`.
            if above.is_empty() {
                return Some(path.to_vec());
            }
            above.iter().find_map(|above| Some(path.strip_prefix(above.as_slice())?.strip_prefix(b"/")?.to_vec()))
        };
        Self(roots::left_out(paths).iter().filter_map(|path| within(path)).map(|path| folded(&path)).collect())
    }

    /// Whether a path is one of them, lies in one, or leads to one.
    pub(super) fn has(&self, path: &[u8]) -> bool {
        let is_within = |inner: &[u8], outer: &[u8]| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.first().is_none_or(|&byte| byte == b'/'))
        };
        if self.0.is_empty() {
            return false;
        }
        let path = folded(path);
        self.0.iter().any(|kept| is_within(kept, &path) || is_within(&path, kept))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_keeps_what_leads_to_it_and_what_is_in_it_and_nothing_beside() {
        let dir = tempfile::tempdir().unwrap();
        let kept = dir.path().join("a/keep");
        std::fs::create_dir_all(&kept).unwrap();
        let below = Kept::below(dir.path(), std::slice::from_ref(&kept));
        for path in ["a", "a/keep", "a/keep/x/y", "A", "a/KEEP"] {
            assert!(below.has(path.as_bytes()), "{path}");
        }
        for path in ["b", "a/b", "a/keeper", "a/kee"] {
            assert!(!below.has(path.as_bytes()), "{path}");
        }
        let full = kept.canonicalize().unwrap();
        let full = full.strip_prefix("/").unwrap().as_os_str().as_encoded_bytes();
        assert!(Kept::below(Path::new("/"), std::slice::from_ref(&kept)).has(full));
        assert!(!Kept::below(&dir.path().join("b"), &[kept]).has(b"a"), "another target has nothing of it");
    }
}
