//! `files`: making, changing, copying and removing them.

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use super::account::Caller;
use super::content::Content;
use super::metadata::{Metadata, Purpose};
use super::operation::Call;
use super::refusal::Refusal;
use super::state::{Corpus, NATIVE, Node, State};
use crate::message::{Reply, Request};

/// Ids where nothing else is asked for.
const IDS_DEFAULT: usize = 10;

/// The MIME type of what nobody has said the type of.
const ANY_BYTES: &str = "application/octet-stream";

impl State {
    /// Whether a file could be made, before its bytes are there.
    pub(super) fn check_create(&self, caller: &Caller, call: &Call, metadata: &Metadata) -> Result<(), Refusal> {
        self.folder(caller, metadata.parent()?.unwrap_or("root"), call.knows_drives())?;
        let Some(id) = metadata.text("id") else { return Ok(()) };
        if self.nodes.contains_key(id) {
            return Err(Refusal::new(409, "fileIdInUse", "A file already exists with the provided ID."));
        }
        if self.generated.get(id) == Some(&caller.user) {
            return Ok(());
        }
        // It was generated for nobody, or used by a file that is gone.
        Err(Refusal::invalid("id", "The provided file ID is not usable."))
    }

    pub(super) fn create(
        &mut self,
        caller: &Caller,
        call: &Call,
        metadata: &Metadata,
        media: Option<Bytes>,
    ) -> Result<Value, Refusal> {
        self.check_create(caller, call, metadata)?;
        let parent = self.folder(caller, metadata.parent()?.unwrap_or("root"), call.knows_drives())?;
        let (parent_id, corpus) = (parent.id.clone(), parent.corpus.clone());
        let id = match metadata.text("id") {
            Some(id) => id.to_owned(),
            None => self.new_file_id(),
        };
        let mut node = self.blank(&id, "Untitled", ANY_BYTES, corpus);
        node.parent = Some(parent_id);
        node.made_by.clone_from(&caller.client);
        self.write(caller, &mut node, metadata)?;
        if node.mime.starts_with(NATIVE) {
            if media.is_some() {
                return Err(Refusal::not_emulated("turning content into a document"));
            }
        } else {
            let content = Content::of(media.unwrap_or_default());
            self.check_room(&node.corpus, content.len(), 0)?;
            node.content = Some(content);
            node.revision = 1;
        }
        self.generated.remove(&id);
        self.store(node);
        Ok(self.file_json(caller, &self.nodes[&id]))
    }

    pub(super) fn update(
        &mut self,
        caller: &Caller,
        call: &Call,
        metadata: &Metadata,
        media: Option<Bytes>,
    ) -> Result<Value, Refusal> {
        let mut node = self.seen(caller, call.id(), call.knows_drives())?.clone();
        if node.parent.is_none() {
            return Err(Refusal::new(403, "insufficientFilePermissions", "The top of a Drive can't be changed."));
        }
        self.move_node(caller, call, &mut node)?;
        if media.is_none() && metadata.text("mimeType").is_some_and(|mime| mime != node.mime) {
            let message = "The MIME type can't be changed without new content.";
            return Err(Refusal::new(403, "fieldNotWritable", message));
        }
        let is_told = metadata.text("modifiedTime").is_some();
        if let Some(bytes) = media {
            let Some(old) = &node.content else {
                return Err(Refusal::new(
                    403,
                    "fileNotDownloadable",
                    "This file has no content that could be replaced.",
                ));
            };
            self.check_room(&node.corpus, bytes.len() as u64, old.len())?;
            node.content = Some(Content::of(bytes));
            node.revision += 1;
            // A rename moves no time; new bytes do, where nobody says what time it is.
            node.modified_ms = if is_told { node.modified_ms } else { self.clock.tick_ms() };
        }
        self.write(caller, &mut node, metadata)?;
        let id = node.id.clone();
        self.store(node);
        Ok(self.file_json(caller, &self.nodes[&id]))
    }

