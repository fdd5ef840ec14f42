//! Google Drive: its REST interface of version 3 and the OAuth that goes with it.

mod about;
mod account;
mod change;
mod consent;
mod content;
#[cfg(test)]
mod discovery_tests;
mod fields;
mod file;
mod half;
mod knobs;
mod listing;
mod metadata;
mod multipart;
mod oauth;
mod operation;
mod plant;
mod query;
mod refusal;
mod resource;
mod schema;
mod session;
mod state;
mod upload;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::clock::Clock;
use crate::connect_proxy::ConnectProxy;
use crate::fault::Faults;
use crate::server::Server;
use crate::trace::Trace;

use account::{Client, Grant, UserId};
use half::Half;
use state::{Corpus, SharedDrive, State};

pub use account::Scope;
pub use knobs::{DriveFault, Knobs};
pub use plant::Plant;
pub use refusal::refusal;

/// Google Drive on the loopback interface, with one registered program and nobody's account.
///
/// It ends when this is dropped.
#[derive(Debug)]
pub struct GoogleDrive {
    server: Server<Half>,
    half: Arc<Half>,
    clock: Clock,
}

/// A file, folder or anything else, past the interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawFile {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The folders that it is in: one, or none for the top of a Drive.
    pub parents: Vec<String>,
    /// Its length; 0 for what has no bytes.
    pub size_bytes: u64,
    /// Whether it, or a folder that it is in, is in the trash.
    pub trashed: bool,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// The id of the program that made it.
    pub made_by: String,
}

impl GoogleDrive {
    /// The id of the program that is registered.
    pub const CLIENT_ID: &'static str = "emulated-1.apps.googleusercontent.com";
    /// Its secret.
    pub const CLIENT_SECRET: &'static str = "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sts";

    /// Starts an emulator.
    ///
    /// # Panics
    /// When the system gives no port, thread or folder.
    pub fn start() -> Self {
        let clock = Clock::new();
        let half = Arc::new(Half::new(State::new(clock.clone())));
        let server = Server::start(Arc::clone(&half));
        let drive = Self { server, half, clock };
        drive.register(Self::CLIENT_ID, Self::CLIENT_SECRET);
        drive
    }

