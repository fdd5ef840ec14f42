//! How programs get tokens, step by step.

use std::time::Duration;

use backup_test_emulators::GoogleDrive;
use backup_test_emulators::drive::{Account, Scope};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::{Client, Url};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::rest::client;

const ID: &str = GoogleDrive::CLIENT_ID;
const SECRET: &str = GoogleDrive::CLIENT_SECRET;
const VERIFIER: &str = "a-verifier-of-the-tests-that-is-long-enough-to-be-one";
const REDIRECT: &str = "http://127.0.0.1:43210/back";

struct Person {
    drive: GoogleDrive,
    account: Account,
    http: Client,
}

/// Names and values, of which later ones replace earlier ones and empty ones remove them.
type Form<'a> = Vec<(&'a str, &'a str)>;

fn with<'a>(mut form: Form<'a>, changes: &[(&'a str, &'a str)]) -> Form<'a> {
    form.retain(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
    form.extend(changes.iter().filter(|(_, value)| !value.is_empty()));
    form
}

impl Person {
    fn new() -> Self {
        let drive = GoogleDrive::start();
        let account = drive.account("anna@example.org");
        Self { http: client(&drive), drive, account }
    }

    /// Asks for consent and gives the status and where the person is sent, or what they are shown.
    async fn consent(&self, changes: &[(&str, &str)]) -> (u16, String) {
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
        let asked = vec![
            ("client_id", ID),
            ("redirect_uri", REDIRECT),
            ("response_type", "code"),
            ("scope", Scope::DriveFile.url()),
            ("state", "st&te"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
            ("access_type", "offline"),
            ("prompt", "consent"),
        ];
        let asked = with(asked, changes);
        let page = format!("{}/o/oauth2/v2/auth", self.drive.url());
        let reply = self.http.get(page).query(&asked).send().await.unwrap();
        let status = reply.status().as_u16();
        match reply.headers().get("location") {
            Some(place) => (status, place.to_str().unwrap().to_owned()),
            None => (status, reply.text().await.unwrap()),
        }
    }

    async fn code(&self, changes: &[(&str, &str)]) -> String {
        let (status, place) = self.consent(changes).await;
        assert_eq!(status, 302, "{place}");
        value(&place, "code").unwrap()
    }

    async fn token(&self, form: &Form<'_>) -> (u16, Value) {
        let reply = self.http.post(format!("{}/token", self.drive.url())).form(form).send().await.unwrap();
        let status = reply.status().as_u16();
        (status, serde_json::from_str(&reply.text().await.unwrap()).unwrap())
    }

    async fn is_good(&self, token: &str) -> bool {
        let files = format!("{}/drive/v3/files", self.drive.url());
        self.http.get(files).bearer_auth(token).send().await.unwrap().status() == 200
    }

    fn refresh<'a>(&self, token: &'a str) -> Form<'a> {
        vec![("grant_type", "refresh_token"), ("client_id", ID), ("client_secret", SECRET), ("refresh_token", token)]
    }
}

fn redeem(code: &str) -> Form<'_> {
    vec![
        ("grant_type", "authorization_code"),
        ("client_id", ID),
        ("client_secret", SECRET),
        ("code", code),
        ("redirect_uri", REDIRECT),
        ("code_verifier", VERIFIER),
    ]
}

fn value(place: &str, name: &str) -> Option<String> {
    let place = Url::parse(place).unwrap();
    place.query_pairs().find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
}

#[tokio::test]
async fn consent_leads_to_tokens_that_work() {
    let person = Person::new();
    let (status, place) = person.consent(&[]).await;
    assert_eq!(status, 302);
    assert!(place.starts_with(&format!("{REDIRECT}?")), "{place}");
    assert_eq!(value(&place, "state").unwrap(), "st&te");
    let code = value(&place, "code").unwrap();
    let (status, told) = person.token(&redeem(&code)).await;
    assert_eq!(status, 200, "{told}");
    assert_eq!((&told["token_type"], &told["scope"]), (&"Bearer".into(), &Scope::DriveFile.url().into()));
    assert_eq!(told["expires_in"], 3599);
    assert!(person.is_good(told["access_token"].as_str().unwrap()).await);
    let refresh_token = told["refresh_token"].as_str().unwrap();
    assert!(person.account.accepts(refresh_token));
    let (status, told) = person.token(&person.refresh(refresh_token)).await;
    assert_eq!((status, told.get("refresh_token")), (200, None), "{told}");
    // A code is good once.
    assert_eq!(person.token(&redeem(&code)).await.1["error"], "invalid_grant");
}

#[tokio::test]
async fn consent_that_is_denied_is_told() {
    let person = Person::new();
    person.drive.set(|knobs| knobs.denies_consent = true);
    let (status, place) = person.consent(&[]).await;
    assert_eq!(status, 302);
    assert_eq!(value(&place, "error").unwrap(), "access_denied");
    assert_eq!(value(&place, "state").unwrap(), "st&te");
    assert_eq!(value(&place, "code"), None);
}

