//! rclone's `drive` backend, which knows no other address than the vendor's own and is sent here by a proxy.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use backup_test_emulators::drive::{Account, DriveFault, Plant, Scope, refusal};
use backup_test_emulators::{ConnectProxy, Effect, GoogleDrive, Reply, Rule};
use backup_test_servers::{BadLine, Trouble};
use tempfile::TempDir;

use crate::programs::{Ran, command, run, run_with_input};

/// rclone with a Drive of its own.
struct Rclone {
    drive: GoogleDrive,
    account: Account,
    root: String,
    proxy: ConnectProxy,
    home: TempDir,
}

impl Rclone {
    fn new() -> Self {
        Self::with(Scope::Drive)
    }

    fn with(scope: Scope) -> Self {
        let drive = GoogleDrive::start();
        let account = drive.account("anna@example.org");
        let home = tempfile::tempdir().unwrap();
        let scope_name = scope.url().rsplit_once('/').unwrap().1;
        // It is expired, so that the first thing is to refresh it.
        let token = format!(
            r#"{{"access_token":"none","token_type":"Bearer","refresh_token":"{}","expiry":"2020-01-01T00:00:00Z"}}"#,
            account.refresh_token(scope)
        );
        let (id, secret) = (GoogleDrive::CLIENT_ID, GoogleDrive::CLIENT_SECRET);
        let config = format!(
            "[g]\ntype = drive\nscope = {scope_name}\nclient_id = {id}\nclient_secret = {secret}\ntoken = {token}\n"
        );
        std::fs::write(home.path().join("rclone.conf"), config).unwrap();
        let (root, proxy) = (account.root_id(), drive.proxy());
        Self { drive, account, root, proxy, home }
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        run(&mut self.command(arguments))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut rclone = command("rclone", self.home.path());
        let settings = ["--retries=1", "--drive-pacer-min-sleep=1ms", "--contimeout=10s", "--timeout=20s"];
        rclone.args(["--config", "rclone.conf", "--http-proxy", &self.proxy.url()]);
        rclone.arg("--ca-cert").arg(self.drive.ca_file()).args(settings).args(arguments);
        rclone
    }

    /// Lets it think that its access token is expired.
    fn expire(&self) {
        let path = self.folder("rclone.conf");
        let config = std::fs::read_to_string(&path).unwrap();
        let (before, after) = config.split_once("\"expiry\":\"").unwrap();
        std::fs::write(path, format!("{before}\"expiry\":\"2020{}", &after[4..])).unwrap();
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// A folder with small files, a deep one and names that need care.
    fn make_small(&self) -> BTreeMap<String, Vec<u8>> {
        let names = ["a.txt", "empty", "it's a \\ name.bin", "ünï/cödé", "deep/er/and/deeper", "deep/x", "#%&+ =?.q"];
        names.into_iter().enumerate().map(|(n, name)| (name.to_owned(), self.make(name, n * 1_000))).collect()
    }

    /// A file in the folder `here`, whose bytes follow from its length.
    fn make(&self, name: &str, len: usize) -> Vec<u8> {
        let bytes: Vec<u8> = (0..len).map(|at| u8::try_from((at * 31 + at / 251 + len) % 256).unwrap()).collect();
        let path = self.folder("here").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &bytes).unwrap();
        bytes
    }

    /// What the emulator holds below a folder at the top, past its interface: paths and bytes.
    fn stored(&self, top: &str) -> BTreeMap<String, Vec<u8>> {
        let files = self.drive.files();
        let by_id: BTreeMap<&str, _> = files.iter().map(|file| (file.id.as_str(), file)).collect();
        let mut stored = BTreeMap::new();
        for file in files.iter().filter(|file| !file.is_folder && !file.trashed) {
            let (mut path, mut up) = (file.name.clone(), file.parents[0].as_str());
            while let Some(folder) = by_id.get(up) {
                path = format!("{}/{path}", folder.name);
                up = &folder.parents[0];
            }
            assert_eq!(up, self.root);
            if let Some(below) = path.strip_prefix(&format!("{top}/")) {
                let before = stored.insert(below.to_owned(), self.drive.content(&file.id).unwrap().to_vec());
                assert_eq!(before, None, "{path} is there twice");
            }
        }
        stored
    }

    fn count(&self, method: &str, path: &str) -> usize {
        self.drive.trace().count(|exchange| exchange.method == method && exchange.path.contains(path))
    }
}

