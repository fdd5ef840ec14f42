"""Uses the vendor's client for Python against the emulator: google_client.py URL CA_FILE REFRESH_TOKEN CLIENT_ID SECRET STEP.

Each step ends with one line of JSON that the test reads, or with a traceback.
"""

import hashlib
import io
import json
import os
import random
import sys

URL, CA_FILE, REFRESH_TOKEN, CLIENT_ID, SECRET, STEP = sys.argv[1:7]
# Two libraries, each with a way of its own to be told whom to trust.
os.environ["HTTPLIB2_CA_CERTS"] = CA_FILE
os.environ["REQUESTS_CA_BUNDLE"] = CA_FILE

from google.auth.transport.requests import Request
from google.oauth2.credentials import Credentials
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError
from googleapiclient.http import MediaIoBaseDownload, MediaIoBaseUpload

KIB = 1024
ATTEMPTS = 20


class Pieces(MediaIoBaseUpload):
    """Content that a request can be repeated with: the library sends nothing the second time it is given a stream."""

    def has_stream(self):
        return False

FOLDER = "application/vnd.google-apps.folder"


def service():
    credentials = Credentials(
        token=None, refresh_token=REFRESH_TOKEN, token_uri=URL + "/token", client_id=CLIENT_ID, client_secret=SECRET
    )
    return build(
        "drive",
        "v3",
        credentials=credentials,
        static_discovery=True,
        client_options={"api_endpoint": URL + "/drive/v3/"},
    )


def content(length, seed=7):
    return random.Random(seed).randbytes(length)


def upload(drive, name, data, chunk=256 * KIB, resumable=True, parent="root", **more):
    media = Pieces(io.BytesIO(data), "application/x-pack", chunksize=chunk, resumable=resumable)
    body = dict(name=name, parents=[parent], **more)
    fields = "id,name,size,md5Checksum,sha1Checksum,sha256Checksum,mimeType,parents,headRevisionId,version"
    request = drive.files().create(body=body, media_body=media, fields=fields)
    if not resumable:
        return request.execute(num_retries=5)
    answer, attempts = None, 0
    while answer is None:
        try:
            _, answer = request.next_chunk()
        except (HttpError, OSError) as error:
            # The library asks how much has arrived and goes on from there.
            attempts += 1
            if attempts == ATTEMPTS or isinstance(error, HttpError) and error.resp.status == 400:
                raise
    return answer


def download(drive, file_id, chunk=100_000):
    out = io.BytesIO()
    loader = MediaIoBaseDownload(out, drive.files().get_media(fileId=file_id), chunksize=chunk)
    done = False
    while not done:
        _, done = loader.next_chunk(num_retries=5)
    return out.getvalue()


def all_pages(method, first, key):
    found, request, pages = [], first, 0
    while request is not None:
        page = request.execute(num_retries=5)
        pages += 1
        found += page.get(key, [])
        request = method(request, page)
    return found, pages


def find(drive, query, fields="id"):
    files = drive.files()
    first = files.list(q=query, fields=f"nextPageToken,files({fields})")
    return all_pages(files.list_next, first, "files")[0]


def reason(error):
    return error.resp.status, error.error_details[0]["reason"] if error.error_details else None


def refused(call):
    try:
        call.execute()
    except HttpError as error:
        return reason(error)
    raise AssertionError("it was not refused")


def check(answer, data):
    assert answer["size"] == str(len(data)), answer
    for name in ("md5", "sha1", "sha256"):
        assert answer[name + "Checksum"] == hashlib.new(name, data).hexdigest(), name


