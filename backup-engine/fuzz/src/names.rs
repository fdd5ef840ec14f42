//! Texts that come from storage, users or configuration: keys, paths, URLs, sizes, lengths of time.

use backup_core::entry::canonical_order;
use backup_core::registry::StoreUrl;
use backup_core::retention::{Age, ByteSize};
use backup_core::{EntryPath, KeyPrefix, ObjectKey, SecretRef};
use backup_engine::layout;

use super::{bounded, choice};

/// The input is a path in bytes, or a text of one of the kinds.
pub(crate) fn run(data: &[u8]) {
    let Some((how, data)) = choice(data, 7) else { return };
    if how == 0 {
        return paths(data);
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    bounded(256 * data.len() + (64 << 10), || match how {
        1 => key(text),
        2 => prefix(text),
        3 => {
            if let Ok(url) = StoreUrl::parse(text) {
                let _ = (url.options().is_ok(), url.query().count(), url.port(), url.host().len(), url.path().len());
            }
            let _ = StoreUrl::from_path(text);
        }
        4 => {
            if let Ok(age) = text.parse::<Age>() {
                assert_eq!(age.to_string().parse::<Age>().as_ref(), Ok(&age), "{age}");
                let _ = (age.fixed(), age.before(backup_core::Timestamp::EPOCH));
            }
        }
        5 => {
            if let Ok(size) = text.parse::<ByteSize>() {
                let _ = size.to_string();
            }
        }
        _ => {
            let _ = SecretRef::parse(text);
        }
    });
}

/// Two paths, parted by the byte 0xff, which both may hold.
fn paths(data: &[u8]) {
    let at = data.iter().position(|byte| *byte == 0xff).unwrap_or(data.len());
    let (first, second) = data.split_at(at);
    let Ok(first) = EntryPath::new(first) else { return };
    assert!(first.components().all(|name| !name.is_empty() && name != b"." && name != b".."));
    assert_eq!(first.components().collect::<Vec<_>>().join(&b'/'), first.as_bytes());
    let Ok(second) = EntryPath::new(second) else { return };
    // Canonical order is the order of the lists of components.
    let by_components = first.components().cmp(second.components());
    assert_eq!(canonical_order(first.as_bytes(), second.as_bytes()), by_components);
    assert_eq!(
        second.is_within(&first),
        second.components().collect::<Vec<_>>().starts_with(&first.components().collect::<Vec<_>>())
    );
}

fn key(text: &str) {
    let Ok(key) = ObjectKey::new(text) else { return };
    assert_eq!(key.as_str(), text);
    assert!(KeyPrefix::all().contains(&key) && text.ends_with(key.name()));
    assert!(!text.split('/').any(|part| part.is_empty() || part == "." || part == ".."));
    if let Some(pack) = layout::pack_of(&key) {
        assert_eq!(layout::pack(&pack), key);
    }
}

fn prefix(text: &str) {
    let Some((prefix, rest)) = text.split_once('|') else { return };
    let Ok(prefix) = KeyPrefix::new(prefix) else { return };
    if let Ok(key) = prefix.key(rest) {
        assert!(prefix.contains(&key));
    }
}
