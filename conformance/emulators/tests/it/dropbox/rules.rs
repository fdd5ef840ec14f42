//! What is left of the vendor's rules, and of what the vendor leaves open.

use std::time::Duration;

use backup_test_emulators::dropbox::{Contention, Dropbox, Fault, content_hash};
use backup_test_emulators::{Effect, Rule};
use reqwest::header::HeaderValue;
use serde_json::{Value, json};

use super::by_hand::{Hand, tags};
use super::noise;
use super::tables::are_as_described;

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
async fn other_writes_are_told_in_the_unions_of_the_functions() {
    let hand = Hand::new();
    hand.dropbox.plant_file("/x", "x");
    let rev = hand.dropbox.files()["/x"].rev.clone();
    let relocation = json!({ "from_path": "/x", "to_path": "/y" });
    let busy = "too_many_write_operations";
    let cases = [
        ("files/delete_v2", json!({ "path": "/x" }), vec!["path_write", busy], vec![busy]),
        ("files/move_v2", relocation.clone(), vec!["to", busy], vec!["to", busy]),
        ("files/copy_v2", relocation, vec!["to", busy], vec!["to", busy]),
        ("files/create_folder_v2", json!({ "path": "/d" }), vec!["path", busy], vec!["path", busy]),
        ("files/restore", json!({ "path": "/x", "rev": rev }), vec!["path_write", busy], vec!["path_write", busy]),
    ];
    for (contention, is_own) in [(Contention::Path, false), (Contention::Operation, true)] {
        hand.dropbox.behave(|behaviour| behaviour.contention = Some(contention));
        for (function, argument, of_path, own) in &cases {
            let wanted = if is_own { own } else { of_path };
            assert_eq!(hand.rpc(function, argument).await, (409, tags(wanted)), "{function}");
        }
        let (_, answer) = hand.upload("files/upload_session/start", &json!({}), "").await;
        let finish = |offset| json!({ "cursor": { "session_id": answer["session_id"], "offset": offset }, "commit": { "path": "/z" } });
        let wanted = if is_own { vec![busy] } else { vec!["path", busy] };
        let refused = hand.upload("files/upload_session/finish", &finish(0), "data").await;
        assert_eq!(refused, (409, tags(&wanted)));
        // Only the error of the path comes after the data was taken.
        hand.dropbox.behave(|behaviour| behaviour.contention = None);
        let (offset, data) = if is_own { (0, "data") } else { (4, "") };
        let (status, _) = hand.upload("files/upload_session/finish", &finish(offset), data).await;
        assert_eq!((status, &hand.dropbox.files()["/z"].bytes[..]), (200, &b"data"[..]));
        hand.dropbox.delete("/z");
    }
    hand.dropbox.behave(|behaviour| behaviour.contention = Some(Contention::Status { retry_after_s: 2 }));
    for (function, argument, ..) in &cases {
        let (status, answer) = hand.rpc(function, argument).await;
        assert_eq!((status, &answer["error"]["retry_after"]), (429, &json!(2)), "{function}");
    }
    assert_eq!(hand.dropbox.files().into_keys().collect::<Vec<_>>(), ["/x"]);
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
