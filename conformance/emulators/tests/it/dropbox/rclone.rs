//! rclone works with it as it works with Dropbox.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use backup_test_emulators::ConnectProxy;
use backup_test_emulators::dropbox::Dropbox;
use tempfile::TempDir;

use super::tables::are_as_described;
use super::{files_in, noise};
use crate::programs::{Ran, command, run};

/// rclone with a remote `box:` that is the emulator.
pub(super) struct Rclone {
    proxy: ConnectProxy,
    ca_file: PathBuf,
    folder: TempDir,
}

impl Rclone {
    /// rclone whose access token is over, so that it begins with a new one.
    pub(super) fn with(dropbox: &Dropbox) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tokens = dropbox.plant_tokens(Dropbox::APP_KEY);
        let token = format!(
            r#"{{"access_token":"old","token_type":"bearer","refresh_token":"{}","expiry":"2020-01-01T00:00:00Z"}}"#,
            tokens.refresh_token
        );
        let config = format!(
            "[box]\ntype = dropbox\nclient_id = {}\nclient_secret = {}\ntoken = {token}\n",
            Dropbox::APP_KEY,
            Dropbox::APP_SECRET
        );
        std::fs::write(folder.path().join("rclone.conf"), config).unwrap();
        Self { proxy: dropbox.proxy(), ca_file: dropbox.ca_file().to_owned(), folder }
    }

    /// A place for files of this machine.
    pub(super) fn local(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a command of rclone.
    pub(super) fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = command("rclone", self.folder.path());
        command.arg("--config").arg(self.folder.path().join("rclone.conf"));
        command.arg("--http-proxy").arg(self.proxy.url()).arg("--ca-cert").arg(&self.ca_file);
        // What fails is tried again soon, and not for long.
        command.args(["--dropbox-pacer-min-sleep=1ms", "--low-level-retries=5", "--retries=2", "--verbose"]);
        run(command.args(arguments))
    }

    /// Runs a command that must succeed.
    pub(super) fn ok(&self, arguments: &[&str]) -> Ran {
        let said = self.run(arguments);
        assert!(said.success, "rclone {arguments:?}: {}", said.said());
        said
    }
}

/// A tree with names and sizes of all kinds.
pub(super) fn tree(at: &Path) {
    let files: [(&str, usize); 8] = [
        ("empty", 0),
        ("one", 1),
        ("Groß und klein/Ä ö.txt", 1000),
        ("deep/er/and/deeper/x", 77),
        ("deep/y", 64 << 10),
        ("large.bin", (9 << 20) + 5),
        ("many.tar.gz", (4 << 20) - 1),
        ("emoji 😀/quote\"s", 9),
    ];
    for (seed, (name, len)) in files.into_iter().enumerate() {
        let path = at.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, noise(len, seed as u64)).unwrap();
    }
}

/// What rclone is to have stored of a folder under a path.
fn under(path: &str, folder: &Path) -> BTreeMap<String, Vec<u8>> {
    files_in(folder).into_iter().map(|(name, bytes)| (format!("{path}{name}"), bytes)).collect()
}

/// What is stored.
pub(super) fn stored(dropbox: &Dropbox) -> BTreeMap<String, Vec<u8>> {
    dropbox.files().into_iter().map(|(path, file)| (path, file.bytes.to_vec())).collect()
}

fn writes_and_reads_back(options: &[&str]) -> Dropbox {
    let dropbox = Dropbox::start();
    // Its library for Go doesn't escape them, as the vendor's documentation asks.
    dropbox.behave(|behaviour| behaviour.takes_raw_headers = true);
    let rclone = Rclone::with(&dropbox);
    let (source, back) = (rclone.local("source"), rclone.local("back"));
    tree(&source);
    let (from, to) = (source.to_str().unwrap(), back.to_str().unwrap());
    rclone.ok(&[&["copy", from, "box:A/b"], options].concat());
    assert_eq!(stored(&dropbox), under("/A/b", &source));
    assert_eq!(dropbox.open_sessions(), []);
    for check in [&["check", from, "box:a/B"][..], &["check", "--download", from, "box:a/B"]] {
        let text = rclone.ok(check).said();
        assert!(text.contains("0 differences found") && text.contains("8 matching files"), "{text}");
    }
    rclone.ok(&["copy", "box:A/b", to]);
    assert_eq!(files_in(&back), files_in(&source));
    // Once more: sizes and times say that there is nothing to do.
    dropbox.trace().clear();
    rclone.ok(&[&["copy", from, "box:A/b"], options].concat());
    assert_eq!(dropbox.trace().count(|exchange| exchange.path.contains("upload")), 0);
    are_as_described(&dropbox);
    dropbox
}

fn times_called(dropbox: &Dropbox, function: &str) -> usize {
    dropbox.calls().iter().filter(|called| called.function == function).count()
}

#[test]
fn rclone_writes_in_batches_and_reads_back() {
    let dropbox = writes_and_reads_back(&["--dropbox-chunk-size=1Mi", "--dropbox-batch-mode=sync"]);
    assert!(times_called(&dropbox, "files/upload_session/finish_batch_v2") >= 1);
    assert!(times_called(&dropbox, "files/upload_session/append_v2") >= 10 + 4 + 6);
}

#[test]
fn rclone_writes_in_batches_nobody_waits_for_and_reads_back() {
    let options = ["--dropbox-chunk-size=1Mi", "--dropbox-batch-mode=async", "--dropbox-batch-timeout=100ms"];
    let dropbox = writes_and_reads_back(&options);
    assert!(times_called(&dropbox, "files/upload_session/finish_batch_v2") >= 1);
}

