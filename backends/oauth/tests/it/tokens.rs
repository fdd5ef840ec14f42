//! Tokens that end, are replaced and are taken back.

use std::time::Duration;

use backup_backend_oauth::{TokenFile, TokenSource, Tokens};
use backup_core::storage::error::RetryAdvice;
use backup_core::{Secret, StorageErrorKind, StorageOperation};
use backup_test_emulators::dropbox::Dropbox;
use backup_test_emulators::{Effect, Reply, Rule};
use futures::future::join_all;

use crate::desk::Desk;

fn planted(desk: &Desk) -> Secret {
    Secret::from(desk.dropbox.plant_tokens(Dropbox::APP_KEY).refresh_token)
}

fn source(desk: &Desk) -> TokenSource {
    TokenSource::from_refresh_token(desk.app(), planted(desk), desk.clock.clone())
}

/// A file with a refresh token, in a folder that ends with the test.
fn file(desk: &Desk) -> (tempfile::TempDir, TokenFile) {
    let folder = tempfile::tempdir().unwrap();
    let file = TokenFile::new(folder.path().join("tokens.json"), Dropbox::APP_KEY);
    file.write(&Tokens::of_refresh(planted(desk))).unwrap();
    (folder, file)
}

fn answer(access: &str, refresh: &str) -> Reply {
    let body = format!(
        r#"{{"access_token":"{access}","token_type":"bearer","expires_in":14400,"refresh_token":"{refresh}"}}"#
    );
    Reply::new(200).body("application/json", body)
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_need_a_token_make_one_request() {
    let desk = Desk::new();
    let source = source(&desk);
    let tokens = join_all((0..20).map(|_| source.token())).await;
    assert_eq!(desk.asked(), 1);
    let first = tokens[0].clone().unwrap();
    assert!(desk.takes(&first.token).await);
    // All of them hear that it is over, and one request helps all.
    desk.dropbox.expire_tokens();
    let next = join_all((0..20).map(|_| source.instead_of(&first))).await;
    assert_eq!(desk.asked(), 2);
    assert!(desk.takes(&next[19].clone().unwrap().token).await);
    // Whoever still holds the first one gets the second.
    source.instead_of(&first).await.unwrap();
    assert_eq!(desk.asked(), 2);
}

#[tokio::test]
async fn token_is_replaced_before_it_ends() {
    let desk = Desk::new();
    let source = source(&desk);
    source.token().await.unwrap();
    desk.clock.advance(Duration::from_secs(14_400 - 301));
    source.token().await.unwrap();
    assert_eq!(desk.asked(), 1);
    desk.clock.advance(Duration::from_secs(1));
    source.token().await.unwrap();
    assert_eq!(desk.asked(), 2);
}

#[tokio::test]
async fn consent_that_was_taken_back_is_told_and_not_asked_for_again() {
    let desk = Desk::new();
    let (_folder, file) = file(&desk);
    let source = TokenSource::from_file(desk.app(), file.clone(), desk.clock.clone()).await.unwrap();
    let token = source.token().await.unwrap();
    desk.dropbox.revoke_tokens();
    for _ in 0..3 {
        let error = source.instead_of(&token).await.unwrap_err();
        assert_eq!(error.kind(), StorageErrorKind::Unauthenticated, "{error}");
        assert!(error.to_string().contains("log in again"), "{error}");
    }
    assert_eq!(desk.asked(), 2);
    // A person has logged in again while this program runs.
    file.write(&Tokens::of_refresh(planted(&desk))).unwrap();
    assert!(desk.takes(&source.instead_of(&token).await.unwrap().token).await);
}

#[tokio::test]
async fn refresh_token_that_is_replaced_is_in_the_file_first() {
    let desk = Desk::new();
    let (folder, file) = file(&desk);
    let source = TokenSource::from_file(desk.app(), file.clone(), desk.clock.clone()).await.unwrap();
    desk.dropbox.faults().add(Rule::once(Effect::Answer(answer("access-1", "refresh-1"))).path("/oauth2/token"));
    let first = source.token().await.unwrap();
    assert_eq!(first.token.expose_text(), Ok("access-1"));
    assert_eq!(file.read().unwrap().refresh.expose_text(), Ok("refresh-1"));
    drop(folder);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn refresh_token_that_can_not_be_kept_is_not_used() {
    use std::os::fd::AsRawFd;
    let desk = Desk::new();
    let (_folder, file) = file(&desk);
    // A folder in which nobody makes files, root included.
    let open = std::fs::File::open(file.path()).unwrap();
    let fixed = TokenFile::new(format!("/proc/self/fd/{}", open.as_raw_fd()), Dropbox::APP_KEY);
    let source = TokenSource::from_file(desk.app(), fixed, desk.clock.clone()).await.unwrap();
    desk.dropbox.faults().add(Rule::once(Effect::Answer(answer("access-1", "refresh-1"))).path("/oauth2/token"));
    let error = source.token().await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Config, "{error}");
    assert!(error.to_string().contains("can't be written"), "{error}");
    // An access token alone is no loss.
    assert!(desk.takes(&source.token().await.unwrap().token).await);
}

#[tokio::test]
async fn token_of_another_program_is_taken_from_the_file() {
    let desk = Desk::new();
    let (_folder, file) = file(&desk);
    let open = async || TokenSource::from_file(desk.app(), file.clone(), desk.clock.clone()).await.unwrap();
    let (one, other) = (open().await, open().await);
    let first = one.token().await.unwrap();
    let same = other.token().await.unwrap();
    assert_eq!(first.token.expose(), same.token.expose());
    assert_eq!(desk.asked(), 1);
}

#[tokio::test]
async fn busy_service_is_no_reason_to_log_in() {
    let desk = Desk::new();
    let source = source(&desk);
    for (reply, kind, wait) in [
        (Reply::new(503), StorageErrorKind::Unavailable, 0),
        (Reply::new(429).header("retry-after", "7"), StorageErrorKind::RateLimited, 7),
        (Reply::new(200).body("text/html", "<p>canary-of-a-portal"), StorageErrorKind::Unavailable, 0),
        (Reply::new(400).body("text/html", "<p>canary-of-a-portal"), StorageErrorKind::Unavailable, 0),
    ] {
        desk.dropbox.faults().add(Rule::once(Effect::Answer(reply)).path("/oauth2/token"));
        let error = source.token().await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        // Nothing of the operation itself was done: there is nothing to look at.
        let error = error.into_error(StorageOperation::Put);
        assert_eq!(error.retry(), RetryAdvice::After(Duration::from_secs(wait)));
    }
    assert!(desk.takes(&source.token().await.unwrap().token).await);
}
