//! Paths that try to leave the target.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
#[cfg(target_os = "linux")]
use std::process::Command;

use backup_core::{Entry, EntryKind, EntryPath, RestoreTarget, TargetOptions, Timestamp, Xattr};

use crate::fidelity::target;

/// A target directory, and beside it one that nobody may touch.
struct Trap {
    dir: tempfile::TempDir,
    before: Vec<String>,
}

impl Trap {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("outside/sub")).unwrap();
        fs::write(dir.path().join("outside/file"), "precious").unwrap();
        fs::write(dir.path().join("outside/sub/inner"), "precious").unwrap();
        fs::create_dir(dir.path().join("target")).unwrap();
        let before = state(&dir.path().join("outside"));
        Self { dir, before }
    }

    fn outside(&self) -> PathBuf {
        self.dir.path().join("outside")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("target").join(name)
    }

    fn target(&self) -> Box<dyn RestoreTarget> {
        target(&self.dir.path().join("target"))
    }

    #[track_caller]
    fn assert_untouched(&self) {
        assert_eq!(state(&self.outside()), self.before);
    }
}

/// Everything about a tree, change times included.
fn state(dir: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut todo = vec![dir.to_path_buf()];
    while let Some(path) = todo.pop() {
        let m = fs::symlink_metadata(&path).unwrap();
        let content = if m.is_file() { fs::read_to_string(&path).unwrap() } else { String::new() };
        let facts = (m.mode(), m.uid(), m.nlink(), m.mtime(), m.mtime_nsec(), m.ctime(), m.ctime_nsec(), content);
        lines.push(format!("{path:?} {facts:?}"));
        if m.is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().map(|item| item.unwrap().path()));
        }
    }
    lines.sort();
    lines
}

fn path(text: &str) -> EntryPath {
    EntryPath::new(text.as_bytes()).unwrap()
}

fn entry(text: &str, kind: EntryKind) -> Entry {
    let mut entry = Entry::new(path(text), kind);
    entry.modified = Timestamp::from_secs(1_000);
    entry.mode = 0o777;
    entry.size_bytes = if kind == EntryKind::File { 4 } else { 0 };
    entry.link_target = b"x".to_vec();
    entry.xattrs = vec![Xattr { name: b"user.evil".to_vec(), value: b"1".to_vec() }];
    entry
}

/// Every operation on a path and on one below it; whether any of those on the path below succeeded.
fn everything(target: &dyn RestoreTarget, at: &str) -> bool {
    let below = format!("{at}/file");
    let write = |name: &str| match target.create_file(&entry(name, EntryKind::File)) {
        Ok(writer) => {
            writer.write_at(0, b"evil").unwrap();
            writer.commit(&entry(name, EntryKind::File)).is_ok()
        }
        Err(_) => false,
    };
    let mut passed = write(&below);
    passed |= target.inspect(&path(&below)).is_ok_and(|found| found.is_some());
    passed |= target.create_directory(&entry(&format!("{at}/new"), EntryKind::Directory)).is_ok();
    passed |= target.create_special(&entry(&format!("{at}/link"), EntryKind::Symlink)).is_ok();
    passed |= target.create_special(&entry(&format!("{at}/pipe"), EntryKind::Fifo)).is_ok();
    passed |= target.create_hard_link(&entry(&format!("{at}/hard"), EntryKind::File), &path(&below)).is_ok();
    passed |= target.create_hard_link(&entry("stolen", EntryKind::File), &path(&below)).is_ok();
    passed |= target.open_existing(&path(&below)).is_ok();
    passed |= target.set_metadata(&entry(&below, EntryKind::File)).is_ok();
    passed |= target.set_metadata(&entry(at, EntryKind::Directory)).is_ok();
    passed |= target.finish_directory(&entry(at, EntryKind::Directory)).is_ok();
    passed |= target.extra_names(&path(at), &[]).is_ok();
    passed |= target.create_directory(&entry(at, EntryKind::Directory)).is_ok();
    let _ = target.remove(&path(&below));
    passed
}

