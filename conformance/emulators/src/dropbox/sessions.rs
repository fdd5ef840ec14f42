//! Upload sessions: data that arrives piece by piece before it becomes a file.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::content::{Content, len_bytes};
use super::errors::SessionError;

/// How long a session can be used: 7 days, says the vendor.
const USABLE_MS: u64 = 7 * 24 * 60 * 60 * 1000;

/// Offsets and lengths in concurrent sessions are multiples of this.
pub(super) const CONCURRENT_BLOCK_BYTES: u64 = 4 << 20;

/// The largest file.
const FILE_BYTES: u64 = (1 << 41) - (1 << 22);

/// All sessions of an account.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    by_id: BTreeMap<String, Session>,
    begun: u64,
    /// Whether a session whose file is written is closed, or not there any more.
    pub(super) finished_is_closed: bool,
}

#[derive(Debug)]
struct Session {
    app_key: String,
    begun_ms: u64,
    is_concurrent: bool,
    is_closed: bool,
    is_finished: bool,
    /// By their offsets. Those of concurrent sessions are single blocks, so that none overlap.
    pieces: BTreeMap<u64, Bytes>,
    /// Where the data ends; in a concurrent session, where the closing append ended.
    end: u64,
}

/// Why a session can't be finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FinishError {
    Lookup(SessionError),
    ConcurrentDataNotAllowed,
    ConcurrentNotClosed,
    ConcurrentMissingData,
}

/// A session as a request names it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    pub(super) session_id: &'a str,
    pub(super) offset: u64,
    pub(super) app_key: &'a str,
    pub(super) now_ms: u64,
}

impl Sessions {
    /// Begins a session.
    pub(super) fn begin(&mut self, app_key: &str, is_concurrent: bool, now_ms: u64) -> String {
        self.begun += 1;
        let id = format!("pid_upload_session:{:032x}", u128::from(self.begun) * 0x9e37_79b9_7f4a_7c15_f39c);
        let (is_closed, is_finished, pieces, end) = (false, false, BTreeMap::new(), 0);
        let app_key = app_key.to_owned();
        let session = Session { app_key, begun_ms: now_ms, is_concurrent, is_closed, is_finished, pieces, end };
        self.by_id.insert(id.clone(), session);
        id
    }

    /// Forgets a session.
    pub(super) fn lose(&mut self, id: &str) {
        self.by_id.remove(id);
    }

    /// Forgets all sessions.
    pub(super) fn lose_all(&mut self) {
        self.by_id.clear();
    }

    /// Sessions that hold data for no file yet, and whether each is closed.
    pub(super) fn open(&self) -> impl Iterator<Item = (&str, u64, bool)> {
        let unfinished = self.by_id.iter().filter(|(_, session)| !session.is_finished);
        unfinished.map(|(id, session)| (&**id, session.end, session.is_closed))
    }

    fn of(&mut self, cursor: Cursor<'_>) -> Result<&mut Session, SessionError> {
        let session = self.by_id.get_mut(cursor.session_id).ok_or(SessionError::NotFound)?;
        let is_usable = cursor.now_ms.saturating_sub(session.begun_ms) <= USABLE_MS;
        match is_usable && session.app_key == cursor.app_key {
            false => Err(SessionError::NotFound),
            true if session.is_finished && self.finished_is_closed => Err(SessionError::Closed),
            true if session.is_finished => Err(SessionError::NotFound),
            true => Ok(session),
        }
    }

    /// Appends data; with `closed_first` a closed session says so even where the offset is wrong, too.
    pub(super) fn append(
        &mut self,
        cursor: Cursor<'_>,
        data: &Bytes,
        close: bool,
        closed_first: bool,
    ) -> Result<(), SessionError> {
        let session = self.of(cursor)?;
        let offset = cursor.offset;
        if session.is_closed && (closed_first || session.is_concurrent) {
            return Err(SessionError::Closed);
        }
        if !session.is_concurrent && offset != session.end {
            return Err(SessionError::IncorrectOffset { correct_offset: session.end });
        }
        if session.is_closed {
            return Err(SessionError::Closed);
        }
        if session.is_concurrent && !offset.is_multiple_of(CONCURRENT_BLOCK_BYTES) {
            return Err(SessionError::ConcurrentInvalidOffset);
        }
        if session.is_concurrent && !close && !len_bytes(data).is_multiple_of(CONCURRENT_BLOCK_BYTES) {
            return Err(SessionError::ConcurrentInvalidDataSize);
        }
        let end = offset.saturating_add(len_bytes(data));
        if end > FILE_BYTES {
            return Err(SessionError::TooLarge);
        }
        session.add(offset, data);
        session.is_closed = close;
        if close || !session.is_concurrent {
            session.end = end;
        }
        Ok(())
    }