#[test]
fn rclone_writes_file_by_file_and_reads_back() {
    let dropbox = writes_and_reads_back(&["--dropbox-chunk-size=1Mi", "--dropbox-batch-mode=off"]);
    assert_eq!(times_called(&dropbox, "files/upload_session/finish"), 2);
    assert_eq!(times_called(&dropbox, "files/upload"), 6);
    assert_eq!(times_called(&dropbox, "files/upload_session/finish_batch_v2"), 0);
}

#[test]
fn rclone_moves_copies_and_deletes_without_the_data() {
    let dropbox = Dropbox::start();
    let rclone = Rclone::with(&dropbox);
    for (path, byte) in [("/a/x", 1), ("/a/deep/y", 2), ("/c/z", 3)] {
        dropbox.plant_file(path, vec![byte; 1000]);
    }
    rclone.ok(&["moveto", "box:a/x", "box:b/X"]);
    rclone.ok(&["copyto", "box:c/z", "box:c/copy of z"]);
    rclone.ok(&["move", "box:a/deep", "box:new/place"]);
    rclone.ok(&["deletefile", "box:c/z"]);
    let wanted = [("/b/X", 1), ("/c/copy of z", 3), ("/new/place/y", 2)];
    let wanted = wanted.map(|(path, byte)| (path.to_owned(), vec![byte; 1000]));
    assert_eq!(stored(&dropbox), BTreeMap::from(wanted));
    let moved = dropbox.trace().count(|exchange| exchange.host == "content.dropboxapi.com");
    assert_eq!(moved, 0, "data was moved");
    rclone.ok(&["mkdir", "box:empty/er"]);
    assert!(dropbox.folders().contains(&"/empty/er".to_owned()));
    assert!(!rclone.run(&["rmdir", "box:b"]).success, "a folder with something in it was removed");
    rclone.ok(&["rmdir", "box:empty/er"]);
    rclone.ok(&["purge", "box:new"]);
    assert_eq!(stored(&dropbox).into_keys().collect::<Vec<_>>(), ["/b/X", "/c/copy of z"]);
}

#[test]
fn rclone_tells_the_room_that_there_is() {
    for (is_of_team, used) in [(false, 10_000_100), (true, 10_000_100)] {
        let dropbox = Dropbox::start();
        dropbox.set_quota(50_000_000, 10_000_000, is_of_team);
        dropbox.plant_file("/x", vec![0; 100]);
        let text = Rclone::with(&dropbox).ok(&["about", "box:", "--json"]).out;
        let about: serde_json::Value = serde_json::from_str(&text).unwrap();
        let wanted = serde_json::json!({ "total": 50_000_000, "used": used, "free": 50_000_000 - used });
        assert_eq!(about, wanted);
    }
}

#[test]
fn rclone_lists_everything_page_by_page() {
    let dropbox = Dropbox::start();
    for number in 0..2500 {
        dropbox.plant_file(&format!("/many/file-{number:04}"), "");
    }
    let wanted: Vec<_> = (0..2500).map(|number| format!("file-{number:04}")).collect();
    let rclone = Rclone::with(&dropbox);
    for (page_entries, empty_pages) in [(None, false), (Some(100), true)] {
        dropbox.behave(|behaviour| {
            behaviour.page_entries = page_entries;
            behaviour.empty_pages = empty_pages;
        });
        let text = rclone.ok(&["lsf", "box:many"]).out;
        let mut listed: Vec<_> = text.lines().collect();
        listed.sort_unstable();
        assert_eq!(listed, wanted);
    }
    assert!(times_called(&dropbox, "files/list_folder/continue") >= 2 + 45);
}

#[test]
fn rclone_names_the_root_that_paths_begin_at() {
    let dropbox = Dropbox::start();
    dropbox.plant_file("/a/x", "x");
    let rclone = Rclone::with(&dropbox);
    assert_eq!(rclone.ok(&["lsf", "-R", "box:/a"]).out, "x\n");
    let said = rclone.run(&["lsf", "-R", "box:a", "--dropbox-root-namespace=7"]);
    assert!(!said.success && said.said().contains("no_permission"), "{}", said.said());
}

#[test]
fn rclone_reads_parts_of_files() {
    let dropbox = Dropbox::start();
    let bytes: Vec<u8> = (b'a'..=b'z').collect();
    dropbox.plant_file("/x", bytes);
    let rclone = Rclone::with(&dropbox);
    let cat = |options: &[&str]| rclone.ok(&[&["cat", "box:x"], options].concat()).out;
    assert_eq!(cat(&["--offset=3", "--count=4"]), "defg");
    assert_eq!(cat(&["--offset=20"]), "uvwxyz");
    assert_eq!(cat(&["--tail=2"]), "yz");
    assert_eq!(dropbox.trace().count(|exchange| exchange.status == Some(206)), 3);
}

/// rclone knows from the real service which characters it must replace. Told not to, it is to find out the same here.
#[test]
fn rclone_finds_the_characters_that_dropbox_refuses() {
    let dropbox = Dropbox::start();
    dropbox.behave(|behaviour| behaviour.takes_raw_headers = true);
    let rclone = Rclone::with(&dropbox);
    let checks = ["--check-control", "--check-length", "--dropbox-encoding=Raw", "--dropbox-batch-mode=off"];
    let text = rclone.ok(&[&["test", "info", "box:info"], &checks[..]].concat()).said();
    let said = text.split_once("stringNeedsEscaping").unwrap().1;
    let refused = said.lines().nth(1).unwrap().trim();
    assert_eq!(refused, r"' ', '/', '\\', '\x00', '\x7f'", "{said}");
    for bytes in 1..=4 {
        let longest = format!("maxFileLength = 255 // for {bytes} byte unicode characters");
        assert!(said.contains(&longest), "{said}");
    }
}