def step_roundtrip(drive):
    """Files of sizes around chunks, up and down."""
    ids = {}
    for length in (0, 1, 256 * KIB - 1, 256 * KIB, 256 * KIB + 1, 3 * 256 * KIB, 1_500_001):
        data = content(length)
        for resumable in (True, False):
            answer = upload(drive, f"{length} {resumable}", data, resumable=resumable)
            check(answer, data)
            assert answer["mimeType"] == "application/x-pack"
            ids[answer["name"]] = answer["id"]
            # An empty file has no range that could be asked for.
            back = download(drive, answer["id"]) if length else drive.files().get_media(fileId=answer["id"]).execute(num_retries=5)
            assert back == data, f"{length} {resumable}"
    return ids


def step_upload(drive):
    """One upload, under whatever trouble the emulator makes."""
    data = content(int(sys.argv[7]))
    answer = upload(drive, "big", data, chunk=512 * KIB)
    check(answer, data)
    return dict(id=answer["id"], sha256=hashlib.sha256(data).hexdigest())


def step_files(drive):
    """Everything that is done with files other than to fill them."""
    files = drive.files()
    folder = files.create(body=dict(name="folder", mimeType=FOLDER)).execute()
    assert sorted(folder) == ["id", "kind", "mimeType", "name"], folder
    other = files.create(body=dict(name="it's \\ other", mimeType=FOLDER), fields="id").execute()["id"]
    made = [upload(drive, f"f{n:02}", content(n), resumable=False, parent=folder["id"])["id"] for n in range(25)]

    listed = files.list(q=f"'{folder['id']}' in parents and trashed=false", pageSize=10, fields="nextPageToken,files(id,size)")
    found, pages = all_pages(files.list_next, listed, "files")
    assert sorted(f["id"] for f in found) == sorted(made)
    assert sum(int(f["size"]) for f in found) == sum(range(25))
    assert find(drive, "name = 'it\\'s \\\\ other'") == [dict(id=other)]

    moved = files.update(fileId=made[0], addParents=other, removeParents=folder["id"], body=dict(name="moved"), fields="parents,name").execute()
    assert moved == dict(parents=[other], name="moved"), moved
    assert refused(files.update(fileId=made[1], addParents=other)) == (403, "cannotAddParent")
    assert refused(files.update(fileId=made[1], body=dict(parents=[other]))) == (403, "fieldNotWritable")
    assert refused(files.update(fileId=made[1], body=dict(size="1"))) == (403, "fieldNotWritable")

    before = files.get(fileId=made[2], fields="version,headRevisionId,modifiedTime").execute()
    data = content(300 * KIB, 8)
    media = MediaIoBaseUpload(io.BytesIO(data), "text/plain", chunksize=256 * KIB, resumable=True)
    files.update(fileId=made[2], media_body=media).execute()
    after = files.get(fileId=made[2], fields="version,headRevisionId,modifiedTime,id").execute()
    assert int(after["version"]) > int(before["version"])
    assert after["headRevisionId"] != before["headRevisionId"] and after["modifiedTime"] > before["modifiedTime"]
    assert download(drive, made[2]) == data

    copied = files.copy(fileId=made[2], body=dict(name="copied", parents=[other])).execute()
    assert download(drive, copied["id"]) == data

    files.update(fileId=other, body=dict(trashed=True)).execute()
    in_trash = find(drive, "trashed=true", "id,explicitlyTrashed")
    assert {f["id"]: f["explicitlyTrashed"] for f in in_trash} == {other: True, made[0]: False, copied["id"]: False}
    files.emptyTrash().execute()
    assert refused(files.get(fileId=copied["id"])) == (404, "notFound")
    files.delete(fileId=made[3]).execute()
    assert refused(files.delete(fileId=made[3])) == (404, "notFound")
    assert refused(files.list(q=f"'{made[3]}' in parents")) == (404, "notFound")

    files.update(fileId=made[4], body=dict(appProperties=dict(a="1", b="2"), description="d", modifiedTime="2020-02-03T04:05:06.789Z")).execute()
    files.update(fileId=made[4], body=dict(appProperties=dict(b=None))).execute()
    told = files.get(fileId=made[4], fields="appProperties,description,modifiedTime").execute()
    assert told == dict(appProperties=dict(a="1"), description="d", modifiedTime="2020-02-03T04:05:06.789Z"), told
    assert find(drive, "appProperties has {key='a' and value='1'}") == [dict(id=made[4])]
    return dict(left=len(made) - 2 + 1, pages=pages)


