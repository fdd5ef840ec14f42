//! The public suite on OpenSSH's server.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use backup_conformance::{FaultControl, Harness, RawView, Trouble};
use backup_core::{SecretRef, StorageBackend, StorageResult};
use backup_test_servers::{Disturbance, Sshd, SwitchedLine, Tmpfs};

use crate::place::{config, files, open, unique};

/// A put of 80,000 bytes is cut in its midst, and a listing of some hundred names, too.
const CUT_AFTER_BYTES: u64 = 20_000;

/// A read of 300,000 bytes is cut in its midst.
const CUT_READ_AFTER_BYTES: u64 = 100_000;

/// One case, one folder, and one line to the server.
struct Folder {
    path: PathBuf,
    line: OnceLock<SwitchedLine>,
    small: Mutex<Vec<Tmpfs>>,
    excuses: Vec<(&'static str, &'static str)>,
}

impl Folder {
    fn new() -> Self {
        let mut excuses = vec![
            ("too_large_is_refused", "the store has no limit of its own"),
            ("wrong_digest_leaves_nothing", "the protocol checks no digests"),
            ("undeclared_create_has_no_effect", "create-only puts are declared"),
            ("lock", "the protocol knows no retention"),
            ("cold", "the protocol knows no cold storage"),
            (
                "lost_answer_of_a_create_is_found_out",
                "what goes over the line is sealed: no answer can be told from another",
            ),
            (
                "lost_answer_of_a_delete_does_no_harm",
                "what goes over the line is sealed: no answer can be told from another",
            ),
            ("throttling_says_how_long", "the protocol has no word for it"),
            (
                "server_errors_pass",
                "the server can't be made to fail; `line` and `unreachable_store_may_come_back` cut it off",
            ),
            ("failures_do_not_add_up", "the server can't be made to fail"),
            ("corrupted_put_is_noticed", "the protocol checks no digests"),
            ("expired_access_is_renewed", "keys don't expire"),
            ("revoked_access_says_so", "who is in stays in; `login` tries keys that the server does not know"),
        ];
        let full = "full_store_refuses_and_goes_on";
        if let Err(reason) = Tmpfs::available() {
            eprintln!("SKIPPED {full}: {reason}");
            excuses.push((full, "mounting a tmpfs is not allowed here"));
        }
        let path = Sshd::shared().files().join(unique("suite"));
        Self { path, line: OnceLock::new(), small: Mutex::default(), excuses }
    }

    fn of(&self, space: &str) -> PathBuf {
        self.path.join(space)
    }

    fn line(&self) -> &SwitchedLine {
        self.line.get_or_init(|| SwitchedLine::to(Sshd::shared().port()))
    }

    /// A folder as a user with a passphrase reaches it.
    async fn at(&self, folder: PathBuf) -> StorageResult<Arc<dyn StorageBackend>> {
        let server = Sshd::shared();
        let mut config = config(server, &folder);
        config.port = Some(self.line().port());
        config.known_hosts = None;
        config.host_key = Some(server.host_key());
        config.identity_file = Some(server.locked_identity());
        config.passphrase = SecretRef::parse("env:PASSPHRASE").ok();
        Ok(Arc::new(open(&config).await?))
    }
}

#[async_trait]
impl Harness for Folder {
    async fn open(&self, space: &str) -> StorageResult<Arc<dyn StorageBackend>> {
        self.at(self.of(space)).await
    }

    async fn open_small(&self, space: &str, total_bytes: u64) -> StorageResult<Option<Arc<dyn StorageBackend>>> {
        let Ok(tmpfs) = Tmpfs::mount(&self.of(&format!("{space}-small")), total_bytes) else { return Ok(None) };
        let folder = tmpfs.path().to_owned();
        self.small.lock().unwrap().push(tmpfs);
        Ok(Some(self.at(folder).await?))
    }

    fn raw(&self) -> Option<&dyn RawView> {
        Some(self)
    }

    fn faults(&self) -> Option<&dyn FaultControl> {
        Some(self)
    }

    fn secrets(&self) -> Vec<String> {
        vec![Sshd::PASSPHRASE.to_owned()]
    }

    fn not_applicable(&self) -> &[(&'static str, &'static str)] {
        &self.excuses
    }

    async fn cleanup(&self, _space: &str) {
        self.small.lock().unwrap().clear();
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

#[async_trait]
impl FaultControl for Folder {
    async fn begin(&self, _space: &str, trouble: Trouble) -> bool {
        let disturbance = match trouble {
            Trouble::PutBreaks | Trouble::ListBreaks => Disturbance::CutAfter(CUT_AFTER_BYTES),
            Trouble::GetBreaks => Disturbance::CutAfter(CUT_READ_AFTER_BYTES),
            Trouble::Unreachable => Disturbance::CutAfter(0),
            Trouble::Stalls => Disturbance::Stall,
            // Answers are sealed, and nobody but the server could give others.
            _ => return false,
        };
        self.line().disturb(disturbance);
        true
    }

    async fn end(&self, _space: &str) {
        self.line().mend();
    }
}

#[async_trait]
impl RawView for Folder {
    async fn names(&self, space: &str) -> Vec<(String, u64)> {
        files(&self.of(space))
    }

    async fn plant(&self, space: &str, name: &str) -> bool {
        let file = self.of(space).join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, b"not ours").is_ok()
    }

    async fn plant_unfinished(&self, space: &str, age: Duration) -> bool {
        let folder = self.of(space).join("packs");
        std::fs::create_dir_all(&folder).unwrap();
        let file = std::fs::File::create(folder.join(unique(".tmp-planted"))).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
        true
    }
}

backup_conformance::suite! { Folder::new() }
