//! The vendor's own library for Python works with it as it works with Dropbox.

use std::io::Write;
use std::process::Command;

use backup_test_emulators::dropbox::{App, Consent, Contention, Dropbox, Fault};
use backup_test_emulators::{Effect, Reply, Rule};
use serde_json::{Value, json};

use super::noise;
use super::program::{Said, installed, run, shut_in};
use super::tables::are_as_described;

/// What every script begins with.
const PRELUDE: &str = r#"
import json, os, sys
try:
    import dropbox
except ImportError:
    sys.exit("the package `dropbox` is not installed in the tests' environment; `cargo xtask test` installs it")
from dropbox import files
from dropbox.exceptions import ApiError, AuthError, BadInputError, InternalServerError, RateLimitError

GIVEN = json.loads(os.environ["GIVEN"])

def client(**options):
    options = {"oauth2_refresh_token": GIVEN["refresh_token"], "app_key": GIVEN["app_key"], **options}
    return dropbox.Dropbox(**options)

def noise(length, seed):
    with open(os.path.join(os.environ["HOME"], f"noise-{length}-{seed}"), "rb") as file:
        return file.read()

def refused(wanted, action, *arguments, **options):
    try:
        result = action(*arguments, **options)
    except wanted as error:
        return getattr(error, "error", error)
    raise AssertionError(f"{action.__name__} gave {result!r}")
"#;

/// Runs a script of a client that knows the vendor's hosts only.
fn script(dropbox: &Dropbox, noises: &[(usize, u64)], more: &Value, text: &str) -> Said {
    let home = tempfile::tempdir().unwrap();
    for (len, seed) in noises {
        std::fs::write(home.path().join(format!("noise-{len}-{seed}")), noise(*len, *seed)).unwrap();
    }
    let mut file = std::fs::File::create(home.path().join("script.py")).unwrap();
    file.write_all(PRELUDE.as_bytes()).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let mut given = json!({
        "refresh_token": dropbox.plant_tokens(Dropbox::APP_KEY).refresh_token,
        "app_key": Dropbox::APP_KEY,
        "app_secret": Dropbox::APP_SECRET,
    });
    given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let proxy = dropbox.proxy();
    let mut command = python(home.path());
    command.env("GIVEN", given.to_string()).env("HTTPS_PROXY", proxy.url());
    command.env("REQUESTS_CA_BUNDLE", dropbox.ca_file());
    command.arg(home.path().join("script.py"));
    run(command)
}

/// The Python that the packages of the tests are installed for.
pub(super) fn python(home: &std::path::Path) -> Command {
    let mut command = installed("python3");
    shut_in(&mut command, home);
    // Nothing of whoever runs the tests is imported.
    command.arg("-I");
    command
}

fn succeeds(dropbox: &Dropbox, noises: &[(usize, u64)], text: &str) -> String {
    let said = script(dropbox, noises, &json!({}), text);
    assert!(said.is_success, "{}", said.text);
    are_as_described(dropbox);
    said.output
}

#[test]
fn the_library_writes_and_reads_back() {
    let dropbox = Dropbox::start();
    let bytes = noise(100_000, 1);
    dropbox.plant_file("/planted", bytes.clone());
    succeeds(
        &dropbox,
        &[(100_000, 1), (50_000, 2)],
        r#"
box = client()
meta, reply = box.files_download("/planted")
assert reply.content == noise(100_000, 1) and meta.size == 100_000
data = noise(50_000, 2)
written = box.files_upload(data, "/Ordner/Größe 😀.bin", client_modified=__import__("datetime").datetime(2020, 2, 3, 4, 5, 6))
assert written.name == "Größe 😀.bin" and written.path_lower == "/ordner/größe 😀.bin"
assert written.client_modified.isoformat() == "2020-02-03T04:05:06"
again = box.files_get_metadata("/ORDNER/größe 😀.BIN")
assert again == written, (again, written)
assert box.files_get_metadata(written.id) == written
meta, reply = box.files_download("/ordner/größe 😀.bin")
assert reply.content == data and meta == written
meta, reply = box.files_download(written.id, extra_headers={"Range": "bytes=10-19"})
assert reply.content == data[10:20] and reply.status_code == 206
assert reply.headers["content-range"] == "bytes 10-19/50000"
assert box.users_get_space_usage().used == 150_000
assert box.users_get_current_account().root_info.root_namespace_id
assert box.check_user("hello").result == "hello"
"#,
    );
    assert_eq!(dropbox.files()["/Ordner/Größe 😀.bin"].bytes, noise(50_000, 2));
}

