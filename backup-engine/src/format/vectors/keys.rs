//! Derivations, slots, epochs, records.

use super::{assert_is, bytes, id, keyring, repository, secret_key, text};
use crate::chunker::ChunkerParameters;
use crate::compress::{Compressor, DEFAULT_LEVEL};
use crate::crypto::escrow::EscrowPrivateKey;
use crate::crypto::kdf::{self, PasswordCost};
use crate::crypto::sha256;
use crate::format::config::{RepositoryConfig, UncheckedConfig};
use crate::format::envelope::{Envelope, open_record, put_payload, seal_record_with_salt};
use crate::format::envelope::{FRAME_PREFIX_BYTES, FramePrefix, FrameRole, HEADER_BYTES};
use crate::format::index::IndexSegment;
use crate::format::slot::{KeySlot, SlotDerivation, SlotNote, SlotType};
use crate::format::slot::{open_epoch, seal_epoch_with_salt, seal_escrow_slot_with, seal_slot_with_salt};
use crate::format::{BlobType, ObjectKind};
use crate::repository::keys::{decode_recovery_code, encode_recovery_code};

#[test]
fn keys_follow_from_the_root_as_documented() {
    for (name, info) in [
        ("id-key", "backup.v1 blob-id"),
        ("chunker-key", "backup.v1 chunker"),
        ("config-key", "backup.v1 config"),
        ("log-key", "backup.v1 log"),
    ] {
        assert_is(name, kdf::hkdf_key(bytes("root"), bytes("rid"), &[info.as_bytes()]).expose());
    }
}

#[test]
fn blob_ids_are_as_documented() {
    let keyring = keyring();
    for (name, blob_type) in
        [("blob type 1", BlobType::Data), ("blob type 2", BlobType::Tree), ("blob type 3", BlobType::List)]
    {
        assert_is(name, keyring.hasher().id(blob_type, b"hello").as_bytes());
        assert_is(name, keyring.hasher().id_of_digest(blob_type, &id("blob sha256")).as_bytes());
    }
}

#[test]
fn config_is_as_documented() {
    let keyring = keyring();
    let config = RepositoryConfig::new(repository(), "2026-11-21T08:44:17Z".to_owned(), ChunkerParameters::default());
    let object = config.encode(&keyring);
    let documented = format!("{}\n{}\n", text("config line"), crate::id::hex(bytes("config mac")));
    assert_eq!(String::from_utf8(object).unwrap(), documented);
    assert_eq!(UncheckedConfig::decode(documented.as_bytes()).unwrap().check(&keyring), Ok(config));
}

fn slot(slot_type: SlotType, derivation: SlotDerivation, secret: &[u8]) -> Vec<u8> {
    let note: SlotNote = serde_json::from_str(text("slot note")).unwrap();
    seal_slot_with_salt(slot_type, derivation, repository(), secret, &secret_key("root"), &note, &id("salt"))
}

#[test]
fn slot_by_hkdf_is_as_documented() {
    let object = slot(SlotType::KeyFile, SlotDerivation::Hkdf, bytes("secret"));
    assert_is("hkdf-slot object", &object);
    let parts = [
        (88..120, "hkdf-slot commitment"),
        (120..168, "hkdf-slot wrapped"),
        (172..object.len(), "hkdf-slot sealed-note"),
    ];
    for (range, name) in parts {
        assert_is(name, &object[range]);
    }
    let (key, commitment) =
        kdf::hkdf_committed(bytes("secret"), bytes("salt"), &[b"backup.v1 slot", repository().as_bytes()]);
    assert_is("hkdf-slot key", key.expose());
    assert_is("hkdf-slot commitment", commitment);
    let note_key = kdf::hkdf_key(bytes("root"), bytes("salt"), &[b"backup.v1 slot-note", repository().as_bytes()]);
    assert_is("hkdf-slot note-key", note_key.expose());

    let slot = KeySlot::decode(bytes("hkdf-slot object")).unwrap();
    assert_is("root", slot.unlock(bytes("secret")).unwrap().unwrap().expose());
    assert_eq!(serde_json::to_string(&slot.note(&secret_key("root")).unwrap()).unwrap(), text("slot note"));
}

#[test]
fn slot_by_argon2id_is_as_documented() {
    let password = text("password").as_bytes();
    let derivation = SlotDerivation::Argon2id(PasswordCost::RECOMMENDED);
    assert_is("argon2id-slot object", slot(SlotType::Password, derivation, password));
    let slot = KeySlot::decode(bytes("argon2id-slot object")).unwrap();
    assert_is("root", slot.unlock(password).unwrap().unwrap().expose());
}

