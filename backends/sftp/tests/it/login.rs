//! Who may log in, and with what.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use backup_backend_sftp::{SftpBackend, SftpConfig};
use backup_core::registry::{BackendConfig, ConnectContext};
use backup_core::secret::MapResolver;
use backup_core::{
    ByteRange, ObjectKey, PutOptions, SecretRef, StorageBackend, StorageErrorKind, StorageResult, SystemClock,
};
use backup_test_servers::{RcloneSftp, Sshd, make_key, program};

use crate::place::{config, open, unique};

fn with(variables: &[(&str, &Path)]) -> ConnectContext {
    let secrets = variables.iter().fold(MapResolver::new(), |secrets, (name, value)| {
        secrets.with(&format!("env:{name}"), value.to_str().unwrap())
    });
    ConnectContext::new(Arc::new(secrets), Arc::new(SystemClock::new()))
}

async fn carries_an_object(store: StorageResult<SftpBackend>) {
    let store = store.unwrap();
    let key = ObjectKey::new("some/object").unwrap();
    store.put(&key, "content".into(), &PutOptions::overwrite()).await.unwrap();
    assert_eq!(store.get(&key, ByteRange::Full).await.unwrap(), "content");
}

#[tokio::test]
async fn every_usual_kind_of_key_lets_in() {
    let server = Sshd::start(&[]).unwrap();
    let keys = tempfile::tempdir().unwrap();
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let file = keys.path().join(kind);
        make_key(&file, kind, "").unwrap();
        server.authorize(&file.with_extension("pub"));
        let mut config = config(&server, &server.files().join(kind));
        config.identity_file = Some(file);
        carries_an_object(open(&config).await).await;
    }
}

#[tokio::test]
async fn key_under_a_passphrase_opens_with_that_alone() {
    let server = Sshd::shared();
    let mut config = config(server, &server.files().join(unique("locked")));
    config.identity_file = Some(server.locked_identity());
    let error = open(&config).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Unauthenticated);
    assert!(error.to_string().contains("has a passphrase"), "{error}");
    config.passphrase = SecretRef::parse("env:WRONG").ok();
    let context = with(&[("WRONG", Path::new("not the passphrase"))]);
    let error = SftpBackend::connect(&config, &context).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Config);
    assert!(error.to_string().contains("is the passphrase right"), "{error}");
    assert!(!format!("{error:?}").contains("not the passphrase"));
    config.passphrase = SecretRef::parse("env:PASSPHRASE").ok();
    carries_an_object(open(&config).await).await;
}

#[tokio::test]
async fn key_that_the_server_does_not_know_is_told_with_what_was_tried() {
    let server = Sshd::shared();
    let keys = tempfile::tempdir().unwrap();
    let stranger = keys.path().join("stranger");
    make_key(&stranger, "ed25519", "").unwrap();
    let mut config = config(server, &server.files().join(unique("stranger")));
    config.identity_file = Some(stranger);
    let error = open(&config).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Unauthenticated);
    assert!(error.to_string().contains("stranger") && error.to_string().contains("publickey"), "{error}");
    config.identity_file = Some(keys.path().join("missing"));
    let error = open(&config).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Config, "{error}");
}

/// An `ssh-agent` that holds one key; it ends with the test.
struct Agent(Child);

impl Agent {
    fn with(identity: &Path, socket: &Path) -> Self {
        let agent =
            Command::new(program("ssh-agent").unwrap()).arg("-D").arg("-a").arg(socket).stdout(Stdio::null()).spawn();
        let agent = Self(agent.unwrap());
        let add = || {
            let added = Command::new(program("ssh-add").unwrap())
                .arg("-q")
                .arg(identity)
                .env("SSH_AUTH_SOCK", socket)
                .stderr(Stdio::null())
                .status();
            added.is_ok_and(|status| status.success())
        };
        // It tells nobody that its socket is there.
        assert!(
            (0..200).any(|_| add() || {
                std::thread::yield_now();
                false
            }),
            "the agent takes no key"
        );
        agent
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = (self.0.kill(), self.0.wait());
    }
}

