//! Listings: page by page, and from the beginning where Dropbox asks for that.

use std::collections::{HashSet, VecDeque};

use backup_core::{KeyPrefix, ObjectMeta, StorageErrorKind, StorageOperation, StorageResult};
use futures::stream::{self, BoxStream, StreamExt};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::api::{Api, strange};
use crate::error::DropboxFailure;
use crate::path::Root;
use crate::read::meta;

/// The most entries of a page that can be asked for.
const PAGE_ENTRIES: u64 = 2_000;

/// A cursor that has to begin again more often than this never comes to an end.
const MAX_RESETS: u32 = 5;

/// Pages without anything new, one after the other, that are taken for a listing that goes on.
const MAX_IDLE_PAGES: u32 = 10_000;

struct Listing<'a> {
    api: &'a Api,
    root: &'a Root,
    prefix: &'a KeyPrefix,
    cursor: Option<String>,
    page: VecDeque<ObjectMeta>,
    /// What was given, by the first half of its SHA-256: a file that changes meanwhile is told again, and so is everything after a reset.
    given: HashSet<[u8; 16]>,
    resets: u32,
    idle_pages: u32,
    is_last: bool,
}

/// Every object under a prefix. Costs a request for each 2,000 entries, and remembers 16 bytes for each object.
pub(crate) fn list<'a>(
    api: &'a Api,
    root: &'a Root,
    prefix: &'a KeyPrefix,
) -> BoxStream<'a, StorageResult<ObjectMeta>> {
    let listing = Listing {
        api,
        root,
        prefix,
        cursor: None,
        page: VecDeque::new(),
        given: HashSet::new(),
        resets: 0,
        idle_pages: 0,
        is_last: false,
    };
    stream::unfold(Some(listing), |listing| async {
        let mut listing = listing?;
        match listing.next().await {
            Ok(Some(meta)) => Some((Ok(meta), Some(listing))),
            Ok(None) => None,
            // Nothing comes behind an error.
            Err(failure) => Some((Err(failure.into_error(StorageOperation::List, None)), None)),
        }
    })
    .boxed()
}

impl Listing<'_> {
    async fn next(&mut self) -> Result<Option<ObjectMeta>, DropboxFailure> {
        loop {
            while let Some(meta) = self.page.pop_front() {
                let digest = Sha256::digest(meta.key.as_str());
                let (half, _) = digest.split_first_chunk().expect("a digest has 32 bytes");
                if self.given.insert(*half) {
                    self.idle_pages = 0;
                    return Ok(Some(meta));
                }
            }
            if self.is_last {
                return Ok(None);
            }
            self.fetch().await?;
        }
    }

    async fn fetch(&mut self) -> Result<(), DropboxFailure> {
        let asked = match &self.cursor {
            Some(cursor) => self.api.rpc("files/list_folder/continue", &json!({ "cursor": cursor })).await,
            None => {
                let path = self.root.path(self.prefix.as_str());
                let argument = json!({
                    "path": path,
                    "recursive": true,
                    "limit": PAGE_ENTRIES,
                    "include_non_downloadable_files": false,
                });
                self.api.rpc("files/list_folder", &argument).await
            }
        };
        let page = match asked {
            Ok(page) => page,
            Err(failure) if failure.is("reset") && self.resets < MAX_RESETS => {
                self.resets += 1;
                self.cursor = None;
                return Ok(());
            }
            Err(failure) if failure.kind == StorageErrorKind::NotFound => {
                if self.cursor.is_some() || self.resets > 0 {
                    return Err(strange("the folder went away while it was listed"));
                }
                // A place that is not there yet.
                self.is_last = true;
                return Ok(());
            }
            Err(failure) if failure.is("reset") => return Err(strange("the listing has to begin again and again")),
            Err(failure) => return Err(failure),
        };
        self.take(&page)
    }

    fn take(&mut self, page: &Value) -> Result<(), DropboxFailure> {
        let unreadable = || strange("the listing can't be understood");
        let entries = page["entries"].as_array().ok_or_else(unreadable)?;
        let has_more = page["has_more"].as_bool().ok_or_else(unreadable)?;
        let cursor = page["cursor"].as_str().ok_or_else(unreadable)?;
        for entry in entries {
            // Folders, and what was deleted meanwhile.
            if entry[".tag"] != "file" {
                continue;
            }
            let path = entry["path_lower"].as_str().ok_or_else(unreadable)?;
            // A name with capitals is somebody else's.
            if entry["name"].as_str() != path.rsplit('/').next() {
                continue;
            }
            // What is no key is not ours.
            if let Some(key) = self.root.key(path).filter(|key| self.prefix.contains(key)) {
                self.page.push_back(meta(key, entry)?);
            }
        }
        self.idle_pages += 1;
        if has_more
            && (self.idle_pages > MAX_IDLE_PAGES || (entries.is_empty() && self.cursor.as_deref() == Some(cursor)))
        {
            return Err(strange("the listing does not end"));
        }
        self.is_last = !has_more;
        self.cursor = Some(cursor.to_owned());
        Ok(())
    }
}
