//! The vendor's half: which host and path leads where.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::account::{Caller, Scope};
use super::fields::Selection;
use super::knobs::DriveFault;
use super::operation::{Action, Call};
use super::refusal::Refusal;
use super::schema::{ABOUT, CHANGE_LIST, DRIVE, DRIVE_LIST, FILE, FILE_LIST, GENERATED_IDS, START_PAGE_TOKEN, Shape};
use super::state::State;
use crate::message::{Reply, Request};
use crate::server::Vendor;

/// Google's half of the emulator.
#[derive(Debug)]
pub(super) struct Half(Mutex<State>);

impl Half {
    pub(super) fn new(state: State) -> Self {
        Self(Mutex::new(state))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Vendor for Half {
    type Fault = DriveFault;

    fn answer(&self, request: &Request, fault: Option<&DriveFault>) -> Reply {
        let mut state = self.state();
        if fault == Some(&DriveFault::ExpireToken) {
            state.expire_token(request);
        }
        let is_local = matches!(request.host.as_str(), "localhost" | "127.0.0.1");
        let at = |host: &str| is_local || request.host == host;
        match (request.method.as_str(), request.path.as_str()) {
            ("POST", "/token") if at("oauth2.googleapis.com") => return state.token(request),
            ("POST", "/revoke") if at("oauth2.googleapis.com") => return state.revoke(request),
            ("GET", "/o/oauth2/v2/auth" | "/o/oauth2/auth") if at("accounts.google.com") => {
                return state.consent(request);
            }
            _ => {}
        }
        let answered = if at("www.googleapis.com") { state.drive(request, fault) } else { None };
        let nothing = || Refusal::new(404, "notFound", "Not Found");
        answered.unwrap_or_else(|| Err(nothing())).unwrap_or_else(|refusal| refusal.reply())
    }

    fn cut(&self, request: &Request) {
        if let Some(id) = session_of(request) {
            self.state().keep_cut(&id, request);
        }
    }
}

/// The session that a request belongs to.
fn session_of(request: &Request) -> Option<String> {
    if !request.path.starts_with("/upload/drive/v3/files") {
        return None;
    }
    let parameters = request.parameters().ok()?;
    parameters.into_iter().find(|(name, _)| name == "upload_id").map(|(_, id)| id)
}

impl State {
    fn expire_token(&mut self, request: &Request) {
        let token = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        self.grants.access_tokens.remove(token.unwrap_or_default());
    }

    /// Answers what belongs to Drive; `None` where nothing is at the path.
    fn drive(&mut self, request: &Request, fault: Option<&DriveFault>) -> Option<Result<Reply, Refusal>> {
        let authorization = request.header("authorization");
        if let Some(id) = session_of(request) {
            // The address of a session is a permission in itself; a token that is sent along has to be good all the same.
            if let (Some(_), Err(refusal)) = (authorization, self.caller(authorization)) {
                return Some(Err(refusal));
            }
            if !matches!(request.method.as_str(), "PUT" | "POST") {
                return Some(Err(Refusal::not_emulated("other methods on an upload's session")));
            }
            return Some(self.go_on(&id, request, fault));
        }
        let call = Call::of(request)?;
        Some(self.caller(authorization).and_then(|caller| self.run(&caller, call?, request)))
    }

    fn run(&mut self, caller: &Caller, call: Call, request: &Request) -> Result<Reply, Refusal> {
        if call.operation.changes_something && caller.scope == Scope::DriveReadonly {
            let message = "Insufficient Permission: Request had insufficient authentication scopes.";
            return Err(Refusal::new(403, "insufficientPermissions", message));
        }
        if request.headers.contains_key("content-encoding") {
            return Err(Refusal::not_emulated("bodies that are compressed"));
        }
        if request.headers.contains_key("x-http-method-override") {
            return Err(Refusal::not_emulated("another method than the request's own"));
        }
        let (shape, usual) = told(call.operation.action);
        let selection = Selection::parse(call.fields().unwrap_or(usual), shape)?;
        let value: Value = match call.operation.action {
            Action::AboutGet => self.about_get(caller, &call)?,
            Action::ChangesStart => self.changes_start(caller, &call)?,
            Action::ChangesList => self.changes_list(caller, &call)?,
            Action::DrivesGet => self.drives_get(caller, &call)?,
            Action::DrivesList => self.drives_list(caller, &call)?,
            Action::FilesList => self.files_list(caller, &call)?,
            Action::FilesGenerateIds => self.generate_ids(caller, &call),
            Action::FilesCopy => self.copy(caller, &call, super::upload::json_body(request)?)?,
            Action::FilesDelete => return self.delete(caller, &call),
            Action::FilesEmptyTrash => return self.empty_trash(caller, &call),
            Action::FilesGet if call.parameter("alt") == Some("media") => return self.media(caller, &call, request),
            Action::FilesGet => self.file_json(caller, self.seen(caller, call.id(), call.knows_drives())?),
            Action::FilesCreate | Action::FilesUpdate if call.parameter("uploadType") == Some("resumable") => {
                return self.begin_session(caller, call, selection, request);
            }
            Action::FilesCreate | Action::FilesUpdate => self.put(caller, &call, request)?,
        };
        Ok(Reply::json(200, &selection.apply(value)))
    }
}

/// What an operation tells, and which fields of it where nobody asks for any.
fn told(action: Action) -> (&'static Shape, &'static str) {
    match action {
        Action::AboutGet => (&ABOUT, "*"),
        Action::ChangesStart => (&START_PAGE_TOKEN, "*"),
        Action::ChangesList => (
            &CHANGE_LIST,
            "kind,nextPageToken,newStartPageToken,changes(kind,changeType,type,time,removed,fileId,file(kind,id,name,mimeType))",
        ),
        Action::DrivesGet => (&DRIVE, "kind,id,name"),
        Action::DrivesList => (&DRIVE_LIST, "kind,nextPageToken,drives(kind,id,name)"),
        Action::FilesGenerateIds => (&GENERATED_IDS, "*"),
        Action::FilesList => (&FILE_LIST, "kind,nextPageToken,incompleteSearch,files(kind,id,name,mimeType)"),
        Action::FilesCopy
        | Action::FilesCreate
        | Action::FilesDelete
        | Action::FilesEmptyTrash
        | Action::FilesGet
        | Action::FilesUpdate => (&FILE, "kind,id,name,mimeType"),
    }
}