#[test]
fn slot_by_x25519_is_as_documented() {
    let (private, ephemeral) = (EscrowPrivateKey::from_bytes(&id("secret")), secret_key("salt"));
    let public = private.public_key();
    assert_is("escrow public", public.as_bytes());
    let note: SlotNote = serde_json::from_str(text("slot note")).unwrap();
    let object = seal_escrow_slot_with(repository(), public, &secret_key("root"), &note, &ephemeral);
    assert_is("escrow-slot object", &object);
    assert_is("escrow ephemeral", &object[56..88]);
    assert_is("escrow commitment", &object[88..120]);
    assert_is("escrow-slot wrapped", &object[120..168]);
    let (key, commitment) = public.slot_key(&ephemeral, repository());
    assert_is("escrow key", key.expose());
    assert_is("escrow commitment", commitment);
    let info: [&[u8]; 2] = [b"backup.v1 slot-note", bytes("rid")];
    let note_key = kdf::hkdf_key(bytes("root"), bytes("escrow ephemeral"), &info);
    assert_is("escrow-slot note-key", note_key.expose());

    let slot = KeySlot::decode(bytes("escrow-slot object")).unwrap();
    assert_is("root", slot.unlock(bytes("secret")).unwrap().unwrap().expose());
    assert_eq!(serde_json::to_string(&slot.note(&secret_key("root")).unwrap()).unwrap(), text("slot note"));
}

#[test]
fn codes_of_escrow_keys_are_as_documented() {
    let private = EscrowPrivateKey::from_bytes(&id("secret"));
    assert_eq!(*private.to_code(), text("escrow-private-key"));
    assert_eq!(private.public_key().to_string(), text("escrow-public-key"));
    assert_is("secret", EscrowPrivateKey::parse(text("escrow-private-key")).unwrap().expose());
    assert_eq!(text("escrow-public-key").parse(), Ok(private.public_key()));
}

#[test]
fn recovery_code_is_as_documented() {
    assert_eq!(*encode_recovery_code(&id("secret")), text("recovery-code"));
    assert_eq!(*decode_recovery_code(text("recovery-code")).unwrap(), id("secret"));
}

#[test]
fn epoch_is_as_documented() {
    let (root, key) = (secret_key("root"), secret_key("epoch-key"));
    assert_is("epoch object", seal_epoch_with_salt(1, repository(), &root, &key, &id("salt")));
    let (epoch, opened) = open_epoch(bytes("epoch object"), repository(), &root).unwrap();
    assert_eq!(epoch, 1);
    assert_is("epoch-key", opened.expose());
    let info: [&[u8]; 3] = [b"backup.v1 epoch", bytes("rid"), &1u32.to_le_bytes()];
    let (wrapping, commitment) = kdf::hkdf_committed(bytes("root"), bytes("salt"), &info);
    assert_is("epoch wrapping-key", wrapping.expose());
    assert_is("epoch commitment", commitment);
}

#[test]
fn sealed_record_is_as_documented() {
    let keyring = keyring();
    let payload = bytes("record payload");
    let compressor = &mut Compressor::new(DEFAULT_LEVEL);
    let mut plaintext = Vec::new();
    put_payload(compressor, payload, &mut plaintext);
    assert_is("record plaintext", &plaintext);
    let object = seal_record_with_salt(&keyring, ObjectKind::Index, compressor, payload, &id("salt"));
    assert_is("record object", &object);
    assert_is("record name", sha256(&object));
    assert_is("record commitment", &object[48..HEADER_BYTES]);
    assert_eq!(open_record(&keyring, ObjectKind::Index, bytes("record object")).unwrap(), payload);
    assert_eq!(IndexSegment::decode(payload), Ok(IndexSegment::default()));
}

/// The parts of a seal that no function of ours shows, put together as the document says.
#[test]
fn nonce_and_associated_data_of_a_record_are_as_documented() {
    use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
    let info: [&[u8]; 3] = [b"backup.v1 object", bytes("rid"), &bytes("record object")[4..16]];
    let (key, commitment) = kdf::hkdf_committed(bytes("epoch-key"), bytes("salt"), &info);
    assert_is("record key", key.expose());
    assert_is("record commitment", commitment);
    let frame = &bytes("record object")[HEADER_BYTES..];
    let prefix = FramePrefix::decode(frame).unwrap();
    assert_eq!((prefix.role, prefix.ordinal), (FrameRole::Block, 0));
    let mut sealed = frame[FRAME_PREFIX_BYTES..].to_vec();
    assert_eq!(sealed.len(), usize::try_from(prefix.sealed_bytes).unwrap());
    let mut again = sealed.clone();
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.expose()).unwrap());
    let nonce = Nonce::try_assume_unique_for_key(bytes("record nonce")).unwrap();
    assert_is("record plaintext", key.open_in_place(nonce, Aad::from(bytes("record aad")), &mut sealed).unwrap());
    let envelope = Envelope::open(&keyring(), ObjectKind::Index, bytes("record object")).unwrap();
    assert_is("record plaintext", envelope.open_frame(prefix, &mut again).unwrap());
}

#[test]
fn gear_table_is_as_documented() {
    let table = keyring().gear_table();
    for number in [0, 1, 2, 3, 255] {
        assert_is(&format!("gear {number}"), table[number].to_be_bytes());
    }
}
