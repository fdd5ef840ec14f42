//! The files and folders of one namespace, with what they were before and the journal of their changes.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use super::content::Content;
use super::errors::LookupError;
use super::path::{Place, Target, folder_of, is_under};

/// Revisions of one path that stay readable: more than a test makes that looks at old ones.
const REVISIONS_KEPT: usize = 100;

/// Larger revisions are forgotten as soon as they are old, so that a long run doesn't fill the memory.
const OLD_REVISION_BYTES: u64 = 1 << 20;

/// Everything in one namespace, the root itself excepted.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) namespace: u64,
    /// By path in lower case; what was deleted stays.
    nodes: BTreeMap<String, Node>,
    /// Paths by the number of their last change.
    journal: BTreeMap<u64, String>,
    /// Where the files and folders are that are there.
    places: HashMap<String, String>,
    changes: u64,
    identities: u64,
}

/// A path at which something is or was.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) now: State,
    /// The number of the last change.
    pub(super) change: u64,
    /// Revisions of the files that were here, the present one included, oldest first.
    pub(super) revisions: Vec<Revision>,
}

/// What is at a path.
#[derive(Clone, Debug)]
pub(super) enum State {
    File(Revision),
    Folder {
        id: String,
    },
    /// Nothing any more.
    Deleted {
        at: Timestamp,
        /// Whether a folder that it lay in was deleted, and this only with it.
        with_folder: bool,
    },
}

/// One state of a file.
#[derive(Clone, Debug)]
pub(super) struct Revision {
    pub(super) id: String,
    pub(super) rev: String,
    pub(super) content: Content,
    pub(super) client_modified: Timestamp,
    pub(super) server_modified: Timestamp,
}

impl Tree {
    /// A namespace with nothing in it.
    pub(super) fn new(namespace: u64) -> Self {
        let (nodes, journal, places) = Default::default();
        Self { namespace, nodes, journal, places, changes: 0, identities: 0 }
    }

    /// The number of the last change.
    pub(super) fn last_change(&self) -> u64 {
        self.changes
    }

    /// What is or was at a path in lower case.
    pub(super) fn node(&self, lower: &str) -> Option<&Node> {
        self.nodes.get(lower)
    }

    /// What is at a path in lower case now.
    pub(super) fn live(&self, lower: &str) -> Option<&Node> {
        self.node(lower).filter(|node| node.is_live())
    }

    /// The place where something with this identity is now.
    pub(super) fn place_of(&self, id: &str) -> Option<&Place> {
        self.places.get(id).and_then(|lower| self.live(lower)).map(|node| &node.place)
    }

    /// The place that a path argument names; `None` is the root.
    pub(super) fn resolve(&self, target: Target) -> Result<Option<Place>, LookupError> {
        match target {
            Target::Root => Ok(None),
            Target::Place(place) => Ok(Some(place)),
            Target::Id(id, rest) => {
                let place = self.place_of(&id).ok_or(LookupError::NotFound)?;
                Ok(Some(rest.map_or_else(|| place.clone(), |rest| rest.under(place))))
            }
            Target::Rev(rev) => {
                let holder = self.nodes.values().find(|node| node.revisions.iter().any(|one| one.rev == rev));
                holder.map(|node| Some(node.place.clone())).ok_or(LookupError::NotFound)
            }
            Target::Elsewhere => Err(LookupError::NotFound),
        }
    }

    /// A revision of a file that is or was here, with the node that holds it.
    pub(super) fn revision(&self, rev: &str) -> Option<(&Node, &Revision)> {
        self.nodes.values().find_map(|node| Some((node, node.revisions.iter().find(|one| one.rev == rev)?)))
    }

    /// Everything that is there now, in the order of the paths.
    pub(super) fn all(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values().filter(|node| node.is_live())
    }

