//! Reading objects: several reads under way at once, put together where they belong.

use std::collections::VecDeque;
use std::sync::Arc;

use backup_core::{ByteRange, ObjectKey, StorageError, StorageErrorKind, StorageOperation, StorageResult};
use bytes::Bytes;

use crate::client::Answer;
use crate::connection::Connection;
use crate::failure::{Failed, unexpected};
use crate::file::{Open, attributes, file_at_or_above};
use crate::wire::{FileKind, Malformed, Reply, Request, Status};

/// Reads that are under way for one object.
const MAX_READS: usize = 16;

const GET: StorageOperation = StorageOperation::Get;

/// Reads an object or a part of it.
pub(crate) async fn get(connection: &Connection, key: &ObjectKey, range: ByteRange) -> StorageResult<Bytes> {
    let path = format!("{}/{key}", connection.root);
    let failed = |failed: Failed| match failed.kind() {
        StorageErrorKind::NotFound => StorageError::new(StorageErrorKind::NotFound, GET).with_key(key),
        _ => failed.into_error(GET, Some(key)),
    };
    let error = |kind| StorageError::new(kind, GET).with_key(key);
    let open = match Open::file(&connection.client, &path).await {
        Ok(open) => open,
        // What is below an object is not there; a file in the place of a directory has no word of its own.
        Err(refused) if refused.code() == Some(Status::FAILURE) => {
            return match file_at_or_above(&connection.client, &connection.root, &path).await.is_some() {
                true => Err(error(StorageErrorKind::NotFound)),
                false => Err(failed(refused)),
            };
        }
        Err(refused) => return Err(failed(refused)),
    };
    // Its size, and what is surely wanted, in one journey.
    let stat = open.send_stat().await.map_err(failed)?;
    let mut reads = Reads::new(connection, &open);
    let sure = match range {
        ByteRange::Full => Some((0, u64::from(connection.abilities.read_bytes))),
        ByteRange::Span { offset_bytes, len_bytes: len @ 1.. } => {
            offset_bytes.checked_add(len).map(|end| (offset_bytes, end))
        }
        ByteRange::Span { .. } | ByteRange::Suffix { .. } => None,
    };
    if let Some((from, to)) = sure {
        reads.ask_first(from, to).await.map_err(failed)?;
    }
    let found = attributes(stat.await.map_err(failed)?).map_err(failed)?;
    if matches!(found.kind(), FileKind::Directory | FileKind::Special) {
        return Err(error(StorageErrorKind::NotFound));
    }
    let Some(size) = found.size_bytes else {
        return Err(error(StorageErrorKind::Other).with_detail("the server does not tell how long files are"));
    };
    let Some((from, to)) = range.resolve(size) else { return Err(error(StorageErrorKind::RangeNotSatisfiable)) };
    match reads.collect(from, to).await {
        Ok(bytes) => Ok(bytes),
        Err(Stopped::Failed(failure)) => Err(failed(failure)),
        // It was as long as that a moment ago.
        Err(Stopped::Short) => Err(error(StorageErrorKind::Integrity).with_detail("the file ends early")),
    }
}

enum Stopped {
    Failed(Failed),
    Short,
}

impl From<Failed> for Stopped {
    fn from(failed: Failed) -> Self {
        Self::Failed(failed)
    }
}

/// A read that is under way.
struct Asked {
    offset_bytes: u64,
    len_bytes: u32,
    answer: Answer,
}

/// Reads of one file, answered in the order in which they were asked for.
struct Reads<'a> {
    open: &'a Open,
    most_bytes: u32,
    under_way: VecDeque<Asked>,
    /// Up to where it was asked.
    asked_to: Option<u64>,
}

impl<'a> Reads<'a> {
    fn new(connection: &Connection, open: &'a Open) -> Self {
        let most_bytes = connection.abilities.read_bytes;
        Self { open, most_bytes, under_way: VecDeque::with_capacity(MAX_READS), asked_to: None }
    }

    async fn ask(&mut self, offset_bytes: u64, len_bytes: u32) -> Result<(), Failed> {
        let answer =
            Arc::clone(&self.open.client).send(Request::read(self.open.handle(), offset_bytes, len_bytes)).await?;
        self.under_way.push_back(Asked { offset_bytes, len_bytes, answer });
        Ok(())
    }

    /// Asks for the beginning of a part, as far as it fits.
    async fn ask_first(&mut self, from: u64, to: u64) -> Result<(), Failed> {
        self.asked_to = Some(from);
        self.ask_more(to).await
    }

    async fn ask_more(&mut self, to: u64) -> Result<(), Failed> {
        while let Some(at) = self.asked_to.filter(|at| *at < to && self.under_way.len() < MAX_READS) {
            let len = u32::try_from(to - at).unwrap_or(u32::MAX).min(self.most_bytes);
            self.ask(at, len).await?;
            self.asked_to = Some(at + u64::from(len));
        }
        Ok(())
    }

    /// All bytes of a part, of which the beginning may have been asked for.
    async fn collect(mut self, from: u64, to: u64) -> Result<Bytes, Stopped> {
        // A part of a file that fits no memory is no object of ours.
        let len = usize::try_from(to - from).map_err(|_| Failed::from(Malformed("a file larger than memory")))?;
        let mut whole = Vec::new();
        whole.try_reserve_exact(len).map_err(|_| Failed::from(Malformed("a file larger than memory")))?;
        whole.resize(len, 0);
        self.asked_to.get_or_insert(from);
        loop {
            self.ask_more(to).await?;
            let Some(Asked { offset_bytes, len_bytes, answer }) = self.under_way.pop_front() else { break };
            let data = match answer.await? {
                Reply::Data(data) if data.len() <= len_bytes as usize => data,
                // What was asked for before the size was known.
                Reply::Status(status) if status.code == Status::END && offset_bytes >= to => continue,
                Reply::Status(status) if status.code == Status::END => return Err(Stopped::Short),
                Reply::Data(_) => return Err(Failed::from(Malformed("more bytes than were asked for")).into()),
                other => return Err(unexpected(other).into()),
            };
            // Bytes of a file that has grown meanwhile, or was asked for before its size was known, are not wanted.
            let wanted = usize::try_from(to.saturating_sub(offset_bytes)).unwrap_or(usize::MAX).min(data.len());
            let at = usize::try_from(offset_bytes - from).unwrap_or(usize::MAX);
            if let Some(place) = whole.get_mut(at..at.saturating_add(wanted)) {
                place.copy_from_slice(&data[..wanted]);
            }
            // Servers may send less than they were asked for.
            let next = offset_bytes + data.len() as u64;
            let end = (offset_bytes + u64::from(len_bytes)).min(to);
            if next < end {
                if data.is_empty() {
                    return Err(Stopped::Short);
                }
                let rest = u32::try_from(end - next).unwrap_or(u32::MAX);
                self.ask(next, rest).await?;
            }
        }
        Ok(whole.into())
    }
}