    /// Where it is, without a slash at the end: `https://localhost:PORT`, below which are `/drive/v3`, `/upload/drive/v3`, `/token`, `/revoke`
    /// and `/o/oauth2/v2/auth`.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.port())
    }

    /// The port on which it listens.
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// The certificate to trust, a PEM file.
    pub fn ca_file(&self) -> &Path {
        self.server.ca_file()
    }

    /// A proxy through which the vendor's own addresses lead here.
    pub fn proxy(&self) -> ConnectProxy {
        ConnectProxy::to(self.port())
    }

    /// What happens to requests other than that they are answered.
    pub fn faults(&self) -> &Faults<DriveFault> {
        self.server.faults()
    }

    /// What was asked and answered.
    pub fn trace(&self) -> &Trace {
        self.server.trace()
    }

    /// Its time.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Changes how it behaves.
    pub fn set(&self, change: impl FnOnce(&mut Knobs)) {
        change(&mut self.half.state().knobs);
    }

    /// Registers another program.
    pub fn register(&self, client_id: &str, secret: &str) {
        self.half.state().grants.clients.insert(client_id.to_owned(), Client { secret: secret.to_owned() });
    }

    /// Makes an account for a person. Whoever is asked for consent without being named is the first one.
    pub fn account(&self, email: &str) -> Account {
        let user = self.half.state().add_user(email);
        Account { half: Arc::clone(&self.half), user }
    }

    /// Makes a shared drive and tells its id, which is its top folder's, too.
    pub fn shared_drive(&self, name: &str, members: &[&Account]) -> String {
        let mut state = self.half.state();
        let id = format!("0A{}Uk9PVA", &state.opaque("shared drive")[..11]);
        let members: BTreeSet<UserId> = members.iter().map(|account| account.user).collect();
        let created_ms = state.clock.tick_ms();
        state.drives.insert(id.clone(), SharedDrive { name: name.to_owned(), members, created_ms });
        state.make_top(&id, name, Corpus::Drive(id.clone()));
        id
    }

    /// Everything that is stored, also what is in the trash, but for the tops of Drives; in the order of their ids.
    pub fn files(&self) -> Vec<RawFile> {
        let state = self.half.state();
        let files = state.nodes.values().filter(|node| node.parent.is_some());
        files
            .map(|node| RawFile {
                id: node.id.clone(),
                name: node.name.clone(),
                parents: node.parent.clone().into_iter().collect(),
                size_bytes: node.size_bytes(),
                trashed: state.is_in_trash(node),
                is_folder: node.is_folder(),
                made_by: node.made_by.clone(),
            })
            .collect()
    }

    /// The bytes of a file; `None` where there is no such file or it has none.
    pub fn content(&self, id: &str) -> Option<Bytes> {
        self.half.state().nodes.get(id)?.content.as_ref().map(|content| content.bytes.clone())
    }

    /// Puts something into a folder as if it had long been there, and tells its id.
    ///
    /// # Panics
    /// When there is no such folder.
    pub fn plant(&self, parent: &str, plant: Plant) -> String {
        self.half.state().plant(parent, plant, Self::CLIENT_ID)
    }

    /// Puts something into the trash, or out of it.
    ///
    /// # Panics
    /// When there is no such file or folder.
    pub fn set_trashed(&self, id: &str, is_trashed: bool) {
        let mut state = self.half.state();
        let mut node = state.nodes.get(id).expect("it is there").clone();
        node.is_trashed = is_trashed;
        state.store(node);
    }

    /// Removes something for good, with everything in it.
    pub fn remove(&self, id: &str) {
        self.half.state().remove(id);
    }

    /// Changes a bit of a file without a change of the checksums that are told of it.
    ///
    /// # Panics
    /// When there is no such file, or it is empty.
    pub fn corrupt(&self, id: &str) {
        self.half.state().corrupt(id);
    }

    /// Uploads that were begun and are not done.
    pub fn unfinished_uploads(&self) -> usize {
        self.half.state().sessions.values().filter(|session| !session.is_done()).count()
    }

    /// Forgets every upload that is not done.
    pub fn forget_sessions(&self) {
        self.half.state().sessions.clear();
    }

    /// Ends every access token at once, as if its time were over.
    pub fn expire_access_tokens(&self) {
        self.half.state().grants.access_tokens.clear();
    }
}

/// A person with an account.
#[derive(Debug, Clone)]
pub struct Account {
    half: Arc<Half>,
    user: UserId,
}

impl Account {
    /// The id of their top folder, which is `root` to them.
    pub fn root_id(&self) -> String {
        self.half.state().user(self.user).root.clone()
    }

    /// A refresh token of the program that is registered from the beginning.
    pub fn refresh_token(&self, scope: Scope) -> String {
        self.refresh_token_of(GoogleDrive::CLIENT_ID, scope)
    }

    /// A refresh token of some registered program.
    pub fn refresh_token_of(&self, client_id: &str, scope: Scope) -> String {
        let grant = Grant { user: self.user, client: client_id.to_owned(), scope };
        self.half.state().issue_refresh_token(&grant)
    }

    /// An access token of the program that is registered from the beginning, good for an hour by the emulator's clock.
    pub fn access_token(&self, scope: Scope) -> String {
        let client = GoogleDrive::CLIENT_ID.to_owned();
        self.half.state().issue_access_token(&Grant { user: self.user, client, scope })
    }

    /// Ends everything that this person has granted to anybody.
    pub fn revoke(&self) {
        let user = self.user;
        self.half.state().grants.revoke(|grant| grant.user == user);
    }

    /// Whether a refresh token is good.
    pub fn accepts(&self, refresh_token: &str) -> bool {
        self.half.state().grants.refresh_tokens.get(refresh_token).is_some_and(|grant| grant.user == self.user)
    }

    /// Sets how many bytes may be stored; `None` for as many as wanted.
    pub fn set_quota(&self, quota_bytes: Option<u64>) {
        let user = self.user.0;
        self.half.state().users[user].quota_bytes = quota_bytes;
    }

    /// Bytes that are stored, with what is in the trash.
    pub fn used_bytes(&self) -> u64 {
        self.half.state().used_bytes(self.user).0
    }
}
