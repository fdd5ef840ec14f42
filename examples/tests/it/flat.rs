//! The example backend keeps the contract, and a program that links it finds it by URL.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use async_trait::async_trait;
use backup_conformance::Harness;
use backup_core::{StorageBackend, StorageResult};
use backup_examples::flat::FlatBackend;
use tempfile::TempDir;

struct Flat(TempDir);

impl Flat {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }
}

#[async_trait]
impl Harness for Flat {
    async fn open(&self, space: &str) -> StorageResult<Arc<dyn StorageBackend>> {
        Ok(Arc::new(FlatBackend::open(&self.0.path().join(space))?))
    }

    fn not_applicable(&self) -> &[(&'static str, &'static str)] {
        &[
            ("failed_put_changes_nothing", "an example has no way to make a directory fail"),
            ("failure_is_not_the_end", "an example has no way to make a directory fail"),
            ("foreign_names_are_not_listed", "an example has no second way to look at the directory"),
            ("full_store_refuses_and_goes_on", "an example mounts no small file system"),
            ("cold", "a directory has no cold storage"),
            ("fault", "between a directory and its user is nothing that could break"),
            ("lock", "a directory has no object lock"),
            ("quota_moves_with_what_is_stored", "the example tells no quota"),
            ("old_uploads_are_removed_and_nothing_else", "the example leaves temporary files to their owner"),
            ("secrets_stay_inside", "a directory is opened without secrets"),
            ("too_large_is_refused", "a directory has no largest object"),
            ("undeclared_create_has_no_effect", "a directory has create-only puts"),
            ("wrong_digest_leaves_nothing", "the example does not check digests"),
        ]
    }
}

backup_conformance::suite!(Flat::new());

#[test]
fn a_program_that_links_the_backend_uses_it_by_url() {
    let directory = TempDir::new().unwrap();
    let source = directory.path().join("source");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("file"), b"content").unwrap();
    let url = format!("flat://{}/store", directory.path().display());
    let backup = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_flat-backup"))
            .args(["-q", "-r", &url])
            .args(arguments)
            .env("BACKUP_PASSWORD", "secret")
            .env("HOME", directory.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let target = directory.path().join("target");
    backup(&["init"]);
    backup(&["create", source.to_str().unwrap()]);
    backup(&["restore", "latest", "--target", target.to_str().unwrap()]);
    let restored: PathBuf = target.join(source.strip_prefix("/").unwrap()).join("file");
    assert_eq!(std::fs::read(restored).unwrap(), b"content");
    let listed = Command::new(env!("CARGO_BIN_EXE_flat-backup")).arg("backends").output().unwrap();
    assert!(String::from_utf8_lossy(&listed.stdout).contains("flat"), "{listed:?}");
}