#[test]
fn link_in_the_way_is_never_followed() {
    let trap = Trap::new();
    symlink(trap.outside(), trap.path("a")).unwrap();
    symlink("../outside", trap.path("b")).unwrap();
    fs::create_dir(trap.path("deep")).unwrap();
    symlink("../../outside", trap.path("deep/c")).unwrap();
    for at in ["a", "b", "deep/c", "a/sub"] {
        assert!(!everything(&*trap.target(), at), "{at}");
        trap.assert_untouched();
    }
    assert!(!trap.path("stolen").exists());
}

#[test]
fn link_swapped_in_between_is_never_followed() {
    let trap = Trap::new();
    let target = trap.target();
    target.create_directory(&entry("a", EntryKind::Directory)).unwrap();
    let writer = target.create_file(&entry("a/early", EntryKind::File)).unwrap();
    fs::rename(trap.path("a"), trap.path("moved")).unwrap();
    symlink(trap.outside(), trap.path("a")).unwrap();
    // The directory may be held open; what is written then goes where it was moved, not through the link.
    writer.write_at(0, b"evil").unwrap();
    let _ = writer.commit(&entry("a/early", EntryKind::File));
    everything(&*target, "a");
    trap.assert_untouched();
    assert!(!everything(&*trap.target(), "a"), "a target that has not seen the directory before");
    trap.assert_untouched();
}

#[test]
fn hostile_paths_hold_without_the_kernels_resolver() {
    if !crate::can_trace() {
        return crate::skip("paths without openat2", "strace can't be used");
    }
    let dir = tempfile::tempdir().unwrap();
    for test in ["hostile::links_by_single_steps", "hostile::fidelity_by_single_steps"] {
        let inject = "inject=openat2:error=ENOSYS";
        crate::run_apart(&["strace", "-f", "-qq", "-o", "/dev/null", "-e", inject], test, dir.path());
        let filter = "inject=openat2:error=EPERM";
        crate::run_apart(&["strace", "-f", "-qq", "-o", "/dev/null", "-e", filter], test, dir.path());
    }
}

#[test]
#[ignore = "runs where openat2 fails, by the test above"]
fn links_by_single_steps() {
    link_in_the_way_is_never_followed();
    link_swapped_in_between_is_never_followed();
}

#[test]
#[ignore = "runs where openat2 fails, by the test above"]
fn fidelity_by_single_steps() {
    let dir = tempfile::tempdir().unwrap();
    crate::tree::nasty(&dir.path().join("source"));
    let target = target(&dir.path().join("out"));
    let view = crate::view(backup_snapshotter_files::FilesOptions::new([dir.path().join("source")]));
    assert_eq!(crate::pump::pump(&*view, &*target).problems, []);
    let restored = crate::fidelity::below(&dir.path().join("out"), &dir.path().join("source"));
    crate::compare::assert_same(&dir.path().join("source"), &restored);
}

#[test]
fn link_where_a_file_goes_is_replaced_and_its_target_left_alone() {
    let trap = Trap::new();
    symlink(trap.outside().join("file"), trap.path("f")).unwrap();
    symlink(trap.outside(), trap.path("l")).unwrap();
    symlink(trap.outside().join("file"), trap.path("h")).unwrap();
    let target = trap.target();
    let writer = target.create_file(&entry("f", EntryKind::File)).unwrap();
    writer.write_at(0, b"mine").unwrap();
    writer.commit(&entry("f", EntryKind::File)).unwrap();
    target.create_special(&Entry { xattrs: vec![], ..entry("l", EntryKind::Symlink) }).unwrap();
    target.create_hard_link(&entry("h", EntryKind::File), &path("f")).unwrap();
    trap.assert_untouched();
    assert_eq!(fs::read(trap.path("f")).unwrap(), b"mine");
    assert_eq!(fs::read_link(trap.path("l")).unwrap(), Path::new("x"));
    assert_eq!(fs::metadata(trap.path("h")).unwrap().ino(), fs::metadata(trap.path("f")).unwrap().ino());
}

