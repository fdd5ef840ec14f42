//! A server is the one that it was, or nothing is sent to it.

use backup_core::{StorageErrorKind, storage::error::RetryAdvice};
use backup_test_servers::{Sshd, make_key};

use crate::place::{config, open, unique};

#[tokio::test]
async fn server_that_nobody_knows_is_refused() {
    let server = Sshd::shared();
    let mut config = config(server, &server.files().join(unique("unknown")));
    let empty = tempfile::tempdir().unwrap();
    config.known_hosts = Some(empty.path().join("known_hosts"));
    let error = open(&config).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (StorageErrorKind::HostKeyMismatch, RetryAdvice::Never));
    let text = error.to_string();
    assert!(text.contains("SHA256:") && text.contains(&format!("[127.0.0.1]:{}", server.port())), "{text}");
}

#[tokio::test]
async fn server_with_another_key_than_the_known_one_is_refused() {
    let server = Sshd::shared();
    let mut config = config(server, &server.files().join(unique("other")));
    let keys = tempfile::tempdir().unwrap();
    make_key(&keys.path().join("other"), "ed25519", "").unwrap();
    let other = std::fs::read_to_string(keys.path().join("other.pub")).unwrap();
    let known = keys.path().join("known_hosts");
    std::fs::write(&known, format!("[127.0.0.1]:{} {other}", server.port())).unwrap();
    config.known_hosts = Some(known);
    let error = open(&config).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::HostKeyMismatch);
    assert!(error.to_string().contains("line 1") && error.to_string().contains("another one"), "{error}");

    config.known_hosts = None;
    config.host_key = Some(other.trim().to_owned());
    assert_eq!(open(&config).await.unwrap_err().kind(), StorageErrorKind::HostKeyMismatch);
    config.host_key = Some(server.host_key());
    assert!(open(&config).await.is_ok());
}

#[tokio::test]
async fn server_with_several_keys_is_asked_for_the_known_one() {
    let keys = tempfile::tempdir().unwrap();
    let lines: Vec<String> = ["rsa", "ecdsa"]
        .into_iter()
        .map(|kind| {
            make_key(&keys.path().join(kind), kind, "").unwrap();
            format!("HostKey {}", keys.path().join(kind).display())
        })
        .collect();
    let server = Sshd::start(&lines.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    for kind in ["rsa", "ecdsa"] {
        let key = std::fs::read_to_string(keys.path().join(format!("{kind}.pub"))).unwrap();
        let known = keys.path().join("known_hosts");
        std::fs::write(&known, format!("[127.0.0.1]:{} {key}", server.port())).unwrap();
        let mut config = config(&server, &server.files().join(kind));
        config.known_hosts = Some(known);
        assert!(open(&config).await.is_ok(), "{kind}");
    }
}
