//! Everything that the emulator holds, and what may be seen of it.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::account::{Caller, Grants, Scope, User, UserId};
use super::content::Content;
use super::knobs::Knobs;
use super::refusal::Refusal;
use super::session::Session;
use crate::clock::Clock;

/// The MIME type of folders.
pub(super) const FOLDER: &str = "application/vnd.google-apps.folder";
/// The MIME type of shortcuts.
pub(super) const SHORTCUT: &str = "application/vnd.google-apps.shortcut";
/// How the MIME types of everything begin that has no bytes of its own.
pub(super) const NATIVE: &str = "application/vnd.google-apps.";

/// Where something belongs: to a person's own Drive, or to a shared one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Corpus {
    User(UserId),
    Drive(String),
}

/// A file, a folder, or something else with a name.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) mime: String,
    /// The folder that it is in; only the top of a Drive is in none.
    pub(super) parent: Option<String>,
    pub(super) corpus: Corpus,
    /// The program that made it.
    pub(super) made_by: String,
    pub(super) content: Option<Content>,
    pub(super) created_ms: u64,
    pub(super) modified_ms: u64,
    /// When it got its name, by the server's clock.
    pub(super) named_ms: u64,
    /// Whether it was itself put into the trash.
    pub(super) is_trashed: bool,
    pub(super) is_starred: bool,
    /// Whether it counts as harmful.
    pub(super) is_abusive: bool,
    pub(super) version: u64,
    pub(super) revision: u64,
    /// What a shortcut points to.
    pub(super) target: Option<String>,
    pub(super) properties: BTreeMap<String, String>,
    /// With the program that each belongs to.
    pub(super) app_properties: BTreeMap<(String, String), String>,
    /// Fields that are kept as they were sent.
    pub(super) kept: Map<String, Value>,
}

impl Node {
    pub(super) fn is_folder(&self) -> bool {
        self.mime == FOLDER
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.content.as_ref().map_or(0, Content::len)
    }
}

/// A shared drive.
#[derive(Debug, Clone)]
pub(super) struct SharedDrive {
    pub(super) name: String,
    pub(super) members: BTreeSet<UserId>,
    pub(super) created_ms: u64,
}

/// Something happened to a file.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) id: String,
    pub(super) corpus: Corpus,
    pub(super) made_by: String,
    pub(super) time_ms: u64,
}

/// Everything that the emulator holds.
#[derive(Debug)]
pub(super) struct State {
    pub(super) clock: Clock,
    pub(super) users: Vec<User>,
    pub(super) grants: Grants,
    pub(super) nodes: BTreeMap<String, Node>,
    pub(super) drives: BTreeMap<String, SharedDrive>,
    pub(super) sessions: BTreeMap<String, Session>,
    pub(super) changes: Vec<Change>,
    /// Ids that were generated for somebody and not yet used.
    pub(super) generated: BTreeMap<String, UserId>,
    pub(super) knobs: Knobs,
    counter: u64,
}

