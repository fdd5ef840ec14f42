//! Key slots and epochs (§4).

use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use super::envelope::check_start;
use super::wire::Cursor;
use super::{FORMAT_VERSION, FormatError, MAGIC, malformed};
use crate::crypto::escrow::{self, EscrowPublicKey};
use crate::crypto::kdf::{self, PasswordCost};
use crate::crypto::{SealingKey, SecretKey, TAG_BYTES, random};
use crate::id::RepositoryId;

/// The kind number of a slot.
pub const SLOT_KIND: u8 = 16;

/// The kind number of an epoch.
pub const EPOCH_KIND: u8 = 17;

/// The longest note a slot may carry; it is a label, not a document.
const MAX_NOTE_BYTES: usize = 4096;

/// Length of a slot before its note.
const SLOT_BYTES: usize = 172;

/// Length of an epoch object.
const EPOCH_BYTES: usize = 160;

/// What opens a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SlotType {
    /// A password that a person knows.
    Password,
    /// A file of random bytes.
    KeyFile,
    /// A random code printed on paper.
    RecoveryKit,
    /// A random secret in the operating system's keyring.
    Keyring,
    /// A private key kept elsewhere.
    Escrow,
}

impl SlotType {
    const fn number(self) -> u8 {
        match self {
            Self::Password => 1,
            Self::KeyFile => 2,
            Self::RecoveryKit => 3,
            Self::Keyring => 4,
            Self::Escrow => 5,
        }
    }

    fn from_number(number: u8) -> Option<Self> {
        [Self::Password, Self::KeyFile, Self::RecoveryKit, Self::Keyring, Self::Escrow]
            .into_iter()
            .find(|slot| slot.number() == number)
    }
}

/// How the slot's key follows from the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotDerivation {
    /// For what a person can remember.
    Argon2id(PasswordCost),
    /// For secrets with 256 bits of entropy.
    Hkdf,
    /// For private keys kept elsewhere.
    X25519,
}

/// What a person may want to know about a slot; readable with the root key only.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SlotNote {
    /// A name given by a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// When it was made, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// On which host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// By whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// A decoded key slot.
#[derive(Debug, Clone)]
pub struct KeySlot {
    /// What opens it.
    pub slot_type: SlotType,
    /// How.
    pub derivation: SlotDerivation,
    /// The repository it belongs to.
    pub repository: RepositoryId,
    head: [u8; 88],
    salt: [u8; 32],
    commitment: [u8; 32],
    wrapped: [u8; 32 + TAG_BYTES],
    sealed_note: Vec<u8>,
}

fn slot_key(
    derivation: SlotDerivation,
    repository: RepositoryId,
    secret: &[u8],
    salt: &[u8; 32],
) -> Option<(SecretKey, [u8; 32])> {
    match derivation {
        SlotDerivation::Argon2id(cost) => kdf::argon2id(secret, salt, cost).ok(),
        SlotDerivation::Hkdf => Some(kdf::hkdf_committed(secret, salt, &[b"backup.v1 slot", repository.as_bytes()])),
        SlotDerivation::X25519 => escrow::open_slot_key(secret, salt, repository),
    }
}

fn note_key(root: &SecretKey, repository: RepositoryId, salt: &[u8; 32]) -> SealingKey {
    SealingKey::new(&kdf::hkdf_key(root.expose(), salt, &[b"backup.v1 slot-note", repository.as_bytes()]))
}

/// Makes the object of a new slot. With [`SlotDerivation::Argon2id`] it takes the time and memory of the cost.
///
/// # Panics
/// When the cost is not acceptable, which the caller has checked; for [`SlotDerivation::X25519`], which [`seal_escrow_slot`] does.
pub fn seal_slot(
    slot_type: SlotType,
    derivation: SlotDerivation,
    repository: RepositoryId,
    secret: &[u8],
    root: &SecretKey,
    note: &SlotNote,
) -> Vec<u8> {
    seal_slot_with_salt(slot_type, derivation, repository, secret, root, note, &random())
}

/// The same with a given salt, which must never be used twice; for test vectors.
pub fn seal_slot_with_salt(
    slot_type: SlotType,
    derivation: SlotDerivation,
    repository: RepositoryId,
    secret: &[u8],
    root: &SecretKey,
    note: &SlotNote,
    salt: &[u8; 32],
) -> Vec<u8> {
    assert!(derivation != SlotDerivation::X25519, "a slot for a key pair is sealed with its public half");
    let keys = slot_key(derivation, repository, secret, salt).expect("the caller has checked the cost");
    wrap((slot_type, derivation), repository, keys, root, note, salt)
}

