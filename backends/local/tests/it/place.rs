//! A place for stores and what lies in it, seen by the standard library alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Every file below a directory by its path from there, with its size; nothing when there is no directory.
pub(crate) fn files(root: &Path) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    let mut dirs = vec![PathBuf::new()];
    while let Some(dir) = dirs.pop() {
        let Ok(entries) = fs::read_dir(root.join(&dir)) else { continue };
        for entry in entries {
            let Ok(entry) = entry else { continue };
            let path = dir.join(entry.file_name());
            // A file may be gone between the two looks; it was unfinished then.
            let Ok(metadata) = fs::symlink_metadata(root.join(&path)) else { continue };
            if metadata.is_dir() {
                dirs.push(path);
            } else {
                found.push((path.to_string_lossy().replace('\\', "/"), metadata.len()));
            }
        }
    }
    found.sort();
    found
}

/// Writes a file with the directories above it.
pub(crate) fn plant(root: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = root.join(name);
    fs::create_dir_all(path.parent().expect("a file lies in a directory")).expect("directories can be made");
    fs::write(&path, bytes).expect("a file can be written");
    path
}

/// Leaves what a killed put leaves.
pub(crate) fn plant_unfinished(root: &Path, age: Duration) {
    let name = format!("packs/ab/.tmp-00000000deadbeef-{}", age.as_secs());
    let path = plant(root, &name, b"half of an obj");
    let file = fs::File::options().write(true).open(path).expect("the file was just written");
    let written = file.metadata().and_then(|metadata| metadata.modified()).expect("a file has a time");
    file.set_modified(written - age).expect("a file's time can be set");
}
