//! An app at Dropbox's emulator.

use std::sync::Arc;

use backup_backend_http::{HttpClient, HttpOptions, Pieces};
use backup_backend_oauth::{Authorization, OAuthClient, OAuthProvider};
use backup_core::{ManualClock, Secret, Timestamp};
use backup_test_emulators::dropbox::Dropbox;

/// An app, the service, and a clock that stands still.
pub(crate) struct Desk {
    pub(crate) dropbox: Dropbox,
    pub(crate) http: HttpClient,
    pub(crate) clock: Arc<ManualClock>,
}

impl Desk {
    pub(crate) fn new() -> Self {
        let dropbox = Dropbox::start();
        let ca_file = Some(dropbox.ca_file().to_owned());
        // Browsers speak plain HTTP to this machine.
        let http = HttpClient::new(&HttpOptions { ca_file, allow_http: true, ..HttpOptions::default() }).unwrap();
        Self { dropbox, http, clock: Arc::new(ManualClock::new(Timestamp::from_secs(1_000_000))) }
    }

    pub(crate) fn authorization(&self, id: &str, secret: Option<&str>) -> Authorization {
        let provider = OAuthProvider {
            authorization_url: format!("{}/oauth2/authorize", self.dropbox.api_url()),
            token_url: format!("{}/oauth2/token", self.dropbox.api_url()),
            scopes: vec!["files.content.read".to_owned(), "account_info.read".to_owned()],
            extra: vec![("token_access_type".to_owned(), "offline".to_owned())],
        };
        let client = OAuthClient { id: id.to_owned(), secret: secret.map(|secret| Secret::from(secret.to_owned())) };
        Authorization::new(provider, &client, self.http.clone()).unwrap()
    }

    pub(crate) fn app(&self) -> Authorization {
        self.authorization(Dropbox::APP_KEY, None)
    }

    /// How often a token was asked for.
    pub(crate) fn asked(&self) -> usize {
        self.dropbox.trace().count(|exchange| exchange.path == "/oauth2/token")
    }

    /// What an address answers: its status, where it sends to, and its body.
    pub(crate) async fn visit(&self, url: &str) -> (u16, String, String) {
        let answer = self.http.send(http::Request::get(url).body(Pieces::default()).unwrap()).await.unwrap();
        let to = answer.headers.get("location").map(|to| to.to_str().unwrap().to_owned()).unwrap_or_default();
        (answer.status.as_u16(), to, String::from_utf8(answer.body.to_vec()).unwrap())
    }

    /// Whether the service takes an access token.
    pub(crate) async fn takes(&self, token: &Secret) -> bool {
        let request = http::Request::post(format!("{}/2/check/user", self.dropbox.api_url()))
            .header("authorization", format!("Bearer {}", token.expose_text().unwrap()))
            .header("content-type", "application/json")
            .body(Pieces::new(["{}".into()]));
        self.http.send(request.unwrap()).await.unwrap().status.as_u16() == 200
    }
}
