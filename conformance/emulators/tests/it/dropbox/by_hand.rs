//! Requests that no library makes: malformed ones, strangers, and consent gone wrong.

use std::time::Duration;

use backup_test_emulators::dropbox::{App, Dropbox};
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Certificate, Client, Response};
use serde_json::{Value, json};

use super::tables::are_as_described;

/// Requests with a valid access token.
pub(super) struct Hand {
    pub(super) dropbox: Dropbox,
    pub(super) client: Client,
    pub(super) token: String,
}

impl Hand {
    pub(super) fn new() -> Self {
        let dropbox = Dropbox::start();
        let authority = Certificate::from_pem(&std::fs::read(dropbox.ca_file()).unwrap()).unwrap();
        let redirect = reqwest::redirect::Policy::none();
        let client = Client::builder().tls_certs_only([authority]).no_proxy().redirect(redirect).build().unwrap();
        let token = dropbox.plant_tokens(Dropbox::APP_KEY).access_token;
        Self { dropbox, client, token }
    }

    pub(super) async fn rpc(&self, function: &str, argument: &Value) -> (u16, Value) {
        let url = format!("{}/2/{function}", self.dropbox.api_url());
        let request = self.client.post(url).bearer_auth(&self.token).header("content-type", "application/json");
        read(request.body(argument.to_string()).send().await.unwrap()).await
    }

    pub(super) async fn upload(
        &self,
        function: &str,
        argument: &Value,
        data: impl Into<reqwest::Body>,
    ) -> (u16, Value) {
        let url = format!("{}/2/{function}", self.dropbox.content_url());
        let request = self.client.post(url).bearer_auth(&self.token).header("content-type", "application/octet-stream");
        let request = request.header("dropbox-api-arg", argument.to_string());
        read(request.body(data).send().await.unwrap()).await
    }

    async fn token(&self, form: &str) -> (u16, Value) {
        let url = format!("{}/oauth2/token", self.dropbox.api_url());
        let request = self.client.post(url).header("content-type", "application/x-www-form-urlencoded");
        read(request.body(form.to_owned()).send().await.unwrap()).await
    }
}

/// The status and the answer: the union where it is an error, and text where it is no JSON.
async fn read(reply: Response) -> (u16, Value) {
    let status = reply.status().as_u16();
    let text = reply.text().await.unwrap();
    let value: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
    match (status, value.get("error_summary")) {
        (409, Some(summary)) => {
            let error = value["error"].clone();
            assert!(summary.as_str().unwrap().starts_with(error[".tag"].as_str().unwrap()), "{value}");
            (status, error)
        }
        _ => (status, value),
    }
}

/// A host, a function, the kind of the body, the argument in the header, the body, and the status.
type Case<'a> = (&'a str, &'static str, &'static str, Option<&'static [u8]>, &'static str, u16);

/// A union in a union and so on, of which the innermost carries nothing.
pub(super) fn tags(tags: &[&str]) -> Value {
    let (first, rest) = tags.split_first().unwrap();
    if rest.is_empty() { json!({ ".tag": first }) } else { json!({ ".tag": first, *first: self::tags(rest) }) }
}

