//! The public laws of sources, on a tree with everything that they look for.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicUsize, Ordering};

use backup_conformance::laws::demand;
use backup_conformance::laws::snapshotter::{Harness, broken};
use backup_core::{Snapshotter, TargetOptions};
use backup_snapshotter_files::{FilesOptions, FilesSnapshotter};
use tempfile::TempDir;

use crate::tree::{set_mode, set_time, write};

struct Tree {
    source: TempDir,
    places: TempDir,
    made: AtomicUsize,
}

impl Tree {
    fn new() -> Self {
        let source = tempfile::tempdir().unwrap();
        let at = |name: &str| source.path().join(name);
        let bytes: Vec<u8> = (0..200_003_u32).map(|n| n.to_le_bytes()[0]).collect();
        write(&at("folder/file"), &bytes);
        write(&at("folder/deep/down/empty"), b"");
        write(&at("folder/deep/read-only"), b"short");
        write(&at("folder-beside/file"), b"beside");
        set_mode(&at("folder/deep/read-only"), 0o440);
        set_time(&at("folder/file"), 1_000_000_000, 123_456_789);
        fs::hard_link(at("folder/deep/read-only"), at("folder/deep/second-name")).unwrap();
        symlink("nowhere", at("folder/link")).unwrap();
        let sparse = fs::File::create(at("folder/sparse")).unwrap();
        sparse.set_len(3 << 20).unwrap();
        std::os::unix::fs::FileExt::write_at(&sparse, b"in the middle", 1 << 20).unwrap();
        fs::create_dir(at("folder/nothing-in-it")).unwrap();
        Self { source, places: tempfile::tempdir().unwrap(), made: AtomicUsize::new(0) }
    }
}

impl Harness for Tree {
    fn snapshotter(&self) -> Box<dyn Snapshotter> {
        Box::new(FilesSnapshotter::new(FilesOptions::new([self.source.path()])).unwrap())
    }

    fn place(&self) -> TargetOptions {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let place = self.places.path().join(number.to_string());
        fs::create_dir(&place).unwrap();
        TargetOptions::under(place)
    }
}

#[test]
fn files_keep_the_laws_of_sources() {
    for seed in [1, 4, 8] {
        demand(broken(&Tree::new(), seed));
    }
}
