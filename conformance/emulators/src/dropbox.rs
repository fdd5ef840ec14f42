//! Dropbox: API v2 and OAuth 2, with one account.
//!
//! ```no_run
//! use backup_test_emulators::dropbox::{Dropbox, Fault};
//! use backup_test_emulators::{Effect, Reply, Rule};
//!
//! let dropbox = Dropbox::start();
//! let tokens = dropbox.plant_tokens(Dropbox::APP_KEY);
//! dropbox.faults().add(Rule::once(Effect::Vendor(Fault::ExpireToken)).path("/2/files/upload"));
//! dropbox.faults().add(Rule::once(Effect::Answer(Reply::new(503))).after(3));
//! // … a client works with dropbox.api_url(), dropbox.content_url() and tokens.refresh_token …
//! assert!(dropbox.files().contains_key("/packs/1"));
//! ```

mod access;
mod account;
mod answer;
mod arguments;
mod call;
mod commit;
mod content;
mod errors;
mod faults;
mod listing;
mod metadata;
mod oauth;
mod path;
mod ranges;
mod record;
mod relocate;
mod routes;
mod serve;
mod sessions;
mod shape;
mod tree;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

pub use access::{App, Consent, Tokens};
pub use content::content_hash;
pub use faults::{Behaviour, Contention, Fault};
pub use record::Called;
pub use routes::{Caller, ROUTES, Route, Style};
pub use shape::{Absent, Choice, Field, Form, Record, Shape};

use crate::clock::Clock;
use crate::connect_proxy::ConnectProxy;
use crate::fault::Faults;
use crate::server::Server;
use crate::trace::Trace;
use account::HOME;
use commit::{Commit, Mode};
use content::Content;
use path::{Place, Target};
use serve::Service;

/// A Dropbox on the loopback interface. It ends when this is dropped.
#[derive(Debug)]
pub struct Dropbox {
    service: Arc<Service>,
    server: Server<Service>,
}

/// A file as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// Its bytes.
    pub bytes: Bytes,
    /// Its revision.
    pub rev: String,
    /// Its identity.
    pub id: String,
    /// When the client says that it was changed.
    pub client_modified: Timestamp,
}

/// An upload session that has become no file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenSession {
    /// Its identity.
    pub id: String,
    /// Bytes up to its end.
    pub bytes: u64,
    /// Whether it is closed.
    pub is_closed: bool,
}

impl Dropbox {
    /// The key of the app that is there from the beginning and sees all files.
    pub const APP_KEY: &'static str = "emulated-app-key";
    /// Its secret.
    pub const APP_SECRET: &'static str = "canary-71c5a2f0-secret-of-the-app";

    /// An empty account with one app.
    ///
    /// # Panics
    /// When the system gives no port or no thread.
    pub fn start() -> Self {
        let service = Service::new(Clock::new());
        service.account().add_app(App {
            key: Self::APP_KEY.to_owned(),
            secret: Self::APP_SECRET.to_owned(),
            redirect_uris: Vec::new(),
            folder: None,
        });
        let service = Arc::new(service);
        Self { server: Server::start(Arc::clone(&service)), service }
    }

    fn now(&self) -> Timestamp {
        let seconds = i64::try_from(self.service.clock.now_ms() / 1000).expect("a time of this age");
        Timestamp::from_second(seconds).expect("a time of this age")
    }

    /// Where functions are called and tokens are got, without a slash at the end. It stands for `www` and `notify`, too.
    pub fn api_url(&self) -> String {
        format!("https://localhost:{}", self.server.port())
    }

