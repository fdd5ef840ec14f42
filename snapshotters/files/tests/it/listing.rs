//! Roots, mount points and what else decides what is listed.

use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::Path;

use backup_core::{
    CancelToken, Coverage, Entry, EntryKind, ManualClock, Snapshotter, SourceContext, SourceError, SourceView,
    SystemClock, Timestamp,
};
use backup_snapshotter_files::{FilesOptions, FilesSnapshotter};

use crate::tree::write;

/// The names below a directory that some options list, and the errors with their kind.
fn listed(dir: &Path, options: FilesOptions) -> (Vec<String>, Vec<(String, ErrorKind)>) {
    names(dir, &*crate::view(options))
}

fn names(dir: &Path, view: &dyn SourceView) -> (Vec<String>, Vec<(String, ErrorKind)>) {
    let prefix = dir.canonicalize().unwrap().strip_prefix("/").unwrap().display().to_string() + "/";
    let (mut names, mut errors) = (Vec::new(), Vec::new());
    for item in view.entries() {
        match item {
            Ok(entry) => names.extend(entry.path.to_string().strip_prefix(&prefix).map(str::to_owned)),
            Err(error) => errors.push((error.path.to_string().replace(&prefix, ""), error.kind)),
        }
    }
    (names, errors)
}

#[test]
fn every_ancestor_of_a_root_is_an_entry_and_nothing_else_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("a/b/root/file"), b"");
    write(&dir.path().join("a/other"), b"");
    let entries: Vec<Entry> =
        crate::view(FilesOptions::new([dir.path().join("a/b/root")])).entries().map(Result::unwrap).collect();
    let root = dir.path().canonicalize().unwrap().join("a/b/root");
    let ancestors: Vec<String> =
        root.ancestors().filter_map(|p| p.strip_prefix("/").ok()).map(|p| p.display().to_string()).collect();
    let mut expected: Vec<String> = ancestors.into_iter().filter(|path| !path.is_empty()).rev().collect();
    expected.push(format!("{}/file", root.strip_prefix("/").unwrap().display()));
    assert_eq!(entries.iter().map(|entry| entry.path.to_string()).collect::<Vec<_>>(), expected);
    assert!(entries.iter().take(entries.len() - 1).all(|entry| entry.kind == EntryKind::Directory && entry.inode != 0));
}

#[test]
fn overlapping_roots_are_listed_once() {
    let dir = tempfile::tempdir().unwrap();
    for file in ["a/x/1", "a/y/2", "a-b/3", "b/4"] {
        write(&dir.path().join(file), b"");
    }
    let roots = ["a/x", "a", "b/4", "a-b", "a/x/1", "a"].map(|name| dir.path().join(name));
    let (names, errors) = listed(dir.path(), FilesOptions::new(roots.clone()));
    assert_eq!(names, ["a", "a/x", "a/x/1", "a/y", "a/y/2", "a-b", "a-b/3", "b", "b/4"]);
    assert_eq!(errors, []);
    let described = FilesSnapshotter::new(FilesOptions::new(roots)).unwrap().describe();
    let outer: Vec<bool> =
        ["a", "a-b", "b/4"].iter().zip(&described.roots).map(|(n, r)| r.to_string().ends_with(n)).collect();
    assert_eq!((described.roots.len(), outer), (3, vec![true; 3]));
}

#[test]
fn root_inside_an_excluded_directory_is_still_captured() {
    let dir = tempfile::tempdir().unwrap();
    for file in ["a/skip/in/1", "a/skip/2", "a/in/3"] {
        write(&dir.path().join(file), b"");
    }
    let mut options = FilesOptions::new([dir.path().join("a"), dir.path().join("a/skip/in")]);
    options.exclude = vec!["skip".into(), "in".into()];
    assert_eq!(listed(dir.path(), options).0, ["a", "a/skip", "a/skip/in", "a/skip/in/1"]);
}

