//! The vendor's own library for Python works with it as it works with Dropbox.

use std::io::Write;
use std::process::Command;

use backup_test_emulators::dropbox::{Dropbox, Fault};
use backup_test_emulators::{Effect, Rule};
use serde_json::{Value, json};

use super::noise;
use super::tables::are_as_described;
use crate::programs::{Ran, command, run};

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
pub(super) fn script(dropbox: &Dropbox, noises: &[(usize, u64)], more: &Value, text: &str) -> Ran {
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
    run(command.arg(home.path().join("script.py")))
}

/// The Python that the packages of the tests are installed for.
pub(super) fn python(home: &std::path::Path) -> Command {
    let mut command = command("python3", home);
    // Nothing of whoever runs the tests is imported.
    command.arg("-I");
    command
}

/// Runs a script that must succeed; what it was answered must be what the vendor describes.
pub(super) fn succeeds(dropbox: &Dropbox, noises: &[(usize, u64)], text: &str) -> String {
    let said = script(dropbox, noises, &json!({}), text);
    let out = said.ok();
    are_as_described(dropbox);
    out
}

#[test]
fn the_library_writes_and_reads_back() {
    let dropbox = Dropbox::start();
    dropbox.plant_file("/planted", noise(100_000, 1));
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
# No data comes with an entry, so its checksum can only be that of nothing.
other = [UploadSessionFinishArg(finish[2].cursor, finish[2].commit, content_hash="0" * 64)]
refusal = box.files_upload_session_finish_batch_v2(other).entries[0].get_failure()
assert refusal.is_content_hash_mismatch()
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
assert refused(ApiError, box.files_get_metadata, "/f/x").get_path().is_not_found()
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
assert refused(ApiError, box.files_move_v2, "/f/x", "/f/Thumbs.db").get_to().is_disallowed_name()
assert refused(ApiError, box.files_copy_v2, "/f/x", "/f/x/y").is_duplicated_or_nested_paths()
assert refused(ApiError, box.files_copy_v2, "/f/x", "/new/x/y").get_to().get_conflict().is_file_ancestor()
assert refused(ApiError, box.files_create_folder_v2, "/.dropbox").get_path().is_disallowed_name()
assert refused(ApiError, box.files_restore, "/desktop.ini", first.rev).get_path_write().is_disallowed_name()
assert refused(ApiError, box.files_restore, "/f/x", "0123456789").is_invalid_revision()
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
