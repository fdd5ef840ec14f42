//! Repositories on servers, through the binary: a nasty tree goes there and comes back.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use backup_test_emulators::dropbox::{Contention, Dropbox, Fault};
use backup_test_emulators::{Effect, Rule};
use backup_test_servers::{BadLine, RcloneS3, SeaweedFs, Sshd, Trouble};

use crate::fidelity::{assert_same, below};
use crate::home::{Home, Ran, of_type, ran};
use crate::random::Random;
use crate::tree;

/// A repository on a server: how it is named, and what has to be in the environment for it.
struct Remote {
    home: Home,
    url: String,
    environment: Vec<(&'static str, String)>,
    /// What must show up nowhere.
    secret: String,
}

impl Remote {
    fn s3(bucket: &str) -> Self {
        let (server, bucket) = (SeaweedFs::shared(), format!("{bucket}-{}", std::process::id()));
        server.make_bucket(&bucket);
        Self {
            home: Home::new(),
            url: format!("s3://{bucket}/some/folder?endpoint={}&allow_http=true", server.endpoint()),
            environment: vec![
                ("AWS_ACCESS_KEY_ID", SeaweedFs::ACCESS_KEY_ID.to_owned()),
                ("AWS_SECRET_ACCESS_KEY", SeaweedFs::SECRET_ACCESS_KEY.to_owned()),
            ],
            secret: SeaweedFs::SECRET_ACCESS_KEY.to_owned(),
        }
    }

    fn sftp(folder: &str) -> Self {
        let (server, home) = (Sshd::shared(), Home::new());
        let folder = server.files().join(format!("{folder}-{}", std::process::id()));
        let url = format!(
            "sftp://{}@127.0.0.1:{}{}?identity_file={}&passphrase=env:SFTP_PASSPHRASE&known_hosts={}&ssh_config=none",
            server.user(),
            server.port(),
            folder.display(),
            server.locked_identity().display(),
            server.known_hosts().display(),
        );
        let environment = vec![("SFTP_PASSPHRASE", Sshd::PASSPHRASE.to_owned())];
        Self { home, url, environment, secret: Sshd::PASSPHRASE.to_owned() }
    }

    fn dropbox(server: &Dropbox) -> Self {
        let url = format!(
            "dropbox:///Some Folder?app_key={}&refresh_token=env:REFRESH&api_endpoint={}&content_endpoint={}&ca_file={}",
            Dropbox::APP_KEY,
            server.api_url(),
            server.content_url(),
            server.ca_file().display(),
        );
        let secret = server.plant_tokens(Dropbox::APP_KEY).refresh_token;
        Self { home: Home::new(), url, environment: vec![("REFRESH", secret.clone())], secret }
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = self.home.command(&[&["-r", &self.url], arguments].concat());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let ran = ran(&mut command);
        assert!(!ran.stdout.contains(&self.secret) && !ran.stderr.contains(&self.secret), "{arguments:?}");
        ran
    }

    #[track_caller]
    fn done(&self, arguments: &[&str]) -> Ran {
        let ran = self.run(arguments);
        assert_eq!(ran.code, 0, "{arguments:?}: {}{}", ran.stdout, ran.stderr);
        ran
    }