/// What a restore may remove beside the backup's own entries hangs on this.
#[test]
fn directories_say_how_much_of_them_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    for file in
        ["all/a", "all/in/b", "cache/b", "ignored/a", "ignored/b", "own/a", "own/repository/x", "some/a", "some/x.tmp"]
    {
        write(&dir.path().join("r").join(file), b"x");
    }
    write(&dir.path().join("r/ignored/.ignore"), b"b\n");
    write(&dir.path().join("r/cache/CACHEDIR.TAG"), b"Signature: 8a477f597d28d172789f06886806bc55\n");
    let mut options = FilesOptions::new([dir.path().join("r")]);
    options.exclude = vec!["*.tmp".into()];
    options.ignore_files = vec![".ignore".into()];
    options.exclude_caches = true;
    let left_out = [dir.path().join("r/own/repository")];
    let above = dir.path().canonicalize().unwrap().strip_prefix("/").unwrap().display().to_string();
    let coverage = |options: FilesOptions| -> Vec<(String, Coverage)> {
        let (clock, cancel) = (SystemClock::new(), CancelToken::new());
        let context = SourceContext { left_out: &left_out, ..SourceContext::new(&clock, &cancel) };
        let view = FilesSnapshotter::new(options).unwrap().begin(&context).unwrap();
        let directories = view.entries().map(Result::unwrap).filter(|entry| entry.kind == EntryKind::Directory);
        directories.map(|entry| (entry.path.to_string(), entry.coverage)).collect()
    };
    let found = coverage(options.clone());
    let (leading, within): (Vec<_>, Vec<_>) = found.into_iter().partition(|(path, _)| above.starts_with(path.as_str()));
    assert!(leading.len() > 1 && leading.iter().all(|(_, coverage)| *coverage == Coverage::LeadIn), "{leading:?}");
    let expected = [
        ("r", Coverage::Whole),
        ("r/all", Coverage::Whole),
        ("r/all/in", Coverage::Whole),
        ("r/cache", Coverage::Part),
        ("r/ignored", Coverage::Part),
        ("r/own", Coverage::Part),
        ("r/some", Coverage::Part),
    ];
    assert_eq!(within, expected.map(|(name, coverage)| (format!("{above}/{name}"), coverage)));
    options.max_file_bytes = Some(100);
    assert!(coverage(options).iter().all(|(_, coverage)| *coverage != Coverage::Whole), "any file may be too large");
}

#[test]
fn what_is_left_out_by_path_is_never_entered_through_any_root() {
    let dir = tempfile::tempdir().unwrap();
    for file in ["a/repository/x/1", "a/repository-old/2", "a/3", "b/4"] {
        write(&dir.path().join(file), b"");
    }
    symlink("a", dir.path().join("link")).unwrap();
    let options = FilesOptions::new(["a", "a/repository/x", "b"].map(|name| dir.path().join(name)));
    let left_out = ["link/repository", "b/4", "b", "none/at/all"].map(|name| dir.path().join(name));
    let (clock, cancel) = (SystemClock::new(), CancelToken::new());
    let context = SourceContext { left_out: &left_out, ..SourceContext::new(&clock, &cancel) };
    let view = FilesSnapshotter::new(options).unwrap().begin(&context).unwrap();
    let found = names(dir.path(), &*view).0;
    assert_eq!(found, ["a", "a/3", "a/repository-old", "a/repository-old/2", "b"], "a root was asked for by name");
}

#[test]
fn missing_roots_are_errors_and_the_others_go_on() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("a/1"), b"");
    let roots = ["a", "a/none", "none/x", "none/y", "a/1/below"].map(|name| dir.path().join(name));
    let (names, mut errors) = listed(dir.path(), FilesOptions::new(roots));
    assert_eq!(names, ["a", "a/1"]);
    errors.sort();
    let expected = [
        ("a/1/below", ErrorKind::NotADirectory),
        ("a/none", ErrorKind::NotFound),
        ("none/x", ErrorKind::NotFound),
        ("none/y", ErrorKind::NotFound),
    ];
    assert_eq!(errors, expected.map(|(name, kind)| (name.to_owned(), kind)));
}

#[test]
fn source_without_any_root_left_is_an_error_that_names_them() {
    let source = FilesSnapshotter::new(FilesOptions::new(["/none/a", "/none/b"])).unwrap();
    let error = source.begin(&SourceContext::new(&SystemClock::new(), &CancelToken::new())).err();
    let Some(SourceError::NotFound(names)) = error else { panic!("{error:?}") };
    assert_eq!(names, "/none/a`, `/none/b");
}

#[test]
fn root_that_is_a_link_is_captured_with_what_it_leads_to() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("real/file"), b"");
    symlink("real", dir.path().join("link")).unwrap();
    let with = |root: &str| listed(dir.path(), FilesOptions::new([dir.path().join(root)])).0;
    symlink("nowhere", dir.path().join("broken")).unwrap();
    assert_eq!(with("link"), ["link", "real", "real/file"]);
    assert_eq!(with("broken"), ["broken"]);
    assert_eq!(with("link/"), ["real", "real/file"]);
    assert_eq!(with("link/file"), ["real", "real/file"]);
}

#[test]
fn root_that_is_a_file_is_captured_whatever_the_patterns_say() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("file.tmp"), b"12345");
    let mut options = FilesOptions::new([dir.path().join("file.tmp")]);
    options.exclude = vec!["*.tmp".into()];
    options.include = vec!["*.rs".into()];
    options.max_file_bytes = Some(1);
    assert_eq!(listed(dir.path(), options).0, ["file.tmp"]);
}

