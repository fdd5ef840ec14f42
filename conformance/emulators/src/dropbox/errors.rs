//! Errors as tagged unions, the way Dropbox writes them.

use serde_json::{Value, json};

/// Why something was not found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LookupError {
    MalformedPath,
    NotFound,
    NotFile,
    NotFolder,
}

/// What is in the way of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conflict {
    File,
    Folder,
    FileAncestor,
}

/// Why something was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriteError {
    MalformedPath,
    Conflict(Conflict),
    InsufficientSpace,
    DisallowedName,
    TooManyWriteOperations,
}

/// Why an upload session refused something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SessionError {
    NotFound,
    IncorrectOffset { correct_offset: u64 },
    Closed,
    NotClosed,
    TooLarge,
    ConcurrentInvalidOffset,
    ConcurrentInvalidDataSize,
}

/// A union's member that carries nothing.
pub(super) fn tag(tag: &str) -> Value {
    json!({ ".tag": tag })
}

/// A union's member that carries another union.
pub(super) fn tagged(outer: &str, inner: impl Into<Value>) -> Value {
    json!({ ".tag": outer, outer: inner.into() })
}

/// The text beside an error: its tags, and a tail of dots that nobody may rely on.
pub(super) fn summary(error: &Value, dots: usize) -> String {
    let mut text = String::new();
    let mut at = Some(error);
    while let Some(tag) = at.and_then(|union| union[".tag"].as_str()) {
        text.push_str(tag);
        text.push('/');
        let inside = at.and_then(|union| union.get(tag).or_else(|| union.get("reason")));
        at = inside.filter(|inner| inner.is_object());
    }
    text + &".".repeat(dots)
}

impl From<LookupError> for Value {
    fn from(error: LookupError) -> Self {
        tag(match error {
            LookupError::MalformedPath => "malformed_path",
            LookupError::NotFound => "not_found",
            LookupError::NotFile => "not_file",
            LookupError::NotFolder => "not_folder",
        })
    }
}

impl From<WriteError> for Value {
    fn from(error: WriteError) -> Self {
        tag(match error {
            WriteError::MalformedPath => "malformed_path",
            WriteError::InsufficientSpace => "insufficient_space",
            WriteError::DisallowedName => "disallowed_name",
            WriteError::TooManyWriteOperations => "too_many_write_operations",
            WriteError::Conflict(with) => {
                let with = match with {
                    Conflict::File => "file",
                    Conflict::Folder => "folder",
                    Conflict::FileAncestor => "file_ancestor",
                };
                return tagged("conflict", tag(with));
            }
        })
    }
}

impl From<SessionError> for Value {
    fn from(error: SessionError) -> Self {
        tag(match error {
            SessionError::NotFound => "not_found",
            SessionError::IncorrectOffset { correct_offset } => {
                return json!({ ".tag": "incorrect_offset", "correct_offset": correct_offset });
            }
            SessionError::Closed => "closed",
            SessionError::NotClosed => "not_closed",
            SessionError::TooLarge => "too_large",
            SessionError::ConcurrentInvalidOffset => "concurrent_session_invalid_offset",
            SessionError::ConcurrentInvalidDataSize => "concurrent_session_invalid_data_size",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_are_the_tags_from_outside_in() {
        let conflict = WriteError::Conflict(Conflict::FileAncestor);
        assert_eq!(summary(&tagged("path", conflict), 2), "path/conflict/file_ancestor/..");
        let failed = json!({ ".tag": "path", "reason": Value::from(conflict), "upload_session_id": "x" });
        assert_eq!(summary(&failed, 0), "path/conflict/file_ancestor/");
        let offset = tagged("lookup_failed", SessionError::IncorrectOffset { correct_offset: 7 });
        assert_eq!(summary(&offset, 3), "lookup_failed/incorrect_offset/...");
    }
}
