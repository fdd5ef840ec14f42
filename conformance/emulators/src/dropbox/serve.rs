//! From requests to calls and back.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use super::access::{AccessError, Bearer};
use super::account::{Account, HOME};
use super::answer::{Failure, Style, Success, header_json, json_reply};
use super::call::Call;
use super::content::Content;
use super::errors::{tag, tagged};
use super::faults::{Fault, falsify_hashes};
use super::oauth;
use super::ranges::{Asked, asked};
use super::record::{Called, Record};
use super::routes::{Caller, ROUTES, Route, Style as Calling};
use crate::clock::Clock;
use crate::message::{Reply, Request};
use crate::server::Vendor;

/// The vendor's half of the emulator.
#[derive(Debug)]
pub(super) struct Service {
    account: Mutex<Account>,
    pub(super) clock: Clock,
    pub(super) record: Record,
}

/// Who calls, and from where paths begin.
struct Standing {
    bearer: Option<Bearer>,
    app_key: String,
    namespace: u64,
}

impl Vendor for Service {
    type Fault = Fault;

    fn answer(&self, request: &Request, fault: Option<&Fault>) -> Reply {
        let mut account = self.account();
        let now_ms = self.clock.now_ms();
        let is_api = matches!(&*request.host, "api.dropboxapi.com" | "localhost");
        let is_web = matches!(&*request.host, "www.dropbox.com" | "localhost");
        let reply = match (&request.method, &*request.path) {
            (&Method::GET, "/oauth2/authorize") if is_web => oauth::authorize(&mut account.desk, request, now_ms),
            (&Method::POST, "/oauth2/token") if is_api || is_web => oauth::token(&mut account.desk, request, now_ms),
            (&Method::POST, path) => match path.strip_prefix("/2/") {
                Some(function) => self.function(&mut account, function, request, fault.copied()),
                None => Reply::new(404),
            },
            _ => Reply::new(404),
        };
        reply.header("x-dropbox-request-id", "0123456789abcdef0123456789abcdef")
    }

    fn cut(&self, request: &Request) {
        let mut account = self.account();
        if !account.behaviour.keeps_cut_appends || request.path != "/2/files/upload_session/append_v2" {
            return;
        }
        // Whoever sent it hears nothing; the session keeps what came, if the session would have taken it.
        let part = Fault::PersistPart { bytes: request.body.len() };
        self.function(&mut account, "files/upload_session/append_v2", request, Some(part));
    }
}

impl Service {
    pub(super) fn new(clock: Clock) -> Self {
        Self { account: Mutex::new(Account::new()), clock, record: Record::default() }
    }

    pub(super) fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn function(&self, account: &mut Account, function: &str, request: &Request, fault: Option<Fault>) -> Reply {
        let style = Style { rate_limit_as_text: account.behaviour.rate_limit_as_text, dots: request.body.len() % 4 };
        let Some(route) = ROUTES.iter().find(|route| route.called() == function) else {
            return Failure::BadRequest(format!("Unknown API function: {function:?}")).reply(style);
        };
        let mut argument = Value::Null;
        let outcome = self.called(account, route, request, fault, &mut argument).map_err(|failure| match failure {
            Failure::BadRequest(sentence) => {
                Failure::BadRequest(format!("Error in call to API function {function:?}: {sentence}"))
            }
            other => other,
        });
        let (reply, answer) = match outcome {
            Ok(Success::Json(value)) => (json_reply(200, &value), value),
            Ok(Success::File(metadata, content)) => (download(request, &metadata, &content), metadata),
            Err(failure) => {
                let answer = match &failure {
                    Failure::Endpoint(error) | Failure::Unauthorized(error) | Failure::PathRoot(error) => error.clone(),
                    _ => Value::Null,
                };
                (failure.reply(style), answer)
            }
        };
        let data_bytes = if route.style == Calling::Upload { request.body.len() } else { 0 };
        let (function, status) = (function.to_owned(), reply.status.as_u16());
        let answer_bytes = if route.style == Calling::Download { 0 } else { reply.body.len() };
        self.record.add(Called { function, argument, data_bytes, status, answer }, answer_bytes);
        reply
    }

