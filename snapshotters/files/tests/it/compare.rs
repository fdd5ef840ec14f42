//! Comparing two trees, by our own listing and by rsync.

use std::path::Path;
use std::process::Command;

use backup_core::{Entry, EntryKind};
use backup_snapshotter_files::FilesOptions;

/// Everything below a directory, with all metadata and content, named from there.
pub(crate) fn contents(directory: &Path) -> Vec<(String, Entry, Vec<u8>)> {
    let view = crate::view(FilesOptions::new([directory]));
    let mut found = Vec::new();
    let root = directory.canonicalize().unwrap();
    let depth = root.components().count() - 1;
    for item in view.entries() {
        let mut entry = item.unwrap();
        let names: Vec<&[u8]> = entry.path.components().skip(depth).collect();
        if names.is_empty() {
            continue;
        }
        let name = names.join(&b'/').escape_ascii().to_string();
        let mut content = Vec::new();
        if entry.kind == EntryKind::File {
            let mut reader = view.open(&mut entry).unwrap();
            let mut buffer = vec![0; 1 << 16];
            loop {
                let count = reader.read(&mut buffer).unwrap();
                if count == 0 {
                    break;
                }
                content.extend_from_slice(&buffer[..count]);
            }
        } else {
            view.load(&mut entry).unwrap();
        }
        found.push((name, entry, content));
    }
    found
}

/// Asserts that two directories hold the same, inode numbers and change times aside.
#[track_caller]
pub(crate) fn assert_same(a: &Path, b: &Path) {
    assert_eq!(differences(a, b), Vec::<String>::new());
}

/// What differs between two directories: `name: field`.
pub(crate) fn differences(a: &Path, b: &Path) -> Vec<String> {
    let (a, mut b) = (contents(a), contents(b));
    let mut found = Vec::new();
    for (name, a, a_content) in a {
        let Some(index) = b.iter().position(|(other, ..)| *other == name) else {
            found.push(format!("{name}: missing"));
            continue;
        };
        let (_, b, b_content) = b.remove(index);
        for (field, same) in [
            ("kind", a.kind == b.kind),
            ("size", a.size_bytes == b.size_bytes),
            ("mode", a.mode == b.mode),
            ("owner", (a.uid, a.gid, &a.user, &a.group) == (b.uid, b.gid, &b.user, &b.group)),
            ("time", a.modified == b.modified),
            ("names", a.links == b.links),
            ("device", a.device_number == b.device_number),
            ("link", a.link_target == b.link_target),
            ("attributes", a.xattrs == b.xattrs),
            ("extents", a.extents == b.extents),
            ("content", a_content == b_content),
        ] {
            if !same {
                found.push(format!("{name}: {field}"));
            }
        }
    }
    found.extend(b.into_iter().map(|(name, ..)| format!("{name}: extra")));
    found
}

/// Asserts that rsync sees no difference; says so when rsync isn't there to ask.
pub(crate) fn assert_rsync_finds_nothing(source: &Path, restored: &Path) {
    if !crate::has("rsync") {
        crate::skip("comparison by rsync", "rsync is not installed");
        return;
    }
    let with_slash = |path: &Path| format!("{}/", path.display());
    let output = Command::new("rsync")
        .args(["-aHAXn", "--checksum", "--delete", "--itemize-changes"])
        .args([with_slash(source), with_slash(restored)])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
}