    fn brings_back(&self, target: &str, source: &Path) {
        self.done(&["-q", "restore", "latest", "--target", target]);
        assert_same(source, &below(&self.home.join(target), source));
    }
}

/// What every place for a repository has to carry.
fn carries_a_tree(remote: &Remote) {
    let source = remote.home.join("source");
    tree::nasty(&source);
    // Several packs.
    fs::write(source.join("random"), Random::new(7).bytes(40 << 20)).unwrap();
    let made = remote.done(&["--json", "init"]);
    assert_eq!(made.lines().last().unwrap()["create_only"], true, "{}", made.stdout);
    assert_eq!(remote.run(&["init"]).code, 1, "there is one already");
    remote.done(&["-v", "create", "source"]);
    remote.done(&["check", "--read-data"]);
    remote.brings_back("first", &source);
    // A second snapshot, for which nothing is read.
    remote.home.settle();
    let lines = remote.done(&["--json", "create", "source"]).lines();
    assert_eq!((&lines.last().unwrap()["read_bytes"], &lines.last().unwrap()["files_new"]), (&0.into(), &0.into()));
    fs::write(source.join("random"), Random::new(8).bytes(1 << 20)).unwrap();
    remote.done(&["-q", "create", "source"]);
    remote.done(&["--no-cache", "check", "--read-data"]);
    remote.brings_back("second", &source);
    let lines = remote.done(&["--json", "snapshots"]).lines();
    assert_eq!(of_type(&lines, "snapshot").len(), 3);
}

#[test]
fn nasty_tree_goes_to_s3_and_comes_back() {
    carries_a_tree(&Remote::s3("tree"));
}

#[test]
fn nasty_tree_goes_to_sftp_and_comes_back() {
    let remote = Remote::sftp("tree");
    carries_a_tree(&remote);
    // The server's own side is the same repository.
    let folder = remote.url.split(&Sshd::shared().port().to_string()).nth(1).unwrap().split('?').next().unwrap();
    let local = remote.home.run(&["-r", folder, "check", "--read-data"]);
    assert_eq!(local.code, 0, "{}", local.stderr);
}

#[test]
fn nasty_tree_goes_to_dropbox_and_comes_back() {
    let server = Dropbox::start();
    carries_a_tree(&Remote::dropbox(&server));
    assert!(server.files().keys().all(|path| path.starts_with("/Some Folder/")));
}

#[test]
fn tree_comes_back_from_a_busy_dropbox_whose_answers_are_lost() {
    let server = Dropbox::start();
    server.behave(|behaviour| {
        (behaviour.contention, behaviour.contention_every) = (Some(Contention::Path), 3);
        behaviour.page_entries = Some(2);
    });
    let rules = [
        Rule::always(Effect::DoAndCut).path("/2/files/upload").after(4).times(2),
        Rule::once(Effect::Vendor(Fault::ExpireToken)).path("/2/files/"),
        Rule::once(Effect::CutReply { after_bytes: 100 }).path("/2/files/download"),
        Rule::once(Effect::Vendor(Fault::ResetCursor)).path("/2/files/list_folder/continue"),
    ];
    let rules = rules.map(|rule| server.faults().add(rule));
    carries_a_tree(&Remote::dropbox(&server));
    assert!(rules.into_iter().all(|rule| server.faults().met(rule) > 0), "a rule has met nothing");
}

#[test]
fn consent_that_was_taken_back_has_its_exit_code() {
    let server = Dropbox::start();
    let remote = Remote::dropbox(&server);
    remote.done(&["-q", "init"]);
    server.revoke_tokens();
    let ran = remote.run(&["snapshots"]);
    assert_eq!(ran.code, 14, "{}", ran.stderr);
    assert!(ran.stderr.contains("log in again"), "{}", ran.stderr);
}

#[test]
fn code_that_the_service_does_not_know_is_no_consent() {
    let server = Dropbox::start();
    let mut remote = Remote::dropbox(&server);
    let file = remote.home.join("tokens.json");
    remote.url = remote.url.replace("refresh_token=env:REFRESH", &format!("tokens={}", file.display()));
    let ran = remote.run(&["snapshots"]);
    assert!(ran.code == 14 && ran.stderr.contains("log in first"), "{}: {}", ran.code, ran.stderr);
    let mut command = remote.home.command(&["backends", "login", &remote.url]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"canary-4a-code\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(14), "{said}");
    assert!(said.contains("/oauth2/authorize?") && said.contains("code_challenge_method=S256"), "{said}");
    assert!(!said.contains("canary-4a-code") && !file.exists(), "{said}");
    // Others want no consent.
    let ran = Remote::sftp("consent").run(&["backends", "login"]);
    assert!(ran.code == 2 && ran.stderr.contains("wants no consent"), "{}: {}", ran.code, ran.stderr);
}

/// S3 with TLS, over a line and past it.
fn s3_over(trouble: Trouble) {
    let remote = Remote::s3(&format!("{trouble:?}").to_lowercase());
    let server = SeaweedFs::shared();
    let line = BadLine::to(server.https_port(), trouble, 2, 16 << 20, 20_261_122);
    let bucket = remote.url.split_once('?').unwrap().0.to_owned();
    let over = |port: u16| {
        let certificate = server.certificate().display();
        format!("{bucket}?endpoint=https://127.0.0.1:{port}&ca_file={certificate}&idle_timeout=2s&retry_attempts=20")
    };
    goes_over_a_bad_line(remote, &line, over(line.port()), over(server.https_port()));
}

/// SFTP, over a line and past it.
fn sftp_over(trouble: Trouble) {
    let remote = Remote::sftp(&format!("{trouble:?}").to_lowercase());
    let server = Sshd::shared();
    let line = BadLine::to(server.port(), trouble, 2, 16 << 20, 20_261_122);
    let (own, patience) = (format!(":{}/", server.port()), "&idle_timeout=2s&retry_attempts=20");
    let known = format!("known_hosts={}", server.known_hosts().display());
    // `+` would be a space.
    let pinned = format!("host_key={}", server.host_key().replace('+', "%2B").replace(' ', "%20"));
    let bad = remote.url.replace(&own, &format!(":{}/", line.port())).replace(&known, &pinned) + patience;
    let good = remote.url.clone();
    goes_over_a_bad_line(remote, &line, bad, good);
}

/// Everything on a line whose connections all meet trouble, some within their first pack.
fn goes_over_a_bad_line(mut remote: Remote, line: &BadLine, bad: String, good: String) {
    let source = remote.home.join("source");
    tree::nasty(&source);
    fs::write(source.join("random"), Random::new(9).bytes(60 << 20)).unwrap();
    remote.url = bad;
    remote.done(&["-q", "init"]);
    remote.done(&["-q", "create", "source"]);
    remote.done(&["--no-cache", "check", "--read-data"]);
    remote.brings_back("over-the-bad-line", &source);
    assert!(line.met() > 0, "only {} connections met trouble", line.met());
    // What got there is right as seen from elsewhere, too.
    remote.url = good;
    remote.done(&["--no-cache", "check", "--read-data"]);
    remote.brings_back("over-a-good-one", &source);
}

#[test]
fn tree_comes_back_over_sftp_connections_that_are_cut() {
    sftp_over(Trouble::Cut);
}

#[test]
fn tree_comes_back_over_sftp_connections_that_stand_still() {
    sftp_over(Trouble::Stall);
}

#[test]
fn tree_comes_back_over_sftp_connections_that_change_bits() {
    sftp_over(Trouble::Flip);
}

#[test]
fn tree_comes_back_over_connections_that_are_cut() {
    s3_over(Trouble::Cut);
}

#[test]
fn tree_comes_back_over_connections_that_stand_still() {
    s3_over(Trouble::Stall);
}

#[test]
fn tree_comes_back_over_connections_that_change_bits() {
    s3_over(Trouble::Flip);
}

/// A real server that accepts conditional requests and ignores the conditions: `init` finds it out, and the rest works all the same.
#[test]
fn server_that_ignores_create_only_puts_is_named_and_still_carries_a_tree() {
    let server = RcloneS3::start().unwrap();
    // The server remembers for a while which there are.
    ["b", "c"].into_iter().for_each(|name| server.make_bucket(name));
    let remote = Remote {
        home: Home::new(),
        url: format!("s3://b/folder?endpoint={}&allow_http=true", server.endpoint()),
        environment: vec![
            ("AWS_ACCESS_KEY_ID", RcloneS3::ACCESS_KEY_ID.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", RcloneS3::SECRET_ACCESS_KEY.to_owned()),
        ],
        secret: RcloneS3::SECRET_ACCESS_KEY.to_owned(),
    };
    let ran = remote.done(&["--json", "init"]);
    assert_eq!(ran.lines().last().unwrap()["create_only"], false, "{}", ran.stdout);
    let source = remote.home.join("source");
    tree::nasty(&source);
    remote.done(&["-q", "create", "source"]);
    remote.done(&["check", "--read-data"]);
    remote.brings_back("out", &source);

    // Who says so is not warned, and is asked for no more than that.
    let mut told = remote;
    told.url = told.url.replace("s3://b", "s3://c") + "&conditional_puts=false";
    let ran = told.done(&["init"]);
    assert!(!ran.stderr.contains("create-only"), "{}", ran.stderr);
    told.done(&["-q", "create", "source"]);
    told.done(&["--no-cache", "check", "--read-data"]);
}

#[test]
fn wrong_s3_credentials_and_missing_buckets_are_told_with_a_way_out() {
    let mut remote = Remote::s3("wrong");
    remote.environment[1].1 = "not the secret".to_owned();
    let ran = remote.run(&["init"]);
    assert_eq!(ran.code, 14, "{}", ran.stderr);
    assert!(ran.stderr.contains(" hint: "), "{}", ran.stderr);
    remote.environment[1].1 = SeaweedFs::SECRET_ACCESS_KEY.to_owned();
    remote.url = remote.url.replace("s3://wrong", "s3://missing");
    let ran = remote.run(&["init"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("NoSuchBucket") && ran.stderr.contains(" hint: "), "{}", ran.stderr);
}

#[test]
fn server_that_nobody_knows_is_refused_until_it_is_made_known() {
    let mut remote = Remote::sftp("stranger");
    let known = remote.home.join("ssh/known_hosts");
    remote.url = remote.url.replace(&Sshd::shared().known_hosts().display().to_string(), &known.display().to_string());
    let ran = remote.run(&["init"]);
    assert_eq!(ran.code, 13, "{}", ran.stderr);
    assert!(ran.stderr.contains("SHA256:") && ran.stderr.contains("backup backends trust"), "{}", ran.stderr);
    // With nobody to ask nothing is believed.
    let ran = remote.run(&["backends", "trust"]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    let fingerprint = ran
        .stderr
        .split_whitespace()
        .find(|word| word.starts_with("SHA256:"))
        .unwrap()
        .trim_matches([',', '`'])
        .to_owned();
    let other = format!("{}x", &fingerprint[..fingerprint.len() - 1]);
    let ran = remote.run(&["backends", "trust", "--fingerprint", &other]);
    assert_eq!(ran.code, 13, "{}", ran.stderr);
    assert!(!known.exists());
    let url = remote.url.clone();
    let lines = remote.done(&["--json", "backends", "trust", &url, "--fingerprint", &fingerprint]).lines();
    assert_eq!((&lines[0]["known"], &lines[0]["fingerprint"]), (&false.into(), &fingerprint.as_str().into()));
    remote.done(&["-q", "init"]);
    let lines = remote.done(&["--json", "backends", "trust"]).lines();
    assert_eq!(lines[0]["known"], true);
    // Another key in its place is refused, with the way out.
    let text = fs::read_to_string(&known).unwrap();
    let keys = remote.home.join("other");
    backup_test_servers::make_key(&keys, "ed25519", "").unwrap();
    let name = text.split(' ').next().unwrap();
    fs::write(&known, format!("{name} {}", fs::read_to_string(remote.home.join("other.pub")).unwrap())).unwrap();
    for arguments in [["backends", "trust"], ["-q", "snapshots"]] {
        let ran = remote.run(&arguments);
        assert_eq!(ran.code, 13, "{}", ran.stderr);
    }
    let ran = remote.run(&["backends", "trust"]);
    assert!(ran.stderr.contains("ssh-keygen -R"), "{}", ran.stderr);
}