#[tokio::test]
async fn agent_signs_for_a_key_that_is_in_no_file() {
    let server = Sshd::shared();
    let home = tempfile::tempdir().unwrap();
    let socket = home.path().join("agent");
    let _agent = Agent::with(&server.identity(), &socket);
    let mut config = config(server, &server.files().join(unique("agent")));
    config.identity_file = None;
    let context = with(&[("HOME", home.path()), ("SSH_AUTH_SOCK", &socket)]);
    carries_an_object(SftpBackend::connect(&config, &context).await).await;
    // Who wants no agent gets none.
    config.agent = false;
    let error = SftpBackend::connect(&config, &context).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Unauthenticated, "{error}");
}

#[tokio::test]
async fn home_folder_has_keys_known_servers_and_aliases() {
    let server = Sshd::shared();
    let home = tempfile::tempdir().unwrap();
    let dot_ssh = home.path().join(".ssh");
    std::fs::create_dir(&dot_ssh).unwrap();
    let folder = server.files().join(unique("home"));
    let mut plain = SftpConfig::new("127.0.0.1", folder.to_str().unwrap());
    plain.port = Some(server.port());
    plain.user = Some(server.user().to_owned());
    let context = with(&[("HOME", home.path())]);
    // Names of servers are hashed there, as Debian's ssh does.
    std::fs::copy(server.known_hosts(), dot_ssh.join("known_hosts")).unwrap();
    let hashed = Command::new(program("ssh-keygen").unwrap())
        .arg("-q")
        .arg("-H")
        .arg("-f")
        .arg(dot_ssh.join("known_hosts"))
        .output();
    assert!(hashed.unwrap().status.success());
    let known = std::fs::read_to_string(dot_ssh.join("known_hosts")).unwrap();
    assert!(known.starts_with("|1|") && !known.contains("127.0.0.1"), "{known}");
    let error = SftpBackend::connect(&plain, &context).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Unauthenticated, "there is no key yet: {error}");
    std::fs::copy(server.identity(), dot_ssh.join("id_ed25519")).unwrap();
    carries_an_object(SftpBackend::connect(&plain, &context).await).await;

    std::fs::rename(dot_ssh.join("id_ed25519"), dot_ssh.join("of-the-nas")).unwrap();
    let text = format!(
        "Host nas\n  HostName 127.0.0.1\n  Port {}\n  User {}\n  IdentityFile ~/.ssh/of-the-nas\n",
        server.port(),
        server.user()
    );
    std::fs::write(dot_ssh.join("config"), text).unwrap();
    let alias = SftpConfig::new("nas", folder.to_str().unwrap());
    assert!(alias.validate().is_ok());
    carries_an_object(SftpBackend::connect(&alias, &context).await).await;
}

#[tokio::test]
async fn password_lets_in_where_the_server_takes_one() {
    let server = RcloneSftp::start().unwrap();
    let mut config = SftpConfig::new("127.0.0.1", "/store");
    config.port = Some(server.port());
    config.user = Some(RcloneSftp::USER.to_owned());
    config.host_key = Some(server.host_key());
    config.ssh_config = Some("none".into());
    let error = open(&config).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Unauthenticated, "{error}");
    config.login_password = SecretRef::parse("env:PASSWORD").ok();
    let wrong = with(&[("PASSWORD", Path::new("not the password"))]);
    let error = SftpBackend::connect(&config, &wrong).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Unauthenticated);
    assert!(!format!("{error:?} {error}").contains("not the password"));
    let right = with(&[("PASSWORD", Path::new(RcloneSftp::PASSWORD))]);
    let store = SftpBackend::connect(&config, &right).await;
    assert!(!format!("{store:?}").contains(RcloneSftp::PASSWORD));
    carries_an_object(store).await;
}
