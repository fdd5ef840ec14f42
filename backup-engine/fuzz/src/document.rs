//! The test vectors of the specification: keys that open what stands there, and seeds.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use backup_engine::crypto::{Keyring, SecretKey};
use backup_engine::id::RepositoryId;

const DOCUMENT: &str = include_str!("../../../docs/format.md");

static VECTORS: LazyLock<BTreeMap<&str, Vec<u8>>> = LazyLock::new(|| {
    let mut found: BTreeMap<&str, String> = BTreeMap::new();
    let mut last = "";
    for line in DOCUMENT.split("```vectors\n").skip(1).flat_map(|part| part.split("\n```").next()).flat_map(str::lines)
    {
        if let Some(more) = line.strip_prefix("  ") {
            found.entry(last).or_default().push_str(more);
        } else if let Some((name, value)) = line.split_once(" =") {
            last = name;
            found.entry(last).or_default().push_str(value.trim());
        }
    }
    found.into_iter().map(|(name, value)| (name, value_of(&value))).collect()
});

/// The bytes of a vector: those of a text in quotes, or of hexadecimal digits.
fn value_of(text: &str) -> Vec<u8> {
    match text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        Some(text) => text.as_bytes().to_vec(),
        None => unhex(text),
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |at: usize| text.get(at..at + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
    (0..text.len()).step_by(2).map(|at| digit(at).expect("the document's values are hexadecimal")).collect()
}

/// A value of the document's appendices.
pub(crate) fn vector(name: &str) -> Vec<u8> {
    VECTORS.get(name).unwrap_or_else(|| panic!("docs/format.md has no vector `{name}`")).clone()
}

/// The pack of appendix B.
pub(crate) fn pack() -> Vec<u8> {
    let dump = DOCUMENT.split("```pack\n").nth(1).and_then(|rest| rest.split("\n```").next());
    let lines = dump.expect("docs/format.md shows a pack").lines();
    lines.flat_map(|line| unhex(&line[6..].split("  ").next().unwrap_or_default().replace(' ', ""))).collect()
}

/// The document's root key.
pub(crate) fn root() -> SecretKey {
    SecretKey::from_bytes(&array("root"))
}

/// The document's repository.
pub(crate) fn repository() -> RepositoryId {
    RepositoryId::from_bytes(array("rid"))
}

/// A vector of 32 bytes.
pub(crate) fn array(name: &str) -> [u8; 32] {
    vector(name).try_into().unwrap_or_else(|_| panic!("vector `{name}` does not have 32 bytes"))
}

/// The document's keys.
pub(crate) fn keyring() -> &'static Keyring {
    static KEYRING: LazyLock<Keyring> = LazyLock::new(|| {
        let mut keyring = Keyring::new(repository(), root());
        keyring.add_epoch(1, SecretKey::from_bytes(&array("epoch-key")));
        keyring
    });
    &KEYRING
}
