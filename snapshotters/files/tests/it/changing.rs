//! Files that change between listing, opening and the last read. The test makes every change itself, at a known point.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use backup_core::{Entry, EntryKind, EntryReader, SourceView, Stability};
use backup_snapshotter_files::FilesOptions;

struct Captured {
    _dir: tempfile::TempDir,
    path: PathBuf,
    view: Box<dyn SourceView>,
    entry: Entry,
}

/// A file of ten bytes, listed a moment ago.
fn captured() -> Captured {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, "0123456789").unwrap();
    // Not now, so that any change gives another time.
    crate::tree::set_time(&path, 1_000_000, 5);
    let view = crate::view(FilesOptions::new([dir.path()]));
    let entry = view.entries().map(Result::unwrap).find(|entry| entry.kind == EntryKind::File).unwrap();
    Captured { _dir: dir, path, view, entry }
}

fn read_all(reader: &mut dyn EntryReader) -> Vec<u8> {
    let (mut all, mut buffer) = (Vec::new(), [0; 4]);
    loop {
        match reader.read(&mut buffer).unwrap() {
            0 => return all,
            count => all.extend_from_slice(&buffer[..count]),
        }
    }
}

fn append(path: &Path) {
    std::fs::OpenOptions::new().append(true).open(path).unwrap().write_all(b"more").unwrap();
}

#[test]
fn undisturbed_file_is_stable() {
    let mut c = captured();
    let mut reader = c.view.open(&mut c.entry).unwrap();
    assert_eq!(read_all(&mut *reader), b"0123456789");
    assert_eq!(reader.stability().unwrap(), Stability::Stable);
}

#[test]
fn file_that_grows_is_read_as_it_was_and_flagged() {
    let mut c = captured();
    let mut reader = c.view.open(&mut c.entry).unwrap();
    assert_eq!(reader.read(&mut [0; 4]).unwrap(), 4);
    append(&c.path);
    assert_eq!(read_all(&mut *reader), b"456789");
    assert_eq!(reader.stability().unwrap(), Stability::Changed);
}

#[test]
fn file_that_shrinks_ends_early_and_is_flagged() {
    let mut c = captured();
    let mut reader = c.view.open(&mut c.entry).unwrap();
    assert_eq!(reader.read(&mut [0; 4]).unwrap(), 4);
    std::fs::OpenOptions::new().write(true).open(&c.path).unwrap().set_len(6).unwrap();
    assert_eq!(read_all(&mut *reader), b"45");
    assert_eq!(reader.stability().unwrap(), Stability::Changed);
}

#[test]
fn rewrite_of_the_same_size_is_flagged() {
    let mut c = captured();
    let mut reader = c.view.open(&mut c.entry).unwrap();
    read_all(&mut *reader);
    std::fs::write(&c.path, "9876543210").unwrap();
    assert_eq!(reader.stability().unwrap(), Stability::Changed);
}

#[test]
fn rewrite_with_the_old_time_put_back_is_flagged_by_the_change_time() {
    let mut c = captured();
    let mut reader = c.view.open(&mut c.entry).unwrap();
    read_all(&mut *reader);
    std::fs::write(&c.path, "9876543210").unwrap();
    crate::tree::set_time(&c.path, 1_000_000, 5);
    assert_eq!(reader.stability().unwrap(), Stability::Changed);
}

#[test]
fn file_replaced_while_it_is_read_gives_the_old_state_whole() {
    let mut c = captured();
    let mut reader = c.view.open(&mut c.entry).unwrap();
    assert_eq!(reader.read(&mut [0; 4]).unwrap(), 4);
    let other = c.path.with_extension("new");
    std::fs::write(&other, "other").unwrap();
    std::fs::rename(&other, &c.path).unwrap();
    assert_eq!(read_all(&mut *reader), b"456789");
    // Its last name is gone, which the change time shows; the bytes are one state all the same.
    assert_eq!(reader.stability().unwrap(), Stability::Changed);
    let mut again = c.view.open(&mut c.entry).unwrap();
    assert_eq!((read_all(&mut *again), again.stability().unwrap()), (b"other".to_vec(), Stability::Stable));
    assert_eq!(c.entry.size_bytes, 5);
}

