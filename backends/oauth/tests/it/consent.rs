//! A person's way to consent.

use std::time::Duration;

use backup_backend_oauth::{Consent, Loopback};
use backup_core::{Clock, Secret, StorageErrorKind};
use backup_test_emulators::dropbox::{Consent as Person, Dropbox};

use crate::desk::Desk;

/// Longer than any of these tests waits.
const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn code_that_a_person_copies_becomes_tokens() {
    let desk = Desk::new();
    let app = desk.app();
    let consent = Consent::new(&app, None).unwrap();
    let (status, _, page) = desk.visit(consent.url()).await;
    assert_eq!(status, 200);
    let code = page.split("<code>").nth(1).unwrap().split("</code>").next().unwrap().to_owned();
    let tokens = consent.complete(&app, &Secret::from(format!(" {code}\n")), &*desk.clock).await.unwrap();
    let access = tokens.access.clone().unwrap();
    assert!(desk.takes(&access.token).await);
    assert_eq!(access.expires, desk.clock.now().saturating_add(Duration::from_secs(14_400)));
    let next = app.refresh(&tokens.refresh, &*desk.clock).await.unwrap();
    assert!(desk.takes(&next.access.unwrap().token).await);
    assert_eq!(next.refresh.expose(), tokens.refresh.expose(), "the service gave no other");
}

#[tokio::test]
async fn code_is_worth_nothing_to_whoever_did_not_ask() {
    let desk = Desk::new();
    let app = desk.app();
    let (asked, other) = (Consent::new(&app, None).unwrap(), Consent::new(&app, None).unwrap());
    let (_, _, page) = desk.visit(asked.url()).await;
    let code = page.split("<code>").nth(1).unwrap().split("</code>").next().unwrap().to_owned();
    let error = other.complete(&app, &Secret::from(code.clone()), &*desk.clock).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Unauthenticated, "{error}");
    assert!(!format!("{error} {error:?} {asked:?}").contains(&code));
}

#[tokio::test]
async fn browser_brings_the_code_of_this_question_and_no_other() {
    let desk = Desk::new();
    let app = desk.app();
    let loopback = Loopback::bind(0).await.unwrap();
    let home = loopback.redirect_uri();
    let consent = Consent::new(&app, Some(&home)).unwrap();
    let (status, to, _) = desk.visit(consent.url()).await;
    assert_eq!(status, 302);
    let browser = async {
        // Neither another's state, nor none, nor another page ends the wait.
        for strange in ["?code=stolen&state=guessed", "?code=stolen", "favicon.ico", ""] {
            assert_eq!(desk.visit(&format!("{home}{strange}")).await.0, 404, "{strange}");
        }
        desk.visit(&to).await
    };
    let (code, (status, _, page)) = tokio::join!(loopback.wait(&consent, LIMIT), browser);
    assert!(status == 200 && page.contains("Consent was given"), "{page}");
    let tokens = consent.complete(&app, &code.unwrap(), &*desk.clock).await.unwrap();
    assert!(desk.takes(&tokens.access.unwrap().token).await);
}

#[tokio::test]
async fn person_who_says_no_is_heard() {
    let desk = Desk::new();
    desk.dropbox.set_consent(Person::Deny);
    let loopback = Loopback::bind(0).await.unwrap();
    let consent = Consent::new(&desk.app(), Some(&loopback.redirect_uri())).unwrap();
    let (_, to, _) = desk.visit(consent.url()).await;
    let (answer, (_, _, page)) = tokio::join!(loopback.wait(&consent, LIMIT), desk.visit(&to));
    let error = answer.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::PermissionDenied);
    assert!(error.to_string().contains("access_denied") && page.contains("not given"), "{error}: {page}");
}

#[tokio::test(start_paused = true)]
async fn wait_for_a_browser_has_an_end() {
    let desk = Desk::new();
    let loopback = Loopback::bind(0).await.unwrap();
    let consent = Consent::new(&desk.app(), Some(&loopback.redirect_uri())).unwrap();
    let error = loopback.wait(&consent, LIMIT).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Timeout);
}

#[tokio::test]
async fn app_that_the_service_does_not_know_is_a_matter_of_configuration() {
    let desk = Desk::new();
    let tokens = desk.dropbox.plant_tokens(Dropbox::APP_KEY);
    let refresh = Secret::from(tokens.refresh_token.clone());
    for (id, secret) in [("nobody", None), (Dropbox::APP_KEY, Some("canary-wrong"))] {
        let error = desk.authorization(id, secret).refresh(&refresh, &*desk.clock).await.unwrap_err();
        assert_eq!(error.kind(), StorageErrorKind::Config, "{error}");
        let text = format!("{error} {error:?} {:?}", desk.authorization(id, secret));
        assert!(!text.contains(&tokens.refresh_token) && !text.contains("canary-wrong"), "{text}");
    }
    let app = desk.authorization(Dropbox::APP_KEY, Some(Dropbox::APP_SECRET));
    assert!(desk.takes(&app.refresh(&refresh, &*desk.clock).await.unwrap().access.unwrap().token).await);
}