def step_ids(drive):
    """Ids that are known before the file is."""
    files = drive.files()
    ids = files.generateIds(count=3).execute()["ids"]
    assert len(set(ids)) == 3
    assert upload(drive, "known", b"data", id=ids[0])["id"] == ids[0]
    media = MediaIoBaseUpload(io.BytesIO(b"data"), "a/b")
    assert refused(files.create(body=dict(id=ids[0], name="twice"), media_body=media))[0] == 409
    assert refused(files.create(body=dict(id="chosen", name="own"), media_body=media))[0] == 400
    files.delete(fileId=ids[0]).execute()
    return dict(ids=ids)


def step_about(drive):
    about = drive.about().get(fields="storageQuota,user(emailAddress),maxUploadSize").execute()
    assert refused(drive.about().get())[0] == 400
    return about


def step_changes(drive):
    """What happened since a token."""
    changes, files = drive.changes(), drive.files()
    start = changes.getStartPageToken().execute()["startPageToken"]
    assert changes.list(pageToken=start).execute() == dict(kind="drive#changeList", changes=[], newStartPageToken=start)
    made = [upload(drive, f"c{n}", b"x")["id"] for n in range(5)]
    files.delete(fileId=made[0]).execute()
    files.update(fileId=made[1], body=dict(name="renamed")).execute()
    found, pages, token = {}, 0, start
    while token:
        page = changes.list(pageToken=token, pageSize=2).execute()
        pages += 1
        found.update({c["fileId"]: (c["removed"], c.get("file", {}).get("name")) for c in page["changes"]})
        token, new = page.get("nextPageToken"), page.get("newStartPageToken")
    expected = {made[0]: (True, None), made[1]: (False, "renamed"), **{i: (False, f"c{n}") for n, i in enumerate(made) if n > 1}}
    assert found == expected, found
    assert pages == 3, pages
    assert changes.list(pageToken=new).execute()["changes"] == []
    return dict(new=new)


def step_drives(drive):
    drive_id = sys.argv[7]
    assert [d["id"] for d in drive.drives().list().execute()["drives"]] == [drive_id]
    assert drive.drives().get(driveId=drive_id).execute()["name"] == "ours"
    files = drive.files()
    assert refused(files.create(body=dict(name="x", parents=[drive_id]))) == (404, "notFound")
    made = files.create(body=dict(name="x", parents=[drive_id]), supportsAllDrives=True, fields="id,driveId").execute()
    assert made["driveId"] == drive_id
    everywhere = dict(supportsAllDrives=True, includeItemsFromAllDrives=True)
    found = files.list(corpora="drive", driveId=drive_id, **everywhere).execute()["files"]
    assert [f["id"] for f in found] == [made["id"]]
    assert files.list().execute()["files"] == []
    assert len(files.list(corpora="allDrives", **everywhere).execute()["files"]) == 1
    assert refused(files.get(fileId=made["id"])) == (404, "notFound")
    files.delete(fileId=made["id"], supportsAllDrives=True).execute()
    return {}


def step_refused(drive):
    """Why the first request is refused."""
    try:
        return dict(refused=refused(drive.files().list()))
    except Exception as error:
        return dict(error=type(error).__name__, text=str(error))


def step_token(drive):
    """The token library alone."""
    credentials = Credentials(
        token=None, refresh_token=REFRESH_TOKEN, token_uri=URL + "/token", client_id=CLIENT_ID, client_secret=SECRET
    )
    credentials.refresh(Request())
    return dict(token=credentials.token, refresh_token=credentials.refresh_token)


print(json.dumps(globals()["step_" + STEP](service())))
