//! The vendor's own client for Python, with the description of the service that it brings along.

use backup_test_emulators::drive::{Account, DriveFault, Scope, refusal};
use backup_test_emulators::{Effect, GoogleDrive, Rule};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::programs::{command, run};

/// The client with a Drive of its own.
struct Client {
    drive: GoogleDrive,
    account: Account,
    refresh_token: String,
    home: TempDir,
}

impl Client {
    fn new() -> Self {
        let drive = GoogleDrive::start();
        let account = drive.account("anna@example.org");
        let refresh_token = account.refresh_token(Scope::Drive);
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("google_client.py"), include_str!("google_client.py")).unwrap();
        Self { drive, account, refresh_token, home }
    }

    /// Runs a step and gives what it says at its end.
    fn step(&self, step: &str, more: &[&str]) -> Value {
        let mut python = command("python3", self.home.path());
        python.arg("google_client.py").arg(self.drive.url()).arg(self.drive.ca_file()).arg(&self.refresh_token);
        python.args([GoogleDrive::CLIENT_ID, GoogleDrive::CLIENT_SECRET, step]).args(more);
        serde_json::from_str(run(&mut python).ok().trim()).unwrap()
    }

    fn only_file(&self) -> String {
        let files = self.drive.files();
        assert_eq!(files.len(), 1, "{files:?}");
        files[0].id.clone()
    }
}

#[test]
fn files_of_every_size_arrive_and_come_back() {
    let client = Client::new();
    let ids = client.step("roundtrip", &[]);
    assert_eq!(ids.as_object().unwrap().len(), 14);
    for file in client.drive.files() {
        let len: u64 = file.name.split(' ').next().unwrap().parse().unwrap();
        assert_eq!((file.size_bytes, ids[&file.name].as_str()), (len, Some(file.id.as_str())));
    }
}

#[test]
fn files_are_listed_moved_changed_copied_and_removed() {
    let client = Client::new();
    let told = client.step("files", &[]);
    assert_eq!(told["pages"], 3);
    assert_eq!(client.drive.files().len() as u64, told["left"].as_u64().unwrap());
}

#[test]
fn short_and_empty_pages_make_no_difference_to_what_is_listed() {
    let client = Client::new();
    client.drive.set(|knobs| {
        knobs.first_page_is_empty = true;
        knobs.page_at_most = Some(6);
    });
    // One without anything, four full ones and one with the last file.
    assert_eq!(client.step("files", &[])["pages"], 6);
}

#[test]
fn ids_are_generated_and_used_once() {
    let client = Client::new();
    let ids = client.step("ids", &[]);
    assert_eq!(ids["ids"].as_array().unwrap().len(), 3);
    assert!(client.drive.files().is_empty());
}

#[test]
fn quota_and_changes_and_shared_drives_are_told() {
    let client = Client::new();
    client.account.set_quota(Some(1_000));
    let id = client.drive.shared_drive("ours", &[&client.account]);
    assert_eq!(client.step("drives", &[&id]), json!({}));
    client.step("changes", &[]);
    let about = client.step("about", &[]);
    let quota = json!({"limit": "1000", "usage": "4", "usageInDrive": "4", "usageInDriveTrash": "0"});
    assert_eq!(about["storageQuota"], quota);
    client.account.set_quota(None);
    assert_eq!(client.step("about", &[])["storageQuota"].get("limit"), None);
    assert_eq!(about["user"], json!({"emailAddress": "anna@example.org"}));
}

#[test]
fn uploads_go_on_from_what_was_kept() {
    let client = Client::new();
    let faults = client.drive.faults();
    let trouble = [
        Rule::once(Effect::Vendor(DriveFault::KeepOnly { bytes: 0 })).query("upload_id="),
        Rule::once(Effect::Vendor(DriveFault::KeepOnly { bytes: 300_000 })).query("upload_id=").after(2),
        Rule::once(Effect::Answer(refusal(503, "backendError"))).query("upload_id=").after(2),
        Rule::once(Effect::CutRequest { after_bytes: 300_000 }).query("upload_id=").after(3),
        Rule::once(Effect::DoAndAnswer(refusal(500, "internalError"))).query("upload_id=").after(4),
        Rule::once(Effect::DoAndCut).query("upload_id=").after(6),
        Rule::once(Effect::Answer(refusal(403, "userRateLimitExceeded"))).query("upload_id=").after(7),
        Rule::once(Effect::Vendor(DriveFault::ExpireToken)).query("upload_id=").after(8),
    ];
    let trouble = trouble.map(|rule| faults.add(rule));
    let told = client.step("upload", &["4000001"]);
    assert_eq!(trouble.map(|rule| faults.met(rule)), [1; 8]);
    assert_eq!(client.only_file(), told["id"].as_str().unwrap());
    let sent = client.drive.trace().exchanges();
    let begun = sent.iter().filter(|e| e.path.starts_with("/upload/") && !e.query.contains("upload_id="));
    assert_eq!(begun.count(), 1);
    let asked = sent.iter().filter(|e| e.content_range.as_ref().is_some_and(|range| range.starts_with("bytes */")));
    assert!(asked.count() > 0);
}

#[test]
fn downloads_and_listings_outlive_throttling() {
    let client = Client::new();
    let faults = client.drive.faults();
    let trouble = [
        Rule::once(Effect::Answer(refusal(403, "rateLimitExceeded"))).query("alt=media"),
        Rule::once(Effect::Answer(refusal(429, "rateLimitExceeded"))).query("alt=media").after(2),
        Rule::once(Effect::Answer(refusal(500, "internalError"))).query("alt=media").after(5),
        Rule::once(Effect::Vendor(DriveFault::ExpireToken)).query("alt=media").after(7),
    ];
    let trouble = trouble.map(|rule| faults.add(rule));
    client.step("roundtrip", &[]);
    assert_eq!(trouble.map(|rule| faults.met(rule)), [1; 4]);
}

#[test]
fn quota_and_revoked_tokens_are_understood() {
    let client = Client::new();
    client.drive.faults().add(Rule::once(Effect::Answer(refusal(403, "storageQuotaExceeded"))).path("/drive/v3/"));
    assert_eq!(client.step("refused", &[]), json!({"refused": [403, "storageQuotaExceeded"]}));
    client.account.revoke();
    let said = client.step("refused", &[]);
    assert_eq!(said["error"], "RefreshError");
    assert!(said["text"].as_str().unwrap().contains("invalid_grant"), "{said}");
}

#[test]
fn refresh_tokens_are_replaced_when_the_knob_says_so() {
    let mut client = Client::new();
    client.drive.set(|knobs| knobs.rotates_refresh_tokens = true);
    let told = client.step("token", &[]);
    let next = told["refresh_token"].as_str().unwrap().to_owned();
    assert_ne!(next, client.refresh_token);
    assert!(client.account.accepts(&next) && !client.account.accepts(&client.refresh_token));
    assert_eq!(client.step("refused", &[])["error"], "RefreshError");
    client.refresh_token = next;
    client.drive.set(|knobs| knobs.rotates_refresh_tokens = false);
    assert_eq!(client.step("token", &[])["refresh_token"], client.refresh_token);
}
