//! Headers, frames, and the payload of records.

use backup_engine::compress::{Compressor, DEFAULT_LEVEL, Decompressor};
use backup_engine::format::ObjectKind;
use backup_engine::format::envelope::{
    Envelope, FramePrefix, FrameRole, MAX_RECORD_BYTES, get_payload, open_record, seal_record_with_salt,
};
use backup_engine::format::wire::Cursor;

use super::document::{array, keyring};
use super::{bounded, choice};

const KINDS: [ObjectKind; 7] = [
    ObjectKind::DataPack,
    ObjectKind::TreePack,
    ObjectKind::Index,
    ObjectKind::Snapshot,
    ObjectKind::Session,
    ObjectKind::Mark,
    ObjectKind::Verify,
];

/// The input is a stored object, the plaintext of one, or its payload.
pub(crate) fn run(data: &[u8]) {
    let Some((how, data)) = choice(data, 3) else { return };
    // A copy of the sealed part, and a payload of at most the named limit.
    let limit = MAX_RECORD_BYTES + 2 * data.len() + (64 << 10);
    match how {
        0 => {
            let _ = FramePrefix::decode(data);
            for kind in KINDS {
                let _ = Envelope::open(keyring(), kind, data);
                let _ = bounded(limit, || open_record(keyring(), kind, data));
            }
        }
        1 => {
            let mut decompressor = Decompressor::new();
            // No more than the plaintext announces, whatever its zstd frame would become.
            let announced = Cursor::new(data.get(1..).unwrap_or_default(), "fuzz").varint().ok();
            let announced = announced.and_then(|len| usize::try_from(len).ok()).unwrap_or(0).min(MAX_RECORD_BYTES);
            let limit = announced + 2 * data.len() + 4096;
            let payload = bounded(limit, || get_payload(&mut decompressor, data));
            let object = object_of_plaintext(data);
            assert_eq!(
                bounded(limit + object.len(), || open_record(keyring(), ObjectKind::Snapshot, &object)),
                payload
            );
        }
        _ => {
            let mut compressor = Compressor::new(DEFAULT_LEVEL);
            let object = seal_record_with_salt(keyring(), ObjectKind::Mark, &mut compressor, data, &array("salt"));
            assert_eq!(open_record(keyring(), ObjectKind::Mark, &object).as_deref(), Ok(data));
        }
    }
}

/// What somebody who has the keys could store.
fn object_of_plaintext(plain: &[u8]) -> Vec<u8> {
    let envelope = Envelope::create_with_salt(keyring(), ObjectKind::Snapshot, &array("salt"));
    let mut object = envelope.header().to_vec();
    let at = Envelope::begin_frame(&mut object);
    object.extend_from_slice(plain);
    envelope.seal_frame(FrameRole::Block, 0, &mut object, at);
    object
}