#[test]
fn the_library_uploads_in_sessions() {
    let dropbox = Dropbox::start();
    succeeds(
        &dropbox,
        &[(10_000_000, 3)],
        r#"
from dropbox.files import CommitInfo, UploadSessionCursor, UploadSessionFinishArg, UploadSessionType, WriteMode
box = client()
data = noise(10_000_000, 3)
block = 4 << 20

# One piece after the other.
start = box.files_upload_session_start(data[:1000])
cursor = UploadSessionCursor(start.session_id, 1000)
box.files_upload_session_append_v2(data[1000:5000], cursor)
error = refused(ApiError, box.files_upload_session_append_v2, data[1000:5000], cursor)
assert error.is_incorrect_offset() and error.get_incorrect_offset().correct_offset == 5000
cursor = UploadSessionCursor(start.session_id, 5000)
error = refused(ApiError, box.files_upload_session_append_v2, data[5000:6000], cursor, content_hash="0" * 64)
assert error.is_content_hash_mismatch()
written = box.files_upload_session_finish(data[5000:], cursor, CommitInfo("/one"))
assert written.size == len(data)
gone = refused(ApiError, box.files_upload_session_append_v2, b"", cursor)
assert gone.is_not_found()

# All at once, in any order.
start = box.files_upload_session_start(b"", session_type=UploadSessionType.concurrent)
at = lambda offset: UploadSessionCursor(start.session_id, offset)
error = refused(ApiError, box.files_upload_session_append_v2, data[:100], at(0))
assert error.is_concurrent_session_invalid_data_size()
error = refused(ApiError, box.files_upload_session_append_v2, data[:block], at(100))
assert error.is_concurrent_session_invalid_offset()
box.files_upload_session_append_v2(data[block : 2 * block], at(block))
box.files_upload_session_append_v2(data[:block], at(0))
error = refused(ApiError, box.files_upload_session_finish, b"", at(len(data)), CommitInfo("/all"))
assert error.is_concurrent_session_not_closed()
box.files_upload_session_append_v2(data[2 * block :], at(2 * block), close=True)
error = refused(ApiError, box.files_upload_session_finish, b"x", at(len(data)), CommitInfo("/all"))
assert error.is_concurrent_session_data_not_allowed()
box.files_upload_session_finish(b"", at(len(data)), CommitInfo("/all"))
error = refused(ApiError, box.files_upload_session_start, b"x", session_type=UploadSessionType.concurrent)
assert error.is_concurrent_session_data_not_allowed()
error = refused(ApiError, box.files_upload_session_start, b"", close=True, session_type=UploadSessionType.concurrent)
assert error.is_concurrent_session_close_not_allowed()

# Many files in few requests.
ids = box.files_upload_session_start_batch(3).session_ids
entries = [
    files.UploadSessionAppendBatchArgEntry(UploadSessionCursor(id, 0), 1000 * at, at < 2) for at, id in enumerate(ids)
]
appended = box.files_upload_session_append_batch(data[:3000], entries)
assert all(entry.is_success() for entry in appended.entries)
error = refused(ApiError, box.files_upload_session_append_batch, data[:3001], entries)
assert error.is_length_mismatch()
finish = [
    UploadSessionFinishArg(UploadSessionCursor(id, 1000 * at), CommitInfo(f"/batch/{at}")) for at, id in enumerate(ids)
]
results = box.files_upload_session_finish_batch_v2(finish).entries
assert [result.is_success() for result in results] == [True, True, False]
assert results[1].get_success().size == 1000
assert results[2].get_failure().get_lookup_failed().is_not_closed()
box.files_upload_session_append_v2(b"", UploadSessionCursor(ids[2], 2000), close=True)
launch = box.files_upload_session_finish_batch(finish[2:])
assert refused(ApiError, box.files_upload_session_finish_batch_check, "unknown").is_invalid_async_job_id()
assert refused(ApiError, box.files_delete_batch_check, launch.get_async_job_id()).is_invalid_async_job_id()
assert box.files_upload_session_finish_batch_check(launch.get_async_job_id()).is_in_progress()
done = box.files_upload_session_finish_batch_check(launch.get_async_job_id())
assert done.get_complete().entries[0].get_success().size == 2000

# A commit that fails keeps the data.
error = refused(ApiError, box.files_upload, b"other", "/one")
assert error.get_path().reason.get_conflict().is_file()
kept = error.get_path().upload_session_id
written = box.files_upload_session_finish(b"", UploadSessionCursor(kept, 5), CommitInfo("/one", mode=WriteMode.overwrite))
assert written.size == 5
"#,
    );
    let whole = noise(10_000_000, 3);
    let stored = dropbox.files();
    assert_eq!(stored["/all"].bytes, whole);
    assert_eq!(stored["/one"].bytes, "other");
    assert_eq!(stored["/batch/1"].bytes, whole[..1000]);
    assert_eq!(stored["/batch/2"].bytes, whole[1000..3000]);
}

