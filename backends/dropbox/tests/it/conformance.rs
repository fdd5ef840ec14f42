//! The public suite on the emulator.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backup_conformance::{FaultControl, Harness, RawView, Trouble};
use backup_core::{StorageBackend, StorageResult};
use backup_test_emulators::dropbox::Fault;
use backup_test_emulators::{Effect, Gate, Rule};

use crate::account::{APP, APP_SECRET, Account};

/// A put of 80,000 bytes is cut in its midst.
const CUT_AFTER_BYTES: usize = 20_000;

/// Entries of a page, so that a listing of some objects has more than one.
const PAGE_ENTRIES: usize = 3;

/// A read of 300,000 bytes is cut in its midst.
const CUT_READ_AFTER_BYTES: usize = 100_000;

/// One case, one account, and what requests wait for that stand still.
struct Place(Account, Gate);

const EXCUSES: &[(&str, &str)] = &[
    ("too_large_is_refused", "the largest object, 2 TiB, is too large for a test"),
    ("undeclared_create_has_no_effect", "create-only puts are declared"),
    ("lock", "Dropbox knows no retention"),
    ("cold", "Dropbox knows no cold storage"),
    ("undeclared_digest_is_harmless", "digests are checked"),
    (
        "corrupted_put_is_noticed",
        "no bit changes on a line with TLS; checksums that don't fit are tested beside the suite",
    ),
    ("old_uploads_are_removed_and_nothing_else", "unfinished uploads can't be listed, and Dropbox forgets them"),
];

#[async_trait]
impl Harness for Place {
    async fn open(&self, space: &str) -> StorageResult<Arc<dyn StorageBackend>> {
        Ok(Arc::new(self.0.open(space).await?))
    }

    async fn open_small(&self, space: &str, total_bytes: u64) -> StorageResult<Option<Arc<dyn StorageBackend>>> {
        self.0.dropbox.set_quota(total_bytes, 0, false);
        Ok(Some(Arc::new(self.0.open(space).await?)))
    }

    fn raw(&self) -> Option<&dyn RawView> {
        Some(self)
    }

    fn faults(&self) -> Option<&dyn FaultControl> {
        Some(self)
    }

    fn secrets(&self) -> Vec<String> {
        vec![self.0.tokens.refresh_token.clone(), self.0.tokens.access_token.clone(), APP_SECRET.to_owned()]
    }

    fn not_applicable(&self) -> &[(&'static str, &'static str)] {
        EXCUSES
    }
}

#[async_trait]
impl FaultControl for Place {
    async fn begin(&self, _space: &str, trouble: Trouble) -> bool {
        let faults = self.0.dropbox.faults();
        match trouble {
            Trouble::PutBreaks => {
                faults.add(Rule::always(Effect::CutRequest { after_bytes: CUT_AFTER_BYTES }).path("/2/files/upload"));
            }
            Trouble::ListBreaks => {
                self.0.dropbox.behave(|behaviour| behaviour.page_entries = Some(PAGE_ENTRIES));
                faults.add(Rule::always(Effect::Vendor(Fault::Unavailable)).path("/2/files/list_folder/continue"));
            }
            Trouble::GetBreaks => {
                faults.add(
                    Rule::always(Effect::CutReply { after_bytes: CUT_READ_AFTER_BYTES }).path("/2/files/download"),
                );
            }
            Trouble::AnswerLost => {
                for path in ["/2/files/upload", "/2/files/delete_v2"] {
                    faults.add(Rule::once(Effect::DoAndCut).path(path));
                }
            }
            Trouble::Throttled { after } => {
                let fault = Fault::TooManyRequests { retry_after_s: after.as_secs() };
                faults.add(Rule::always(Effect::Vendor(fault)));
            }
            Trouble::ServerErrors => {
                faults.add(Rule::always(Effect::Vendor(Fault::Unavailable)));
            }
            Trouble::Unreachable => {
                faults.add(Rule::always(Effect::CutRequest { after_bytes: 0 }));
            }
            Trouble::Stalls => {
                faults.add(Rule::always(Effect::Hold(self.1.clone())));
            }
            Trouble::TokenExpired => self.0.dropbox.expire_tokens(),
            Trouble::TokenRevoked => self.0.dropbox.revoke_tokens(),
            _ => return false,
        }
        true
    }

    async fn end(&self, _space: &str) {
        self.0.dropbox.faults().clear();
        self.1.open();
        self.0.dropbox.behave(|behaviour| behaviour.page_entries = None);
    }
}

#[async_trait]
impl RawView for Place {
    async fn names(&self, space: &str) -> Vec<(String, u64)> {
        let files = self.0.dropbox.files_of(APP).into_iter();
        let below = |name: &str| name.strip_prefix('/')?.strip_prefix(space)?.strip_prefix('/').map(str::to_owned);
        // Two names that Dropbox keeps for itself carry a mark.
        let plain = |name: String| match name.strip_suffix('~') {
            Some(name) if name.ends_with("desktop.ini") || name.ends_with("thumbs.db") => name.to_owned(),
            _ => name,
        };
        files.filter_map(|(name, file)| Some((plain(below(&name)?), file.bytes.len() as u64))).collect()
    }

    async fn plant(&self, space: &str, name: &str) -> bool {
        self.0.dropbox.plant_file_of(APP, &format!("/{space}/{name}"), "not ours");
        true
    }

    async fn plant_unfinished(&self, _space: &str, _age: Duration) -> bool {
        false
    }
}

backup_conformance::suite! { Place(Account::new(), Gate::new()) }
