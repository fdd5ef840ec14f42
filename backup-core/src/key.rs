//! Names of stored objects, restricted to what every store can hold unchanged.

use std::fmt;

/// Longest object key in bytes; leaves room for a prefix below every store's own limit (Dropbox 255 a segment, S3 1024).
pub const MAX_KEY_BYTES: usize = 200;

/// The name of one stored object.
///
/// A key is one or more segments joined by `/`. A segment is 1–100 characters of `a-z`, `0-9`, `.`, `_` and `-`, and
/// neither starts nor ends with a dot. That leaves no room for case folding, Unicode normalisation, escaping or path
/// traversal, so a key means the same object in every store.
///
/// ```
/// use backup_core::ObjectKey;
///
/// let key = ObjectKey::new("packs/ab/0123")?;
/// assert_eq!(key.as_str(), "packs/ab/0123");
/// assert!(ObjectKey::new("packs/../config").is_err());
/// assert!(ObjectKey::new("Packs/AB").is_err());
/// # Ok::<(), backup_core::InvalidKey>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey(String);

/// The part of the key space a listing covers: nothing (everything), or whole segments ending in `/`.
///
/// ```
/// use backup_core::{KeyPrefix, ObjectKey};
///
/// let prefix = KeyPrefix::new("packs/ab/")?;
/// assert!(prefix.contains(&ObjectKey::new("packs/ab/01")?));
/// assert!(!prefix.contains(&ObjectKey::new("packs/abc")?));
/// # Ok::<(), backup_core::InvalidKey>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct KeyPrefix(String);

/// A text that is no valid key, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid object key {key:?}: {reason}")]
pub struct InvalidKey {
    key: String,
    reason: &'static str,
}

/// Longest segment of a key in bytes.
const MAX_SEGMENT_BYTES: usize = 100;

fn check_segments(text: &str) -> Result<(), &'static str> {
    if text.len() > MAX_KEY_BYTES {
        return Err("longer than 200 bytes");
    }
    for segment in text.split('/') {
        if segment.is_empty() {
            return Err("empty segment");
        }
        if segment.len() > MAX_SEGMENT_BYTES {
            return Err("segment longer than 100 bytes");
        }
        if segment.starts_with('.') || segment.ends_with('.') {
            return Err("segment starts or ends with a dot");
        }
        if !segment.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-')) {
            return Err("only a-z, 0-9, '.', '_' and '-' are allowed in a segment");
        }
    }
    Ok(())
}

impl ObjectKey {
    /// Checks `text` and makes it a key.
    ///
    /// # Errors
    /// [`InvalidKey`] when the text breaks one of the rules of [`ObjectKey`].
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidKey> {
        let key = text.into();
        match check_segments(&key) {
            Ok(()) => Ok(Self(key)),
            Err(reason) => Err(InvalidKey { key, reason }),
        }
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last segment.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

impl KeyPrefix {
    /// Checks `text` and makes it a prefix; the empty text is the prefix of everything.
    ///
    /// # Errors
    /// [`InvalidKey`] when a non-empty text does not end in `/` or has an invalid segment.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidKey> {
        let key = text.into();
        if key.is_empty() {
            return Ok(Self(key));
        }
        let checked = match key.strip_suffix('/') {
            None => Err("a prefix ends in '/'"),
            Some(body) => check_segments(body),
        };
        match checked {
            Ok(()) => Ok(Self(key)),
            Err(reason) => Err(InvalidKey { key, reason }),
        }
    }

    /// The prefix of every key.
    pub fn all() -> Self {
        Self::default()
    }

    /// The prefix as text, empty or ending in `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `key` lies under this prefix.
    pub fn contains(&self, key: &ObjectKey) -> bool {
        key.0.starts_with(&self.0)
    }

    /// The key made of this prefix followed by `rest`.
    ///
    /// # Errors
    /// [`InvalidKey`] when the joined text is no valid key.
    pub fn key(&self, rest: &str) -> Result<ObjectKey, InvalidKey> {
        ObjectKey::new(format!("{}{rest}", self.0))
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl fmt::Display for KeyPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KeyPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_accepts_only_portable_segments() {
        for good in ["config", "packs/ab/0f", "a.b-c_d/0", &"a".repeat(100)] {
            assert!(ObjectKey::new(good).is_ok(), "{good}");
        }
        let long = vec!["a".repeat(99); 3].join("/");
        for bad in ["", "/", "a/", "/a", "a//b", "A", "ä", "a b", ".", "..", "a/..", ".a", "a.", "a\\b", "a:b", &long]
        {
            assert!(ObjectKey::new(bad).is_err(), "{bad}");
        }
        assert!(ObjectKey::new("a".repeat(101)).is_err());
    }

    #[test]
    fn prefix_matches_whole_segments_only() {
        assert!(KeyPrefix::new("packs").is_err());
        assert!(KeyPrefix::new("/").is_err());
        let all = KeyPrefix::all();
        let key = ObjectKey::new("packs/ab").unwrap();
        assert!(all.contains(&key));
        assert!(!KeyPrefix::new("packs/ab/").unwrap().contains(&key));
        assert_eq!(KeyPrefix::new("packs/").unwrap().key("x").unwrap().as_str(), "packs/x");
    }
}