    /// Does what `addParents` and `removeParents` say.
    fn move_node(&self, caller: &Caller, call: &Call, node: &mut Node) -> Result<(), Refusal> {
        let named = |parameter| call.parameter(parameter).into_iter().flat_map(|ids| ids.split(','));
        let (added, removed): (Vec<&str>, Vec<&str>) =
            (named("addParents").collect(), named("removeParents").collect());
        let own = node.parent.clone().unwrap_or_default();
        if removed.iter().any(|id| self.resolve(caller, id) != own) {
            return Err(Refusal::invalid("removeParents", "The file is not in this folder."));
        }
        match added.as_slice() {
            [] if removed.is_empty() => Ok(()),
            [] => Err(Refusal::new(403, "cannotRemoveParent", "A file can't be left without a parent.")),
            [to] => {
                let to = self.folder(caller, to, call.knows_drives())?;
                if to.id != own && removed.is_empty() {
                    return Err(Metadata::too_many_parents());
                }
                if to.corpus != node.corpus {
                    return Err(Refusal::not_emulated("moving between Drives"));
                }
                if self.is_within(to, &node.id) {
                    let message = "A folder can't be moved into itself.";
                    return Err(Refusal::new(403, "cannotMoveIntoItself", message));
                }
                node.parent = Some(to.id.clone());
                Ok(())
            }
            _ => Err(Metadata::too_many_parents()),
        }
    }

    pub(super) fn copy(&mut self, caller: &Caller, call: &Call, body: &[u8]) -> Result<Value, Refusal> {
        let source = self.seen(caller, call.id(), call.knows_drives())?.clone();
        if source.is_folder() {
            return Err(Refusal::new(403, "cannotCopyFile", "This file cannot be copied by the user."));
        }
        let metadata = Metadata::parse(body, Purpose::Copy)?;
        let parent = metadata.parent()?.or(source.parent.as_deref()).unwrap_or("root").to_owned();
        self.check_create(caller, call, &metadata)?;
        let parent = self.folder(caller, &parent, call.knows_drives())?;
        let (parent_id, corpus) = (parent.id.clone(), parent.corpus.clone());
        self.check_room(&corpus, source.size_bytes(), 0)?;
        let id = match metadata.text("id") {
            Some(id) => id.to_owned(),
            None => self.new_file_id(),
        };
        let mut node = self.blank(&id, &format!("Copy of {}", source.name), &source.mime, corpus);
        node.parent = Some(parent_id);
        node.made_by.clone_from(&caller.client);
        node.content = source.content;
        node.target = source.target;
        node.revision = source.revision.min(1);
        node.properties = source.properties;
        node.app_properties = source.app_properties;
        self.write(caller, &mut node, &metadata)?;
        self.generated.remove(&id);
        self.store(node);
        Ok(self.file_json(caller, &self.nodes[&id]))
    }

    pub(super) fn delete(&mut self, caller: &Caller, call: &Call) -> Result<Reply, Refusal> {
        let node = self.seen(caller, call.id(), call.knows_drives())?;
        if node.parent.is_none() {
            return Err(Refusal::new(403, "insufficientFilePermissions", "The top of a Drive can't be deleted."));
        }
        let id = node.id.clone();
        self.remove(&id);
        Ok(Reply::new(204))
    }

    pub(super) fn empty_trash(&mut self, caller: &Caller, call: &Call) -> Result<Reply, Refusal> {
        let corpus = match call.parameter("driveId") {
            None => Corpus::User(caller.user),
            Some(id) => {
                let drive = self.drives.get(id).filter(|drive| drive.members.contains(&caller.user));
                drive.map(|_| Corpus::Drive(id.to_owned())).ok_or_else(|| Refusal::no_drive(id))?
            }
        };
        let trashed = self.nodes.values().filter(|node| node.is_trashed && node.corpus == corpus);
        let trashed: Vec<String> = trashed.map(|node| node.id.clone()).collect();
        for id in trashed {
            self.remove(&id);
        }
        Ok(Reply::new(204))
    }