    /// What is there now somewhere under a folder.
    pub(super) fn under<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = &'a Node> {
        let below = self.nodes.range(format!("{folder}/")..).take_while(move |(lower, _)| is_under(lower, folder));
        below.map(|(_, node)| node).filter(|node| node.is_live())
    }

    /// What changed after the change of that number, oldest change first, each path once.
    pub(super) fn changed_after(&self, change: u64) -> impl Iterator<Item = &Node> {
        let later = self.journal.range(change.saturating_add(1)..);
        later.filter_map(|(_, lower)| self.nodes.get(lower))
    }

    /// The bytes of all files that are there.
    pub(super) fn used_bytes(&self) -> u64 {
        let sizes = self.nodes.values().filter_map(Node::file);
        sizes.map(|file| file.content.size_bytes()).sum()
    }

    /// Puts something at a place, whatever was there; the folders that it lies in are made.
    pub(super) fn put(&mut self, place: Place, state: State) -> &Node {
        let missing: Vec<_> = place.ancestors().filter(|folder| self.live(&folder.lower).is_none()).collect();
        for folder in missing {
            let id = self.new_id();
            self.put_one(folder, State::Folder { id });
        }
        self.put_one(place, state)
    }

    fn put_one(&mut self, place: Place, state: State) -> &Node {
        self.changes += 1;
        let change = self.changes;
        let lower = place.lower.clone();
        let mut node = Node { place, now: state, change, revisions: Vec::new() };
        if let Some(before) = self.nodes.remove(&lower) {
            self.journal.remove(&before.change);
            if let Some(id) = before.id() {
                self.places.remove(id);
            }
            // A name keeps its case for as long as something is there.
            if before.is_live() && node.is_live() {
                node.place = before.place;
            }
            node.revisions = before.revisions;
            node.revisions.retain(|old| old.content.size_bytes() <= OLD_REVISION_BYTES);
        }
        if let State::File(revision) = &node.now
            && node.revisions.last().is_none_or(|last| last.rev != revision.rev)
        {
            node.revisions.push(revision.clone());
            let surplus = node.revisions.len().saturating_sub(REVISIONS_KEPT);
            node.revisions.drain(..surplus);
        }
        if let Some(id) = node.id() {
            self.places.insert(id.to_owned(), lower.clone());
        }
        self.journal.insert(change, lower.clone());
        self.nodes.entry(lower).insert_entry(node).into_mut()
    }

    /// Removes what is at a path in lower case with everything in it.
    pub(super) fn remove(&mut self, lower: &str, at: Timestamp) {
        let inside: Vec<_> = self.under(lower).map(|node| node.place.clone()).collect();
        for place in inside {
            self.put_one(place, State::Deleted { at, with_folder: true });
        }
        if let Some(place) = self.live(lower).map(|node| node.place.clone()) {
            self.put_one(place, State::Deleted { at, with_folder: false });
        }
    }

    /// A new identity for a file or folder.
    pub(super) fn new_id(&mut self) -> String {
        self.identities += 1;
        format!(
            "id:{:022}",
            u128::from(mix(self.namespace ^ self.identities)) * 1_000 + u128::from(self.identities % 1_000)
        )
    }

    /// A new name for a revision.
    pub(super) fn new_rev(&mut self) -> String {
        self.identities += 1;
        format!("{:016x}{:09x}", 0x0150_0000_0000_0000 + self.identities, self.namespace)
    }
}

impl Node {
    /// Whether something is there.
    pub(super) fn is_live(&self) -> bool {
        !matches!(self.now, State::Deleted { .. })
    }

    /// The file that is there.
    pub(super) fn file(&self) -> Option<&Revision> {
        match &self.now {
            State::File(revision) => Some(revision),
            _ => None,
        }
    }

    /// The identity of what is there.
    pub(super) fn id(&self) -> Option<&str> {
        match &self.now {
            State::File(revision) => Some(&revision.id),
            State::Folder { id } => Some(id),
            State::Deleted { .. } => None,
        }
    }

    /// The folder that it lies in, in lower case.
    pub(super) fn folder(&self) -> &str {
        folder_of(&self.place.lower)
    }
}

/// SplitMix64's finaliser: identities that follow each other look unlike each other.
fn mix(mut x: u64) -> u64 {
    x = x.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
