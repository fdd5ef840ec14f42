//! What the emulator refuses, and what it tells only when asked: the parts that no client of other people gets at.

use std::time::Duration;

use backup_test_emulators::drive::{Account, DriveFault, Plant, Scope};
use backup_test_emulators::{Effect, GoogleDrive, Rule};
use reqwest::{Certificate, Client, Method, Response};
use serde_json::{Value, json};

/// A Drive and somebody who asks it by hand.
struct Hand {
    drive: GoogleDrive,
    account: Account,
    http: Client,
    token: String,
}

impl Hand {
    fn new() -> Self {
        Self::with(Scope::Drive)
    }

    fn with(scope: Scope) -> Self {
        let drive = GoogleDrive::start();
        let account = drive.account("anna@example.org");
        let token = account.access_token(scope);
        Self { http: client(&drive), drive, account, token }
    }

    async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Response {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let url = if path.starts_with("https:") { path.to_owned() } else { format!("{}{path}", self.drive.url()) };
        let mut request = self.http.request(method, url).bearer_auth(&self.token).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    async fn json(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let (headers, body) = match body {
            Value::Null => (&[][..], String::new()),
            body => (&[("content-type", "application/json")][..], body.to_string()),
        };
        let reply = self.ask(method, path, headers, body).await;
        let status = reply.status().as_u16();
        (status, serde_json::from_slice(&reply.bytes().await.unwrap()).unwrap_or_default())
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.json("GET", path, Value::Null).await
    }

    /// The status and the reason of a refusal.
    async fn refused(&self, method: &str, path: &str, body: Value) -> (u16, String) {
        let (status, told) = self.json(method, path, body).await;
        assert_eq!(told["error"]["code"], status, "{told}");
        let first = &told["error"]["errors"][0];
        assert_eq!(first["message"], told["error"]["message"]);
        (status, first["reason"].as_str().unwrap().to_owned())
    }

    fn file(&self, name: &str, content: &'static str) -> String {
        self.drive.plant(&self.account.root_id(), Plant::file(name, content))
    }

    /// The ids of what a query finds.
    async fn found(&self, query: &str) -> Vec<String> {
        let reply = self.http.get(format!("{}/drive/v3/files", self.drive.url())).bearer_auth(&self.token);
        let reply = reply.query(&[("q", query), ("fields", "files(id)")]).send().await.unwrap();
        assert_eq!(reply.status(), 200, "{query}: {}", reply.text().await.unwrap());
        let told: Value = serde_json::from_str(&reply.text().await.unwrap()).unwrap();
        told["files"].as_array().unwrap().iter().map(|file| file["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Begins an upload of so many bytes and gives its address.
    async fn begin(&self, metadata: Value, len: Option<usize>) -> String {
        let len = len.map(|len| len.to_string());
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(len.as_ref().map(|len| ("x-upload-content-length", len.as_str())));
        let reply =
            self.ask("POST", "/upload/drive/v3/files?uploadType=resumable", &headers, metadata.to_string()).await;
        assert_eq!(reply.status(), 200);
        reply.headers()["location"].to_str().unwrap().to_owned()
    }

    /// Sends a chunk and gives the status and what was kept.
    async fn chunk(&self, method: &str, session: &str, range: &str, body: Vec<u8>) -> (u16, Option<String>) {
        let reply = self.ask(method, session, &[("content-range", range)], body).await;
        let kept = reply.headers().get("range").map(|range| range.to_str().unwrap().to_owned());
        (reply.status().as_u16(), kept)
    }
}

pub(super) fn client(drive: &GoogleDrive) -> Client {
    let trusted = Certificate::from_pem(&std::fs::read(drive.ca_file()).unwrap()).unwrap();
    let alone = reqwest::redirect::Policy::none();
    Client::builder().tls_certs_only([trusted]).no_proxy().redirect(alone).build().unwrap()
}

const KIB: usize = 1 << 10;

#[tokio::test]
async fn what_is_not_known_is_refused() {
    let hand = Hand::new();
    let id = hand.file("a", "x");
    let wrong = [
        ("GET", "/drive/v3/files?nosuch=1".to_owned(), Value::Null),
        ("GET", "/drive/v3/files?pageSize=0".to_owned(), Value::Null),
        ("GET", "/drive/v3/files?pageSize=1001".to_owned(), Value::Null),
        ("GET", "/drive/v3/files?pageSize=10&pageSize=10".to_owned(), Value::Null),
        ("GET", "/drive/v3/files?q=nosuch%3D1".to_owned(), Value::Null),
        ("GET", "/drive/v3/files?pageToken=x".to_owned(), Value::Null),
        ("GET", "/drive/v3/files?orderBy=x".to_owned(), Value::Null),
        ("GET", "/drive/v3/files?corpora=drive".to_owned(), Value::Null),
        ("GET", "/drive/v3/files?supportsAllDrives=yes".to_owned(), Value::Null),
        ("GET", "/drive/v3/files?includeItemsFromAllDrives=true".to_owned(), Value::Null),
        ("GET", "/drive/v3/files?alt=media".to_owned(), Value::Null),
        ("GET", "/drive/v3/files?fields=files(nosuch)".to_owned(), Value::Null),
        ("GET", format!("/drive/v3/files/{id}?fields=nosuch"), Value::Null),
        ("GET", "/drive/v3/about".to_owned(), Value::Null),
        ("GET", "/drive/v3/changes".to_owned(), Value::Null),
        ("GET", "/drive/v3/changes?pageToken=999".to_owned(), Value::Null),
        ("GET", "/drive/v3/changes?pageToken=0".to_owned(), Value::Null),
        ("POST", "/drive/v3/files".to_owned(), json!({"nosuch": 1})),
        ("POST", "/drive/v3/files".to_owned(), json!({"name": 1})),
        ("POST", "/drive/v3/files".to_owned(), json!({"modifiedTime": "yesterday"})),
        ("POST", "/drive/v3/files".to_owned(), json!(["name"])),
        ("POST", "/drive/v3/files".to_owned(), json!({"contentRestrictions": [{"readOnly": true, "nosuch": 1}]})),
        ("POST", "/drive/v3/files?addParents=x".to_owned(), json!({"name": "x"})),
        ("POST", "/drive/v3/files?uploadType=media".to_owned(), json!({"name": "x"})),
        ("POST", "/upload/drive/v3/files".to_owned(), json!({"name": "x"})),
        ("POST", "/upload/drive/v3/files?uploadType=multipart".to_owned(), json!({"name": "x"})),
        ("PATCH", format!("/drive/v3/files/{id}"), json!({"addParents": "x"})),
        ("PATCH", format!("/drive/v3/files/{id}?removeParents=x"), json!({})),
    ];
    for (method, path, body) in wrong {
        assert_eq!(hand.refused(method, &path, body.clone()).await.0, 400, "{method} {path} {body}");
    }
    let more = [
        ("GET", "/drive/v3/files/nosuch", Value::Null, 404),
        ("GET", "/drive/v3/nosuch", Value::Null, 501),
        ("GET", "/drive/v3/files?includeLabels=x", Value::Null, 501),
        ("GET", "/nosuch", Value::Null, 404),
        ("POST", "/drive/v3/files", json!({"size": "1"}), 403),
        ("POST", "/drive/v3/files", json!({"parents": ["root", "root"]}), 403),
        ("POST", "/drive/v3/files", json!({"parents": ["nosuch"]}), 404),
        ("DELETE", "/drive/v3/files/root", Value::Null, 403),
    ];
    for (method, path, body, status) in more {
        assert_eq!(hand.refused(method, path, body).await.0, status, "{method} {path}");
    }
    let own = Hand { token: "nosuch".to_owned(), ..Hand::new() };
    assert_eq!(own.refused("GET", "/drive/v3/files", Value::Null).await, (401, "authError".to_owned()));
    assert_eq!(hand.drive.files().len(), 1, "something was made by a request that was refused");
}

#[tokio::test]
async fn fields_are_told_when_they_are_asked_for() {
    let hand = Hand::new();
    let id = hand.file("a.bin", "content");
    let usual = json!({"kind": "drive#file", "id": id, "name": "a.bin", "mimeType": "application/octet-stream"});
    assert_eq!(hand.get(&format!("/drive/v3/files/{id}")).await, (200, usual.clone()));
    let list = json!({"kind": "drive#fileList", "incompleteSearch": false, "files": [usual]});
    assert_eq!(hand.get("/drive/v3/files").await, (200, list));
    let told = hand.get(&format!("/drive/v3/files/{id}?fields=size,md5Checksum,owners(me)")).await.1;
    let md5 = "9a0364b9e99bb480dd25e1f0284c8555";
    assert_eq!(told, json!({"size": "7", "md5Checksum": md5, "owners": [{"me": true}]}));
    hand.drive.set(|knobs| knobs.incomplete_search = true);
    assert_eq!(hand.get("/drive/v3/files?fields=incompleteSearch").await.1, json!({"incompleteSearch": true}));
    let all = hand.get(&format!("/drive/v3/files/{id}?fields=*")).await.1;
    for name in
        ["sha1Checksum", "sha256Checksum", "version", "headRevisionId", "createdTime", "modifiedTime", "parents"]
    {
        assert!(all.get(name).is_some(), "{name} is not in {all}");
    }
}

#[tokio::test]
async fn queries_find_what_they_say() {
    let hand = Hand::new();
    let root = hand.account.root_id();
    let a = hand.file("a", "1");
    let folder = hand.drive.plant(&root, Plant::folder("it's"));
    let inner = hand.drive.plant(&folder, Plant::file("A", "2"));
    let gone = hand.drive.plant(&folder, Plant::file("gone", "3").trashed());
    let document = hand.drive.plant(&root, Plant::document("text about a"));
    let mut all = vec![a.clone(), folder.clone(), inner.clone(), gone.clone(), document.clone()];
    let sorted = |mut ids: Vec<String>| {
        ids.sort();
        ids
    };
    all.sort();
    let root_query = format!("'{root}' in parents");
    let expected = [
        ("trashed = true or trashed = false", all.clone()),
        ("'root' in parents", sorted(vec![a.clone(), folder.clone(), document.clone()])),
        (root_query.as_str(), sorted(vec![a.clone(), folder.clone(), document.clone()])),
        // Without regard to case, as measured by rclone's authors.
        ("name = 'a'", sorted(vec![a.clone(), inner.clone()])),
        (r"name = 'it\'s'", vec![folder.clone()]),
        ("name != 'a' and trashed = false", sorted(vec![folder.clone(), document.clone()])),
        ("name contains 'a' and not name = 'A'", vec![document.clone()]),
        ("mimeType = 'application/vnd.google-apps.folder'", vec![folder.clone()]),
        ("mimeType contains 'application/vnd.google-apps.'", sorted(vec![folder.clone(), document.clone()])),
        ("trashed = true", vec![gone.clone()]),
        ("sharedWithMe", vec![]),
        ("modifiedTime > '2030-01-01T00:00:00Z'", vec![]),
    ];
    for (query, ids) in expected {
        assert_eq!(hand.found(query).await, ids, "{query}");
    }
    // What is below a folder in the trash is in the trash, too.
    hand.drive.set_trashed(&folder, true);
    assert_eq!(hand.found("trashed = true").await, sorted(vec![folder.clone(), inner.clone(), gone]));
    assert_eq!(hand.found("name = 'a' and trashed = false").await, [a]);
}

#[tokio::test]
async fn pages_hold_everything_once_in_the_order_asked_for() {
    let hand = Hand::new();
    for n in 0..57_u32 {
        hand.file(&format!("{:02}", n * 31 % 57), "x");
    }
    for order in ["name", "name desc", "modifiedTime desc,name", "folder,createdTime"] {
        let (mut names, mut token, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let order = order.replace(' ', "%20");
            let path = format!("/drive/v3/files?pageSize=10&orderBy={order}&fields=nextPageToken,files/name{token}");
            let (status, page) = hand.get(&path).await;
            assert_eq!(status, 200, "{page}");
            names
                .extend(page["files"].as_array().unwrap().iter().map(|file| file["name"].as_str().unwrap().to_owned()));
            pages += 1;
            let Some(next) = page["nextPageToken"].as_str() else { break };
            token = format!("&pageToken={next}");
            let other = format!("/drive/v3/files?pageSize=10{token}");
            assert_eq!(hand.refused("GET", &other, Value::Null).await.0, 400, "a token of another listing");
        }
        assert_eq!(pages, 6);
        let is_descending = match order {
            "name" => Some(false),
            "name desc" => Some(true),
            _ => None,
        };
        let mut sorted = names.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(sorted.len(), 57, "{order}");
        if let Some(is_descending) = is_descending {
            if is_descending {
                sorted.reverse();
            }
            assert_eq!(names, sorted, "{order}");
        }
    }
}

#[tokio::test]
async fn media_is_given_in_ranges_and_not_for_everything() {
    let hand = Hand::new();
    let id = hand.file("a", "0123456789");
    let media = format!("/drive/v3/files/{id}?alt=media");
    let part = async |range: &str| {
        let reply = hand.ask("GET", &media, &[("range", range)], "").await;
        let told = reply.headers().get("content-range").map(|range| range.to_str().unwrap().to_owned());
        (reply.status().as_u16(), told, reply.bytes().await.unwrap())
    };
    let told = |text: &str| Some(text.to_owned());
    assert_eq!(part("bytes=2-4").await, (206, told("bytes 2-4/10"), "234".into()));
    assert_eq!(part("bytes=8-").await, (206, told("bytes 8-9/10"), "89".into()));
    assert_eq!(part("bytes=-2").await, (206, told("bytes 8-9/10"), "89".into()));
    assert_eq!(part("bytes=5-100").await, (206, told("bytes 5-9/10"), "56789".into()));
    let outside = part("bytes=10-").await;
    assert_eq!((outside.0, outside.1), (416, told("bytes */10")));
    assert_eq!(part("nonsense").await, (200, None, "0123456789".into()));
    let root = hand.account.root_id();
    let bad = hand.drive.plant(&root, Plant::file("bad", "x").abusive());
    let bad = format!("/drive/v3/files/{bad}?alt=media");
    assert_eq!(hand.refused("GET", &bad, Value::Null).await, (403, "cannotDownloadAbusiveFile".to_owned()));
    assert_eq!(hand.ask("GET", &format!("{bad}&acknowledgeAbuse=true"), &[], "").await.text().await.unwrap(), "x");
    for other in [Plant::folder("f"), Plant::document("d"), Plant::shortcut("s", &id)] {
        let other = format!("/drive/v3/files/{}?alt=media", hand.drive.plant(&root, other));
        assert_eq!(hand.refused("GET", &other, Value::Null).await, (403, "fileNotDownloadable".to_owned()));
    }
}

#[tokio::test]
async fn sessions_take_chunks_as_they_should_come_and_no_others() {
    let hand = Hand::new();
    let total = 600 * KIB;
    let bytes: Vec<u8> = (0..total).map(|at| u8::try_from(at % 253).unwrap()).collect();
    let session = hand.begin(json!({"name": "a"}), Some(total)).await;
    assert!(session.starts_with(&hand.drive.url()), "{session}");
    let kept = |last: usize| Some(format!("bytes=0-{}", last - 1));
    let range = |from: usize, to: usize, total: &str| format!("bytes {from}-{}/{total}", to - 1);
    let sized = total.to_string();
    // Nothing has arrived: there is no Range.
    assert_eq!(hand.chunk("PUT", &session, &format!("bytes */{total}"), vec![]).await, (308, None));
    let first = bytes[..256 * KIB].to_vec();
    assert_eq!(hand.chunk("PUT", &session, &range(0, 100 * KIB, &sized), bytes[..100 * KIB].to_vec()).await.0, 400);
    assert_eq!(hand.chunk("PUT", &session, &range(0, 256 * KIB, "614401"), first.clone()).await.0, 400);
    assert_eq!(hand.chunk("PUT", &session, &range(0, 512 * KIB, &sized), first.clone()).await.0, 400);
    assert_eq!(hand.chunk("PUT", &session, &range(256 * KIB, 512 * KIB, &sized), first.clone()).await.0, 400);
    assert_eq!(hand.chunk("PUT", &session, "bytes=0-1", first.clone()).await.0, 400);
    assert_eq!(hand.chunk("PUT", &session, &format!("bytes */{total}"), vec![]).await, (308, None));
    // Another method, and the total may be left out.
    assert_eq!(hand.chunk("POST", &session, &range(0, 256 * KIB, "*"), first.clone()).await, (308, kept(256 * KIB)));
    // Bytes that are there already change nothing.
    let other = vec![1; 256 * KIB];
    assert_eq!(hand.chunk("PUT", &session, &range(0, 256 * KIB, &sized), other).await, (308, kept(256 * KIB)));
    assert_eq!(hand.chunk("PUT", &session, "bytes */*", vec![]).await, (308, kept(256 * KIB)));
    assert!(hand.drive.files().is_empty(), "a part of a file is seen");
    assert_eq!(hand.drive.unfinished_uploads(), 1);
    let keeps = DriveFault::KeepOnly { bytes: 300 * KIB };
    hand.drive.faults().add(Rule::once(Effect::Vendor(keeps)).query("upload_id"));
    let rest = range(256 * KIB, total, &sized);
    assert_eq!(hand.chunk("PUT", &session, &rest, bytes[256 * KIB..].to_vec()).await, (308, kept(512 * KIB)));
    let rest = range(512 * KIB, total, &sized);
    assert_eq!(hand.chunk("PUT", &session, &rest, bytes[512 * KIB..].to_vec()).await, (200, None));
    let file = &hand.drive.files()[0];
    assert_eq!((file.name.as_str(), hand.drive.content(&file.id).unwrap()), ("a", bytes.into()));
    // Who didn't hear that it is done hears it again.
    assert_eq!(hand.chunk("PUT", &session, &format!("bytes */{total}"), vec![]).await, (200, None));
    assert_eq!((hand.drive.files().len(), hand.drive.unfinished_uploads()), (1, 0));
}

#[tokio::test]
async fn whole_files_and_empty_ones_and_those_of_unknown_length_go_through_sessions() {
    let hand = Hand::new();
    let whole = hand.begin(json!({"name": "whole"}), None).await;
    assert_eq!(hand.ask("PUT", &whole, &[], vec![7; 1000]).await.status(), 200);
    let empty = hand.begin(json!({"name": "empty"}), Some(0)).await;
    assert_eq!(hand.chunk("PUT", &empty, "bytes */0", vec![]).await.0, 200);
    let unknown = hand.begin(json!({"name": "unknown"}), None).await;
    let sent = vec![1; 256 * KIB];
    assert_eq!(hand.chunk("PUT", &unknown, "bytes 0-262143/*", sent).await.0, 308);
    assert_eq!(hand.chunk("PUT", &unknown, "bytes 262144-262144/262145", vec![2]).await.0, 200);
    let mut sizes: Vec<(String, u64)> =
        hand.drive.files().into_iter().map(|file| (file.name, file.size_bytes)).collect();
    sizes.sort();
    let expected = [("empty", 0), ("unknown", 262_145), ("whole", 1000)].map(|(name, size)| (name.to_owned(), size));
    assert_eq!(sizes, expected);
}

#[tokio::test]
async fn sessions_end() {
    let hand = Hand::new();
    let all = "bytes */1000";
    let session = hand.begin(json!({"name": "a"}), Some(1000)).await;
    hand.drive.clock().advance(Duration::from_secs(6 * 24 * 3600));
    // The token has ended in the meantime; the address alone is enough.
    let bare = hand.http.put(&session).header("content-range", all).send().await.unwrap();
    assert_eq!(bare.status(), 308);
    assert_eq!(hand.chunk("PUT", &session, all, vec![]).await.0, 401);
    hand.drive.clock().advance(Duration::from_secs(25 * 3600));
    let gone = async || hand.http.put(&session).header("content-range", all).send().await.unwrap().status().as_u16();
    assert_eq!(gone().await, 404);
    hand.drive.set(|knobs| knobs.lost_sessions_are_410 = true);
    assert_eq!(gone().await, 410);
    let hand = Hand { token: hand.account.access_token(Scope::Drive), ..hand };
    let session = hand.begin(json!({"name": "a"}), Some(1000)).await;
    hand.drive.faults().add(Rule::once(Effect::Vendor(DriveFault::LoseSession)));
    assert_eq!(hand.chunk("PUT", &session, all, vec![]).await.0, 410);
    let session = hand.begin(json!({"name": "a"}), Some(1000)).await;
    hand.drive.forget_sessions();
    assert_eq!(hand.chunk("PUT", &session, all, vec![]).await.0, 410);
}

#[tokio::test]
async fn quota_is_kept_and_the_trash_counts() {
    let hand = Hand::new();
    hand.account.set_quota(Some(1000));
    let media = "/upload/drive/v3/files?uploadType=media";
    let put = async |path: String, len: usize| hand.ask("POST", &path, &[], vec![1; len]).await;
    assert_eq!(put(media.to_owned(), 600).await.status(), 200);
    assert_eq!(put(media.to_owned(), 401).await.status(), 403);
    let id = hand.drive.files()[0].id.clone();
    hand.drive.set_trashed(&id, true);
    let told = put(media.to_owned(), 401).await.text().await.unwrap();
    assert!(told.contains("storageQuotaExceeded"), "{told}");
    let quota = json!({"limit": "1000", "usage": "600", "usageInDrive": "600", "usageInDriveTrash": "600"});
    assert_eq!(hand.get("/drive/v3/about?fields=storageQuota").await.1, json!({"storageQuota": quota}));
    // A session that can't end well does not begin.
    let length = [("x-upload-content-length", "401")];
    let reply = hand.ask("POST", "/upload/drive/v3/files?uploadType=resumable", &length, "").await;
    assert_eq!(reply.status(), 403);
    // Without a declared length it ends badly.
    let session = hand.begin(json!({"name": "a"}), None).await;
    assert_eq!(hand.chunk("PUT", &session, "bytes 0-400/401", vec![1; 401]).await.0, 403);
    let patch = format!("/upload/drive/v3/files/{id}?uploadType=media");
    assert_eq!(hand.ask("PATCH", &patch, &[], vec![1; 1000]).await.status(), 200);
    assert_eq!(hand.ask("PATCH", &patch, &[], vec![1; 1001]).await.status(), 403);
    assert_eq!(hand.json("DELETE", &format!("/drive/v3/files/{id}"), Value::Null).await.0, 204);
    assert_eq!(put(media.to_owned(), 1000).await.status(), 200);
    assert_eq!(hand.account.used_bytes(), 1000);
}

#[tokio::test]
async fn names_are_found_late_and_everything_else_at_once() {
    let hand = Hand::new();
    hand.drive.set(|knobs| knobs.name_index_lag = Duration::from_secs(300));
    let old = hand.file("old", "x");
    let (_, made) = hand.json("POST", "/drive/v3/files", json!({"name": "new"})).await;
    let new = made["id"].as_str().unwrap().to_owned();
    assert_eq!(hand.found("name = 'old'").await, [old]);
    assert_eq!(hand.found("name = 'new'").await, [""; 0]);
    assert_eq!(hand.found("'root' in parents").await.len(), 2);
    assert_eq!(hand.get(&format!("/drive/v3/files/{new}")).await.0, 200);
    hand.drive.clock().advance(Duration::from_secs(299));
    assert_eq!(hand.found("name = 'new'").await, [""; 0]);
    hand.drive.clock().advance(Duration::from_secs(1));
    assert_eq!(hand.found("name = 'new'").await, [new]);
}

#[tokio::test]
async fn one_of_several_parents_can_be_made_to_find_nothing() {
    let hand = Hand::new();
    let root = hand.account.root_id();
    let folders = ["a", "b"].map(|name| hand.drive.plant(&root, Plant::folder(name)));
    let files = folders.clone().map(|folder| hand.drive.plant(&folder, Plant::file("x", "x")));
    let either = format!("'{}' in parents or '{}' in parents", folders[0], folders[1]);
    assert_eq!(hand.found(&either).await.len(), 2);
    hand.drive.set(|knobs| knobs.or_parents_find_nothing = true);
    assert_eq!(hand.found(&either).await.len(), 0);
    assert_eq!(hand.found(&format!("'{}' in parents", folders[1])).await, [files[1].clone()]);
}

#[tokio::test]
async fn programs_see_what_their_scope_allows() {
    let hand = Hand::with(Scope::DriveFile);
    let root = hand.account.root_id();
    let hidden = hand.drive.plant(&root, Plant::folder("hidden").by("another"));
    let own = hand.file("own", "x");
    assert_eq!(hand.found("trashed = false").await, std::slice::from_ref(&own));
    for path in [format!("/drive/v3/files/{hidden}"), "/drive/v3/files/root".to_owned()] {
        assert_eq!(hand.refused("GET", &path, Value::Null).await.0, 404);
    }
    let into = json!({"name": "x", "parents": [hidden]});
    assert_eq!(hand.refused("POST", "/drive/v3/files", into).await.0, 404);
    assert_eq!(hand.json("POST", "/drive/v3/files", json!({"name": "x", "parents": ["root"]})).await.0, 200);
    let reader = Hand { token: hand.account.access_token(Scope::DriveReadonly), ..hand };
    assert_eq!(reader.found("trashed = false").await.len(), 3);
    for (method, path) in [("DELETE", format!("/drive/v3/files/{own}")), ("POST", "/drive/v3/files".to_owned())] {
        assert_eq!(reader.refused(method, &path, Value::Null).await, (403, "insufficientPermissions".to_owned()));
    }
    // Nor does anybody else see it.
    let other = reader.drive.account("berta@example.org").access_token(Scope::Drive);
    let other = Hand { token: other, ..reader };
    assert_eq!(other.found("trashed = false").await, [""; 0]);
    assert_eq!(other.refused("GET", &format!("/drive/v3/files/{own}"), Value::Null).await.0, 404);
}
