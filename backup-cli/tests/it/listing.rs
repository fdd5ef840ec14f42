//! What is in a folder, to compare it with what comes back.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Everything below a folder, and the folder itself under the empty name.
pub(crate) type Listing = BTreeMap<PathBuf, Listed>;

/// One file, folder or link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    mode: u32,
    modified: (i64, i64),
    content: Vec<u8>,
}

/// Lists a folder; nothing in it may change meanwhile.
pub(crate) fn list(root: &Path) -> Listing {
    let mut listing = Listing::new();
    let mut paths = vec![root.to_owned()];
    while let Some(path) = paths.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let content = if metadata.is_symlink() {
            std::os::unix::ffi::OsStringExt::into_vec(fs::read_link(&path).unwrap().into_os_string())
        } else if metadata.is_file() {
            fs::read(&path).unwrap()
        } else {
            Vec::new()
        };
        if metadata.is_dir() {
            paths.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        let listed = Listed { mode: metadata.mode(), modified: (metadata.mtime(), metadata.mtime_nsec()), content };
        listing.insert(path.strip_prefix(root).unwrap().to_owned(), listed);
    }
    listing
}

/// Asserts that a folder holds what was listed, without filling the screen with content where it doesn't.
#[track_caller]
pub(crate) fn assert_holds(root: &Path, expected: &Listing, because: &str) {
    let found = list(root);
    if found == *expected {
        return;
    }
    let names = expected.keys().chain(found.keys()).collect::<std::collections::BTreeSet<_>>();
    let differing: Vec<String> = names
        .into_iter()
        .filter(|name| expected.get(*name) != found.get(*name))
        .map(|name| {
            let shown = |listed: Option<&Listed>| {
                listed.map_or("nothing".to_owned(), |listed| {
                    format!("{:o} {:?} {} bytes", listed.mode, listed.modified, listed.content.len())
                })
            };
            format!("{}: {} became {}", name.display(), shown(expected.get(name)), shown(found.get(name)))
        })
        .collect();
    panic!("{because}: {}", differing.join("\n"));
}
