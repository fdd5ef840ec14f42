//! A store that fails now and then: the program tries again by itself, as often as the configuration says.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use async_trait::async_trait;
use backup_backend_local::LocalBackend;
use backup_core::registry::{BackendConfig, ConnectContext, Descriptor, InvalidConfig, OptionDoc, OptionKind};
use backup_core::storage::layer::{FaultBackend, FaultKind, FaultRule};
use backup_core::{StorageBackend, StorageResult};
use serde::{Deserialize, Serialize};

/// A directory of which every third operation fails, now before it did anything and now after.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FlakyConfig {
    path: PathBuf,
}

/// More operations than a command here makes.
const OPERATIONS: u64 = 600;

#[async_trait]
#[typetag::serde(name = "flaky")]
impl BackendConfig for FlakyConfig {
    fn validate(&self) -> Result<(), InvalidConfig> {
        Ok(())
    }

    fn location(&self) -> String {
        format!("flaky://{}", self.path.display())
    }

    async fn connect(&self, _context: &ConnectContext) -> StorageResult<Arc<dyn StorageBackend>> {
        let store = FaultBackend::new(Arc::new(LocalBackend::at(&self.path)?));
        for number in (0..OPERATIONS).step_by(6) {
            store.add(FaultRule::new(FaultKind::FailBefore).at(number));
            store.add(FaultRule::new(FaultKind::FailAfter).at(number + 3));
        }
        Ok(Arc::new(store))
    }
}

const OPTIONS: &[OptionDoc] = &[OptionDoc::required("path", OptionKind::Path, "The directory.")];

fn descriptor() -> Descriptor {
    Descriptor::backend::<FlakyConfig>("flaky", "tests")
        .summary("a directory that fails now and then")
        .options(OPTIONS)
        .example("path = \"/srv/flaky\"")
}

/// Where [`program`] finds its arguments, one a line.
const ARGUMENTS: &str = "TEST_FLAKY_ARGUMENTS";

#[test]
#[ignore = "runs in a process of its own, by the tests below"]
#[expect(clippy::disallowed_methods, reason = "the arguments of a test program come from whoever starts it")]
fn program() {
    let Ok(arguments) = std::env::var(ARGUMENTS) else { return };
    let exit = backup_cli::Cli::new().with(descriptor()).execute(arguments.lines());
    #[expect(clippy::exit, reason = "it stands for a program")]
    std::process::exit(exit.code().into());
}

fn backup(home: &Path, arguments: &[&str]) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "flaky::program", "--ignored", "--nocapture", "--test-threads=1"])
        .current_dir(home)
        .env_clear()
        .env("HOME", home)
        .env("BACKUP_PASSWORD", "secret")
        .env(ARGUMENTS, [&["backup", "-q"], arguments].concat().join("\n"))
        .output()
        .unwrap()
}

fn home(options: &str) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("store");
    let config = format!("[repository.flaky]\ntype = \"flaky\"\npath = {store:?}\n{options}\n");
    std::fs::create_dir_all(home.path().join(".config/backup")).unwrap();
    std::fs::write(home.path().join(".config/backup/config.toml"), config).unwrap();
    std::fs::create_dir(home.path().join("source")).unwrap();
    std::fs::write(home.path().join("source/file"), "content").unwrap();
    home
}

#[test]
fn store_that_fails_now_and_then_is_no_obstacle() {
    let home = home("");
    for arguments in
        [&["init"][..], &["create", "source"], &["check", "--read-data"], &["restore", "latest", "--target", "target"]]
    {
        let output = backup(home.path(), arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let source = home.path().canonicalize().unwrap().join("source/file");
    let restored = home.path().join("target").join(source.strip_prefix("/").unwrap());
    assert_eq!(std::fs::read_to_string(restored).unwrap(), "content");
}

#[test]
fn store_is_not_asked_again_where_the_configuration_forbids_it() {
    let home = home("retry_attempts = 1");
    let output = backup(home.path(), &["init"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(13), "{said}");
    assert!(said.contains("run the same command again later"), "{said}");
}
