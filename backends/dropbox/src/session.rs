//! Upload sessions that have become no object yet.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use backup_core::ObjectKey;

/// Sessions that are remembered; more than calls at once. What is forgotten is sent again, and Dropbox forgets it after 7 days.
const MAX_REMEMBERED: usize = 16;

/// Data that Dropbox has got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) id: String,
    /// How much of it there is, as far as is known.
    pub(crate) offset_bytes: u64,
}

/// What a put that failed has left behind, for the next put of the same bytes under the same key.
#[derive(Debug, Default)]
pub(crate) struct Unfinished(Mutex<VecDeque<(ObjectKey, String, Session)>>);

impl Unfinished {
    /// Takes a session out, so that no two puts use it.
    pub(crate) fn take(&self, key: &ObjectKey, content_hash: &str) -> Option<Session> {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = sessions.iter().position(|(known, hash, _)| known == key && hash == content_hash)?;
        sessions.remove(at).map(|(_, _, session)| session)
    }

    /// Remembers a session, in place of the oldest where there are many.
    pub(crate) fn keep(&self, key: &ObjectKey, content_hash: &str, session: Session) {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sessions.len() >= MAX_REMEMBERED {
            sessions.pop_front();
        }
        sessions.push_back((key.clone(), content_hash.to_owned(), session));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_is_for_the_same_bytes_under_the_same_key_and_for_one_put() {
        let unfinished = Unfinished::default();
        let [a, b] = ["a", "b"].map(|key| ObjectKey::new(key).unwrap());
        let session = Session { id: "s".to_owned(), offset_bytes: 7 };
        unfinished.keep(&a, "hash", session.clone());
        assert_eq!(unfinished.take(&b, "hash"), None);
        assert_eq!(unfinished.take(&a, "other"), None);
        assert_eq!(unfinished.take(&a, "hash"), Some(session.clone()));
        assert_eq!(unfinished.take(&a, "hash"), None);
        unfinished.keep(&a, "hash", session.clone());
        for _ in 0..MAX_REMEMBERED {
            unfinished.keep(&b, "hash", session.clone());
        }
        assert_eq!(unfinished.take(&a, "hash"), None);
    }
}
