//! Depth, breadth and few descriptors.

use std::path::Path;

use backup_core::{EntryKind, EntryPath};
use backup_snapshotter_files::FilesOptions;

use crate::fidelity::{below, target};
use crate::pump::pump;
use crate::tree;

const LEVELS: usize = 4_000;
const FILE_EVERY: usize = 50;

#[test]
fn tree_of_four_thousand_levels_goes_through_64_descriptors() {
    let dir = tempfile::tempdir().unwrap();
    crate::run_apart(&["sh", "-c", "ulimit -n 64; exec \"$0\" \"$@\""], "limits::deep_tree", dir.path());
}

#[test]
#[ignore = "runs with 64 descriptors, by the test above"]
fn deep_tree() {
    let dir = std::env::current_dir().unwrap();
    let (source, out) = (dir.join("source"), dir.join("out"));
    std::fs::create_dir(&source).unwrap();
    tree::deep(&source, LEVELS, FILE_EVERY);
    let cleaner = target(&dir);
    let copied = std::panic::catch_unwind(|| {
        let report = pump(&*crate::view(FilesOptions::new([&source])), &*target(&out));
        assert_eq!(report.problems, []);
        let depth = |root: &Path| {
            let view = crate::view(FilesOptions::new([root]));
            let entries: Vec<_> = view.entries().map(Result::unwrap).collect();
            let files = entries.iter().filter(|entry| entry.kind == EntryKind::File && entry.size_bytes == 4).count();
            (files, entries.iter().map(|entry| entry.path.as_bytes().len()).max().unwrap() - root.as_os_str().len())
        };
        assert_eq!(depth(&source), (LEVELS / FILE_EVERY, 2 * LEVELS + 2));
        assert_eq!(depth(&below(&out, &source)), (LEVELS / FILE_EVERY, 2 * LEVELS + 2));
    });
    // The tree is deeper than what the standard library removes with so few descriptors.
    for name in ["source", "out"] {
        cleaner.remove(&EntryPath::new(name.as_bytes()).unwrap()).unwrap();
    }
    assert!(!source.exists() && !out.exists());
    copied.unwrap();
}

#[test]
fn branches_at_every_level_are_all_found_with_64_descriptors() {
    let dir = tempfile::tempdir().unwrap();
    crate::run_apart(&["sh", "-c", "ulimit -n 64; exec \"$0\" \"$@\""], "limits::branching_tree", dir.path());
}

#[test]
#[ignore = "runs with 64 descriptors, by the test above"]
fn branching_tree() {
    let dir = std::env::current_dir().unwrap();
    let mut at = dir.clone();
    for _ in 0..150 {
        // One that sorts after the deep branch, so that every level is needed again on the way back.
        tree::write(&at.join("z/file"), b"");
        at.push("d");
        std::fs::create_dir(&at).unwrap();
    }
    let entries: Vec<_> = crate::view(FilesOptions::new([&dir])).entries().map(Result::unwrap).collect();
    assert_eq!(entries.iter().filter(|entry| entry.kind == EntryKind::File).count(), 150);
    assert!(entries.windows(2).all(|pair| pair[0].path < pair[1].path));
}

#[test]
fn hundred_thousand_names_in_one_directory_are_listed_in_order() {
    const NAMES: usize = 100_000;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("n"), "").unwrap();
    // Names of one file cost less to make than files; beyond what one inode may have, the next begins.
    let mut first = dir.path().join("n");
    for index in 1..NAMES {
        let name = dir.path().join(format!("n{index}"));
        if std::fs::hard_link(&first, &name).is_err() {
            std::fs::write(&name, "").unwrap();
            first = name;
        }
    }
    let entries: Vec<_> = crate::view(FilesOptions::new([dir.path()])).entries().map(Result::unwrap).collect();
    assert_eq!(entries.iter().filter(|entry| entry.kind == EntryKind::File).count(), NAMES);
    assert!(entries.windows(2).all(|pair| pair[0].path < pair[1].path));
}