fn read(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut left = vec![folder.to_owned()];
    while let Some(next) = left.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                found.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

#[test]
fn files_that_rclone_copies_arrive_and_come_back() {
    let rclone = Rclone::new();
    let files = rclone.make_small();
    rclone.run(&["copy", "here", "g:there"]).ok();
    assert_eq!(rclone.stored("there"), files);
    rclone.run(&["check", "here", "g:there"]).ok();
    rclone.run(&["check", "--download", "here", "g:there"]).ok();
    rclone.run(&["copy", "g:there", "back"]).ok();
    assert_eq!(read(&rclone.folder("back")), files);
    // Times have come along: nothing is to be done.
    let before = rclone.count("POST", "/upload/");
    rclone.run(&["copy", "here", "g:there"]).ok();
    assert_eq!(rclone.count("POST", "/upload/"), before);
    // An update makes no second file.
    let changed = rclone.make("a.txt", 77);
    rclone.run(&["copy", "here", "g:there"]).ok();
    assert_eq!(rclone.stored("there")["a.txt"], changed);
    let hosts: Vec<String> = rclone.proxy.asked();
    assert!(
        hosts.iter().all(|host| host == "www.googleapis.com:443" || host == "oauth2.googleapis.com:443"),
        "{hosts:?}"
    );
}

#[test]
fn large_files_arrive_in_chunks() {
    let rclone = Rclone::new();
    let sizes = [1, (256 << 10) - 1, 256 << 10, (256 << 10) + 1, 3 << 20, (5 << 20) + 12_345];
    let files: BTreeMap<_, _> =
        sizes.iter().map(|len| (format!("{len}"), rclone.make(&len.to_string(), *len))).collect();
    let chunks = ["--drive-chunk-size=256k", "--drive-upload-cutoff=0"];
    rclone.run(&[&["copy", "here", "g:there"], &chunks[..]].concat()).ok();
    assert_eq!(rclone.stored("there"), files);
    let chunk_count: usize = sizes.iter().map(|len| len.div_ceil(256 << 10)).sum();
    let sent = rclone.drive.trace().count(|exchange| exchange.content_range.is_some());
    assert_eq!(sent, chunk_count);
    rclone.run(&["check", "--download", "here", "g:there"]).ok();
    // Of unknown length.
    let piped: Vec<u8> = (0..1_000_001_u32).map(|at| u8::try_from(at % 249).unwrap()).collect();
    let rcat = [&["rcat", "--streaming-upload-cutoff=0", "g:there/piped"], &chunks[..]].concat();
    run_with_input(&mut rclone.command(&rcat), piped.clone()).ok();
    assert_eq!(rclone.stored("there")["piped"], piped);
    assert!(rclone.drive.trace().count(|e| e.content_range.as_ref().is_some_and(|range| range.ends_with("/*"))) > 0);
}

#[test]
fn moving_copying_and_purging_do_what_they_say() {
    let rclone = Rclone::new();
    let files = rclone.make_small();
    rclone.run(&["copy", "here", "g:one"]).ok();
    rclone.run(&["copy", "g:one", "g:two"]).ok();
    assert_eq!(rclone.stored("two"), files);
    assert!(rclone.count("POST", "/copy") >= files.len());
    rclone.run(&["move", "g:one/deep", "g:three"]).ok();
    assert_eq!(rclone.stored("three").into_keys().collect::<Vec<_>>(), ["er/and/deeper", "x"]);
    rclone.run(&["moveto", "g:one/a.txt", "g:other/b.txt"]).ok();
    assert_eq!(rclone.stored("other")["b.txt"], files["a.txt"]);
    assert_eq!(rclone.stored("one").len(), files.len() - 3);
    assert_eq!(rclone.stored("two"), files);
    rclone.run(&["delete", "g:two/a.txt"]).ok();
    rclone.run(&["purge", "g:two"]).ok();
    assert_eq!(rclone.stored("two"), BTreeMap::new());
    assert!(rclone.drive.files().iter().any(|file| file.trashed));
    let about = rclone.run(&["about", "--json", "g:"]).ok();
    let about: serde_json::Value = serde_json::from_str(&about).unwrap();
    let in_trash: u64 = rclone.drive.files().iter().filter(|file| file.trashed).map(|file| file.size_bytes).sum();
    assert_eq!(about["trashed"], in_trash);
    assert!(about.get("total").is_none(), "{about}");
    rclone.run(&["cleanup", "g:"]).ok();
    assert!(!rclone.drive.files().iter().any(|file| file.trashed));
    rclone.run(&["purge", "--drive-use-trash=false", "g:one"]).ok();
    assert!(!rclone.drive.files().iter().any(|file| file.trashed || file.name == "one"));
}

#[test]
fn files_of_the_same_name_are_found_and_settled() {
    let rclone = Rclone::new();
    let folder = rclone.drive.plant(&rclone.root, Plant::folder("twins"));
    for content in ["one", "two", "two", "three"] {
        rclone.drive.plant(&folder, Plant::file("twin", content));
    }
    rclone.run(&["dedupe", "--dedupe-mode=rename", "g:twins"]).ok();
    let mut stored: Vec<_> = rclone.stored("twins").into_values().collect();
    stored.sort();
    // What is the same as another is gone, which needs right checksums.
    assert_eq!(stored, [&b"one"[..], b"three", b"two"]);
    // Folders, too.
    let again = rclone.drive.plant(&rclone.root, Plant::folder("twins"));
    rclone.drive.plant(&again, Plant::file("fourth", "4"));
    rclone.run(&["dedupe", "--dedupe-mode=rename", "g:"]).ok();
    assert_eq!(rclone.stored("twins").len(), 4);
    assert_eq!(rclone.drive.files().iter().filter(|file| file.is_folder && !file.trashed).count(), 1);
}

#[test]
fn rclones_own_probe_finds_that_names_survive() {
    let rclone = Rclone::new();
    let said = rclone.run(&["test", "info", "--check-control", "--check-length", "--check-streaming", "g:probe"]);
    let found = said.ok();
    // rclone shows a slash and control characters otherwise than they are stored, in both directions; nothing else gets lost.
    let escaped: Vec<&str> =
        found.lines().skip_while(|line| !line.starts_with("stringNeedsEscaping")).skip(1).take(1).collect();
    let escaped = escaped[0].trim().split(", ").filter(|rune| *rune != "'/'" && !rune.starts_with("'\\"));
    assert_eq!(escaped.count(), 0, "{found}");
    assert!(!found.contains(r"'\\'") && !found.contains(r"'\''"), "{found}");
    assert!(found.contains("canStream = true"), "{found}");
    assert!(found.contains("maxFileLength = 16383 // for 1 byte"), "{found}");
}

#[test]
fn programs_that_see_only_their_own_files_work() {
    let rclone = Rclone::with(Scope::DriveFile);
    rclone.drive.plant(&rclone.root, Plant::file("hidden", "x").by("another program"));
    let files = rclone.make_small();
    rclone.run(&["copy", "here", "g:there"]).ok();
    rclone.run(&["check", "--download", "here", "g:there"]).ok();
    assert_eq!(rclone.stored("there"), files);
    assert!(!rclone.run(&["lsf", "g:"]).ok().contains("hidden"));
}

#[test]
fn shared_drives_work() {
    let rclone = Rclone::new();
    let id = rclone.drive.shared_drive("ours", &[&rclone.account]);
    let other = rclone.drive.shared_drive("not ours", &[]);
    let files = rclone.make_small();
    let team = format!("--drive-team-drive={id}");
    rclone.run(&["copy", &team, "here", "g:there"]).ok();
    rclone.run(&["check", "--download", &team, "here", "g:there"]).ok();
    assert_eq!(rclone.run(&["lsf", "-R", "--files-only", &team, "g:there"]).ok().lines().count(), files.len());
    assert_eq!(rclone.run(&["lsf", "g:"]).ok(), "");
    assert_eq!(rclone.account.used_bytes(), 0);
    let told = rclone.run(&["backend", "drives", "g:"]).ok();
    assert!(told.contains(&id) && !told.contains(&other), "{told}");
    rclone.run(&["copy", &format!("--drive-team-drive={other}"), "here", "g:there"]).failed();
}

#[test]
fn many_folders_are_listed_with_queries_for_several_parents() {
    let rclone = Rclone::new();
    for n in 0..60 {
        rclone.make(&format!("d{n}/f"), n);
    }
    rclone.run(&["copy", "here", "g:there"]).ok();
    rclone.drive.set(|knobs| knobs.page_at_most = Some(7));
    rclone.drive.set(|knobs| knobs.first_page_is_empty = true);
    assert_eq!(rclone.run(&["lsf", "-R", "--files-only", "--fast-list", "g:there"]).ok().lines().count(), 60);
    assert!(rclone.drive.trace().count(|exchange| exchange.query.matches("+in+parents").count() > 1) > 0);
    // rclone knows that such queries find nothing at times, and asks again one by one.
    rclone.drive.set(|knobs| knobs.or_parents_find_nothing = true);
    assert_eq!(rclone.run(&["lsf", "-R", "--files-only", "--fast-list", "g:there"]).ok().lines().count(), 60);
}

#[test]
fn throttling_and_errors_of_the_server_are_outlived() {
    let rclone = Rclone::new();
    let files = rclone.make_small();
    let faults = rclone.drive.faults();
    let busy = [
        Rule::once(Effect::Answer(refusal(403, "userRateLimitExceeded"))).path("/upload/").times(3),
        Rule::once(Effect::Answer(refusal(403, "rateLimitExceeded"))).path("/drive/v3/").after(2).times(2),
        Rule::once(Effect::Answer(refusal(429, "rateLimitExceeded"))).path("/drive/v3/").after(9),
        Rule::once(Effect::Answer(refusal(503, "backendError"))).path("/drive/v3/").after(5).times(2),
        Rule::once(Effect::Answer(Reply::new(502).body("text/html", "<html>Bad gateway</html>")))
            .path("/upload/")
            .after(4),
    ];
    let busy = busy.map(|rule| faults.add(rule));
    rclone.run(&["copy", "here", "g:there"]).ok();
    assert_eq!(rclone.stored("there"), files);
    for rule in busy {
        assert!(faults.met(rule) > 0, "{rule:?} did not take effect");
    }
}

#[test]
fn quota_that_is_full_ends_a_copy_and_leaves_nothing() {
    let rclone = Rclone::new();
    rclone.make("big", 700_000);
    rclone.account.set_quota(Some(1_000_000));
    rclone.run(&["copy", "here", "g:there"]).ok();
    let stored = rclone.stored("there");
    rclone.make("bigger", 700_001);
    for chunks in [&[][..], &["--drive-chunk-size=256k", "--drive-upload-cutoff=0"]] {
        let said = rclone.run(&[&["copy", "--low-level-retries=2", "here", "g:there"], chunks].concat()).failed();
        assert!(said.contains("storageQuotaExceeded"), "{said}");
    }
    assert_eq!(rclone.stored("there"), stored);
    let about: serde_json::Value = serde_json::from_str(&rclone.run(&["about", "--json", "g:"]).ok()).unwrap();
    assert_eq!((&about["total"], &about["used"]), (&1_000_000.into(), &700_000.into()));
    rclone.drive.faults().add(Rule::always(Effect::Answer(refusal(403, "dailyLimitExceeded"))).path("/upload/"));
    rclone.account.set_quota(None);
    let said = rclone.run(&["copy", "--low-level-retries=2", "here", "g:there"]).failed();
    assert!(said.contains("dailyLimitExceeded"), "{said}");
    assert_eq!(rclone.stored("there"), stored);
}

#[test]
fn uploads_that_are_cut_go_on() {
    let rclone = Rclone::new();
    let bytes = rclone.make("big", (3 << 20) + 777);
    let faults = rclone.drive.faults();
    let trouble = [
        Rule::once(Effect::CutRequest { after_bytes: 300_000 }).query("upload_id=").after(1),
        Rule::once(Effect::CutRequest { after_bytes: 0 }).query("upload_id=").after(2),
        Rule::once(Effect::DoAndCut).query("upload_id=").after(3),
        Rule::once(Effect::DoAndAnswer(refusal(503, "backendError"))).query("upload_id=").after(4),
    ];
    let trouble = trouble.map(|rule| faults.add(rule));
    rclone.run(&["copy", "--drive-chunk-size=512k", "--drive-upload-cutoff=0", "here", "g:there"]).ok();
    assert_eq!(rclone.stored("there")["big"], bytes);
    assert_eq!(trouble.map(|rule| faults.met(rule)), [1; 4]);
    // One session was enough.
    assert_eq!(rclone.drive.trace().count(|e| e.path.contains("/upload/") && !e.query.contains("upload_id=")), 1);
}

#[test]
fn files_arrive_and_come_back_over_a_line_that_is_cut() {
    let mut rclone = Rclone::new();
    let sizes = [1, 20_000, 300_000, 900_000, 2_500_000];
    let names = sizes.map(|len| (format!("in/{len}"), len));
    let files: BTreeMap<_, _> = names.map(|(name, len)| (name.clone(), rclone.make(&name, len))).into();
    let line = BadLine::to(rclone.drive.port(), Trouble::Cut, 2, 400_000, 20_261_122);
    rclone.proxy = ConnectProxy::to(line.port());
    // In sessions alone: what is made in one request is made twice when its reply is lost.
    let patient = ["--low-level-retries=30", "--drive-chunk-size=256k", "--drive-upload-cutoff=0"];
    rclone.run(&[&["copy", "here", "g:there"], &patient[..]].concat()).ok();
    assert_eq!(rclone.stored("there"), files);
    rclone.run(&[&["copy", "g:there", "back"], &patient[..]].concat()).ok();
    assert_eq!(read(&rclone.folder("back")), files);
    assert!(line.met() > 3, "only {} connections were cut", line.met());
}

#[test]
fn downloads_that_are_cut_go_on_and_those_that_are_wrong_are_noticed() {
    let rclone = Rclone::new();
    let bytes = rclone.make("big", 1 << 20);
    rclone.run(&["copy", "here", "g:there"]).ok();
    let faults = rclone.drive.faults();
    let cut = faults.add(Rule::once(Effect::CutReply { after_bytes: 300_000 }).query("alt=media"));
    let lost = faults.add(Rule::once(Effect::DoAndCut).query("alt=media"));
    let copy = ["copy", "g:there", "back"];
    rclone.run(&copy).ok();
    assert_eq!((faults.met(cut), faults.met(lost)), (1, 1));
    assert_eq!(read(&rclone.folder("back"))["big"], bytes);
    for effect in [Effect::FlipReply { at_byte: 700_000 }, Effect::ShortenReply { to_bytes: 700_000 }] {
        std::fs::remove_dir_all(rclone.folder("back")).unwrap();
        let wrong = faults.add(Rule::once(effect).query("alt=media"));
        let said = rclone.run(&[&copy[..], &["--low-level-retries=1"]].concat()).failed();
        assert!(said.contains("corrupted on transfer"), "{said}");
        assert_eq!(faults.met(wrong), 1);
        assert_eq!(read(&rclone.folder("back")).len(), 0);
    }
}

#[test]
fn sessions_that_are_lost_are_begun_again() {
    let rclone = Rclone::new();
    let bytes = rclone.make("big", 1 << 20);
    let lost =
        rclone.drive.faults().add(Rule::once(Effect::Vendor(DriveFault::LoseSession)).query("upload_id=").after(2));
    let copy =
        ["copy", "--drive-chunk-size=256k", "--drive-upload-cutoff=0", "--low-level-retries=3", "here", "g:there"];
    // It begins again only as a whole.
    let said = rclone.run(&copy).failed();
    assert!(said.contains("404"), "{said}");
    assert_eq!(rclone.drive.faults().met(lost), 1);
    rclone.run(&copy).ok();
    assert_eq!(rclone.stored("there")["big"], bytes);
}

#[test]
fn rclone_notices_that_bytes_are_not_what_they_should_be() {
    let rclone = Rclone::new();
    rclone.make("a", 1_000);
    rclone.drive.set(|knobs| knobs.wrong_md5 = true);
    let said = rclone.run(&["copy", "here", "g:there"]).failed();
    assert!(said.contains("corrupted on transfer"), "{said}");
    rclone.drive.set(|knobs| knobs.wrong_md5 = false);
    rclone.run(&["copy", "here", "g:there"]).ok();
    let id = rclone.drive.files().into_iter().find(|file| file.name == "a" && !file.trashed).unwrap().id;
    rclone.drive.corrupt(&id);
    rclone.run(&["check", "here", "g:there"]).ok();
    rclone.run(&["check", "--download", "here", "g:there"]).failed();
    let said = rclone.run(&["copy", "g:there", "back"]).failed();
    assert!(said.contains("corrupted on transfer"), "{said}");
}

#[test]
fn rclone_is_misled_by_an_index_that_lags_behind() {
    let rclone = Rclone::new();
    rclone.make("a", 10);
    rclone.drive.set(|knobs| knobs.name_index_lag = Duration::from_secs(300));
    rclone.run(&["mkdir", "g:there"]).ok();
    // It looks for the folder by its name.
    rclone.run(&["copy", "here", "g:there"]).ok();
    let folders = || rclone.drive.files().iter().filter(|file| file.is_folder && file.name == "there").count();
    assert_eq!(folders(), 2);
    rclone.drive.clock().advance(Duration::from_secs(301));
    rclone.run(&["copy", "here", "g:there"]).ok();
    assert_eq!(folders(), 2);
}

#[test]
fn tokens_that_are_revoked_or_replaced_are_told() {
    let rclone = Rclone::new();
    rclone.drive.set(|knobs| knobs.rotates_refresh_tokens = true);
    rclone.run(&["lsf", "g:"]).ok();
    // It refreshes by its own clock.
    rclone.expire();
    rclone.run(&["lsf", "g:"]).ok();
    assert_eq!(rclone.count("POST", "/token"), 2);
    rclone.account.revoke();
    rclone.expire();
    let said = rclone.run(&["lsf", "g:"]).failed();
    assert!(said.contains("invalid_grant"), "{said}");
}
