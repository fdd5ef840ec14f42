//! What an ordinary user can capture and restore.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;

use backup_core::{Entry, EntryKind, EntryPath, Xattr};
use backup_snapshotter_files::FilesOptions;

use crate::fidelity::{below, target};
use crate::pump::pump;
use crate::tree;

const NOBODY: &str = "65534";

fn as_nobody(test: &str) {
    let dir = tempfile::tempdir().unwrap();
    tree::set_mode(dir.path(), 0o777);
    if !crate::is_root() {
        crate::run_apart(&["env"], test, dir.path());
        return;
    }
    if !crate::has("setpriv") {
        return crate::skip(test, "setpriv is not installed, and this is root");
    }
    // Where this binary lies, others may have no access.
    let place = tempfile::tempdir().unwrap();
    tree::set_mode(place.path(), 0o755);
    let copy = place.path().join("it");
    fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    let nobody = ["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"];
    crate::run_copy_apart(&copy, &nobody, test, dir.path());
}

#[test]
fn unreadable_things_are_errors_and_the_rest_is_captured() {
    as_nobody("unprivileged::capture");
}

#[test]
#[ignore = "runs as nobody, by the test above"]
fn capture() {
    let dir = std::env::current_dir().unwrap();
    for name in ["a/secret", "b/locked/x", "c/listed/x", "d/file"] {
        tree::write(&dir.join(name), b"1");
    }
    tree::set_mode(&dir.join("a/secret"), 0o000);
    tree::set_mode(&dir.join("b/locked"), 0o000);
    tree::set_mode(&dir.join("c/listed"), 0o400);
    let view = crate::view(FilesOptions::new([&dir]));
    let (mut names, mut errors) = (Vec::new(), Vec::new());
    for item in view.entries() {
        match item {
            Ok(mut entry) => {
                let opened =
                    if entry.kind == EntryKind::File { view.open(&mut entry).map(drop) } else { view.load(&mut entry) };
                errors.extend(opened.err());
                names.push(entry.path.to_string());
            }
            Err(error) => errors.push(error),
        }
    }
    for mode in ["b/locked", "c/listed"] {
        tree::set_mode(&dir.join(mode), 0o700);
    }
    let ends = |name: &str| names.iter().any(|path| path.ends_with(name));
    assert!(ends("/a/secret") && ends("/b/locked") && ends("/c/listed") && ends("/d/file"));
    let mut failed: Vec<_> = errors.iter().map(|e| (e.path.name().to_vec(), e.kind)).collect();
    failed.sort();
    let denied = |name: &[u8]| (name.to_vec(), ErrorKind::PermissionDenied);
    assert_eq!(failed, [denied(b"locked"), denied(b"secret"), denied(b"x")]);
}

#[test]
fn user_restores_what_is_theirs_with_read_only_directories() {
    as_nobody("unprivileged::restore");
}

#[test]
#[ignore = "runs as nobody, by the test above"]
fn restore() {
    let dir = std::env::current_dir().unwrap();
    let (source, out) = (dir.join("source"), dir.join("out"));
    tree::write(&source.join("sealed/inner/file"), b"1");
    tree::write(&source.join("sealed/write-only/file"), b"2");
    tree::set_xattr(&source.join("sealed/inner/file"), "user.note", b"kept");
    tree::set_mode(&source.join("sealed/inner/file"), 0o400);
    for (name, mode) in [("sealed/inner", 0o555), ("sealed", 0o500)] {
        tree::set_mode(&source.join(name), mode);
    }
    // Twice: into nothing, and over the read-only directories of the first time.
    for _ in 0..2 {
        let report = pump(&*crate::view(FilesOptions::new([&source])), &*target(&out));
        // The directories above the source belong to others.
        let (own, foreign): (Vec<_>, Vec<_>) =
            report.problems.iter().partition(|problem| problem.path.to_string().contains("/source"));
        assert_eq!((own, foreign), (vec![], vec![]));
        crate::compare::assert_same(&source, &below(&out, &source));
    }
}

#[test]
fn read_only_directory_that_a_restore_passes_through_is_read_only_again() {
    as_nobody("unprivileged::passed");
}

#[test]
#[ignore = "runs as nobody, by the test above"]
fn passed() {
    let dir = std::env::current_dir().unwrap();
    let mode_of = |name: &str| fs::metadata(dir.join(name)).unwrap().permissions().mode() & 0o7777;
    let entry = |text: &str, kind| Entry { mode: 0o600, ..Entry::new(EntryPath::new(text.as_bytes()).unwrap(), kind) };
    let modes = [("sealed/inner", 0o550), ("sealed", 0o500)];
    fs::create_dir_all(dir.join("sealed/inner")).unwrap();
    for is_finished in [true, false] {
        modes.iter().for_each(|(name, mode)| tree::set_mode(&dir.join(name), *mode));
        let name = if is_finished { "sealed/inner/finished" } else { "sealed/inner/ended early" };
        let target = target(&dir);
        for above in ["sealed", "sealed/inner"] {
            assert!(!target.create_directory(&entry(above, EntryKind::Directory)).unwrap());
        }
        let file = entry(name, EntryKind::File);
        target.create_file(&file).unwrap().commit(&file).unwrap();
        if is_finished {
            target.finish().unwrap();
        } else {
            drop(target);
        }
        assert!(dir.join(name).exists());
        assert_eq!(modes.map(|(name, _)| (name, mode_of(name))), modes, "finished: {is_finished}");
    }
    modes.iter().rev().for_each(|(name, _)| tree::set_mode(&dir.join(name), 0o700));
}

#[test]
fn user_gets_no_foreign_owners_and_no_lent_rights() {
    as_nobody("unprivileged::foreign");
}

#[test]
#[ignore = "runs as nobody, by the test above"]
fn foreign() {
    let dir = std::env::current_dir().unwrap();
    let target = target(&dir);
    let path = |text: &str| EntryPath::new(text.as_bytes()).unwrap();
    let entry = Entry { uid: 0, gid: 0, mode: 0o6755, ..Entry::new(path("f"), EntryKind::File) };
    target.create_file(&entry).unwrap().commit(&entry).unwrap();
    assert_eq!(fs::metadata(dir.join("f")).unwrap().permissions().mode() & 0o7777, 0o755);
    let capability = Xattr { name: b"security.capability".to_vec(), value: vec![0; 20] };
    let capable = Entry { path: path("g"), xattrs: vec![capability], ..entry };
    let error = target.create_file(&capable).unwrap().commit(&capable).unwrap_err();
    assert!(error.to_string().contains("security.capability"), "{error}");
    assert!(dir.join("g").exists());
    let device = Entry { device_number: (1, 3), ..Entry::new(path("null"), EntryKind::CharDevice) };
    assert_eq!(target.create_special(&device).unwrap_err().kind, ErrorKind::PermissionDenied);
}
