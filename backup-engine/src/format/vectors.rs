//! Pins the values of the specification's appendices: they are read out of `docs/format.md`, so that document and code
//! can't part. They were computed by another program, not by this one.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::crypto::kdf::{self, PasswordCost};
use crate::crypto::{Keyring, SecretKey};
use crate::id::{RepositoryId, hex};

mod appendix_b;
mod keys;
mod trees;

const DOCUMENT: &str = include_str!("../../../docs/format.md");

/// The vectors of the document by their names.
struct Vectors(BTreeMap<String, Value>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Bytes(Vec<u8>),
    Text(String),
}

static VECTORS: LazyLock<Vectors> = LazyLock::new(|| {
    let mut vectors: BTreeMap<String, String> = BTreeMap::new();
    let mut last = String::new();
    for line in blocks("vectors").flat_map(str::lines) {
        if let Some(more) = line.strip_prefix("  ") {
            vectors.get_mut(&last).expect("a value begins before it goes on").push_str(more);
        } else {
            let (name, value) = line.split_once(" =").unwrap_or_else(|| panic!("no vector: {line}"));
            last = name.to_owned();
            assert!(vectors.insert(last.clone(), value.trim().to_owned()).is_none(), "{name} stands twice");
        }
    }
    Vectors(vectors.into_iter().map(|(name, value)| (name, value_of(&value))).collect())
});

/// The fenced blocks of a language.
fn blocks(language: &str) -> impl Iterator<Item = &'static str> {
    let fence = format!("```{language}\n");
    DOCUMENT.split("\n\n").filter_map(move |part| part.strip_prefix(&fence)?.trim_end().strip_suffix("\n```"))
}

fn value_of(text: &str) -> Value {
    match text.strip_prefix('"') {
        Some(text) => Value::Text(text.strip_suffix('"').expect("a text ends with a quote").to_owned()),
        None => Value::Bytes(unhex(text)),
    }
}

fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2), "odd digits: {text}");
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect(text)).collect()
}

fn bytes(name: &str) -> &'static [u8] {
    match VECTORS.0.get(name) {
        Some(Value::Bytes(bytes)) => bytes,
        other => panic!("{name}: {other:?}"),
    }
}

fn text(name: &str) -> &'static str {
    match VECTORS.0.get(name) {
        Some(Value::Text(text)) => text,
        other => panic!("{name}: {other:?}"),
    }
}

fn id(name: &str) -> [u8; 32] {
    bytes(name).try_into().expect(name)
}

fn secret_key(name: &str) -> SecretKey {
    SecretKey::from_bytes(&id(name))
}

fn repository() -> RepositoryId {
    RepositoryId::from_bytes(id("rid"))
}

fn keyring() -> Keyring {
    let mut keyring = Keyring::new(repository(), secret_key("root"));
    keyring.add_epoch(1, secret_key("epoch-key"));
    keyring
}

#[track_caller]
fn assert_is(name: &str, computed: impl AsRef<[u8]>) {
    assert_eq!(hex(computed.as_ref()), hex(bytes(name)), "{name}");
}

#[test]
fn every_section_of_the_appendix_is_read() {
    assert_eq!(blocks("vectors").count(), DOCUMENT.matches("\n### A.").count());
    assert_eq!(blocks("vectors").count(), DOCUMENT.matches("```vectors").count());
    assert_eq!((blocks("pack").count(), blocks("block").count()), (1, 1));
}

#[test]
fn numbers_are_as_documented() {
    use super::wire::{Cursor, put_varint, put_zigzag};
    let mut found = 0;
    for name in VECTORS.0.keys() {
        let mut out = Vec::new();
        if let Some(number) = name.strip_prefix("varint ") {
            put_varint(&mut out, number.parse().unwrap());
            assert_eq!(Cursor::new(&out, "test").varint(), Ok(number.parse().unwrap()));
        } else if let Some(number) = name.strip_prefix("zigzag ") {
            put_zigzag(&mut out, number.parse().unwrap());
            assert_eq!(Cursor::new(&out, "test").zigzag(), Ok(number.parse().unwrap()));
        } else {
            continue;
        }
        assert_is(name, &out);
        found += 1;
    }
    assert_eq!(found, 12);
}

#[test]
fn every_vector_is_looked_at() {
    let tests = [
        include_str!("vectors.rs"),
        include_str!("vectors/keys.rs"),
        include_str!("vectors/trees.rs"),
        include_str!("vectors/appendix_b.rs"),
    ];
    for name in VECTORS.0.keys() {
        // Numbered ones are asked for by a pattern.
        let stem = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-');
        let quoted = [format!("\"{name}\""), format!("\"{stem}\""), format!("\"{stem}{{")];
        let is_asked_for = quoted.iter().any(|text| tests.iter().any(|test| test.contains(text)));
        assert!(is_asked_for, "no test asks for `{name}`");
    }
}

#[test]
fn password_cost_is_the_recommended_one() {
    assert_eq!(PasswordCost::RECOMMENDED, PasswordCost { memory_kib: 65_536, passes: 3, lanes: 4 });
    let (key, commitment) = kdf::argon2id(text("password").as_bytes(), &id("salt"), PasswordCost::RECOMMENDED).unwrap();
    assert_is("argon2id-slot key", key.expose());
    assert_is("argon2id-slot commitment", commitment);
}