/// Makes the object of a slot that the private half of a key pair opens.
pub fn seal_escrow_slot(
    repository: RepositoryId,
    recipient: EscrowPublicKey,
    root: &SecretKey,
    note: &SlotNote,
) -> Vec<u8> {
    seal_escrow_slot_with(repository, recipient, root, note, &SecretKey::generate())
}

/// The same with a given ephemeral private key, which must never be used twice; for test vectors.
pub fn seal_escrow_slot_with(
    repository: RepositoryId,
    recipient: EscrowPublicKey,
    root: &SecretKey,
    note: &SlotNote,
    ephemeral: &SecretKey,
) -> Vec<u8> {
    let keys = recipient.slot_key(ephemeral, repository);
    let kind = (SlotType::Escrow, SlotDerivation::X25519);
    wrap(kind, repository, keys, root, note, &escrow::public_of(ephemeral))
}

/// Puts a slot together around key and commitment.
fn wrap(
    (slot_type, derivation): (SlotType, SlotDerivation),
    repository: RepositoryId,
    (key, commitment): (SecretKey, [u8; 32]),
    root: &SecretKey,
    note: &SlotNote,
    salt: &[u8; 32],
) -> Vec<u8> {
    let (derivation_number, cost) = match derivation {
        SlotDerivation::Argon2id(cost) => (1, [cost.memory_kib, cost.passes, cost.lanes, 0]),
        SlotDerivation::Hkdf => (2, [0; 4]),
        SlotDerivation::X25519 => (3, [0; 4]),
    };
    let mut out = Vec::with_capacity(SLOT_BYTES + 256);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[FORMAT_VERSION, SLOT_KIND, slot_type.number(), derivation_number]);
    cost.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
    out.extend_from_slice(repository.as_bytes());
    out.extend_from_slice(salt);
    let head = out.clone();
    out.extend_from_slice(&commitment);
    let mut wrapped = root.expose().to_vec();
    SealingKey::new(&key).seal(0, &head, &mut wrapped, 0);
    out.extend_from_slice(&wrapped);
    let mut sealed_note = serde_json::to_vec(note).expect("a note is plain data");
    note_key(root, repository, salt).seal(0, &head, &mut sealed_note, 0);
    out.extend_from_slice(&u32::try_from(sealed_note.len()).expect("a note is short").to_le_bytes());
    out.extend_from_slice(&sealed_note);
    out
}

impl KeySlot {
    /// Decodes a slot object.
    pub fn decode(object: &[u8]) -> Result<Self, FormatError> {
        const WHAT: &str = "key slot";
        check_start(object, WHAT)?;
        let mut cursor = Cursor::new(object, WHAT);
        let head: [u8; 88] = cursor.clone().array()?;
        cursor.take(5)?;
        if cursor.u8()? != SLOT_KIND {
            return Err(malformed(WHAT, "another kind of object"));
        }
        let slot_type = SlotType::from_number(cursor.u8()?).ok_or_else(|| malformed(WHAT, "unknown slot type"))?;
        let derivation = cursor.u8()?;
        let cost = PasswordCost { memory_kib: cursor.u32()?, passes: cursor.u32()?, lanes: cursor.u32()? };
        let reserved = cursor.u32()?;
        let derivation = match (derivation, cost) {
            (1, cost) if cost.is_acceptable() => SlotDerivation::Argon2id(cost),
            (1, _) => return Err(malformed(WHAT, "password parameters too weak or absurdly strong")),
            (2, PasswordCost { memory_kib: 0, passes: 0, lanes: 0 }) => SlotDerivation::Hkdf,
            (3, PasswordCost { memory_kib: 0, passes: 0, lanes: 0 }) => SlotDerivation::X25519,
            _ => return Err(malformed(WHAT, "unknown derivation")),
        };
        if reserved != 0 {
            return Err(malformed(WHAT, "reserved bytes set"));
        }
        let repository = RepositoryId::from_bytes(cursor.array()?);
        let salt = cursor.array()?;
        let commitment = cursor.array()?;
        let wrapped = cursor.array()?;
        let note_bytes = cursor.u32()? as usize;
        if note_bytes > MAX_NOTE_BYTES {
            return Err(malformed(WHAT, "note too long"));
        }
        let sealed_note = cursor.take(note_bytes)?.to_vec();
        cursor.finish()?;
        Ok(Self { slot_type, derivation, repository, head, salt, commitment, wrapped, sealed_note })
    }

