//! What programs read: one JSON object a line, each with the version of this schema and what it is.
//!
//! Within one version, fields are added and never change their meaning. Paths are texts; one that is not UTF-8 is shown
//! escaped and stands a second time, exact, in base64 under the name with `_base64`.

use backup_core::EntryPath;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::error::CliError;

/// The version of what stands in these lines.
pub(crate) const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Line<'a, T> {
    schema: u32,
    #[serde(rename = "type")]
    kind: &'a str,
    // Only written, never read, where flattening has no traps.
    #[serde(flatten)]
    body: &'a T,
}

/// One line with its line end.
pub(crate) fn line(kind: &str, body: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(&Line { schema: SCHEMA, kind, body }).expect("lines are plain data");
    line.push(b'\n');
    line
}

/// A message in words.
#[derive(Serialize)]
pub(crate) struct Message<'a> {
    pub(crate) message: &'a str,
}

/// A failed command.
#[derive(Serialize)]
pub(crate) struct Failure<'a> {
    code: u8,
    name: &'static str,
    message: &'a str,
    causes: &'a [String],
    hint: Option<&'a str>,
}

impl<'a> From<&'a CliError> for Failure<'a> {
    fn from(error: &'a CliError) -> Self {
        Self {
            code: error.exit.code(),
            name: error.exit.name(),
            message: &error.message,
            causes: &error.causes,
            hint: error.hint.as_deref(),
        }
    }
}

/// A path as text, and exactly where the text is not it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct PathText {
    pub(crate) path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) path_base64: Option<String>,
}

impl From<&EntryPath> for PathText {
    fn from(path: &EntryPath) -> Self {
        let (path, path_base64) = text_and_twin(path.as_bytes());
        Self { path, path_base64 }
    }
}

/// Bytes as text, escaped where they are none; and then exactly, in base64.
pub(crate) fn text_and_twin(bytes: &[u8]) -> (String, Option<String>) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return (text.to_owned(), None);
    }
    let mut text = String::with_capacity(bytes.len() + 8);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    (text, Some(STANDARD.encode(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_that_is_no_text_has_an_exact_twin() {
        let json = |bytes: &[u8]| {
            let path = EntryPath::new(bytes).unwrap();
            String::from_utf8(line("entry", &PathText::from(&path))).unwrap()
        };
        assert_eq!(json(b"a/b\n"), "{\"schema\":1,\"type\":\"entry\",\"path\":\"a/b\\n\"}\n");
        assert_eq!(
            json(b"a\xff"),
            "{\"schema\":1,\"type\":\"entry\",\"path\":\"a\\\\xff\",\"path_base64\":\"Yf8=\"}\n"
        );
    }
}