    /// Appends the last data and gives everything; the session stays until it is told that the file is written.
    pub(super) fn complete(
        &mut self,
        cursor: Cursor<'_>,
        data: &Bytes,
        must_be_closed: bool,
    ) -> Result<Content, FinishError> {
        let session = self.of(cursor).map_err(FinishError::Lookup)?;
        if session.is_concurrent {
            if !data.is_empty() {
                return Err(FinishError::ConcurrentDataNotAllowed);
            }
            if !session.is_closed {
                return Err(FinishError::ConcurrentNotClosed);
            }
        } else if must_be_closed && !session.is_closed {
            return Err(FinishError::Lookup(SessionError::NotClosed));
        } else if session.is_closed && !data.is_empty() {
            return Err(FinishError::Lookup(SessionError::Closed));
        }
        let stored: u64 = session.pieces.values().map(|piece| len_bytes(piece)).sum();
        if session.is_concurrent && stored != session.end {
            return Err(FinishError::ConcurrentMissingData);
        }
        if cursor.offset != session.end {
            return Err(FinishError::Lookup(SessionError::IncorrectOffset { correct_offset: session.end }));
        }
        if !data.is_empty() {
            session.add(cursor.offset, data);
            session.end += len_bytes(data);
        }
        if session.end > FILE_BYTES {
            return Err(FinishError::Lookup(SessionError::TooLarge));
        }
        Ok(Content::of_pieces(session.pieces.values()))
    }

    /// Notes that the file of a session is written.
    pub(super) fn finish(&mut self, id: &str) {
        if let Some(session) = self.by_id.get_mut(id) {
            session.is_finished = true;
            session.pieces.clear();
        }
    }
}

