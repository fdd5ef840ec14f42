//! What a restore does to what is there.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use backup_core::{
    Entry, EntryKind, EntryPath, OwnerPolicy, Snapshotter, SourceError, TargetOptions, Timestamp, Xattr,
};
use backup_snapshotter_files::{FilesOptions, FilesSnapshotter};

use crate::fidelity::target;
use crate::tree;

fn path(text: &str) -> EntryPath {
    EntryPath::new(text.as_bytes()).unwrap()
}

fn file(text: &str, size: u64) -> Entry {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let modified = Timestamp::new(1_000, 7).unwrap();
    Entry { size_bytes: size, modified, uid, gid, ..Entry::new(path(text), EntryKind::File) }
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn file_is_not_visible_before_commit_and_gone_without_it() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("f"), "old").unwrap();
    let target = target(dir.path());
    let writer = target.create_file(&file("f", 3)).unwrap();
    writer.write_at(0, b"new").unwrap();
    assert_eq!(fs::read(dir.path().join("f")).unwrap(), b"old");
    drop(writer);
    assert_eq!(names(dir.path()), ["f"]);
    assert_eq!(fs::read(dir.path().join("f")).unwrap(), b"old");
    let writer = target.create_file(&file("f", 3)).unwrap();
    writer.write_at(0, b"new").unwrap();
    writer.commit(&file("f", 3)).unwrap();
    let m = fs::metadata(dir.path().join("f")).unwrap();
    assert_eq!((m.mtime(), m.mtime_nsec(), m.atime(), m.mode() & 0o7777), (1_000, 7, 1_000, 0o644));
    assert_eq!((names(dir.path()), fs::read(dir.path().join("f")).unwrap()), (vec!["f".to_owned()], b"new".to_vec()));
}

#[test]
fn writes_from_several_threads_at_any_offset_make_one_file() {
    let dir = tempfile::tempdir().unwrap();
    let target = target(dir.path());
    let writer = target.create_file(&file("f", 5_000)).unwrap();
    std::thread::scope(|scope| {
        for part in 0..4_u8 {
            let writer = &writer;
            scope.spawn(move || writer.write_at(u64::from(part) * 1_000, &[part; 1_000]).unwrap());
        }
    });
    writer.commit(&file("f", 5_000)).unwrap();
    let content = fs::read(dir.path().join("f")).unwrap();
    assert_eq!(content.len(), 5_000, "what was never written is a hole");
    assert!(content.chunks(1_000).zip([0, 1, 2, 3, 0]).all(|(chunk, part)| chunk.iter().all(|&byte| byte == part)));
}

#[test]
fn content_beyond_the_size_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let writer = target(dir.path()).create_file(&file("f", 4)).unwrap();
    writer.write_at(0, b"too long").unwrap();
    writer.commit(&file("f", 4)).unwrap();
    assert_eq!(fs::read(dir.path().join("f")).unwrap(), b"too ");
}

#[test]
fn directory_in_place_of_a_file_is_a_clear_error_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    tree::write(&dir.path().join("d/inside"), b"kept");
    let target = target(dir.path());
    let error = target.create_file(&file("d", 0)).unwrap().commit(&file("d", 0)).unwrap_err();
    assert!(error.to_string().contains("a directory stands in its place"), "{error}");
    let link = Entry { link_target: b"x".to_vec(), ..Entry::new(path("d"), EntryKind::Symlink) };
    assert!(target.create_special(&link).unwrap_err().to_string().contains("a directory stands in its place"));
    target.create_file(&file("f", 0)).unwrap().commit(&file("f", 0)).unwrap();
    assert!(target.create_hard_link(&file("d", 0), &path("f")).is_err());
    assert_eq!(names(dir.path()), ["d", "f"]);
    target.remove(&path("d")).unwrap();
    target.create_file(&file("d", 0)).unwrap().commit(&file("d", 0)).unwrap();
}

#[test]
fn file_in_place_of_a_directory_is_a_clear_error_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("f"), "kept").unwrap();
    let target = target(dir.path());
    let error = target.create_directory(&Entry::new(path("f"), EntryKind::Directory)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotADirectory);
    assert!(error.to_string().contains("no directory stands in the way"), "{error}");
    assert!(target.create_file(&file("f/x", 0)).is_err());
    assert_eq!(fs::read(dir.path().join("f")).unwrap(), b"kept");
}

#[test]
fn target_that_is_a_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("f"), "kept").unwrap();
    let source = FilesSnapshotter::new(FilesOptions::new([dir.path()])).unwrap();
    for bad in ["f", "f/below"] {
        let error = source.target(&TargetOptions::under(dir.path().join(bad))).err().unwrap();
        assert!(matches!(error, SourceError::BadTarget { .. }), "{error:?}");
    }
    source.target(&TargetOptions::under(dir.path().join("new/and/deeper"))).unwrap();
    assert!(dir.path().join("new/and/deeper").is_dir());
}