#[tokio::test]
async fn malformed_requests_are_refused_with_a_sentence() {
    let hand = Hand::new();
    let (api, content) = (hand.dropbox.api_url(), hand.dropbox.content_url());
    let (json, octets) = ("application/json", "application/octet-stream");
    let path = r#"{"path":"/x"}"#;
    let cases: [Case<'_>; 17] = [
        (&api, "files/get_metadata", json, None, path, 409),
        (&api, "files/get_metadata", json, None, "{", 400),
        (&api, "files/get_metadata", json, None, "", 400),
        (&api, "files/get_metadata", json, None, r#"{"path":"/x","more":1}"#, 400),
        (&api, "files/get_metadata", json, None, r#"{"path":1}"#, 400),
        (&api, "files/get_metadata", "text/plain", None, path, 400),
        (&api, "files/get_metadata?arg=x", json, None, path, 400),
        (&api, "files/get_metadata_v9", json, None, path, 400),
        (&api, "files/upload", octets, Some(path.as_bytes()), "", 400),
        (&content, "files/get_metadata", json, None, path, 400),
        (&content, "files/upload", octets, Some(path.as_bytes()), "", 200),
        (&content, "files/upload", json, Some(path.as_bytes()), "", 400),
        (&content, "files/upload", octets, None, path, 400),
        (&content, "files/upload", octets, Some(r#"{"path":"/ä"}"#.as_bytes()), "", 400),
        (&content, "files/upload", octets, Some(br#"{"path":"/\u00e4"}"#), "", 200),
        (&content, "files/download", octets, Some(path.as_bytes()), "x", 400),
        (&api, "users/get_space_usage", json, None, "{}", 400),
    ];
    for (host, function, content_type, argument, body, wanted) in cases {
        let mut request = hand.client.post(format!("{host}/2/{function}")).bearer_auth(&hand.token);
        if let Some(argument) = argument {
            request = request.header("dropbox-api-arg", HeaderValue::from_bytes(argument).unwrap());
        }
        let (status, answer) =
            read(request.header("content-type", content_type).body(body).send().await.unwrap()).await;
        assert_eq!(status, wanted, "{function} {content_type} {argument:?} {body}: {answer}");
        assert!(status != 400 || answer.is_string(), "{function}: {answer}");
    }
    assert_eq!(hand.dropbox.files().into_keys().collect::<Vec<_>>(), ["/x", "/ä"]);
    let got = hand.client.get(format!("{api}/2/users/get_space_usage")).bearer_auth(&hand.token).send().await.unwrap();
    assert_eq!(got.status(), 404);
    for body in ["", "null"] {
        let request = hand.client.post(format!("{api}/2/users/get_space_usage")).bearer_auth(&hand.token);
        assert_eq!(request.body(body).send().await.unwrap().status(), 200, "{body:?}");
    }
}

#[tokio::test]
async fn who_may_not_is_told_so() {
    let hand = Hand::new();
    let url = format!("{}/2/check/user", hand.dropbox.api_url());
    let ask = async |authorization: Option<&str>, root: Option<&str>| {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        for (name, value) in [("authorization", authorization), ("dropbox-api-path-root", root)] {
            if let Some(value) = value {
                headers.insert(name, HeaderValue::from_str(value).unwrap());
            }
        }
        let (status, answer) = read(hand.client.post(&url).headers(headers).body("{}").send().await.unwrap()).await;
        (status, answer["error"][".tag"].as_str().map(str::to_owned))
    };
    let tagged = |status, tag: &str| (status, Some(tag.to_owned()));
    let bearer = format!("Bearer {}", hand.token);
    assert_eq!(ask(Some(&bearer), None).await, (200, None));
    assert_eq!(ask(None, None).await, (400, None));
    assert_eq!(ask(Some("Bearer"), None).await, (400, None));
    assert_eq!(ask(Some("Bearer unknown"), None).await, tagged(401, "invalid_access_token"));
    let (_, account) = hand.rpc("users/get_current_account", &Value::Null).await;
    let own = account["root_info"]["root_namespace_id"].as_str().unwrap();
    let root = |tag: &str, name: &str, id: &str| json!({ ".tag": tag, name: id }).to_string();
    assert_eq!(ask(Some(&bearer), Some(&root("namespace_id", "namespace_id", own))).await, (200, None));
    assert_eq!(ask(Some(&bearer), Some(&root("root", "root", own))).await, (200, None));
    assert_eq!(ask(Some(&bearer), Some(&root("root", "root", "7"))).await, tagged(422, "invalid_root"));
    assert_eq!(
        ask(Some(&bearer), Some(&root("namespace_id", "namespace_id", "7"))).await,
        tagged(422, "no_permission")
    );
    assert_eq!(ask(Some(&bearer), Some("x")).await, (400, None));
    // Tokens end with time: after four hours.
    hand.dropbox.clock().advance(Duration::from_secs(4 * 60 * 60 - 1));
    assert_eq!(ask(Some(&bearer), None).await, (200, None));
    hand.dropbox.clock().advance(Duration::from_secs(1));
    assert_eq!(ask(Some(&bearer), None).await, tagged(401, "expired_access_token"));
    are_as_described(&hand.dropbox);
}

#[tokio::test]
async fn consent_goes_to_addresses_of_the_app_only() {
    let hand = Hand::new();
    let redirect_uris = vec!["https://app.example/back?x=1".to_owned()];
    let (key, secret, folder) = ("web".to_owned(), "canary-of-the-web-app".to_owned(), None);
    hand.dropbox.add_app(App { key, secret, redirect_uris, folder });
    let challenge = "0123456789012345678901234567890123456789012";
    let ask = async |query: &str| {
        let url = format!("{}/oauth2/authorize?{query}", hand.dropbox.api_url());
        let reply = hand.client.get(url).send().await.unwrap();
        let to = reply.headers().get("location").map(|to| to.to_str().unwrap().to_owned());
        (reply.status().as_u16(), to.unwrap_or_default())
    };
    let (status, to) =
        ask("client_id=web&response_type=code&redirect_uri=https://app.example/back%3Fx=1&state=a%26b").await;
    assert_eq!(status, 302);
    assert!(to.starts_with("https://app.example/back?x=1&code=") && to.ends_with("&state=a%26b"), "{to}");
    for query in [
        "client_id=other&response_type=code".to_owned(),
        "client_id=web&response_type=token".to_owned(),
        "client_id=web&client_id=web&response_type=code".to_owned(),
        "client_id=web&response_type=code&redirect_uri=https://evil.example/".to_owned(),
        "client_id=web&response_type=code&redirect_uri=http://localhost.evil.example/".to_owned(),
        "client_id=web&response_type=code&token_access_type=forever".to_owned(),
        "client_id=web&response_type=code&code_challenge=short&code_challenge_method=S256".to_owned(),
        format!("client_id=web&response_type=code&code_challenge={challenge}"),
        "client_id=web&response_type=code&scope=everything".to_owned(),
    ] {
        assert_eq!(ask(&query).await, (400, String::new()), "{query}");
    }
    let (status, to) = ask("client_id=web&response_type=code&redirect_uri=http://127.0.0.1:7/").await;
    let code = to.strip_prefix("http://127.0.0.1:7/?code=").unwrap();
    assert_eq!(status, 302);
    let form = format!("grant_type=authorization_code&code={code}&redirect_uri=http://127.0.0.1:7/&client_id=web");
    let (status, answer) = hand.token(&format!("{form}&client_secret=canary-of-the-web-app")).await;
    // Nobody asked for access that lasts.
    assert_eq!((status, answer.get("refresh_token")), (200, None), "{answer}");
    assert_eq!(answer["expires_in"], 14_400);
    for (form, error) in [
        ("grant_type=refresh_token&refresh_token=x&client_id=web", "invalid_grant"),
        ("grant_type=refresh_token&refresh_token=x&client_id=other", "invalid_client"),
        ("grant_type=refresh_token&refresh_token=x&client_id=web&client_secret=x", "invalid_client"),
        ("grant_type=refresh_token&client_id=web", "invalid_request"),
        ("grant_type=password&client_id=web", "unsupported_grant_type"),
        ("", "unsupported_grant_type"),
    ] {
        let (status, answer) = hand.token(form).await;
        assert_eq!((status, &answer["error"]), (400, &json!(error)), "{form}");
    }
}
