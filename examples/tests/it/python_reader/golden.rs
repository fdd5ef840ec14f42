//! The golden repositories, whose keys and expected listings lie beside them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use backup_engine::crypto::sha256;
use base64::Engine;
use serde_json::Value;

use super::path;
use super::script::Reader;

/// The folder of each.
fn all() -> Vec<PathBuf> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("../backup-engine/tests/golden");
    let folders: Vec<_> = fs::read_dir(home).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.into_iter().filter(|folder| folder.is_dir()).collect()
}

fn lines(file: &Path) -> Vec<Value> {
    fs::read_to_string(file).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Snapshots by the beginning of their ids, each with the entries that it should have.
fn snapshots(golden: &Path) -> BTreeMap<String, Vec<Value>> {
    let ids = lines(&golden.join("snapshots.jsonl"));
    let ids = ids.iter().map(|line| line["id"].as_str().unwrap()[..8].to_owned());
    ids.map(|id| (id.clone(), lines(&golden.join(format!("entries-{id}.jsonl"))))).collect()
}

fn bytes(value: &Value) -> Vec<u8> {
    match value.as_str() {
        Some(text) => text.as_bytes().to_vec(),
        None => base64::engine::general_purpose::STANDARD.decode(value["base64"].as_str().unwrap()).unwrap(),
    }
}

#[test]
fn opens_golden_repositories_with_each_of_their_keys() {
    let Some(reader) = Reader::find() else { return };
    for golden in all() {
        for key in fs::read_dir(golden.join("keys")).unwrap().map(|entry| entry.unwrap().path()) {
            let text = String::from_utf8_lossy(&fs::read(&key).unwrap()).into_owned();
            let (option, value) = match key.file_name().and_then(OsStr::to_str).unwrap() {
                "key-file" | "keyring" => ("--key-file", path(&key)),
                "escrow-key" => ("--escrow-key-file", path(&key)),
                "password" => ("--password-env", "SECRET"),
                "recovery-code" => ("--recovery-code-env", "SECRET"),
                other => panic!("no option for {other}"),
            };
            let run = reader.command(&golden.join("repository"), &[option, value, "list"], &[("SECRET", &text)]);
            let listed = run.succeeds();
            let ids: Vec<&str> = listed.lines().map(|line| &line[..8]).collect();
            let mut expected: Vec<_> = snapshots(&golden).into_keys().collect();
            expected.sort_by_key(|id| ids.iter().position(|listed| listed == id));
            assert_eq!(ids, expected, "{key:?}");
        }
    }
}

#[test]
fn lists_restores_and_verifies_golden_repositories() {
    let Some(reader) = Reader::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    for golden in all() {
        let key = golden.join("keys/key-file");
        let run = |arguments: &[&str]| {
            reader.command(&golden.join("repository"), &[&["--key-file", path(&key)], arguments].concat(), &[])
        };
        assert!(run(&["verify"]).succeeds().ends_with("sound\n"), "{golden:?}");
        for (id, entries) in snapshots(&golden) {
            let listed = run(&["ls", &id]).succeeds();
            assert_eq!(listed.lines().count(), entries.len(), "{listed}");
            for (line, entry) in listed.lines().zip(&entries) {
                assert!(line.starts_with(entry["kind"].as_str().unwrap()), "{line}: {entry}");
                assert_eq!(line[10..].split_whitespace().next(), Some(entry["size"].to_string().as_str()), "{line}");
            }
            let target = folder.path().join(&id);
            // Sockets and devices are skipped, and it says so.
            run(&["restore", &id, path(&target)]).succeeds_with("skipped: ");
            assert_restored(&target, &entries);
        }
    }
}

/// Compares a folder with the entries that were to be restored into it, in both directions.
fn assert_restored(target: &Path, entries: &[Value]) {
    let mut inodes = BTreeMap::new();
    let mut expected = Vec::new();
    for entry in entries.iter().filter(|entry| !"scb".contains(entry["kind"].as_str().unwrap())) {
        let below = bytes(&entry["path"]);
        let file = target.join(OsStr::from_bytes(&below));
        let found = fs::symlink_metadata(&file).unwrap_or_else(|error| panic!("{file:?}: {error}"));
        match entry["kind"].as_str().unwrap() {
            "-" => {
                assert_eq!(found.len(), entry["size"].as_u64().unwrap(), "{file:?}");
                let digest = entry.get("sha256").map(|digest| digest.as_str().unwrap().to_owned());
                assert_eq!(data(&file, entry).map(|data| hex(&sha256(&data))), digest, "{file:?}");
                let inode = inodes.entry(entry["inode"].as_u64()).or_insert(found.ino());
                assert_eq!(*inode, found.ino(), "{file:?}: hard links stay together");
            }
            "d" => assert!(found.is_dir(), "{file:?}"),
            "p" => assert!(found.file_type().is_fifo(), "{file:?}"),
            "l" => {
                let target = fs::read_link(&file).unwrap();
                assert_eq!(target.as_os_str().as_bytes(), bytes(&entry["target"]), "{file:?}");
            }
            other => panic!("{other}"),
        }
        if entry["kind"] != "l" {
            // It drops the bits that speak for an owner.
            let mode = u32::from_str_radix(entry["mode"].as_str().unwrap(), 8).unwrap() & 0o1777;
            assert_eq!(found.mode() & 0o7777, mode, "{file:?}");
        }
        let modified = (found.mtime(), found.mtime_nsec());
        assert_eq!(serde_json::json!(modified), entry["modified"], "{file:?}");
        expected.push(below);
    }
    let mut found = Vec::new();
    names(target, target, &mut found);
    found.sort();
    expected.sort();
    assert!(found == expected, "{target:?} holds something else");
}

/// What lies in a file's extents; `None` where that is nothing.
fn data(file: &Path, entry: &Value) -> Option<Vec<u8>> {
    let whole = vec![serde_json::json!([0, entry["size"]])];
    let extents = entry.get("extents").map_or(&whole, |extents| extents.as_array().unwrap());
    let file = fs::File::open(file).unwrap();
    let mut data = Vec::new();
    for extent in extents {
        let mut part = vec![0; usize::try_from(extent[1].as_u64().unwrap()).unwrap()];
        file.read_exact_at(&mut part, extent[0].as_u64().unwrap()).unwrap();
        data.extend(part);
    }
    Some(data).filter(|data| !data.is_empty())
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The paths of everything below a folder.
fn names(folder: &Path, root: &Path, found: &mut Vec<Vec<u8>>) {
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        found.push(path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec());
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            names(&path, root, found);
        }
    }
}