#[test]
fn metadata_of_a_link_never_reaches_what_it_points_to() {
    let trap = Trap::new();
    symlink(trap.outside().join("file"), trap.path("l")).unwrap();
    let target = trap.target();
    let link = Entry { uid: 7, gid: 7, xattrs: vec![], ..entry("l", EntryKind::Symlink) };
    target.set_metadata(&link).unwrap();
    assert!(target.set_metadata(&entry("l", EntryKind::File)).is_err());
    assert!(target.open_existing(&path("l")).is_err());
    trap.assert_untouched();
    assert_eq!(fs::symlink_metadata(trap.path("l")).unwrap().mtime(), 1_000);
}

#[test]
fn removing_a_tree_stays_in_it() {
    let trap = Trap::new();
    fs::create_dir_all(trap.path("a/b")).unwrap();
    symlink(trap.outside(), trap.path("a/b/out")).unwrap();
    symlink(trap.outside(), trap.path("top")).unwrap();
    fs::write(trap.path("a/b/file"), "").unwrap();
    let target = trap.target();
    target.remove(&path("a")).unwrap();
    target.remove(&path("top")).unwrap();
    target.remove(&path("not-there/at-all")).unwrap();
    trap.assert_untouched();
    assert_eq!(fs::read_dir(trap.path("")).unwrap().count(), 0);
}

/// A disk that was plugged in after the backup lies in a folder of which the backup has everything but the disk.
#[cfg(target_os = "linux")]
#[test]
fn removing_never_empties_another_file_system() {
    let trap = Trap::new();
    fs::create_dir_all(trap.path("a/disk")).unwrap();
    fs::create_dir_all(trap.path("disk")).unwrap();
    let mount = |name: &str| {
        let mounted = Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(trap.path(name)).output();
        mounted.is_ok_and(|output| output.status.success())
    };
    if !mount("a/disk") || !mount("disk") {
        return crate::skip("removing from another file system", "mounting is not allowed");
    }
    for file in ["a/disk/precious", "disk/precious", "a/extra"] {
        fs::write(trap.path(file), "x").unwrap();
    }
    let target = trap.target();
    let refused = ["a", "disk"].map(|name| target.remove(&path(name)));
    let kept = ["a/disk/precious", "disk/precious", "a/extra"].map(|name| trap.path(name).exists());
    for name in ["a/disk", "disk"] {
        assert!(Command::new("umount").arg("-l").arg(trap.path(name)).status().unwrap().success());
    }
    for refused in refused {
        assert!(refused.unwrap_err().to_string().contains("another file system"));
    }
    assert_eq!(kept, [true, true, false], "what is beside it goes");
}

#[test]
fn devices_and_lent_rights_are_left_out_when_not_asked_for() {
    let trap = Trap::new();
    let source =
        backup_snapshotter_files::FilesSnapshotter::new(backup_snapshotter_files::FilesOptions::new(["/"])).unwrap();
    let mut options = TargetOptions::under(trap.path(""));
    options.privileged = false;
    let target = backup_core::Snapshotter::target(&source, &options).unwrap();
    let device = Entry { device_number: (1, 3), ..entry("null", EntryKind::CharDevice) };
    assert!(target.create_special(&device).unwrap_err().to_string().contains("devices"));
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let capability = Xattr { name: b"security.capability".to_vec(), value: vec![1] };
    let file = Entry { mode: 0o6755, uid, gid, xattrs: vec![capability], ..entry("f", EntryKind::File) };
    target.create_file(&file).unwrap().commit(&file).unwrap();
    assert_eq!(fs::metadata(trap.path("f")).unwrap().permissions().mode() & 0o7777, 0o755);
}

#[test]
fn impossible_owner_is_an_error_and_not_a_panic() {
    if !crate::is_root() {
        return crate::skip("an impossible owner", "not root");
    }
    let trap = Trap::new();
    let file = Entry { uid: u32::MAX, xattrs: vec![], ..entry("f", EntryKind::File) };
    let error = trap.target().create_file(&file).unwrap().commit(&file).unwrap_err();
    assert!(error.to_string().contains("owner"), "{error}");
    assert_eq!(fs::metadata(trap.path("f")).unwrap().len(), 4, "the file is whole all the same");
}
