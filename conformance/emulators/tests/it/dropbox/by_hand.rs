//! Requests that no library makes, and what is left of the vendor's rules.

use std::time::Duration;

use backup_test_emulators::dropbox::{App, Contention, Dropbox, Fault, content_hash};
use backup_test_emulators::{Effect, Rule};
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Certificate, Client, Response};
use serde_json::{Value, json};

use super::noise;
use super::tables::are_as_described;

/// Requests with a valid access token.
struct Hand {
    dropbox: Dropbox,
    client: Client,
    token: String,
}

impl Hand {
    fn new() -> Self {
        let dropbox = Dropbox::start();
        let authority = Certificate::from_pem(&std::fs::read(dropbox.ca_file()).unwrap()).unwrap();
        let redirect = reqwest::redirect::Policy::none();
        let client = Client::builder().tls_certs_only([authority]).no_proxy().redirect(redirect).build().unwrap();
        let token = dropbox.plant_tokens(Dropbox::APP_KEY).access_token;
        Self { dropbox, client, token }
    }

    async fn rpc(&self, function: &str, argument: &Value) -> (u16, Value) {
        let url = format!("{}/2/{function}", self.dropbox.api_url());
        let request = self.client.post(url).bearer_auth(&self.token).header("content-type", "application/json");
        read(request.body(argument.to_string()).send().await.unwrap()).await
    }

