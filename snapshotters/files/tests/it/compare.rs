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
pub(crate) fn assert_same(a: &Path, b: &Path) {
    let (a, b) = (contents(a), contents(b));
    let names = |side: &[(String, Entry, Vec<u8>)]| side.iter().map(|(name, ..)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&a), names(&b));
    for ((name, mut a, a_content), (_, mut b, b_content)) in a.into_iter().zip(b) {
        for entry in [&mut a, &mut b] {
            entry.path = backup_core::EntryPath::new(b"same".as_slice()).unwrap();
            entry.changed = backup_core::Timestamp::EPOCH;
            entry.racy = false;
            (entry.inode, entry.device) = (0, 0);
        }
        assert_eq!(a, b, "{name}");
        assert!(a_content == b_content, "content of {name}");
    }
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
