//! `config`, and the records that are JSON.

use backup_engine::chunker::Chunker;
use backup_engine::format::config::{MAX_CONFIG_BYTES, UncheckedConfig};
use backup_engine::format::record::{MarkRecord, RecordPath, SessionRecord, SnapshotRecord, VerifyRecord};
use backup_engine::snapshots::{format_time, parse_time};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::document::keyring;
use super::{bounded, choice};

/// JSON takes most memory where values are short: a path is a tree of values before it is a path.
const JSON_FACTOR: usize = 128;

/// The input is a stored `config`, or its first line.
pub(crate) fn config(data: &[u8]) {
    let Some((how, data)) = choice(data, 2) else { return };
    let object = if how == 0 {
        data.to_vec()
    } else {
        let mac = keyring().config_mac(data).map(|byte| format!("{byte:02x}")).concat();
        [data, b"\n", mac.as_bytes(), b"\n"].concat()
    };
    let limit = JSON_FACTOR * data.len().min(MAX_CONFIG_BYTES) + 4096;
    let Ok(unchecked) = bounded(limit, || UncheckedConfig::decode(&object)) else { return };
    let Ok(config) = unchecked.check(keyring()) else { return };
    let again = UncheckedConfig::decode(&config.encode(keyring())).and_then(|config| config.check(keyring()));
    assert_eq!(again.as_ref(), Ok(&config));
    assert_eq!(Chunker::new(&config.chunker, keyring().gear_table()).is_some(), config.chunker.is_supported());
}

/// The input is the payload of a record, or a time.
pub(crate) fn run(data: &[u8]) {
    let Some((how, data)) = choice(data, 6) else { return };
    match how {
        0 => json::<SnapshotRecord>(data),
        1 => json::<SessionRecord>(data),
        2 => json::<MarkRecord>(data),
        3 => json::<VerifyRecord>(data),
        4 => json::<RecordPath>(data),
        _ => {
            let time = std::str::from_utf8(data).ok().and_then(|text| bounded(4096, || parse_time(text)));
            if let Some(time) = time {
                assert_eq!(parse_time(&format_time(time)), Some(time));
            }
        }
    }
}

fn json<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(data: &[u8]) {
    let Ok(record) = bounded(JSON_FACTOR * data.len() + 4096, || serde_json::from_slice::<T>(data)) else { return };
    let encoded = serde_json::to_vec(&record).expect("a record is plain data");
    assert_eq!(serde_json::from_slice::<T>(&encoded).ok(), Some(record));
}
