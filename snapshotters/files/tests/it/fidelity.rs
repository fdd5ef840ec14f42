//! What went in comes out.

use std::path::{Path, PathBuf};

use backup_core::{RestoreTarget, Snapshotter, TargetOptions};
use backup_snapshotter_files::{FilesOptions, FilesSnapshotter};

use crate::compare::{self, assert_rsync_finds_nothing, assert_same};
use crate::pump::pump;
use crate::tree;

pub(crate) fn target(directory: &Path) -> Box<dyn RestoreTarget> {
    let source = FilesSnapshotter::new(FilesOptions::new([directory])).unwrap();
    source.target(&TargetOptions::under(directory)).unwrap()
}

/// Where a captured directory stands below a target.
pub(crate) fn below(target: &Path, source: &Path) -> PathBuf {
    target.join(source.canonicalize().unwrap().strip_prefix("/").unwrap())
}

fn through(source: &Path, directory: &Path) -> PathBuf {
    let target = target(directory);
    let report = pump(&*crate::view(FilesOptions::new([source])), &*target);
    assert_eq!(report.problems, []);
    target.finish().unwrap();
    below(directory, source)
}

#[test]
fn nasty_tree_comes_back_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (source, out) = (dir.path().join("source"), dir.path().join("out"));
    tree::nasty(&source);
    let restored = through(&source, &out);
    assert_same(&source, &restored);
    assert_rsync_finds_nothing(&source, &restored);
}

#[test]
fn nasty_tree_comes_back_over_itself() {
    let dir = tempfile::tempdir().unwrap();
    let (source, out) = (dir.path().join("source"), dir.path().join("out"));
    tree::nasty(&source);
    through(&source, &out);
    let restored = through(&source, &out);
    assert_same(&source, &restored);
    assert_rsync_finds_nothing(&source, &restored);
}

#[test]
fn comparison_notices_each_kind_of_difference() {
    type Change = fn(&Path);
    let changes: &[(&str, Change)] = &[
        ("plain/small: content", |dir| std::fs::write(dir.join("plain/small"), "Small").unwrap()),
        ("plain/large: time", |dir| tree::set_time(&dir.join("plain/large"), 5, 5)),
        ("plain: mode", |dir| tree::set_mode(&dir.join("plain"), 0o711)),
        ("plain/empty: missing", |dir| std::fs::remove_file(dir.join("plain/empty")).unwrap()),
        ("plain/extra: extra", |dir| tree::write(&dir.join("plain/extra"), b"")),
        ("links/hard1: names", |dir| {
            std::fs::remove_file(dir.join("links/hard1")).unwrap();
            std::fs::write(dir.join("links/hard1"), "shared").unwrap();
        }),
        ("links/good: link", |dir| {
            std::fs::remove_file(dir.join("links/good")).unwrap();
            std::os::unix::fs::symlink("File", dir.join("links/good")).unwrap();
        }),
        ("sparse/islands: extents", |dir| {
            std::os::unix::fs::FileExt::write_all_at(
                &std::fs::OpenOptions::new().write(true).open(dir.join("sparse/islands")).unwrap(),
                &[0; 4096],
                0,
            )
            .unwrap();
        }),
    ];
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    tree::nasty(&source);
    let restored = through(&source, &dir.path().join("out"));
    for (difference, change) in changes {
        change(&restored);
        let found = compare::differences(&source, &restored);
        assert!(found.iter().any(|line| line == difference), "{difference} goes unnoticed: {found:?}");
    }
}

#[test]
fn holes_of_a_terabyte_are_neither_read_nor_filled() {
    use std::os::unix::fs::{FileExt, MetadataExt};
    const SIZE: u64 = 1 << 40;
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    std::fs::create_dir(&source).unwrap();
    let file = std::fs::File::create(source.join("huge")).unwrap();
    if file.set_len(SIZE).is_err() {
        return crate::skip("a hole of a terabyte", "this file system has no such files");
    }
    file.write_all_at(b"middle", SIZE / 2).unwrap();
    file.write_all_at(b"end", SIZE - 3).unwrap();
    let restored = std::fs::File::open(through(&source, &dir.path().join("out")).join("huge")).unwrap();
    let (mut middle, mut end) = ([0; 8], [0; 4]);
    restored.read_exact_at(&mut middle, SIZE / 2 - 1).unwrap();
    restored.read_exact_at(&mut end, SIZE - 4).unwrap();
    assert_eq!((&middle, &end), (b"\0middle\0", b"\0end"));
    let metadata = restored.metadata().unwrap();
    assert_eq!(metadata.len(), SIZE);
    assert!(metadata.blocks() <= file.metadata().unwrap().blocks(), "a hole was filled");
}

#[test]
fn etc_comes_back_the_same() {
    let source = Path::new("/etc");
    if !crate::is_root() {
        crate::skip("a real tree", "only root can read all of /etc");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let restored = through(source, dir.path());
    assert_rsync_finds_nothing(source, &restored);
}

#[test]
fn ten_thousand_files_in_one_directory_come_back_from_several_threads() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    for index in 0..10_000 {
        tree::write(&source.join(format!("f{index}")), index.to_string().as_bytes());
    }
    let restored = through(&source, &dir.path().join("out"));
    assert_same(&source, &restored);
}