    /// The root key, if `secret` is this slot's. `Ok(None)` means another secret.
    ///
    /// Takes the time and memory of the derivation.
    ///
    /// # Errors
    /// `Authentication` when the secret is right and the slot is damaged.
    pub fn unlock(&self, secret: &[u8]) -> Result<Option<SecretKey>, FormatError> {
        let Some((key, commitment)) = slot_key(self.derivation, self.repository, secret, &self.salt) else {
            return Ok(None);
        };
        if !kdf::equal(&commitment, &self.commitment) {
            return Ok(None);
        }
        let mut wrapped = self.wrapped;
        let root =
            SealingKey::new(&key).open(0, &self.head, &mut wrapped).ok_or(FormatError::Authentication("key slot"))?;
        let root = SecretKey::from_bytes((&*root).try_into().map_err(|_| FormatError::Authentication("key slot"))?);
        wrapped.zeroize();
        Ok(Some(root))
    }

    /// The note, with the root key.
    pub fn note(&self, root: &SecretKey) -> Result<SlotNote, FormatError> {
        let mut sealed = self.sealed_note.clone();
        let plain = note_key(root, self.repository, &self.salt)
            .open(0, &self.head, &mut sealed)
            .ok_or(FormatError::Authentication("note of a key slot"))?;
        serde_json::from_slice(plain).map_err(|_| malformed("note of a key slot", "no valid JSON"))
    }
}

/// Makes the object of an epoch.
pub fn seal_epoch(epoch: u32, repository: RepositoryId, root: &SecretKey, key: &SecretKey) -> Vec<u8> {
    seal_epoch_with_salt(epoch, repository, root, key, &random())
}

/// The same with a given salt, which must never be used twice; for test vectors.
pub fn seal_epoch_with_salt(
    epoch: u32,
    repository: RepositoryId,
    root: &SecretKey,
    key: &SecretKey,
    salt: &[u8; 32],
) -> Vec<u8> {
    let mut out = Vec::with_capacity(EPOCH_BYTES);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[FORMAT_VERSION, EPOCH_KIND, 0, 0]);
    out.extend_from_slice(&epoch.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(repository.as_bytes());
    out.extend_from_slice(salt);
    let head = out.clone();
    let (wrapping, commitment) = epoch_wrapping(epoch, repository, root, salt);
    out.extend_from_slice(&commitment);
    let mut wrapped = key.expose().to_vec();
    SealingKey::new(&wrapping).seal(0, &head, &mut wrapped, 0);
    out.extend_from_slice(&wrapped);
    out
}

fn epoch_wrapping(epoch: u32, repository: RepositoryId, root: &SecretKey, salt: &[u8; 32]) -> (SecretKey, [u8; 32]) {
    kdf::hkdf_committed(root.expose(), salt, &[b"backup.v1 epoch", repository.as_bytes(), &epoch.to_le_bytes()])
}

/// Number and key of an epoch, from its object.
pub fn open_epoch(object: &[u8], repository: RepositoryId, root: &SecretKey) -> Result<(u32, SecretKey), FormatError> {
    const WHAT: &str = "epoch";
    check_start(object, WHAT)?;
    let object: &[u8; EPOCH_BYTES] = object.try_into().map_err(|_| malformed(WHAT, "not of the right length"))?;
    let mut cursor = Cursor::new(&object[5..], WHAT);
    let kind = cursor.u8()?;
    let reserved = cursor.array::<2>()?;
    let epoch = cursor.u32()?;
    let more_reserved = cursor.u32()?;
    if kind != EPOCH_KIND || reserved != [0; 2] || more_reserved != 0 || epoch == 0 {
        return Err(malformed(WHAT, "another kind of object, or reserved bytes set"));
    }
    if cursor.array()? != *repository.as_bytes() {
        return Err(malformed(WHAT, "of another repository"));
    }
    let salt = cursor.array()?;
    let commitment = cursor.array()?;
    let mut wrapped: [u8; 32 + TAG_BYTES] = cursor.array()?;
    let (wrapping, expected) = epoch_wrapping(epoch, repository, root, &salt);
    if !kdf::equal(&expected, &commitment) {
        return Err(FormatError::Authentication(WHAT));
    }
    let key =
        SealingKey::new(&wrapping).open(0, &object[..80], &mut wrapped).ok_or(FormatError::Authentication(WHAT))?;
    let key = SecretKey::from_bytes((&*key).try_into().map_err(|_| FormatError::Authentication(WHAT))?);
    wrapped.zeroize();
    Ok((epoch, key))
}

/// The repository that an epoch's object names; nothing vouches for it before the epoch was opened.
pub fn epoch_repository(object: &[u8]) -> Option<RepositoryId> {
    /// Magic, version, kind, reserved, epoch, reserved.
    const BEFORE: usize = 16;
    let bytes = object.get(BEFORE..).and_then(|rest| rest.first_chunk())?;
    Some(RepositoryId::from_bytes(*bytes))
}

