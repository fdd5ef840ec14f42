//! Files and directories that are open on the server.

use std::sync::Arc;

use bytes::Bytes;

use crate::client::{Abandoned, Answer, Client};
use crate::failure::{Failed, done, unexpected};
use crate::wire::{Attributes, FileKind, OpenMode, Reply, Request};

/// A file or directory that is open on the server; closed when this is dropped.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) client: Arc<Client>,
    handle: Bytes,
    is_open: bool,
}

impl Open {
    /// Opens a file for reading.
    pub(crate) async fn file(client: &Arc<Client>, path: &str) -> Result<Self, Failed> {
        let answer = client.send_open(Request::open(path, OpenMode::Read), Abandoned::Close).await?;
        Self::of(client, answer.await?)
    }

    /// Opens a directory for listing.
    pub(crate) async fn directory(client: &Arc<Client>, path: &str) -> Result<Self, Failed> {
        let answer = client.send_open(Request::opendir(path), Abandoned::Close).await?;
        Self::of(client, answer.await?)
    }

    fn of(client: &Arc<Client>, reply: Reply) -> Result<Self, Failed> {
        match reply {
            Reply::Handle(handle) => Ok(Self { client: Arc::clone(client), handle, is_open: true }),
            other => Err(unexpected(other)),
        }
    }

    pub(crate) fn handle(&self) -> &[u8] {
        &self.handle
    }

    /// Asks for the attributes of the file.
    pub(crate) async fn send_stat(&self) -> Result<Answer, Failed> {
        self.client.send(Request::fstat(&self.handle)).await
    }

    /// Asks for it to be closed.
    pub(crate) async fn send_close(mut self) -> Result<Answer, Failed> {
        let answer = self.client.send(Request::close(&self.handle)).await?;
        self.is_open = false;
        Ok(answer)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.is_open {
            self.client.tell(Request::close(&self.handle));
        }
    }
}

/// A file under a name that no listing shows; closed and removed when this is dropped, unless it got its own name.
#[derive(Debug)]
pub(crate) struct Temporary {
    // Before the guard: it is closed before it is removed.
    pub(crate) open: Option<Open>,
    pub(crate) path: String,
    client: Arc<Client>,
    is_there: bool,
}

impl Temporary {
    /// Makes the file.
    pub(crate) async fn create(client: &Arc<Client>, path: String) -> Result<Self, Failed> {
        let abandoned = Abandoned::CloseAndRemove(path.clone());
        let answer = client.send_open(Request::open(&path, OpenMode::CreateNew), abandoned).await?;
        let open = Some(Open::of(client, answer.await?)?);
        Ok(Self { open, path, client: Arc::clone(client), is_there: true })
    }

    /// It has another name now, or is gone.
    pub(crate) fn forget(&mut self) {
        self.is_there = false;
    }

    /// Asks for it to be removed, without waiting for that.
    pub(crate) fn remove(mut self) {
        self.clear();
    }

    fn clear(&mut self) {
        drop(self.open.take());
        if std::mem::take(&mut self.is_there) {
            self.client.tell(Request::remove(&self.path));
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        self.clear();
    }
}

/// What the server tells about a path; a symbolic link is told as one.
pub(crate) async fn look(client: &Client, path: &str) -> Result<Attributes, Failed> {
    attributes(client.ask(Request::lstat(path)).await?)
}

pub(crate) fn attributes(reply: Reply) -> Result<Attributes, Failed> {
    match reply {
        Reply::Attributes(attributes) => Ok(attributes),
        other => Err(unexpected(other)),
    }
}

/// Sends a request that is answered by a status.
pub(crate) async fn order(client: &Client, request: Request) -> Result<(), Failed> {
    done(client.ask(request).await?)
}

/// A file that has the name of a directory above a path, or of the path itself; not above the root of the store.
pub(crate) async fn file_at_or_above(client: &Client, root: &str, path: &str) -> Option<String> {
    let mut at = path;
    while at.len() >= root.len() && !at.is_empty() {
        match look(client, at).await.map(|found| found.kind()) {
            Ok(FileKind::Directory) => return None,
            Ok(FileKind::File) => return Some(at.to_owned()),
            _ => at = at.rsplit_once('/').map_or("", |(above, _)| above),
        }
    }
    None
}