    pub(super) fn generate_ids(&mut self, caller: &Caller, call: &Call) -> Value {
        let count = call.number("count", IDS_DEFAULT);
        let ids: Vec<String> = (0..count).map(|_| self.new_file_id()).collect();
        self.generated.extend(ids.iter().map(|id| (id.clone(), caller.user)));
        json!({"kind": "drive#generatedIds", "space": "drive", "ids": ids})
    }

    /// The bytes of a file, or a part of them.
    pub(super) fn media(&self, caller: &Caller, call: &Call, request: &Request) -> Result<Reply, Refusal> {
        // rclone fetches bytes from shared drives without saying that it knows of them, and the service lets it.
        let node = self.seen(caller, call.id(), true)?;
        let Some(content) = &node.content else {
            let message = "Only files with binary content can be downloaded. Use Export with Docs Editors files.";
            return Err(Refusal::new(403, "fileNotDownloadable", message));
        };
        if node.is_abusive && !call.flag("acknowledgeAbuse") {
            let message = "This file has been identified as malware or spam and cannot be downloaded.";
            return Err(Refusal::new(403, "cannotDownloadAbusiveFile", message));
        }
        let len = content.bytes.len();
        let whole = Reply::new(200).body(&node.mime, content.bytes.clone());
        let Some(range) = request.header("range").and_then(|range| Range::parse(range, len)) else { return Ok(whole) };
        let Range::Span(first, last) = range else {
            let refused = Refusal::new(416, "requestedRangeNotSatisfiable", "Request range not satisfiable").reply();
            return Ok(refused.header("content-range", &format!("bytes */{len}")));
        };
        let mut part = Reply::new(200).body(&node.mime, content.bytes.slice(first..=last));
        part.status = StatusCode::PARTIAL_CONTENT;
        Ok(part.header("content-range", &format!("bytes {first}-{last}/{len}")))
    }
}

/// Which bytes are wanted.
#[derive(Debug, PartialEq, Eq)]
enum Range {
    Span(usize, usize),
    Outside,
}

impl Range {
    /// Reads a `Range` header; `None` where it is not of the form that counts, and the whole file is meant.
    fn parse(header: &str, len: usize) -> Option<Self> {
        let (first, last) = header.strip_prefix("bytes=")?.split_once('-')?;
        let span = if first.is_empty() {
            let count: usize = last.parse().ok()?;
            if count == 0 { return Some(Self::Outside) } else { (len.saturating_sub(count), len) }
        } else {
            let end = if last.is_empty() { len } else { last.parse::<usize>().ok()?.checked_add(1)? };
            let first = first.parse().ok()?;
            if end <= first && !last.is_empty() {
                return None;
            }
            (first, end.min(len))
        };
        Some(if span.0 < span.1 { Self::Span(span.0, span.1 - 1) } else { Self::Outside })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_http_has_them() {
        let parsed = |header| Range::parse(header, 10);
        assert_eq!(parsed("bytes=0-0"), Some(Range::Span(0, 0)));
        assert_eq!(parsed("bytes=2-4"), Some(Range::Span(2, 4)));
        assert_eq!(parsed("bytes=2-400"), Some(Range::Span(2, 9)));
        assert_eq!(parsed("bytes=9-"), Some(Range::Span(9, 9)));
        assert_eq!(parsed("bytes=-3"), Some(Range::Span(7, 9)));
        assert_eq!(parsed("bytes=-30"), Some(Range::Span(0, 9)));
        for outside in ["bytes=10-", "bytes=10-12", "bytes=-0"] {
            assert_eq!(parsed(outside), Some(Range::Outside), "{outside}");
        }
        assert_eq!(Range::parse("bytes=0-", 0), Some(Range::Outside));
        for whole in ["bytes=", "bytes=a-b", "bytes=4-2", "items=0-1", "bytes=0-1,3-4"] {
            assert_eq!(parsed(whole), None, "{whole}");
        }
    }
}