/// Whether an object under `keys/` is a slot or an epoch, by its kind.
pub fn key_object_kind(object: &[u8]) -> Result<u8, FormatError> {
    check_start(object, "key object")?;
    object.get(5).copied().ok_or(FormatError::Truncated("key object"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPOSITORY: RepositoryId = RepositoryId::from_bytes([1; 32]);

    fn slot() -> (Vec<u8>, SecretKey) {
        let root = SecretKey::from_bytes(&[2; 32]);
        let note = SlotNote { label: Some("test".into()), ..SlotNote::default() };
        (seal_slot(SlotType::KeyFile, SlotDerivation::Hkdf, REPOSITORY, b"secret", &root, &note), root)
    }

    #[test]
    fn slot_opens_with_its_secret_only() {
        let (object, root) = slot();
        let slot = KeySlot::decode(&object).unwrap();
        assert_eq!(slot.unlock(b"secret").unwrap().unwrap().expose(), root.expose());
        assert!(slot.unlock(b"Secret").unwrap().is_none());
        assert_eq!(slot.note(&root).unwrap().label.as_deref(), Some("test"));
        assert!(slot.note(&SecretKey::generate()).is_err());
    }

    #[test]
    fn escrow_slot_opens_with_its_private_key_only_and_no_bit_may_flip() {
        use crate::crypto::escrow::EscrowPrivateKey;
        let (root, private) = (SecretKey::generate(), EscrowPrivateKey::generate());
        let seal = || seal_escrow_slot(REPOSITORY, private.public_key(), &root, &SlotNote::default());
        let object = seal();
        assert_ne!(object[56..], seal()[56..], "each slot has an ephemeral key of its own");
        let slot = KeySlot::decode(&object).unwrap();
        assert_eq!((slot.slot_type, slot.derivation), (SlotType::Escrow, SlotDerivation::X25519));
        assert_eq!(slot.unlock(private.expose()).unwrap().unwrap().expose(), root.expose());
        assert_eq!(slot.note(&root).unwrap(), SlotNote::default());
        for other in [&private.public_key().as_bytes()[..], &[7; 32], b"short", b""] {
            assert!(slot.unlock(other).unwrap().is_none());
        }
        for at in 0..168 {
            let mut damaged = object.clone();
            // X25519 ignores the highest bit of a public key; it is authenticated all the same.
            damaged[at] ^= 0x80;
            let Ok(slot) = KeySlot::decode(&damaged) else { continue };
            assert!(!matches!(slot.unlock(private.expose()), Ok(Some(_))), "byte {at}");
        }
    }

    #[test]
    fn password_slot_opens_with_its_password_only() {
        let root = SecretKey::generate();
        let cost = SlotDerivation::Argon2id(PasswordCost::RECOMMENDED);
        let object = seal_slot(SlotType::Password, cost, REPOSITORY, b"pw", &root, &SlotNote::default());
        let slot = KeySlot::decode(&object).unwrap();
        assert_eq!(slot.unlock(b"pw").unwrap().unwrap().expose(), root.expose());
        assert!(slot.unlock(b"pw ").unwrap().is_none());
    }

    #[test]
    fn every_flipped_bit_of_a_slot_keeps_the_root_key_away() {
        let (object, root) = slot();
        for at in 0..object.len() {
            for bit in 0..8 {
                let mut damaged = object.clone();
                damaged[at] ^= 1 << bit;
                let Ok(slot) = KeySlot::decode(&damaged) else { continue };
                if let Ok(Some(_)) = slot.unlock(b"secret") {
                    assert!(at >= 168 && slot.note(&root).is_err(), "bit {bit} of byte {at}");
                }
            }
        }
    }

    #[test]
    fn epoch_opens_with_its_root_only_and_no_bit_may_flip() {
        let root = SecretKey::generate();
        let key = SecretKey::generate();
        let object = seal_epoch(7, REPOSITORY, &root, &key);
        let (epoch, opened) = open_epoch(&object, REPOSITORY, &root).unwrap();
        assert_eq!((epoch, opened.expose()), (7, key.expose()));
        assert!(open_epoch(&object, REPOSITORY, &SecretKey::generate()).is_err());
        for at in 0..object.len() {
            let mut damaged = object.clone();
            damaged[at] ^= 1;
            assert!(open_epoch(&damaged, REPOSITORY, &root).is_err(), "byte {at}");
        }
    }

    #[test]
    fn weakened_password_parameters_are_refused_before_any_work() {
        let (mut object, _) = slot();
        object[7] = 1;
        object[8..12].copy_from_slice(&1024u32.to_le_bytes());
        object[12..16].copy_from_slice(&1u32.to_le_bytes());
        object[16..20].copy_from_slice(&1u32.to_le_bytes());
        assert!(matches!(KeySlot::decode(&object), Err(FormatError::Malformed { .. })));
    }
}
