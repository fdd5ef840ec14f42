//! The functions of Dropbox that are emulated: hosts, styles, who may call them and with what.

use super::arguments as arg;
use super::shape::Record;

/// How a function is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// The argument is the body, and so is the result.
    Rpc,
    /// The argument is in a header, and the body is data.
    Upload,
    /// The argument and the result are in headers, and the body of the reply is data.
    Download,
}

/// Who may call a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// An app on behalf of a user.
    User,
    /// An app with its key and secret.
    App,
    /// Either of them; here only for users.
    AppOrUser,
    /// Anybody.
    Anybody,
}

/// One function.
#[derive(Debug)]
pub struct Route {
    /// Its name without the version, such as `files/delete`.
    pub name: &'static str,
    /// Its version.
    pub version: u32,
    /// The first part of the host's name: `api`, `content` or `notify`.
    pub host: &'static str,
    /// How it is called.
    pub style: Style,
    /// Who may call it.
    pub caller: Caller,
    /// What the user must have allowed.
    pub scope: Option<&'static str>,
    /// Its argument.
    pub argument: Option<&'static Record>,
}

impl Route {
    /// The name as it is called, with the version.
    pub fn called(&self) -> String {
        match self.version {
            1 => self.name.to_owned(),
            version => format!("{}_v{version}", self.name),
        }
    }
}

const READ: Option<&str> = Some("files.content.read");
const WRITE: Option<&str> = Some("files.content.write");
const METADATA: Option<&str> = Some("files.metadata.read");
const ACCOUNT: Option<&str> = Some("account_info.read");

/// Everything that a user of the emulator's account can allow.
pub(super) const SCOPES: [&str; 4] =
    ["account_info.read", "files.content.read", "files.content.write", "files.metadata.read"];

const fn rpc(name: &'static str, version: u32, scope: Option<&'static str>, argument: &'static Record) -> Route {
    let (style, caller) = (Style::Rpc, Caller::User);
    Route { name, version, host: "api", style, caller, scope, argument: Some(argument) }
}

const fn listing(name: &'static str, argument: &'static Record) -> Route {
    Route { caller: Caller::AppOrUser, ..rpc(name, 1, METADATA, argument) }
}

const fn upload(name: &'static str, version: u32, argument: &'static Record) -> Route {
    Route { host: "content", style: Style::Upload, ..rpc(name, version, WRITE, argument) }
}

/// All functions.
pub static ROUTES: [Route; 28] = [
    Route { argument: None, ..rpc("auth/token/revoke", 1, None, &arg::ECHO) },
    rpc("check/user", 1, ACCOUNT, &arg::ECHO),
    Route { caller: Caller::App, ..rpc("check/app", 1, None, &arg::ECHO) },
    rpc("files/copy", 2, WRITE, &arg::RELOCATION),
    rpc("files/create_folder", 2, WRITE, &arg::CREATE_FOLDER),
    rpc("files/delete", 2, WRITE, &arg::DELETE),
    rpc("files/delete_batch", 1, WRITE, &arg::DELETE_BATCH),
    rpc("files/delete_batch/check", 1, WRITE, &arg::POLL),
    Route { host: "content", style: Style::Download, ..rpc("files/download", 1, READ, &arg::DOWNLOAD) },
    rpc("files/get_metadata", 1, METADATA, &arg::GET_METADATA),
    listing("files/list_folder", &arg::LIST_FOLDER),
    listing("files/list_folder/continue", &arg::LIST_FOLDER_CONTINUE),
    rpc("files/list_folder/get_latest_cursor", 1, METADATA, &arg::LIST_FOLDER),
    Route { host: "notify", caller: Caller::Anybody, ..rpc("files/list_folder/longpoll", 1, METADATA, &arg::LONGPOLL) },
    rpc("files/list_revisions", 1, METADATA, &arg::LIST_REVISIONS),
    rpc("files/move", 2, WRITE, &arg::RELOCATION),
    rpc("files/restore", 1, WRITE, &arg::RESTORE),
    upload("files/upload", 1, &arg::UPLOAD),
    upload("files/upload_session/append", 2, &arg::SESSION_APPEND),
    upload("files/upload_session/append_batch", 1, &arg::SESSION_APPEND_BATCH),
    upload("files/upload_session/finish", 1, &arg::SESSION_FINISH),
    rpc("files/upload_session/finish_batch", 1, WRITE, &arg::SESSION_FINISH_BATCH),
    rpc("files/upload_session/finish_batch", 2, WRITE, &arg::SESSION_FINISH_BATCH),
    rpc("files/upload_session/finish_batch/check", 1, WRITE, &arg::POLL),
    upload("files/upload_session/start", 1, &arg::SESSION_START),
    rpc("files/upload_session/start_batch", 1, WRITE, &arg::SESSION_START_BATCH),
    Route { argument: None, ..rpc("users/get_current_account", 1, ACCOUNT, &arg::ECHO) },
    Route { argument: None, ..rpc("users/get_space_usage", 1, ACCOUNT, &arg::ECHO) },
];