#[test]
fn the_library_meets_conflicts() {
    let dropbox = Dropbox::start();
    dropbox.plant_file("/f/x", "one");
    succeeds(
        &dropbox,
        &[],
        r#"
from dropbox.files import WriteMode
box = client()
first = box.files_get_metadata("/f/x")
assert box.files_upload(b"one", "/f/X").rev == first.rev
conflict = lambda *arguments, **options: refused(ApiError, box.files_upload, *arguments, **options).get_path().reason
assert conflict(b"one", "/f/x", strict_conflict=True).get_conflict().is_file()
assert conflict(b"two", "/f/x").get_conflict().is_file()
assert conflict(b"two", "/f").get_conflict().is_folder()
assert conflict(b"two", "/f/x/y").get_conflict().is_file_ancestor()
assert conflict(b"two", "/f/desktop.ini").is_disallowed_name()
assert conflict(b"two", "/f/x ").is_malformed_path()
assert box.files_upload(b"two", "/f/x", autorename=True).name == "x (2)"
second = box.files_upload(b"two", "/f/x", mode=WriteMode.update(first.rev))
assert second.rev != first.rev and second.id == first.id
assert conflict(b"three", "/f/x", mode=WriteMode.update(first.rev)).get_conflict().is_file()
meta, reply = box.files_download(f"rev:{first.rev}")
assert reply.content == b"one"
revisions = box.files_list_revisions("/f/x").entries
assert [entry.rev for entry in revisions] == [second.rev, first.rev]
error = refused(ApiError, box.files_delete_v2, "/f/x", parent_rev=first.rev)
assert error.get_path_write().get_conflict().is_file()
assert box.files_delete_v2("/f/x", parent_rev=second.rev).metadata == second
assert conflict(b"x", "/f/x", mode=WriteMode.update(second.rev), strict_conflict=True).get_conflict().is_file()
assert refused(ApiError, box.files_download, "/f/x").get_path().is_not_found()
assert refused(ApiError, box.files_download, "/f").get_path().is_not_file()
assert isinstance(box.files_get_metadata("/f/x", include_deleted=True), files.DeletedMetadata)
restored = box.files_restore("/f/x", first.rev)
assert restored.size == 3
assert box.files_create_folder_v2("/new").metadata.path_lower == "/new"
assert refused(ApiError, box.files_create_folder_v2, "/NEW").get_path().get_conflict().is_folder()
assert box.files_move_v2("/f/x", "/new/x").metadata.id == restored.id
assert box.files_copy_v2("/new/x", "/f/x").metadata.id != restored.id
assert refused(ApiError, box.files_move_v2, "/nothing", "/y").get_from_lookup().is_not_found()
assert refused(ApiError, box.files_move_v2, "/f/x", "/new/x").get_to().get_conflict().is_file()
assert refused(ApiError, box.files_move_v2, "/f", "/f/g").is_cant_move_folder_into_itself()
assert refused(ApiError, box.files_upload, b"other", "/f/y", content_hash="0" * 64).is_content_hash_mismatch()
"#,
    );
    assert_eq!(dropbox.files().into_keys().collect::<Vec<_>>(), ["/f/x", "/f/x (2)", "/new/x"]);
}

