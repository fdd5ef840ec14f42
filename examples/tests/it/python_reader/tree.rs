//! A folder with everything that the program restores, and what such a folder looks like.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

/// Makes the folder `source` in a folder, with so many small files beside what is nasty.
pub(crate) fn nasty(folder: &Path, many: usize) -> PathBuf {
    let root = folder.join("source");
    fs::create_dir_all(root.join("many")).unwrap();
    for number in 0..many {
        fs::write(root.join(format!("many/{number}")), format!("file {number}\n")).unwrap();
    }
    fs::write(root.join("plain"), "plain content\n").unwrap();
    fs::set_permissions(root.join("plain"), fs::Permissions::from_mode(0o640)).unwrap();
    fs::write(root.join("empty"), "").unwrap();
    fs::write(root.join(OsStr::from_bytes(b"new\nline\xff")), "a nasty name").unwrap();
    // Several chunks that don't compress.
    fs::write(root.join("large"), noise(3 << 20)).unwrap();
    let sparse = File::create(root.join("sparse")).unwrap();
    sparse.set_len(3 << 20).unwrap();
    sparse.write_all_at(b"data between holes", 1 << 20).unwrap();
    File::create(root.join("hole")).unwrap().set_len(1 << 20).unwrap();
    fs::hard_link(root.join("plain"), root.join("many/second name")).unwrap();
    symlink("/nowhere/at all", root.join("link")).unwrap();
    symlink("many", root.join("link to folder")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, root.join("pipe"), rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    fs::create_dir(root.join("shut")).unwrap();
    fs::write(root.join("shut/inside"), "in a folder that is read-only").unwrap();
    fs::set_permissions(root.join("shut"), fs::Permissions::from_mode(0o500)).unwrap();
    settle(&root);
    root
}

/// Bytes that look random and are the same in every run.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..len / 8).flat_map(|_| next()).collect()
}

/// Gives the folders times of their own, which changes inside have moved.
pub(crate) fn settle(root: &Path) {
    for (nth, name) in ["many", "shut", "."].into_iter().enumerate() {
        let nanos = u32::try_from(nth + 1).unwrap() * 1001;
        File::open(root.join(name)).unwrap().set_modified(UNIX_EPOCH + Duration::new(1_500_000_000, nanos)).unwrap();
    }
}

/// What an entry of a folder looks like.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) content: String,
    mode: u32,
    modified: (i64, i64),
    /// The first name that the same inode has.
    same_as: PathBuf,
}

/// How the entries of two folders differ; empty when they don't.
pub(crate) fn differences(one: &Path, other: &Path) -> Vec<String> {
    let (one, other) = (shape(one), shape(other));
    let paths: BTreeSet<_> = one.keys().chain(other.keys()).collect();
    let differ = paths.into_iter().filter(|path| one.get(*path) != other.get(*path));
    differ.map(|path| format!("{path}: {:?} and {:?}", one.get(path), other.get(path))).collect()
}

/// Bytes on the disk of the files that are mostly holes.
pub(crate) fn hole_bytes(root: &Path) -> u64 {
    ["sparse", "hole"].iter().map(|name| fs::metadata(root.join(name)).unwrap().blocks() * 512).sum()
}

/// Everything in a folder, the folder itself among it, by its path below.
pub(crate) fn shape(root: &Path) -> BTreeMap<String, Shape> {
    let mut shapes = BTreeMap::new();
    let mut inodes = BTreeMap::new();
    if root.exists() {
        visit(root, root, &mut inodes, &mut shapes);
    }
    shapes
}

fn visit(path: &Path, root: &Path, inodes: &mut BTreeMap<(u64, u64), PathBuf>, shapes: &mut BTreeMap<String, Shape>) {
    let metadata = fs::symlink_metadata(path).unwrap();
    let kind = metadata.file_type();
    let below = path.strip_prefix(root).unwrap().to_path_buf();
    let same_as = inodes.entry((metadata.dev(), metadata.ino())).or_insert_with(|| below.clone()).clone();
    let content = if kind.is_file() {
        let bytes = fs::read(path).unwrap();
        format!("{} bytes, hash {:016x}", bytes.len(), fnv1a(&bytes))
    } else if kind.is_symlink() {
        format!("link to {:?}", fs::read_link(path).unwrap())
    } else if kind.is_fifo() {
        "pipe".to_owned()
    } else {
        "folder".to_owned()
    };
    let shape = Shape {
        content,
        // A link has no mode of its own.
        mode: if kind.is_symlink() { 0 } else { metadata.mode() },
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        same_as,
    };
    shapes.insert(format!("{below:?}"), shape);
    if kind.is_dir() {
        let mut names: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        names.iter().for_each(|path| visit(path, root, inodes, shapes));
    }
}

pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