#[test]
fn existing_directory_is_kept_with_what_is_in_it() {
    let dir = tempfile::tempdir().unwrap();
    tree::write(&dir.path().join("d/mine"), b"kept");
    let target = target(dir.path());
    let entry = Entry { mode: 0o700, ..Entry::new(path("d"), EntryKind::Directory) };
    assert!(!target.create_directory(&entry).unwrap());
    assert!(target.create_directory(&Entry::new(path("d/new"), EntryKind::Directory)).unwrap());
    target.finish_directory(&entry).unwrap();
    assert_eq!(names(&dir.path().join("d")), ["mine", "new"]);
    assert_eq!(target.extra_names(&path("d"), &[b"new".to_vec()]).unwrap(), [b"mine".to_vec()]);
    assert_eq!(target.extra_names(&path("d"), &[]).unwrap().len(), 2, "a second listing begins anew");
}

#[test]
fn strays_of_a_killed_restore_are_swept_and_files_being_written_are_not() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("d")).unwrap();
    let stray = dir.path().join("d/.backup-restore-0123456789abcdef");
    fs::write(&stray, "half").unwrap();
    let (first, second) = (target(dir.path()), target(dir.path()));
    let writer = first.create_file(&file("d/f", 1)).unwrap();
    second.create_directory(&Entry::new(path("d"), EntryKind::Directory)).unwrap();
    assert!(!stray.exists());
    assert_eq!(
        second.extra_names(&path("d"), &[]).unwrap(),
        Vec::<Vec<u8>>::new(),
        "temporary names are nobody's files"
    );
    writer.write_at(0, b"x").unwrap();
    writer.commit(&file("d/f", 1)).unwrap();
    assert_eq!(names(&dir.path().join("d")), ["f"]);
}

#[test]
fn attributes_that_the_entry_does_not_have_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("f");
    fs::write(&at, "").unwrap();
    if !tree::set_xattr(&at, "user.extra", b"1") || !tree::set_xattr(&at, "system.posix_acl_access", &tree::acl(7)) {
        return;
    }
    tree::set_xattr(&at, "user.kept", b"old");
    let kept = Xattr { name: b"user.kept".to_vec(), value: b"new".to_vec() };
    target(dir.path()).set_metadata(&Entry { xattrs: vec![kept], mode: 0o640, ..file("f", 0) }).unwrap();
    let mut list = [0_u8; 256];
    let len = rustix::fs::listxattr(&at, &mut list[..]).unwrap();
    assert_eq!(&list[..len], b"user.kept\0");
    let mut value = [0_u8; 8];
    let len = rustix::fs::getxattr(&at, "user.kept", &mut value[..]).unwrap();
    assert_eq!(&value[..len], b"new");
    assert_eq!(fs::metadata(&at).unwrap().permissions().mode() & 0o7777, 0o640);
}

#[test]
fn list_inherited_from_the_directory_is_not_left_on_files_without_one() {
    let dir = tempfile::tempdir().unwrap();
    if !tree::set_xattr(dir.path(), "system.posix_acl_default", &tree::acl(7)) {
        return;
    }
    let target = target(dir.path());
    for name in ["a", "b"] {
        target.create_file(&file(name, 0)).unwrap().commit(&file(name, 0)).unwrap();
        let mut list = [0_u8; 256];
        assert_eq!(rustix::fs::listxattr(dir.path().join(name), &mut list[..]).unwrap(), 0, "{name}");
        assert_eq!(fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o7777, 0o644);
    }
    target.create_directory(&Entry::new(path("d"), EntryKind::Directory)).unwrap();
    target.finish_directory(&Entry::new(path("d"), EntryKind::Directory)).unwrap();
    let mut list = [0_u8; 256];
    assert_eq!(rustix::fs::listxattr(dir.path().join("d"), &mut list[..]).unwrap(), 0);
}

#[test]
fn attribute_that_can_not_be_set_is_named_and_the_file_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let bad = Xattr { name: b"nonsense.name".to_vec(), value: b"1".to_vec() };
    let entry = Entry { xattrs: vec![bad], ..file("f", 2) };
    let writer = target(dir.path()).create_file(&entry).unwrap();
    writer.write_at(0, b"ok").unwrap();
    let error = writer.commit(&entry).unwrap_err();
    assert!(error.to_string().contains("nonsense.name"), "{error}");
    assert_eq!(fs::read(dir.path().join("f")).unwrap(), b"ok");
    assert_eq!(fs::metadata(dir.path().join("f")).unwrap().mtime(), 1_000, "the rest is set");
}

