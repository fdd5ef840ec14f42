//! What happens where a restore meets something that is already there.
//!
//! A [`ConflictResolver`] decides; the standard ones are [`KeepLocal`], [`KeepBackup`], [`KeepBoth`], [`Newest`] and
//! [`Ask`]. This module knows neither file system nor terminal: it sees two entries and answers.

mod config;
mod standard;

use std::fmt;

use serde::de::{Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::entry::Entry;
pub use config::AskConfig;
pub(crate) use config::DESCRIPTORS;
pub use standard::{Ask, KeepBackup, KeepBoth, KeepLocal, Newest};

/// A place where backup and local state differ.
#[derive(Debug, Clone)]
pub struct RestoreConflict<'a> {
    /// What the backup has.
    pub backup: &'a Entry,
    /// What is there now.
    pub local: &'a Entry,
}

/// What to do about a conflict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// Leave what is there.
    KeepLocal,
    /// Replace it by what the backup has.
    KeepBackup,
    /// Leave it and restore the backup's beside it, its name followed by the suffix.
    KeepBoth {
        /// What is appended to the name.
        suffix: Suffix,
    },
}

/// Decides about conflicts.
///
/// Called from one thread at a time; may ask a person and wait.
pub trait ConflictResolver: fmt::Debug + Send + Sync {
    /// Decides about one conflict.
    fn resolve(&self, conflict: &RestoreConflict<'_>) -> Resolution;
}

/// What is appended to a name so that two things can stand side by side.
///
/// One to 64 bytes, without `/`, `\`, `:` and control characters, and not ending in a dot or a blank: Windows drops those
/// from the end of a name, and the restored file would replace the one it was to stand beside.
///
/// ```
/// use backup_core::conflict::Suffix;
///
/// assert_eq!(Suffix::new(".from-backup")?.as_str(), ".from-backup");
/// assert!(Suffix::new("").is_err() && Suffix::new("/../x").is_err());
/// # Ok::<(), backup_core::conflict::InvalidSuffix>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Suffix(String);

/// A text that is no suffix of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {EXPECTED_SUFFIX}")]
pub struct InvalidSuffix;

/// Longest suffix in bytes; together with a name it has to stay below the 255 bytes that file systems take.
const MAX_SUFFIX_BYTES: usize = 64;

const EXPECTED_SUFFIX: &str = "a suffix of 1 to 64 bytes without `/`, `\\`, `:` and control characters, not ending in \
                               a dot or a blank";

impl Suffix {
    /// Checks a text and makes it a suffix.
    ///
    /// # Errors
    /// [`InvalidSuffix`] when the text breaks a rule of [`Suffix`].
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidSuffix> {
        let text = text.into();
        let refused = |c: char| matches!(c, '/' | '\\' | ':') || c.is_control();
        let valid = (1..=MAX_SUFFIX_BYTES).contains(&text.len())
            && !text.contains(refused)
            && !text.ends_with(|c: char| c == '.' || c.is_whitespace());
        if valid { Ok(Self(text)) } else { Err(InvalidSuffix) }
    }

    /// The suffix as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Suffix {
    /// `.from-backup`.
    fn default() -> Self {
        Self(".from-backup".to_owned())
    }
}

impl fmt::Display for Suffix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Suffix {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Suffix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Suffix;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(EXPECTED_SUFFIX)
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Suffix, E> {
                Suffix::new(text).map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffix_takes_only_what_makes_another_name_everywhere() {
        for good in [".from-backup", " (backup)", "~", "-ä", &"x".repeat(64)] {
            assert_eq!(Suffix::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "/", "a/b", "\\x", ":x", "a\0", "\n", "\u{85}", ".", "x.", "x ", "x\u{a0}", &"x".repeat(65)] {
            assert_eq!(Suffix::new(bad), Err(InvalidSuffix), "{bad:?}");
            assert!(serde_json::from_value::<Suffix>(bad.into()).is_err(), "{bad:?}");
        }
        assert!(Suffix::new(Suffix::default().as_str()).is_ok());
    }
}