impl State {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            users: Vec::new(),
            grants: Grants::default(),
            nodes: BTreeMap::new(),
            drives: BTreeMap::new(),
            sessions: BTreeMap::new(),
            changes: Vec::new(),
            generated: BTreeMap::new(),
            knobs: Knobs::default(),
            counter: 0,
        }
    }

    /// Text that nobody can guess the meaning of; the same in every run.
    pub(super) fn opaque(&mut self, what: &str) -> String {
        self.counter += 1;
        let digest = Sha256::digest(format!("{what} {}", self.counter));
        URL_SAFE_NO_PAD.encode(&digest[..24])
    }

    pub(super) fn new_file_id(&mut self) -> String {
        format!("1{}", self.opaque("file"))
    }

    /// Makes a folder at the top of a Drive.
    pub(super) fn make_top(&mut self, id: &str, name: &str, corpus: Corpus) {
        let mut top = self.blank(id, name, FOLDER, corpus);
        top.parent = None;
        self.nodes.insert(id.to_owned(), top);
    }

    /// A node with nothing in it, which is not yet anywhere.
    pub(super) fn blank(&mut self, id: &str, name: &str, mime: &str, corpus: Corpus) -> Node {
        let now_ms = self.clock.tick_ms();
        Node {
            id: id.to_owned(),
            name: name.to_owned(),
            mime: mime.to_owned(),
            parent: None,
            corpus,
            made_by: String::new(),
            content: None,
            created_ms: now_ms,
            modified_ms: now_ms,
            named_ms: now_ms,
            is_trashed: false,
            is_starred: false,
            is_abusive: false,
            version: 1,
            revision: 0,
            target: None,
            properties: BTreeMap::new(),
            app_properties: BTreeMap::new(),
            kept: Map::new(),
        }
    }

    /// Stores a node as it is now, and that it changed.
    pub(super) fn store(&mut self, mut node: Node) {
        if let Some(before) = self.nodes.get(&node.id) {
            node.version = before.version + 1;
        }
        self.note(&node);
        self.nodes.insert(node.id.clone(), node);
    }

    fn note(&mut self, node: &Node) {
        let (corpus, made_by) = (node.corpus.clone(), node.made_by.clone());
        let time_ms = self.clock.tick_ms();
        self.changes.push(Change { id: node.id.clone(), corpus, made_by, time_ms });
    }

    /// Removes a node for good, with everything below.
    pub(super) fn remove(&mut self, id: &str) {
        let below: Vec<String> = self.children(id).map(|node| node.id.clone()).collect();
        for child in below {
            self.remove(&child);
        }
        if let Some(node) = self.nodes.remove(id) {
            self.note(&node);
        }
    }

    pub(super) fn children<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a Node> {
        self.nodes.values().filter(move |node| node.parent.as_deref() == Some(id))
    }

    /// Whether a node or a folder that it is in was put into the trash.
    pub(super) fn is_in_trash(&self, node: &Node) -> bool {
        node.is_trashed || node.parent.as_ref().and_then(|id| self.nodes.get(id)).is_some_and(|up| self.is_in_trash(up))
    }

    /// Whether a node is a folder, or is in it at any depth.
    pub(super) fn is_within(&self, node: &Node, folder: &str) -> bool {
        node.id == folder
            || node.parent.as_ref().and_then(|id| self.nodes.get(id)).is_some_and(|up| self.is_within(up, folder))
    }

    /// What an id stands for: `root` is another name for the caller's own folder.
    pub(super) fn resolve<'a>(&'a self, caller: &Caller, id: &'a str) -> &'a str {
        if id == "root" { &self.user(caller.user).root } else { id }
    }

    /// Whether the caller may see a node, given that it knows of shared drives where that is needed.
    pub(super) fn sees(&self, caller: &Caller, node: &Node, knows_drives: bool) -> bool {
        let is_near = match &node.corpus {
            Corpus::User(user) => *user == caller.user,
            Corpus::Drive(id) => knows_drives && self.drives.get(id).is_some_and(|d| d.members.contains(&caller.user)),
        };
        is_near && (caller.scope != Scope::DriveFile || node.made_by == caller.client)
    }

    /// A node that the caller may see.
    pub(super) fn seen(&self, caller: &Caller, id: &str, knows_drives: bool) -> Result<&Node, Refusal> {
        let found = self.nodes.get(self.resolve(caller, id));
        found.filter(|node| self.sees(caller, node, knows_drives)).ok_or_else(|| Refusal::no_file(id))
    }

    /// A folder that the caller may look into or put something into. Programs that see only their own files may use the top of a Drive
    /// without seeing it.
    pub(super) fn folder(&self, caller: &Caller, id: &str, knows_drives: bool) -> Result<&Node, Refusal> {
        let found = self.nodes.get(self.resolve(caller, id)).ok_or_else(|| Refusal::no_file(id))?;
        let whole = Caller { scope: Scope::Drive, ..caller.clone() };
        let who = if found.parent.is_none() { &whole } else { caller };
        if !self.sees(who, found, knows_drives) {
            return Err(Refusal::no_file(id));
        }
        if !found.is_folder() {
            return Err(Refusal::new(403, "parentNotAFolder", "The specified parent is not a folder."));
        }
        Ok(found)
    }

    /// Bytes that a person's own files take, in all and in the trash.
    pub(super) fn used_bytes(&self, user: UserId) -> (u64, u64) {
        let own = self.nodes.values().filter(|node| node.corpus == Corpus::User(user));
        own.fold((0, 0), |(all, trash), node| {
            let size_bytes = node.size_bytes();
            (all + size_bytes, if self.is_in_trash(node) { trash + size_bytes } else { trash })
        })
    }

    /// Refuses what doesn't fit into the quota of whoever owns it, with what it replaces gone.
    pub(super) fn check_room(&self, corpus: &Corpus, new_bytes: u64, old_bytes: u64) -> Result<(), Refusal> {
        let Corpus::User(user) = corpus else { return Ok(()) };
        let Some(quota_bytes) = self.user(*user).quota_bytes else { return Ok(()) };
        let after = (self.used_bytes(*user).0 + new_bytes).saturating_sub(old_bytes);
        if new_bytes > old_bytes && after > quota_bytes { Err(Refusal::quota()) } else { Ok(()) }
    }
}
