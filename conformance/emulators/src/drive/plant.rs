//! What tests put into a Drive past its interface.

use bytes::Bytes;

use super::account::UserId;
use super::content::Content;
use super::state::{Corpus, FOLDER, SHORTCUT, State};

/// Something to be put into a Drive as if it had long been there.
#[derive(Debug, Clone)]
pub struct Plant {
    name: String,
    mime: String,
    content: Option<Bytes>,
    target: Option<String>,
    made_by: Option<String>,
    is_trashed: bool,
    is_abusive: bool,
}

impl Plant {
    fn new(name: &str, mime: &str) -> Self {
        let (name, mime) = (name.to_owned(), mime.to_owned());
        Self { name, mime, content: None, target: None, made_by: None, is_trashed: false, is_abusive: false }
    }

    /// A file.
    pub fn file(name: &str, content: impl Into<Bytes>) -> Self {
        Self { content: Some(content.into()), ..Self::new(name, "application/octet-stream") }
    }

    /// A folder.
    pub fn folder(name: &str) -> Self {
        Self::new(name, FOLDER)
    }

    /// A document of the vendor's own, which has no bytes to download.
    pub fn document(name: &str) -> Self {
        Self::new(name, "application/vnd.google-apps.document")
    }

    /// A shortcut to something.
    pub fn shortcut(name: &str, target: &str) -> Self {
        Self { target: Some(target.to_owned()), ..Self::new(name, SHORTCUT) }
    }

    /// Made by another program than the emulator's own, with this id; `drive.file` hides it from all others.
    #[must_use]
    pub fn by(mut self, client_id: &str) -> Self {
        self.made_by = Some(client_id.to_owned());
        self
    }

    /// In the trash.
    #[must_use]
    pub fn trashed(mut self) -> Self {
        self.is_trashed = true;
        self
    }

    /// Taken for harmful.
    #[must_use]
    pub fn abusive(mut self) -> Self {
        self.is_abusive = true;
        self
    }
}

impl State {
    /// Puts something into a folder and tells its id.
    pub(super) fn plant(&mut self, parent: &str, plant: Plant, usual_client: &str) -> String {
        let corpus = self.nodes.get(parent).expect("the folder is there").corpus.clone();
        let id = self.new_file_id();
        let mut node = self.blank(&id, &plant.name, &plant.mime, corpus);
        // Whatever lags behind has known it for long.
        node.named_ms = 0;
        node.parent = Some(parent.to_owned());
        node.made_by = plant.made_by.unwrap_or_else(|| usual_client.to_owned());
        node.revision = u64::from(plant.content.is_some());
        node.content = plant.content.map(Content::of);
        node.target = plant.target;
        node.is_trashed = plant.is_trashed;
        node.is_abusive = plant.is_abusive;
        self.store(node);
        id
    }

    /// Changes a bit of a file and nothing that is told of it.
    pub(super) fn corrupt(&mut self, id: &str) {
        let content = self.nodes.get_mut(id).and_then(|node| node.content.as_mut()).expect("a file with content");
        let mut bytes = content.bytes.to_vec();
        let middle = bytes.len() / 2;
        *bytes.get_mut(middle).expect("a file that is not empty") ^= 0x10;
        content.bytes = bytes.into();
    }

    pub(super) fn add_user(&mut self, email: &str) -> UserId {
        let user = UserId(self.users.len());
        let root = format!("0A{}PVA", &self.opaque("root")[..14]);
        let (email, quota_bytes) = (email.to_owned(), None);
        self.users.push(super::account::User { email, root: root.clone(), quota_bytes });
        self.make_top(&root, "My Drive", Corpus::User(user));
        user
    }
}