    async fn upload(&self, function: &str, argument: &Value, data: impl Into<reqwest::Body>) -> (u16, Value) {
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

fn tags(tags: &[&str]) -> Value {
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

#[tokio::test]
async fn too_much_data_is_refused() {
    let hand = Hand::new();
    let most = 150 << 20;
    let argument = json!({ "path": "/x" });
    let (status, error) = hand.upload("files/upload", &argument, vec![0; most + 1]).await;
    assert_eq!((status, error), (409, tags(&["payload_too_large"])));
    let (status, _) = hand.upload("files/upload_session/start", &json!({}), vec![0; most]).await;
    assert_eq!(status, 200);
    hand.dropbox.set_quota(1000, 990, false);
    let (_, error) = hand.upload("files/upload", &argument, "01234567890").await;
    assert_eq!(error["reason"], tags(&["insufficient_space"]));
    let (status, _) = hand.upload("files/upload", &argument, "0123456789").await;
    assert_eq!(status, 200);
    let (_, error) = hand.rpc("files/copy_v2", &json!({ "from_path": "/x", "to_path": "/y" })).await;
    assert_eq!(error, tags(&["insufficient_quota"]));
    // Reading, listing and deleting go on.
    let (status, _) = hand.rpc("files/delete_v2", &argument).await;
    assert_eq!(status, 200);
    are_as_described(&hand.dropbox);
}

#[tokio::test]
async fn sessions_end_with_time_and_on_request() {
    let hand = Hand::new();
    let begin = async || {
        let (_, answer) = hand.upload("files/upload_session/start", &json!({}), "abc").await;
        json!({ "session_id": answer["session_id"], "offset": 3 })
    };
    let append =
        async |cursor: &Value| hand.upload("files/upload_session/append_v2", &json!({ "cursor": cursor }), "").await;
    let cursor = begin().await;
    hand.dropbox.clock().advance(Duration::from_secs(4 * 60 * 60 - 1));
    assert_eq!(append(&cursor).await, (200, Value::Null));
    let week = Duration::from_secs(7 * 24 * 60 * 60);
    hand.dropbox.clock().advance(week);
    let refreshed = Hand { token: hand.dropbox.plant_tokens(Dropbox::APP_KEY).access_token, ..hand };
    let append = async |cursor: &Value| {
        refreshed.upload("files/upload_session/append_v2", &json!({ "cursor": cursor }), "").await
    };
    assert_eq!(append(&cursor).await, (409, tags(&["not_found"])));
    let commit = json!({ "cursor": cursor, "commit": { "path": "/x" } });
    let (_, error) = refreshed.upload("files/upload_session/finish", &commit, "").await;
    assert_eq!(error, tags(&["lookup_failed", "not_found"]));
    let (_, answer) = refreshed.upload("files/upload_session/start", &json!({}), "abc").await;
    let cursor = json!({ "session_id": answer["session_id"], "offset": 3 });
    assert_eq!(refreshed.dropbox.open_sessions().len(), 2);
    refreshed.dropbox.lose_sessions();
    assert_eq!(append(&cursor).await, (409, tags(&["not_found"])));
}

#[tokio::test]
async fn what_the_vendor_leaves_open_can_be_chosen() {
    let hand = Hand::new();
    let whole = |session: &Value, offset: u64| json!({ "session_id": session, "offset": offset });
    let (_, answer) = hand.upload("files/upload_session/start", &json!({ "close": true }), "abc").await;
    let session = &answer["session_id"];
    let again = json!({ "cursor": whole(session, 0), "close": true });
    let append = "files/upload_session/append_v2";
    let wrong = json!({ ".tag": "incorrect_offset", "correct_offset": 3 });
    assert_eq!(hand.upload(append, &again, "abc").await, (409, wrong));
    hand.dropbox.behave(|behaviour| behaviour.closed_before_offset = true);
    assert_eq!(hand.upload(append, &again, "abc").await, (409, tags(&["closed"])));

    let finish = json!({ "cursor": whole(session, 3), "commit": { "path": "/x" } });
    let (status, _) = hand.upload("files/upload_session/finish", &finish, "").await;
    assert_eq!(status, 200);
    let twice = async || hand.upload("files/upload_session/finish", &finish, "").await;
    assert_eq!(twice().await, (409, tags(&["lookup_failed", "not_found"])));
    hand.dropbox.behave(|behaviour| behaviour.finished_is_closed = true);
    assert_eq!(twice().await, (409, tags(&["lookup_failed", "closed"])));

    hand.dropbox.behave(|behaviour| behaviour.jobs_at_once = true);
    let (_, launch) = hand.rpc("files/delete_batch", &json!({ "entries": [{ "path": "/x" }] })).await;
    assert_eq!(launch[".tag"], "complete");
    assert_eq!(hand.dropbox.files().len(), 0);
    are_as_described(&hand.dropbox);
}

#[tokio::test]
async fn batches_meet_other_writes() {
    let hand = Hand::new();
    for name in ["a", "b", "c"] {
        hand.dropbox.plant_file(&format!("/{name}"), name);
    }
    let entries = json!({ "entries": [{ "path": "/a" }, { "path": "/b" }, { "path": "/c" }] });
    let (_, launch) = hand.rpc("files/delete_batch", &entries).await;
    let (status, answer) = hand.rpc("files/delete_batch", &entries).await;
    assert_eq!((status, &answer["error"]["reason"]), (429, &tags(&["too_many_write_operations"])));
    // Nothing is done before it is said to be done.
    let poll = json!({ "async_job_id": launch["async_job_id"] });
    assert_eq!(hand.rpc("files/delete_batch/check", &poll).await, (200, tags(&["in_progress"])));
    assert_eq!(hand.dropbox.files().len(), 3);
    hand.dropbox.faults().add(Rule::once(Effect::Vendor(Fault::FailEntries { every: 2 })).path("/check"));
    let (_, done) = hand.rpc("files/delete_batch/check", &poll).await;
    let failed = tags(&["failure", "too_many_write_operations"]);
    let results = done["entries"].as_array().unwrap();
    assert_eq!([&results[0], &results[2]], [&failed, &failed]);
    assert_eq!(results[1][".tag"], "success");
    assert_eq!(hand.dropbox.files().into_keys().collect::<Vec<_>>(), ["/a", "/c"]);
    // The result stays.
    assert_eq!(hand.rpc("files/delete_batch/check", &poll).await, (200, done));

    hand.dropbox.behave(|behaviour| behaviour.contention = Some(Contention::Path));
    let (_, error) = hand.rpc("files/move_v2", &json!({ "from_path": "/a", "to_path": "/d" })).await;
    assert_eq!(error, tags(&["to", "too_many_write_operations"]));
    let (_, error) = hand.upload("files/upload", &json!({ "path": "/d" }), "d").await;
    assert_eq!(error["reason"], tags(&["too_many_write_operations"]));
    // The data came before the error: it is in the session that the error names.
    hand.dropbox.behave(|behaviour| behaviour.contention = None);
    let cursor = json!({ "session_id": error["upload_session_id"], "offset": 1 });
    let finish = json!({ "cursor": cursor, "commit": { "path": "/d" } });
    let (status, _) = hand.upload("files/upload_session/finish", &finish, "").await;
    assert_eq!((status, &hand.dropbox.files()["/d"].bytes[..]), (200, &b"d"[..]));
    are_as_described(&hand.dropbox);
}

#[tokio::test]
async fn cursors_begin_again_on_request() {
    let hand = Hand::new();
    hand.dropbox.plant_folder("/a");
    let (_, page) = hand.rpc("files/list_folder", &json!({ "path": "" })).await;
    let next = json!({ "cursor": page["cursor"] });
    let (status, _) = hand.rpc("files/list_folder/continue", &next).await;
    assert_eq!(status, 200);
    hand.dropbox.reset_cursors();
    assert_eq!(hand.rpc("files/list_folder/continue", &next).await, (409, tags(&["reset"])));
    let (_, page) = hand.rpc("files/list_folder", &json!({ "path": "/a" })).await;
    hand.dropbox.delete("/a");
    let next = json!({ "cursor": page["cursor"] });
    assert_eq!(hand.rpc("files/list_folder/continue", &next).await, (409, tags(&["path", "not_found"])));
    are_as_described(&hand.dropbox);
}

#[tokio::test]
async fn parts_of_files_come_with_their_place() {
    let hand = Hand::new();
    let bytes = noise(1000, 5);
    hand.dropbox.plant_file("/ä", bytes.clone());
    let get = async |range: &str| {
        let url = format!("{}/2/files/download", hand.dropbox.content_url());
        let request = hand.client.post(url).bearer_auth(&hand.token).header("range", range);
        request.header("dropbox-api-arg", r#"{"path":"/\u00e4"}"#).send().await.unwrap()
    };
    let reply = get("bytes=990-2000").await;
    assert_eq!(
        (reply.status().as_u16(), &reply.headers()["content-range"]),
        (206, &HeaderValue::from_static("bytes 990-999/1000"))
    );
    let metadata: Value = serde_json::from_slice(reply.headers()["dropbox-api-result"].as_bytes()).unwrap();
    assert_eq!(metadata["content_hash"], content_hash(&bytes));
    assert_eq!(reply.bytes().await.unwrap(), bytes[990..]);
    let reply = get("bytes=1000-").await;
    assert_eq!(
        (reply.status().as_u16(), &reply.headers()["content-range"]),
        (416, &HeaderValue::from_static("bytes */1000"))
    );
    hand.dropbox.faults().add(Rule::once(Effect::Vendor(Fault::WrongHash)));
    let reply = get("bytes=0-").await;
    let metadata: Value = serde_json::from_slice(reply.headers()["dropbox-api-result"].as_bytes()).unwrap();
    assert_ne!(metadata["content_hash"], content_hash(&bytes));
    assert_eq!(reply.bytes().await.unwrap(), bytes);
}