#[test]
fn the_library_lists_and_deletes_in_batches() {
    let dropbox = Dropbox::start();
    dropbox.behave(|behaviour| behaviour.empty_pages = true);
    succeeds(
        &dropbox,
        &[],
        r#"
box = client()
for number in range(30):
    box.files_upload(b"", f"/list/{number % 3}/{number}")

def everything(**options):
    page = box.files_list_folder(**options)
    entries = list(page.entries)
    while page.has_more:
        page = box.files_list_folder_continue(page.cursor)
        entries += page.entries
    return entries, page.cursor

entries, cursor = everything(path="", recursive=True, limit=7)
names = sorted(entry.path_display for entry in entries)
assert names == sorted(["/list"] + [f"/list/{n}" for n in range(3)] + [f"/list/{n % 3}/{n}" for n in range(30)])
entries, _ = everything(path="/List/1", limit=1)
assert len(entries) == 10
assert refused(ApiError, box.files_list_folder, "/none").get_path().is_not_found()
assert refused(ApiError, box.files_list_folder, "/list/0/0").get_path().is_not_folder()
refused(BadInputError, box.files_list_folder, "/")

latest = box.files_list_folder_get_latest_cursor("", recursive=True).cursor
assert not box.files_list_folder_longpoll(latest).changes
launch = box.files_delete_batch([files.DeleteArg("/list/0"), files.DeleteArg("/none"), files.DeleteArg("/list/1/1")])
job = launch.get_async_job_id()
assert box.files_delete_batch_check(job).is_in_progress()
for _ in range(2):
    first, second, third = box.files_delete_batch_check(job).get_complete().entries
    assert first.get_success().metadata.path_lower == "/list/0" and third.is_success()
    assert second.get_failure().get_path_lookup().is_not_found()
assert box.files_list_folder_longpoll(latest).changes
for at in (cursor, latest):
    entries = []
    page = box.files_list_folder_continue(at)
    entries += page.entries
    while page.has_more:
        page = box.files_list_folder_continue(page.cursor)
        entries += page.entries
    assert sorted(entry.path_lower for entry in entries) == ["/list/0", "/list/1/1"], entries
    assert all(isinstance(entry, files.DeletedMetadata) for entry in entries)
refused(BadInputError, box.files_list_folder_continue, "no cursor")
print(page.cursor)
"#,
    );
    dropbox.faults().add(Rule::once(Effect::Vendor(Fault::ResetCursor)).path("/continue"));
    succeeds(
        &dropbox,
        &[],
        r#"
box = client()
cursor = box.files_list_folder("").cursor
assert refused(ApiError, box.files_list_folder_continue, cursor).is_reset()
assert not box.files_list_folder_continue(cursor).has_more
"#,
    );
}

#[test]
fn the_library_gets_tokens_from_the_user() {
    let dropbox = Dropbox::start();
    let flow = r#"
import re, requests
from urllib.parse import parse_qs, urlparse
from dropbox import DropboxOAuth2Flow, DropboxOAuth2FlowNoRedirect

# With a challenge and no secret, the code is shown to be entered.
flow = DropboxOAuth2FlowNoRedirect(GIVEN["app_key"], use_pkce=True, token_access_type="offline")
page = requests.get(flow.start())
assert page.status_code == 200
code = re.search("<code>(.*)</code>", page.text).group(1)
result = flow.finish(code)
assert result.access_token and result.refresh_token and "files.content.read" in result.scope
box = dropbox.Dropbox(oauth2_refresh_token=result.refresh_token, app_key=GIVEN["app_key"])
box.check_user()
try:
    flow.finish(code)
except requests.HTTPError as error:
    assert error.response.status_code == 400 and error.response.json()["error"] == "invalid_grant"
else:
    raise AssertionError("a code was good twice")

# With a secret, the code goes to an address of this machine, with the state.
session = {}
flow = DropboxOAuth2Flow(
    GIVEN["app_key"], "http://localhost:12345/back", session, "csrf", consumer_secret=GIVEN["app_secret"],
    token_access_type="offline", scope=["files.metadata.read", "account_info.read"],
)
reply = requests.get(flow.start("mine"), allow_redirects=False)
assert reply.status_code == 302, reply.text
query = {name: value[0] for name, value in parse_qs(urlparse(reply.headers["location"]).query).items()}
result = flow.finish(query)
assert result.url_state == "mine" and result.scope == "files.metadata.read account_info.read"
secret = dropbox.Dropbox(
    oauth2_refresh_token=result.refresh_token, app_key=GIVEN["app_key"], app_secret=GIVEN["app_secret"]
)
secret.files_list_folder("")
error = refused(AuthError, secret.files_upload, b"", "/x")
assert error.is_missing_scope() and error.get_missing_scope().required_scope == "files.content.write"
without = dropbox.Dropbox(oauth2_refresh_token=result.refresh_token, app_key=GIVEN["app_key"])
refused(BadInputError, without.files_list_folder, "")

# What is revoked is over, with all that came from it.
box.auth_token_revoke()
assert refused(AuthError, box.check_user).is_invalid_access_token()
refused(AuthError, box.refresh_access_token)
secret.files_list_folder("")
"#;
    succeeds(&dropbox, &[], flow);
    dropbox.set_consent(Consent::Deny);
    let denied = r#"
import requests
from urllib.parse import parse_qs, urlparse
from dropbox.oauth import DropboxOAuth2Flow, NotApprovedException
flow = DropboxOAuth2Flow(GIVEN["app_key"], "http://localhost:1/", {}, "csrf", use_pkce=True)
reply = requests.get(flow.start(), allow_redirects=False)
query = {name: value[0] for name, value in parse_qs(urlparse(reply.headers["location"]).query).items()}
refused(NotApprovedException, flow.finish, query)
"#;
    succeeds(&dropbox, &[], denied);
}