#[tokio::test]
async fn consent_is_not_asked_for_in_a_wrong_way() {
    let person = Person::new();
    let wrong = [
        ("client_id", "nosuch"),
        ("redirect_uri", "https://example.org/back"),
        ("redirect_uri", "http://127.0.0.1.example.org/back"),
        ("redirect_uri", "urn:ietf:wg:oauth:2.0:oob"),
        ("response_type", "token"),
        ("scope", "https://www.googleapis.com/auth/nosuch"),
        ("scope", ""),
        ("code_challenge_method", "plain"),
        ("code_challenge", "short"),
        ("access_type", "sometimes"),
        ("login_hint", "nobody@example.org"),
        ("nosuch", "x"),
    ];
    for change in wrong {
        let (status, shown) = person.consent(&[change]).await;
        assert_eq!(status, 400, "{change:?}: {shown}");
    }
    for fine in [
        ("redirect_uri", "http://localhost:1/"),
        ("redirect_uri", "http://[::1]:1"),
        ("login_hint", "anna@example.org"),
    ] {
        assert_eq!(person.consent(&[fine]).await.0, 302, "{fine:?}");
    }
}

#[tokio::test]
async fn codes_are_redeemed_by_whoever_asked_for_them() {
    let person = Person::new();
    person.drive.register("other", "other secret");
    let wrong = [
        (vec![("code_verifier", "another")], 400, "invalid_grant"),
        (vec![("code_verifier", "")], 400, "invalid_grant"),
        (vec![("redirect_uri", "http://127.0.0.1:1/back")], 400, "redirect_uri_mismatch"),
        (vec![("client_id", "other"), ("client_secret", "other secret")], 400, "invalid_grant"),
        (vec![("client_secret", "wrong")], 401, "invalid_client"),
        (vec![("client_secret", "")], 401, "invalid_client"),
        (vec![("client_id", "nosuch")], 401, "invalid_client"),
        (vec![("grant_type", "password")], 400, "unsupported_grant_type"),
        (vec![("grant_type", "")], 400, "invalid_request"),
        (vec![("nosuch", "x")], 400, "invalid_request"),
    ];
    for (changes, status, error) in wrong {
        let code = person.code(&[]).await;
        let told = person.token(&with(redeem(&code), &changes)).await;
        assert_eq!((told.0, &told.1["error"]), (status, &error.into()), "{changes:?}");
    }
    let revoked = person.code(&[]).await;
    person.account.revoke();
    assert_eq!(person.token(&redeem(&revoked)).await.1["error"], "invalid_grant");
    let late = person.code(&[]).await;
    person.drive.clock().advance(Duration::from_secs(600));
    assert_eq!(person.token(&redeem(&late)).await.1["error"], "invalid_grant");
}

#[tokio::test]
async fn a_refresh_token_is_given_when_it_is_asked_for() {
    let person = Person::new();
    let given = async |changes: &[(&str, &str)]| {
        let code = person.code(changes).await;
        person.token(&redeem(&code)).await.1.get("refresh_token").is_some()
    };
    assert!(!given(&[("access_type", ""), ("prompt", "")]).await);
    assert!(given(&[("prompt", "")]).await);
    // Who has agreed before gets no other one without being asked again.
    assert!(!given(&[("prompt", "")]).await);
    assert!(given(&[]).await);
}

#[tokio::test]
async fn tokens_end_by_time_by_rotation_and_by_revocation() {
    let person = Person::new();
    let refresh_token = person.account.refresh_token(Scope::Drive);
    let access = async |token: &str| person.token(&person.refresh(token)).await.1;
    let told = access(&refresh_token).await;
    let token = told["access_token"].as_str().unwrap();
    person.drive.clock().advance(Duration::from_secs(3599));
    assert!(person.is_good(token).await);
    person.drive.clock().advance(Duration::from_secs(1));
    assert!(!person.is_good(token).await);

    person.drive.register("other", "other secret");
    let by_another = with(person.refresh(&refresh_token), &[("client_id", "other"), ("client_secret", "other secret")]);
    assert_eq!(person.token(&by_another).await.1["error"], "invalid_grant");
    person.drive.set(|knobs| knobs.rotates_refresh_tokens = true);
    let next = access(&refresh_token).await["refresh_token"].as_str().unwrap().to_owned();
    assert_eq!(access(&refresh_token).await["error"], "invalid_grant");
    person.drive.set(|knobs| knobs.rotates_refresh_tokens = false);
    let told = access(&next).await;
    let token = told["access_token"].as_str().unwrap();
    assert!(person.is_good(token).await);

    let revoke = format!("{}/revoke", person.drive.url());
    let reply = person.http.post(&revoke).form(&[("token", &next)]).send().await.unwrap();
    assert_eq!(reply.status(), 200);
    assert!(!person.is_good(token).await);
    assert_eq!(access(&next).await["error"], "invalid_grant");
    assert_eq!(person.http.post(&revoke).form(&[("token", &next)]).send().await.unwrap().status(), 400);
}

#[tokio::test]
async fn programs_may_name_themselves_in_a_header() {
    let person = Person::new();
    let refresh_token = person.account.refresh_token(Scope::Drive);
    let form = [("grant_type", "refresh_token"), ("refresh_token", &refresh_token)];
    let url = format!("{}/token", person.drive.url());
    let ask = async |secret| {
        person.http.post(&url).basic_auth(ID, Some(secret)).form(&form).send().await.unwrap().status().as_u16()
    };
    assert_eq!(ask(SECRET).await, 200);
    assert_eq!(ask("wrong").await, 401);
}