impl Session {
    fn add(&mut self, offset: u64, data: &Bytes) {
        if data.is_empty() {
            return;
        }
        if !self.is_concurrent {
            self.pieces.insert(offset, data.clone());
            return;
        }
        let mut at = offset;
        let block_bytes = usize::try_from(CONCURRENT_BLOCK_BYTES).expect("4 MiB fit");
        for start in (0..data.len()).step_by(block_bytes) {
            let block = data.slice(start..data.len().min(start + block_bytes));
            self.pieces.insert(at, block);
            at += CONCURRENT_BLOCK_BYTES;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(session_id: &str, offset: u64) -> Cursor<'_> {
        Cursor { session_id, offset, app_key: "app", now_ms: 0 }
    }

    fn append(sessions: &mut Sessions, id: &str, offset: u64, data: &Bytes, close: bool) -> Result<(), SessionError> {
        sessions.append(at(id, offset), data, close, false)
    }

    const NONE: Bytes = Bytes::new();
    const DATA: Bytes = Bytes::from_static(b"data");

    #[test]
    fn offsets_of_a_sequential_session_follow_each_other() {
        let mut sessions = Sessions::default();
        let id = sessions.begin("app", false, 0);
        append(&mut sessions, &id, 0, &DATA, false).unwrap();
        let wrong = Err(SessionError::IncorrectOffset { correct_offset: 4 });
        assert_eq!(append(&mut sessions, &id, 0, &DATA, false), wrong);
        assert_eq!(append(&mut sessions, &id, 8, &DATA, false), wrong);
        append(&mut sessions, &id, 4, &DATA, true).unwrap();
        assert_eq!(sessions.complete(at(&id, 8), &NONE, true).unwrap().bytes, "datadata");
    }

    #[test]
    fn a_closed_session_takes_nothing_more() {
        let mut sessions = Sessions::default();
        let id = sessions.begin("app", false, 0);
        append(&mut sessions, &id, 0, &DATA, true).unwrap();
        assert_eq!(append(&mut sessions, &id, 4, &NONE, true), Err(SessionError::Closed));
        // The append that closed it, once more: its answer may have been lost.
        let repeated = SessionError::IncorrectOffset { correct_offset: 4 };
        assert_eq!(append(&mut sessions, &id, 0, &DATA, true), Err(repeated));
        assert_eq!(sessions.append(at(&id, 0), &DATA, true, true), Err(SessionError::Closed));
        let closed = FinishError::Lookup(SessionError::Closed);
        assert_eq!(sessions.complete(at(&id, 4), &DATA, false).map(|_| ()), Err(closed));
    }

    #[test]
    fn batches_want_closed_sessions() {
        let mut sessions = Sessions::default();
        let id = sessions.begin("app", false, 0);
        let open = FinishError::Lookup(SessionError::NotClosed);
        assert_eq!(sessions.complete(at(&id, 0), &NONE, true).map(|_| ()), Err(open));
        assert_eq!(sessions.complete(at(&id, 0), &DATA, false).unwrap().bytes, "data");
        // The data of a finish that then fails is there.
        assert_eq!(sessions.complete(at(&id, 4), &NONE, false).unwrap().bytes, "data");
    }

    #[test]
    fn sessions_end_after_a_week_and_when_finished() {
        let mut sessions = Sessions::default();
        let id = sessions.begin("app", false, 5);
        let late = |offset, now_ms| Cursor { now_ms, ..at(&id, offset) };
        sessions.append(late(0, 5 + USABLE_MS), &DATA, false, false).unwrap();
        let result = sessions.append(late(4, 6 + USABLE_MS), &DATA, false, false);
        assert_eq!(result, Err(SessionError::NotFound));
        let other = Cursor { app_key: "other", ..at(&id, 4) };
        assert_eq!(sessions.append(other, &DATA, false, false), Err(SessionError::NotFound));
        sessions.finish(&id);
        assert_eq!(append(&mut sessions, &id, 4, &DATA, false), Err(SessionError::NotFound));
        sessions.finished_is_closed = true;
        assert_eq!(append(&mut sessions, &id, 4, &DATA, false), Err(SessionError::Closed));
        assert_eq!(sessions.open().count(), 0);
    }

    #[test]
    fn concurrent_sessions_take_blocks_in_any_order() {
        let block_bytes = usize::try_from(CONCURRENT_BLOCK_BYTES).unwrap();
        let [first, second] = [1, 2].map(|byte| Bytes::from(vec![byte; block_bytes]));
        let mut sessions = Sessions::default();
        let id = sessions.begin("app", true, 0);
        let b = CONCURRENT_BLOCK_BYTES;
        assert_eq!(append(&mut sessions, &id, 1, &first, false), Err(SessionError::ConcurrentInvalidOffset));
        assert_eq!(append(&mut sessions, &id, 0, &DATA, false), Err(SessionError::ConcurrentInvalidDataSize));
        append(&mut sessions, &id, b, &second, false).unwrap();
        let complete = |sessions: &mut Sessions, data: &Bytes| {
            let end = 2 * b + 4;
            sessions.complete(at(&id, end), data, false).map(|content| content.size_bytes())
        };
        assert_eq!(complete(&mut sessions, &NONE), Err(FinishError::ConcurrentNotClosed));
        append(&mut sessions, &id, 2 * b, &DATA, true).unwrap();
        assert_eq!(complete(&mut sessions, &NONE), Err(FinishError::ConcurrentMissingData));
        assert_eq!(append(&mut sessions, &id, 0, &first, false), Err(SessionError::Closed));

        let id = sessions.begin("app", true, 0);
        for (offset, data, close) in [(b, &second, false), (0, &first, false), (2 * b, &DATA, true)] {
            append(&mut sessions, &id, offset, data, close).unwrap();
        }
        let with_data = sessions.complete(at(&id, 2 * b + 4), &DATA, false);
        assert_eq!(with_data.map(|_| ()), Err(FinishError::ConcurrentDataNotAllowed));
        let whole = sessions.complete(at(&id, 2 * b + 4), &NONE, false).unwrap();
        assert_eq!(whole.bytes, [&first[..], &second[..], &DATA[..]].concat());
    }
}