    fn called(
        &self,
        account: &mut Account,
        route: &'static Route,
        request: &Request,
        fault: Option<Fault>,
        sent: &mut Value,
    ) -> Result<Success, Failure> {
        match fault {
            Some(Fault::TooManyRequests { retry_after_s }) => {
                return Err(Failure::RateLimit { reason: "too_many_requests", retry_after_s });
            }
            Some(Fault::Unavailable) => return Err(Failure::Server(503)),
            _ => {}
        }
        check_host(route, request)?;
        let standing = self.standing(account, route, request, fault)?;
        *sent = read_argument(route, request, account.behaviour.takes_raw_headers)?;
        let argument = match route.argument {
            None => Value::Null,
            Some(record) => super::shape::Shape::Record(record).check(sent).map_err(Failure::BadRequest)?,
        };
        let data = if route.style == Calling::Upload { request.body.clone() } else { Bytes::new() };
        let mut call = Call {
            account,
            app_key: &standing.app_key,
            token: standing.bearer.as_ref().map_or("", |bearer| &bearer.token),
            namespace: standing.namespace,
            argument: &argument,
            data: &data,
            now_ms: if data.is_empty() { self.clock.now_ms() } else { self.clock.tick_ms() },
            fault,
        };
        let mut outcome = call.run(route);
        if fault == Some(Fault::WrongHash)
            && let Ok(Success::Json(answer) | Success::File(answer, _)) = &mut outcome
        {
            falsify_hashes(answer);
        }
        outcome
    }

    fn standing(
        &self,
        account: &mut Account,
        route: &Route,
        request: &Request,
        fault: Option<Fault>,
    ) -> Result<Standing, Failure> {
        let header = request.header("authorization");
        match (route.caller, header) {
            (Caller::Anybody, None) => return Ok(Standing { bearer: None, app_key: String::new(), namespace: HOME }),
            (Caller::Anybody, Some(_)) => {
                return Err(Failure::BadRequest("This function takes no \"Authorization\".".to_owned()));
            }
            (_, None) => return Err(Failure::BadRequest("There is no HTTP header \"Authorization\".".to_owned())),
            (Caller::App, Some(header)) => {
                let pair = oauth::basic(header);
                let is_known =
                    |(key, secret): &(String, String)| account.desk.app(key).is_some_and(|app| app.secret == *secret);
                let (app_key, _) =
                    pair.filter(is_known).ok_or_else(|| Failure::unauthorized("invalid_access_token"))?;
                return Ok(Standing { bearer: None, namespace: account.namespace_of(&app_key), app_key });
            }
            _ => {}
        }
        let token = header.and_then(|header| header.strip_prefix("Bearer ")).filter(|token| is_token(token));
        let token = token.ok_or_else(|| Failure::BadRequest("The OAuth 2 access token is malformed.".to_owned()))?;
        match fault {
            Some(Fault::ExpireToken) => account.desk.expire(token),
            Some(Fault::RevokeToken) => account.desk.revoke(token),
            _ => {}
        }
        let bearer = account.desk.bearer(token, self.clock.now_ms()).map_err(|error| match error {
            AccessError::Invalid => Failure::unauthorized("invalid_access_token"),
            AccessError::Expired => Failure::unauthorized("expired_access_token"),
        })?;
        if let Some(scope) = route.scope
            && !bearer.scopes.iter().any(|known| known == scope)
        {
            let missing = json!({ ".tag": "missing_scope", "required_scope": scope });
            return Err(Failure::Unauthorized(missing));
        }
        let namespace = account.namespace_of(&bearer.app_key);
        check_path_root(request, namespace)?;
        Ok(Standing { app_key: bearer.app_key.clone(), bearer: Some(bearer), namespace })
    }
}

/// Each function is at home on one host; at a port of this machine `localhost` stands for all but `content`, which is `127.0.0.1`.
fn check_host(route: &Route, request: &Request) -> Result<(), Failure> {
    let own = format!("{}.dropboxapi.com", route.host);
    let local = if route.host == "content" { "127.0.0.1" } else { "localhost" };
    if request.host == own || request.host == local {
        return Ok(());
    }
    Err(Failure::BadRequest(format!("This function is at the host {own:?}.")))
}