#[test]
fn owners_are_set_as_the_policy_says() {
    if !crate::is_root() {
        return crate::skip("owners", "not root");
    }
    for (policy, expected) in [(OwnerPolicy::Never, 0), (OwnerPolicy::IfPrivileged, 7), (OwnerPolicy::Always, 7)] {
        let dir = tempfile::tempdir().unwrap();
        let source = FilesSnapshotter::new(FilesOptions::new(["/"])).unwrap();
        let mut options = TargetOptions::under(dir.path());
        options.owners = policy;
        let target = source.target(&options).unwrap();
        let entry = Entry { uid: 7, gid: 7, mode: 0o4755, ..file("f", 0) };
        target.create_file(&entry).unwrap().commit(&entry).unwrap();
        let m = fs::metadata(dir.path().join("f")).unwrap();
        let mode = if expected == 7 { 0o4755 } else { 0o755 };
        assert_eq!((m.uid(), m.gid(), m.mode() & 0o7777), (expected, expected, mode), "{policy:?}");
    }
}

#[test]
fn rights_that_a_change_of_owner_takes_away_are_given_back() {
    if !crate::is_root() {
        return crate::skip("owners", "not root");
    }
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("f"), "").unwrap();
    tree::set_mode(&dir.path().join("f"), 0o6755);
    target(dir.path()).set_metadata(&Entry { uid: 7, gid: 7, mode: 0o6755, ..file("f", 0) }).unwrap();
    let m = fs::metadata(dir.path().join("f")).unwrap();
    assert_eq!((m.uid(), m.gid(), m.mode() & 0o7777), (7, 7, 0o6755));
}

#[test]
fn file_in_a_set_group_directory_gets_its_own_group() {
    if !crate::is_root() {
        return crate::skip("groups", "not root");
    }
    let dir = tempfile::tempdir().unwrap();
    let group = Some(rustix::fs::Gid::from_raw(8));
    rustix::fs::chownat(rustix::fs::CWD, dir.path(), None, group, rustix::fs::AtFlags::empty()).unwrap();
    tree::set_mode(dir.path(), 0o2755);
    let target = target(dir.path());
    for name in ["a", "b"] {
        target.create_file(&file(name, 0)).unwrap().commit(&file(name, 0)).unwrap();
        assert_eq!(fs::metadata(dir.path().join(name)).unwrap().gid(), 0, "{name}");
    }
}

#[test]
fn existing_file_is_inspected_and_read_at_any_offset() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("f"), "0123456789").unwrap();
    std::os::unix::fs::symlink("f", dir.path().join("l")).unwrap();
    let target = target(dir.path());
    let found = target.inspect(&path("f")).unwrap().unwrap();
    assert_eq!((found.kind, found.size_bytes), (EntryKind::File, 10));
    let link = target.inspect(&path("l")).unwrap().unwrap();
    assert_eq!((link.kind, link.link_target.as_slice()), (EntryKind::Symlink, &b"f"[..]));
    assert_eq!(target.inspect(&path("none")).unwrap(), None);
    assert_eq!(target.inspect(&path("none/below")).unwrap(), None);
    let existing = target.open_existing(&path("f")).unwrap();
    let mut buffer = [0; 4];
    assert_eq!((existing.read_at(3, &mut buffer).unwrap(), &buffer), (4, b"3456"));
    assert_eq!(existing.read_at(8, &mut buffer).unwrap(), 2);
    assert_eq!(existing.read_at(80, &mut buffer).unwrap(), 0);
}

#[test]
fn second_name_of_a_file_is_put_in_place_of_what_was_there() {
    let dir = tempfile::tempdir().unwrap();
    let target = target(dir.path());
    target.create_file(&file("a", 0)).unwrap().commit(&file("a", 0)).unwrap();
    fs::write(dir.path().join("b"), "other").unwrap();
    for _ in 0..2 {
        target.create_hard_link(&file("b", 0), &path("a")).unwrap();
        assert_eq!(names(dir.path()), ["a", "b"]);
        assert_eq!(fs::metadata(dir.path().join("a")).unwrap().nlink(), 2);
    }
}

#[test]
fn directory_deleted_under_the_restore_is_an_error_and_remade_it_works() {
    let dir = tempfile::tempdir().unwrap();
    let target = target(dir.path());
    let entry = Entry::new(path("d"), EntryKind::Directory);
    target.create_directory(&entry).unwrap();
    target.create_file(&file("d/a", 0)).unwrap().commit(&file("d/a", 0)).unwrap();
    fs::remove_dir_all(dir.path().join("d")).unwrap();
    assert_eq!(target.create_file(&file("d/b", 0)).err().map(|error| error.kind), Some(ErrorKind::NotFound));
    fs::create_dir(dir.path().join("d")).unwrap();
    target.create_file(&file("d/b", 0)).unwrap().commit(&file("d/b", 0)).unwrap();
    assert_eq!(names(&dir.path().join("d")), ["b"]);
}

#[test]
fn restore_in_place_means_the_paths_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let source = FilesSnapshotter::new(FilesOptions::new([dir.path()])).unwrap();
    let target = source.target(&TargetOptions::in_place()).unwrap();
    let name = dir.path().canonicalize().unwrap().join("f");
    let entry = file(name.strip_prefix("/").unwrap().to_str().unwrap(), 0);
    target.create_file(&entry).unwrap().commit(&entry).unwrap();
    assert!(name.exists());
}