#[test]
fn slash_as_root_lists_the_top_and_takes_patterns_from_there() {
    let mut options = FilesOptions::new(["/"]);
    options.include = vec!["/etc/passwd".into()];
    options.exclude = vec!["/*".into(), "!/etc".into()];
    options.one_file_system = true;
    let names: Vec<String> =
        crate::view(options).entries().filter_map(Result::ok).map(|entry| entry.path.to_string()).collect();
    assert_eq!(names, ["etc", "etc/passwd"]);
    assert!(FilesSnapshotter::new(FilesOptions::new(["/", "/etc"])).unwrap().describe().roots.is_empty());
}

#[test]
fn other_file_systems_are_kept_as_empty_directories_unless_named() {
    use std::os::unix::fs::MetadataExt;
    let device = |path: &str| Path::new(path).metadata().map(|metadata| metadata.dev());
    let Ok(inside) = tempfile::tempdir_in("/dev/shm") else {
        return crate::skip("one file system", "/dev/shm can't be written to");
    };
    if device("/dev").ok() == device("/dev/shm").ok() {
        return crate::skip("one file system", "/dev/shm is no mount point");
    }
    write(&inside.path().join("file"), b"");
    let prefix = inside.path().strip_prefix("/").unwrap().display().to_string();
    let with = |roots: &[&Path], one: bool| {
        let mut options = FilesOptions::new(roots.iter().copied());
        options.one_file_system = one;
        let entries =
            crate::view(options).entries().filter_map(Result::ok).map(|e| e.path.to_string()).collect::<Vec<_>>();
        (entries.contains(&"dev/shm".to_owned()), entries.contains(&format!("{prefix}/file")))
    };
    assert_eq!(with(&[Path::new("/dev")], true), (true, false));
    assert_eq!(with(&[Path::new("/dev")], false), (true, true));
    assert_eq!(with(&[Path::new("/dev"), inside.path()], true), (true, true), "a root of its own");
}

#[test]
fn special_files_are_listed_as_such_and_never_opened() {
    let dir = tempfile::tempdir().unwrap();
    crate::tree::nasty(&dir.path().join("t"));
    let view = crate::view(FilesOptions::new([dir.path()]));
    let entries: Vec<Entry> = view.entries().map(Result::unwrap).collect();
    let kind = |name: &str| entries.iter().find(|e| e.path.to_string().ends_with(name)).map(|e| (e.kind, e.size_bytes));
    assert_eq!(kind("special/pipe"), Some((EntryKind::Fifo, 0)));
    assert_eq!(kind("special/socket"), Some((EntryKind::Socket, 0)));
    assert_eq!(kind("links/loop1"), Some((EntryKind::Symlink, 0)));
    if let Some(null) = entries.iter().find(|e| e.path.to_string().ends_with("special/null")) {
        assert_eq!((null.kind, null.device_number), (EntryKind::CharDevice, (1, 3)));
    }
}

#[test]
fn recent_files_are_racy_by_the_clock_that_was_handed_in() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("file"), b"");
    let changed = {
        use std::os::unix::fs::MetadataExt;
        dir.path().join("file").metadata().unwrap().ctime()
    };
    let racy = |now: i64| {
        let source = FilesSnapshotter::new(FilesOptions::new([dir.path()])).unwrap();
        let clock = ManualClock::new(Timestamp::from_secs(now));
        let view = source.begin(&SourceContext::new(&clock, &CancelToken::new())).unwrap();
        let mut file = view.entries().map(Result::unwrap).find(|entry| entry.kind == EntryKind::File).unwrap();
        let listed = file.racy;
        view.open(&mut file).unwrap();
        assert_eq!(file.racy, listed);
        listed
    };
    assert!(racy(changed));
    assert!(!racy(changed + 60));
}

#[test]
fn cancelled_listing_ends_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    for index in 0..10 {
        write(&dir.path().join(index.to_string()), b"");
    }
    let cancel = CancelToken::new();
    let source = FilesSnapshotter::new(FilesOptions::new([dir.path()])).unwrap();
    let view = source.begin(&SourceContext::new(&SystemClock::new(), &cancel)).unwrap();
    let mut entries = view.entries();
    assert!(entries.next().is_some());
    cancel.cancel();
    assert!(entries.count() <= 1);
    assert!(matches!(view.finish(), Err(SourceError::Cancelled)));
    assert!(source.begin(&SourceContext::new(&SystemClock::new(), &cancel)).is_err());
}

#[test]
fn names_of_owners_come_with_the_listing() {
    let root = crate::view(FilesOptions::new(["/etc/passwd"])).entries().last().unwrap().unwrap();
    assert_eq!((root.uid, root.user.as_deref()), (0, Some("root")));
}
