//! The golden repositories, which earlier versions wrote, through the binary: it lists, checks and restores them, and adds to a copy.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::home::{Home, of_type, ran};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../backup-engine/tests/golden").join(name)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::write(target, fs::read(entry.path()).unwrap()).unwrap();
        }
    }
}

/// A user whose repository `r` is a copy of a golden one, and whose key opens it.
fn with_golden(name: &str) -> Home {
    let home = Home::with_key(&fs::read(folder(name).join("keys/key-file")).unwrap());
    copy(&folder(name).join("repository"), &home.join("r"));
    home
}

fn lines(name: &str, file: &str) -> Vec<Value> {
    let text = fs::read_to_string(folder(name).join(file)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The lines of the expected snapshots and entries of a golden repository, by snapshot.
fn expected(name: &str) -> BTreeMap<String, Vec<Value>> {
    let ids = lines(name, "snapshots.jsonl").into_iter().map(|line| line["id"].as_str().unwrap().to_owned());
    ids.map(|id| (id.clone(), lines(name, &format!("entries-{}.jsonl", &id[..8])))).collect()
}

#[test]
fn binary_lists_checks_and_restores_golden_repositories() {
    for name in ["v1-files", "v1-lists"] {
        let home = with_golden(name);
        home.done(&["check", "--read-data"]);
        for (id, entries) in expected(name) {
            let listed = home.json(&["ls", &id]);
            let listed = of_type(&listed, "entry");
            assert_eq!(listed.len(), entries.len());
            for (listed, entry) in listed.iter().zip(&entries) {
                for (key, is) in [("size_bytes", "size"), ("sha256", "sha256"), ("mode", "mode"), ("uid", "uid")] {
                    assert_eq!(listed[key], entry[is], "{listed}");
                }
            }
            // Whoever runs this may not be allowed to make devices, or to set all attributes.
            let files = entries.iter().filter(|entry| entry["kind"] == "-" && entry["path"].is_string());
            let files = files.filter(|entry| entry.get("xattrs").is_none() && entry["mode"] == "0644");
            let files: Vec<_> = files.map(|entry| (entry["path"].as_str().unwrap(), entry)).collect();
            let arguments = ["restore", &id, "--target", "out"].into_iter();
            home.done(&arguments.chain(files.iter().map(|(path, _)| *path)).collect::<Vec<_>>());
            for (path, entry) in files {
                let bytes = fs::read(home.join("out").join(path)).unwrap();
                assert_eq!(bytes.len() as u64, entry["size"], "{path}");
                if let (Some(digest), None) = (entry.get("sha256"), entry.get("extents")) {
                    let found: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
                    assert_eq!(found, *digest, "{path}");
                }
            }
            fs::remove_dir_all(home.join("out")).unwrap();
        }
    }
}

#[test]
fn binary_adds_to_a_copy_of_a_golden_repository() {
    let home = with_golden("v1-files");
    home.write("src/a.txt", "alpha\n");
    let created = home.json(&["create", "src"]);
    let id = created.last().unwrap()["snapshot"].as_str().unwrap();
    let password = home.write("password", fs::read(folder("v1-files").join("keys/password")).unwrap());
    #[cfg(unix)]
    fs::set_permissions(&password, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let mut other = home.bare(&["-r", "r", "--password-file", "password", "restore", id, "--target", "out"]);
    assert_eq!(ran(&mut other).code, 0);
    assert_eq!(fs::read(home.restored("out", "src/a.txt")).unwrap(), b"alpha\n");
    home.done(&["check", "--read-data"]);
    assert_eq!(home.json(&["snapshots"]).last().unwrap()["snapshots"], 4);
}
