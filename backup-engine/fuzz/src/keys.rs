//! Key slots, epochs and recovery codes.

use backup_engine::format::slot::{KeySlot, SlotDerivation, SlotNote, key_object_kind, open_epoch};
use backup_engine::repository::keys::{decode_recovery_code, encode_recovery_code};

use super::bounded;
use super::document::{repository, root, vector};

/// The input is an object under `keys/`, a note, or a recovery code.
pub(crate) fn run(data: &[u8]) {
    let limit = 16 * data.len() + (64 << 10);
    bounded(limit, || {
        let _ = key_object_kind(data);
        let _ = open_epoch(data, repository(), &root());
        let _ = serde_json::from_slice::<SlotNote>(data);
    });
    if let Ok(slot) = bounded(limit, || KeySlot::decode(data)) {
        let _ = slot.note(&root());
        // A password's derivation takes what it says, up to 4 GiB.
        if !matches!(slot.derivation, SlotDerivation::Argon2id(_))
            && let Ok(Some(opened)) = slot.unlock(&vector("secret"))
        {
            assert_eq!(opened.expose(), root().expose());
        }
    }
    if let Some(secret) = std::str::from_utf8(data).ok().and_then(decode_recovery_code) {
        assert!(decode_recovery_code(&encode_recovery_code(&secret)).is_some_and(|again| again == secret));
    }
}