#[test]
fn file_changed_between_listing_and_opening_has_the_metadata_of_what_was_opened() {
    let mut c = captured();
    let listed = c.entry.clone();
    append(&c.path);
    crate::tree::set_mode(&c.path, 0o600);
    let mut reader = c.view.open(&mut c.entry).unwrap();
    assert_eq!(read_all(&mut *reader), b"0123456789more");
    assert_eq!(reader.stability().unwrap(), Stability::Stable);
    assert_eq!((c.entry.size_bytes, c.entry.mode, c.entry.inode), (14, 0o600, listed.inode));
    assert!(!c.entry.unchanged_since(&listed));
}

#[test]
fn file_that_vanished_is_an_error_of_its_entry() {
    let mut c = captured();
    std::fs::remove_file(&c.path).unwrap();
    let error = c.view.open(&mut c.entry).err().unwrap();
    assert_eq!((error.kind, error.path), (ErrorKind::NotFound, c.entry.path));
}

#[test]
fn pipe_in_place_of_a_file_is_noticed_without_waiting_for_a_writer() {
    let mut c = captured();
    std::fs::remove_file(&c.path).unwrap();
    let mode = rustix::fs::Mode::RWXU;
    rustix::fs::mknodat(rustix::fs::CWD, &c.path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let error = c.view.open(&mut c.entry).err().unwrap();
    assert!(error.to_string().contains("no regular file any more"), "{error}");
    assert_eq!(c.entry.kind, EntryKind::Fifo, "the entry says what it is now");
    c.view.load(&mut c.entry).unwrap();
}

#[test]
fn link_in_place_of_a_file_or_on_the_way_to_it_is_not_followed() {
    let secret = tempfile::tempdir().unwrap();
    std::fs::write(secret.path().join("file"), "secret").unwrap();
    let mut c = captured();
    std::fs::remove_file(&c.path).unwrap();
    std::os::unix::fs::symlink(secret.path().join("file"), &c.path).unwrap();
    assert!(c.view.open(&mut c.entry).is_err());

    let mut c = captured();
    let parent = c.path.parent().unwrap();
    std::fs::rename(parent, secret.path().join("moved")).unwrap();
    std::os::unix::fs::symlink(secret.path(), parent).unwrap();
    assert!(c.view.open(&mut c.entry).is_err());
    std::fs::remove_file(parent).unwrap();
    std::fs::create_dir(parent).unwrap();
}

#[test]
fn files_that_do_not_tell_their_size_are_read_and_never_called_stable() {
    let view = crate::view(FilesOptions::new(["/proc/self/status"]));
    let Some(mut entry) = view.entries().filter_map(Result::ok).find(|entry| entry.kind == EntryKind::File) else {
        return crate::skip("a file without a size", "no /proc");
    };
    let mut reader = view.open(&mut entry).unwrap();
    assert!(read_all(&mut *reader).starts_with(b"Name:"));
    assert_eq!(reader.stability().unwrap(), Stability::Changed);
}

#[test]
fn reading_leaves_no_access_time() {
    use std::os::unix::fs::MetadataExt;
    let mut c = captured();
    let before = c.path.metadata().unwrap().atime();
    read_all(&mut *c.view.open(&mut c.entry).unwrap());
    assert_eq!(c.path.metadata().unwrap().atime(), before);
}

#[test]
fn directory_that_vanishes_under_the_walk_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a/1", "b/2", "c/3"] {
        crate::tree::write(&dir.path().join(name), b"");
    }
    let view = crate::view(FilesOptions::new([dir.path()]));
    let mut names = Vec::new();
    for item in view.entries() {
        let name = item.unwrap().path.to_string();
        if name.ends_with("/a") {
            std::fs::remove_dir_all(dir.path().join("b")).unwrap();
        }
        names.push(name);
    }
    assert!(names.iter().any(|name| name.ends_with("c/3")) && !names.iter().any(|name| name.contains("/b")));
}
