//! The objects of a memory store and the room that they take.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::key::ObjectKey;

#[derive(Clone, Default)]
pub(super) struct Objects {
    pub(super) by_key: BTreeMap<ObjectKey, Stored>,
    pub(super) used_bytes: u64,
}

#[derive(Clone)]
pub(super) struct Stored {
    pub(super) bytes: Bytes,
    pub(super) stored_at: Option<Timestamp>,
}

impl Objects {
    pub(super) fn insert(&mut self, key: &ObjectKey, stored: Stored) {
        self.remove(key);
        self.used_bytes += stored.len_bytes();
        self.by_key.insert(key.clone(), stored);
    }

    pub(super) fn remove(&mut self, key: &ObjectKey) -> Option<Bytes> {
        let old = self.by_key.remove(key)?;
        self.used_bytes -= old.len_bytes();
        Some(old.bytes)
    }

    /// Whether some other object's key is this key up to a `/`, or the other way round; a file system can't hold both.
    pub(super) fn lies_above_or_below_another(&self, key: &ObjectKey) -> bool {
        let text = key.as_str();
        let above = text
            .match_indices('/')
            .any(|(end, _)| ObjectKey::new(&text[..end]).is_ok_and(|ancestor| self.by_key.contains_key(&ancestor)));
        // `-` is the smallest character that a segment may start with.
        let below = ObjectKey::new(format!("{text}/-")).is_ok_and(|first| {
            let mut from_first = self.by_key.range(first..);
            from_first
                .next()
                .is_some_and(|(other, _)| other.as_str().strip_prefix(text).is_some_and(|rest| rest.starts_with('/')))
        });
        above || below
    }
}

impl Stored {
    pub(super) fn len_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }
}
