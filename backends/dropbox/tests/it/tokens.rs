//! Tokens that end, are taken back, or were never given.

use std::time::Duration;

use backup_backend_dropbox::DropboxBackend;
use backup_backend_oauth::TokenFile;
use backup_core::registry::BackendConfig;
use backup_core::{ByteRange, PutOptions, Secret, SecretRef, StorageBackend, StorageErrorKind};
use backup_test_emulators::dropbox::{Consent as Person, Fault};
use backup_test_emulators::{Effect, Rule};
use futures::future::join_all;

use crate::account::{APP, APP_SECRET, Account, body, key};

/// Longer than any of these tests waits.
const LIMIT: Duration = Duration::from_secs(60);

fn asked(account: &Account) -> usize {
    account.dropbox.trace().count(|exchange| exchange.path == "/oauth2/token")
}

#[tokio::test(flavor = "multi_thread")]
async fn token_that_ends_amid_the_work_is_replaced_once() {
    let account = Account::new();
    let store = account.open("a").await.unwrap();
    store.put(&key("first"), "x".into(), &PutOptions::if_absent()).await.unwrap();
    assert_eq!(asked(&account), 1);
    account.dropbox.expire_tokens();
    let gets = join_all((0..12).map(|_| async { store.get(&key("first"), ByteRange::Full).await })).await;
    assert!(gets.into_iter().all(|got| got.unwrap() == "x"));
    assert_eq!(asked(&account), 2);
    // Within an upload in pieces, too.
    let (bytes, body) = body(40 << 20);
    account.dropbox.faults().add(Rule::once(Effect::Vendor(Fault::ExpireToken)).path("/append_v2").after(1));
    store.put(&key("large"), body, &PutOptions::if_absent()).await.unwrap();
    assert!(account.file("/a/large").unwrap() == bytes);
    assert_eq!(asked(&account), 3);
    assert_eq!(account.calls("upload_session/start").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn consent_that_is_taken_back_needs_a_person() {
    let account = Account::new();
    let store = account.open("a").await.unwrap();
    store.put(&key("first"), "x".into(), &PutOptions::if_absent()).await.unwrap();
    account.dropbox.revoke_tokens();
    for _ in 0..2 {
        let error = store.get(&key("first"), ByteRange::Full).await.unwrap_err();
        assert_eq!(error.kind(), StorageErrorKind::Unauthenticated, "{error}");
        let text = format!("{error} {error:?} {store:?}");
        assert!(!text.contains(&account.tokens.refresh_token) && !text.contains("sl.u."), "{text}");
    }
    assert_eq!(asked(&account), 2, "once to begin, once to hear that it is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn consent_of_a_person_opens_the_store_through_the_file() {
    let account = Account::new();
    let folder = tempfile::tempdir().unwrap();
    let mut config = account.config("a");
    config.refresh_token = None;
    config.tokens = Some(folder.path().join("dropbox.json"));
    let error = DropboxBackend::connect(&config, &account.context()).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Unauthenticated, "{error}");

    let login = config.login(&account.context(), None).await.unwrap().unwrap();
    assert_eq!(login.file(), config.tokens.as_deref().unwrap());
    let page = visit(&account, login.url()).await.1;
    let code = page.split("<code>").nth(1).unwrap().split("</code>").next().unwrap().to_owned();
    login.with_code(&Secret::from(code)).await.unwrap();

    let store = DropboxBackend::connect(&config, &account.context()).await.unwrap();
    store.put(&key("config"), "x".into(), &PutOptions::if_absent()).await.unwrap();
    assert_eq!(store.quota().await.unwrap().used_bytes, Some(1));
    assert_eq!(asked(&account), 1, "the token that came with consent is used");
    assert!(TokenFile::new(config.tokens.clone().unwrap(), APP).read().is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn consent_comes_through_a_browser_too() {
    let account = Account::new();
    let folder = tempfile::tempdir().unwrap();
    let mut config = account.config("a");
    config.refresh_token = None;
    config.tokens = Some(folder.path().join("dropbox.json"));
    let login = async || config.login(&account.context(), Some(0)).await.unwrap().unwrap();
    // Somebody says no: nothing is written down.
    account.dropbox.set_consent(Person::Deny);
    let asked = login().await;
    let (to, _) = visit(&account, asked.url()).await;
    let (heard, _) = tokio::join!(asked.from_browser(LIMIT), visit(&account, &to));
    assert_eq!(heard.unwrap_err().kind(), StorageErrorKind::PermissionDenied);
    assert!(!config.tokens.as_ref().unwrap().exists());
    account.dropbox.set_consent(Person::Allow);
    let asked = login().await;
    let (to, _) = visit(&account, asked.url()).await;
    let (heard, (_, page)) = tokio::join!(asked.from_browser(LIMIT), visit(&account, &to));
    heard.unwrap();
    assert!(page.contains("Consent was given"), "{page}");
    let store = DropboxBackend::connect(&config, &account.context()).await.unwrap();
    store.put(&key("config"), "x".into(), &PutOptions::if_absent()).await.unwrap();
}

/// Where an address sends to, and what it shows.
async fn visit(account: &Account, url: &str) -> (String, String) {
    use backup_backend_http::{HttpClient, HttpOptions, Pieces};
    let ca_file = Some(account.dropbox.ca_file().to_owned());
    let client = HttpClient::new(&HttpOptions { ca_file, allow_http: true, ..HttpOptions::default() }).unwrap();
    let answer = client.send(http::Request::get(url).body(Pieces::default()).unwrap()).await.unwrap();
    let to = answer.headers.get("location").map(|to| to.to_str().unwrap().to_owned()).unwrap_or_default();
    (to, String::from_utf8(answer.body.to_vec()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn secret_of_the_app_is_used_where_it_is_told() {
    let account = Account::new();
    let mut config = account.config("a");
    config.app_secret = SecretRef::parse("env:SECRET").ok();
    let store = DropboxBackend::connect(&config, &account.context()).await.unwrap();
    store.put(&key("config"), "x".into(), &PutOptions::if_absent()).await.unwrap();
    assert!(!format!("{store:?} {config:?}").contains(APP_SECRET));
    config.app_secret = SecretRef::parse("env:REFRESH").ok();
    let store = DropboxBackend::connect(&config, &account.context()).await.unwrap();
    let error = store.stat(&key("config")).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Config, "{error}");
}
