//! Dropbox, asked by rclone, by the vendor's own library for Python, and by hand.

mod by_hand;
mod rclone;
mod rclone_faults;
mod rules;
mod sdk;
mod sdk_access;
mod tables;

use std::collections::BTreeMap;
use std::path::Path;

/// Bytes that look like no others.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    std::iter::repeat_with(step).take(len).collect()
}

/// The files in a folder, by their paths from there with a slash before.
fn files_in(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(inside) = folders.pop() {
        for entry in std::fs::read_dir(inside).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = format!("/{}", path.strip_prefix(folder).unwrap().display());
                files.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    files
}