    /// Where data goes up and down, without a slash at the end.
    pub fn content_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.server.port())
    }

    /// The certificate to trust, a PEM file.
    pub fn ca_file(&self) -> &Path {
        self.server.ca_file()
    }

    /// A proxy for clients that know the vendor's hosts only.
    pub fn proxy(&self) -> ConnectProxy {
        ConnectProxy::to(self.server.port())
    }

    /// Which requests meet which trouble.
    pub fn faults(&self) -> &Faults<Fault> {
        self.server.faults()
    }

    /// What was asked and answered, as HTTP.
    pub fn trace(&self) -> &Trace {
        self.server.trace()
    }

    /// What was asked and answered, as calls of functions.
    pub fn calls(&self) -> Vec<Called> {
        self.service.record.all()
    }

    /// The time.
    pub fn clock(&self) -> Clock {
        self.service.clock.clone()
    }

    /// Changes what the vendor leaves open.
    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        let mut account = self.service.account();
        change(&mut account.behaviour);
        account.sessions.finished_is_closed = account.behaviour.finished_is_closed;
    }

    /// Registers an app, or changes one.
    pub fn add_app(&self, app: App) {
        self.service.account().add_app(app);
    }

    /// Tokens of an app as if its user had just allowed everything, with a challenge: the secret is not asked for.
    pub fn plant_tokens(&self, app_key: &str) -> Tokens {
        self.service.account().desk.plant(app_key, true, self.clock().now_ms())
    }

    /// What the user does when asked for consent.
    pub fn set_consent(&self, consent: Consent) {
        self.service.account().desk.consent = consent;
    }

    /// Ends all access tokens; refreshing works.
    pub fn expire_tokens(&self) {
        self.service.account().desk.expire_all();
    }

    /// Ends everything that the user allowed.
    pub fn revoke_tokens(&self) {
        self.service.account().desk.revoke_all();
    }

    /// Sets the room of the account, what others use of it, and whether a team pays for it.
    pub fn set_quota(&self, allocated_bytes: u64, used_elsewhere_bytes: u64, is_of_team: bool) {
        let mut account = self.service.account();
        account.allocated_bytes = allocated_bytes;
        account.used_elsewhere_bytes = used_elsewhere_bytes;
        account.is_of_team = is_of_team;
    }

    /// Makes all cursors begin again.
    pub fn reset_cursors(&self) {
        self.service.account().generation += 1;
    }

    /// Forgets all upload sessions.
    pub fn lose_sessions(&self) {
        self.service.account().sessions.lose_all();
    }

    /// Upload sessions that have become no file.
    pub fn open_sessions(&self) -> Vec<OpenSession> {
        let account = self.service.account();
        let open = account.sessions.open();
        open.map(|(id, bytes, is_closed)| OpenSession { id: id.to_owned(), bytes, is_closed }).collect()
    }

    /// The files that an app sees, by their paths as they are shown.
    pub fn files_of(&self, app_key: &str) -> BTreeMap<String, StoredFile> {
        let account = self.service.account();
        let tree = account.tree(account.namespace_of(app_key));
        let files = tree.all().filter_map(|node| Some((node, node.file()?)));
        let stored = files.map(|(node, file)| {
            let file = StoredFile {
                bytes: file.content.bytes.clone(),
                rev: file.rev.clone(),
                id: file.id.clone(),
                client_modified: file.client_modified,
            };
            (node.place.display.clone(), file)
        });
        stored.collect()
    }

    /// All files outside of apps' folders, by their paths as they are shown.
    pub fn files(&self) -> BTreeMap<String, StoredFile> {
        self.files_of(Self::APP_KEY)
    }

    /// All folders outside of apps' folders, by their paths as they are shown.
    pub fn folders(&self) -> Vec<String> {
        let account = self.service.account();
        let folders = account.tree(HOME).all().filter(|node| node.file().is_none());
        folders.map(|node| node.place.display.clone()).collect()
    }

    /// Puts a file where an app sees it, in place of what is there, as somebody else would.
    ///
    /// # Panics
    /// When the path is malformed or a folder is there.
    pub fn plant_file_of(&self, app_key: &str, path: &str, bytes: impl Into<Bytes>) {
        let mut account = self.service.account();
        let namespace = account.namespace_of(app_key);
        let place = Place::parse(path).expect("a path such as /folder/file");
        let (mode, autorename, client_modified, strict_conflict) = (Mode::Overwrite, false, None, true);
        let commit = Commit { place, mode, autorename, client_modified, strict_conflict };
        let content = Content::new(bytes.into());
        let planted = account.tree_mut(namespace).commit(&commit, content, u64::MAX, self.now());
        planted.expect("nothing is in the way");
    }

    /// Puts a file outside of apps' folders.
    ///
    /// # Panics
    /// When the path is malformed or a folder is there.
    pub fn plant_file(&self, path: &str, bytes: impl Into<Bytes>) {
        self.plant_file_of(Self::APP_KEY, path, bytes);
    }

    /// Makes a folder outside of apps' folders.
    ///
    /// # Panics
    /// When the path is malformed or something is there.
    pub fn plant_folder(&self, path: &str) {
        let target = Target::parse(path, HOME).expect("a path such as /folder");
        let mut account = self.service.account();
        account.tree_mut(HOME).create_folder(target, false).expect("nothing is in the way");
    }

    /// Deletes a file or a folder with everything in it, as somebody else would.
    ///
    /// # Panics
    /// When it is not there.
    pub fn delete(&self, path: &str) {
        let target = Target::parse(path, HOME).expect("a path such as /folder/file");
        let mut account = self.service.account();
        account.tree_mut(HOME).delete(target, None, self.now()).expect("it is there");
    }
}