#[test]
fn the_library_refreshes_when_access_is_over() {
    let dropbox = Dropbox::start();
    dropbox.faults().add(Rule::once(Effect::Vendor(Fault::ExpireToken)).path("/check/user").after(1));
    succeeds(
        &dropbox,
        &[],
        r#"
box = client()
box.check_user()
first = box._oauth2_access_token
box.check_user()
assert box._oauth2_access_token != first
old = dropbox.Dropbox(oauth2_access_token=first)
assert refused(AuthError, old.check_user).is_expired_access_token()
"#,
    );
    assert_eq!(dropbox.trace().count(|exchange| exchange.path == "/oauth2/token"), 2);
    // The client that can't refresh tried twice.
    assert_eq!(dropbox.trace().count(|exchange| exchange.status == Some(401)), 3);
}

#[test]
fn the_library_waits_when_it_is_throttled_and_tries_again_after_errors() {
    for rate_limit_as_text in [false, true] {
        let dropbox = Dropbox::start();
        dropbox.behave(|behaviour| behaviour.rate_limit_as_text = rate_limit_as_text);
        let faults = dropbox.faults();
        let busy = Fault::TooManyWriteOperations(Contention::Status { retry_after_s: 0 });
        let rules = [
            Rule::once(Effect::Vendor(Fault::TooManyRequests { retry_after_s: 0 })).path("/check/user"),
            Rule::once(Effect::Vendor(Fault::Unavailable)).path("/check/user"),
            Rule::once(Effect::Answer(Reply::new(500))).path("/check/user"),
            Rule::once(Effect::Vendor(busy)).path("/files/upload"),
            Rule::once(Effect::Vendor(Fault::TooManyWriteOperations(Contention::Path))).path("/files/upload"),
            Rule::once(Effect::Vendor(Fault::NoSpace)).path("/files/upload"),
        ];
        let rules = rules.map(|rule| faults.add(rule));
        succeeds(
            &dropbox,
            &[],
            r#"
box = client()
box.check_user()
assert refused(ApiError, box.files_upload, b"x", "/x").get_path().reason.is_too_many_write_operations()
assert refused(ApiError, box.files_upload, b"x", "/x").get_path().reason.is_insufficient_space()
box.files_upload(b"x", "/x")
"#,
        );
        assert_eq!(rules.map(|rule| faults.met(rule)), [1; 6]);
    }
}

#[test]
fn an_app_with_a_folder_sees_nothing_else() {
    let dropbox = Dropbox::start();
    dropbox.add_app(App {
        key: "folder-app".to_owned(),
        secret: "canary-of-another-app".to_owned(),
        redirect_uris: Vec::new(),
        folder: Some("Backups".to_owned()),
    });
    dropbox.plant_file("/x", "outside");
    dropbox.plant_file_of("folder-app", "/x", "inside");
    let tokens = dropbox.plant_tokens("folder-app");
    let more = json!({ "refresh_token": tokens.refresh_token, "app_key": "folder-app" });
    let said = script(
        &dropbox,
        &[],
        &more,
        r#"
box = client()
assert box.files_download("/x")[1].content == b"inside"
assert [entry.path_lower for entry in box.files_list_folder("").entries] == ["/x"]
box.files_upload(b"new", "/y")
"#,
    );
    assert!(said.is_success, "{}", said.text);
    assert_eq!(dropbox.files().into_keys().collect::<Vec<_>>(), ["/x"]);
    assert_eq!(dropbox.files_of("folder-app").into_keys().collect::<Vec<_>>(), ["/x", "/y"]);
}