fn check_path_root(request: &Request, namespace: u64) -> Result<(), Failure> {
    let Some(header) = request.headers.get("dropbox-api-path-root") else { return Ok(()) };
    let root: Option<Value> = serde_json::from_slice(header.as_bytes()).ok();
    let root =
        root.ok_or_else(|| Failure::BadRequest("The header \"Dropbox-API-Path-Root\" is no JSON.".to_owned()))?;
    let named = match root[".tag"].as_str() {
        Some("home") => return Ok(()),
        Some("root") => &root["root"],
        Some("namespace_id") => &root["namespace_id"],
        _ => return Err(Failure::BadRequest("The header \"Dropbox-API-Path-Root\" names no root.".to_owned())),
    };
    let own = namespace.to_string();
    if *named == *own {
        return Ok(());
    }
    if root[".tag"] == "root" {
        let info = json!({ ".tag": "user", "root_namespace_id": own, "home_namespace_id": own });
        return Err(Failure::PathRoot(tagged("invalid_root", info)));
    }
    Err(Failure::PathRoot(tag("no_permission")))
}

fn read_argument(route: &Route, request: &Request, takes_raw: bool) -> Result<Value, Failure> {
    let bad = |sentence: &str| Failure::BadRequest(sentence.to_owned());
    let content_type = request.header("content-type");
    let is_of = |wanted: &str| content_type.is_some_and(|given| given.split(';').next() == Some(wanted));
    if !request.query.is_empty() {
        return Err(bad("Arguments in the URL are not emulated."));
    }
    let json = |bytes: &[u8], of: &str| -> Result<Value, Failure> {
        serde_json::from_slice(bytes).map_err(|error| Failure::BadRequest(format!("{of}: this is no JSON: {error}")))
    };
    match route.style {
        Calling::Rpc if route.argument.is_none() => match &request.body[..] {
            b"" | b"null" => Ok(Value::Null),
            _ => Err(bad("request body: there is no argument, so it must be empty or `null`")),
        },
        Calling::Rpc if is_of("application/json") => json(&request.body, "request body"),
        Calling::Rpc => Err(bad("The HTTP header \"Content-Type\" must be \"application/json\".")),
        Calling::Upload if !is_of("application/octet-stream") => {
            Err(bad("The HTTP header \"Content-Type\" must be \"application/octet-stream\"."))
        }
        Calling::Download if !request.body.is_empty() => {
            Err(bad("The argument is in a header; the body must be empty."))
        }
        Calling::Upload | Calling::Download => {
            let header = request.headers.get("dropbox-api-arg");
            let header = header.ok_or_else(|| bad("There is no HTTP header \"Dropbox-API-Arg\"."))?;
            if !takes_raw && !header.as_bytes().iter().all(|byte| (b' '..0x7f).contains(byte)) {
                return Err(bad("HTTP header \"Dropbox-API-Arg\": everything but plain ASCII must be escaped"));
            }
            json(header.as_bytes(), "HTTP header \"Dropbox-API-Arg\"")
        }
    }
}

fn is_token(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())
}

fn download(request: &Request, metadata: &Value, content: &Content) -> Reply {
    let len = content.bytes.len();
    let whole = |status| Reply::new(status).header("dropbox-api-result", &header_json(metadata));
    let octets = "application/octet-stream";
    let rev = metadata["rev"].as_str().unwrap_or_default();
    let reply = match asked(request.header("range"), len) {
        Asked::Whole => whole(200).body(octets, content.bytes.clone()),
        Asked::Part(first, end) => {
            let range = format!("bytes {first}-{}/{len}", end - 1);
            whole(206).header("content-range", &range).body(octets, content.bytes.slice(first..end))
        }
        Asked::Nothing => {
            let range = format!("bytes */{len}");
            return Reply::new(416).header("content-range", &range);
        }
    };
    reply.header("etag", &format!("W/\"{rev}\"")).header("accept-ranges", "bytes")
}
