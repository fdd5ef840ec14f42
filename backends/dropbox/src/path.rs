//! Keys as paths and back.

use backup_core::ObjectKey;

/// Names that Dropbox keeps for itself and keys can have; they are stored with a mark that no key has.
const RESERVED: [&str; 2] = ["desktop.ini", "thumbs.db"];

/// The mark.
const MARK: char = '~';

/// The folder that the store is, and what lies below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Root {
    /// With a slash in front and none at the end; empty for everything that the app sees.
    path: String,
}

impl Root {
    /// The folder of that name, with or without slashes at its ends.
    pub(crate) fn new(folder: &str) -> Self {
        let folder = folder.trim_matches('/');
        Self { path: if folder.is_empty() { String::new() } else { format!("/{folder}") } }
    }

    /// The path of what has this key, or of the folder of a prefix.
    pub(crate) fn path(&self, key: &str) -> String {
        let mut path = self.path.clone();
        for segment in key.split('/').filter(|segment| !segment.is_empty()) {
            path.push('/');
            path.push_str(segment);
            if RESERVED.contains(&segment) {
                path.push(MARK);
            }
        }
        path
    }

    /// The key of a path in small letters that lies below the folder; `None` for what is no key.
    ///
    /// The folder itself is counted and not compared: only Dropbox knows what its small letters are.
    pub(crate) fn key(&self, path_lower: &str) -> Option<ObjectKey> {
        let folders = self.path.matches('/').count();
        let segments = path_lower.strip_prefix('/')?.split('/').skip(folders);
        let plain = segments.map(|segment| match segment.strip_suffix(MARK) {
            Some(name) if RESERVED.contains(&name) => name,
            _ => segment,
        });
        ObjectKey::new(plain.collect::<Vec<_>>().join("/")).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_paths_are_the_same_both_ways() {
        for folder in ["", "/", "Backups", "/Backups/My Laptop/"] {
            let root = Root::new(folder);
            for key in ["config", "packs/ab/01", "desktop.ini", "a/thumbs.db/desktop.ini", "a/desktop.ini.x"] {
                let path = root.path(key).to_lowercase();
                assert_eq!(root.key(&path).unwrap().as_str(), key, "{path}");
                assert!(!path.split('/').any(|name| RESERVED.contains(&name)), "{path}");
            }
        }
        assert_eq!(Root::new("/").path(""), "");
        assert_eq!(Root::new("A").path("packs/"), "/A/packs");
    }

    #[test]
    fn what_is_no_key_is_none() {
        let root = Root::new("a");
        for path in ["/a", "/a/b c", "/a/.x", "/a/desktop.ini~/ä", "/a/x~"] {
            assert_eq!(root.key(path), None, "{path}");
        }
    }
}
