//! The vendor's own library for Python: consent, tokens, and being told to wait.

use backup_test_emulators::dropbox::{App, Consent, Contention, Dropbox, Fault};
use backup_test_emulators::{Effect, Reply, Rule};
use serde_json::json;

use super::sdk::{script, succeeds};

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

# Whoever else comes by the code can't answer the challenge.
flow = DropboxOAuth2FlowNoRedirect(GIVEN["app_key"], use_pkce=True, token_access_type="offline")
code = re.search("<code>(.*)</code>", requests.get(flow.start()).text).group(1)
flow.code_verifier = "x" * 64
assert refused(requests.HTTPError, flow.finish, code).__class__ is requests.HTTPError

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

# Some functions are for apps, whoever their users are.
app = dropbox.Dropbox(app_key=GIVEN["app_key"], app_secret=GIVEN["app_secret"])
assert app.check_app("hello").result == "hello"
other = dropbox.Dropbox(app_key=GIVEN["app_key"], app_secret="other")
assert refused(AuthError, other.check_app, "hello").is_invalid_access_token()

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
    said.ok();
    assert_eq!(dropbox.files().into_keys().collect::<Vec<_>>(), ["/x"]);
    assert_eq!(dropbox.files_of("folder-app").into_keys().collect::<Vec<_>>(), ["/x", "/y"]);
}
