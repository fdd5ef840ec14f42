//! Key slots of an open repository, and recovery codes.

use std::sync::Arc;

use backup_core::StorageBackend;
use zeroize::Zeroizing;

use super::Repository;
use super::init::put_epoch;
use super::open::{read_key_objects, slots};
use crate::crypto::kdf::PasswordCost;
use crate::crypto::{Keyring, SecretKey, random, sha256};
use crate::error::RepositoryError;
use crate::format::slot::{SlotDerivation, SlotNote, SlotType, seal_slot};
use crate::id::ObjectId;
use crate::layout;
use crate::store::{ObjectStore, put_immutable};

/// A secret that a new key slot is made for. It can't be printed.
pub enum NewKey {
    /// A password and how hard it is made to guess.
    Password(Zeroizing<String>, PasswordCost),
    /// The bytes of a key file; at least 32 bytes of randomness.
    KeyFile(Zeroizing<Vec<u8>>),
    /// A secret kept in the operating system's keyring; at least 32 bytes of randomness.
    Keyring(Zeroizing<Vec<u8>>),
    /// A recovery code; see [`new_recovery_code`].
    RecoveryCode(Zeroizing<[u8; 32]>),
}

impl NewKey {
    /// A password with the recommended cost.
    pub fn password(password: impl Into<String>) -> Self {
        Self::Password(Zeroizing::new(password.into()), PasswordCost::RECOMMENDED)
    }

    fn parts(&self) -> (SlotType, SlotDerivation, &[u8]) {
        match self {
            Self::Password(password, cost) => {
                (SlotType::Password, SlotDerivation::Argon2id(*cost), password.as_bytes())
            }
            Self::KeyFile(key) => (SlotType::KeyFile, SlotDerivation::Hkdf, key),
            Self::Keyring(key) => (SlotType::Keyring, SlotDerivation::Hkdf, key),
            Self::RecoveryCode(code) => (SlotType::RecoveryKit, SlotDerivation::Hkdf, &code[..]),
        }
    }
}

impl std::fmt::Debug for NewKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NewKey({:?}, …)", self.parts().0)
    }
}

/// A key slot as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySlotInfo {
    /// The slot's id.
    pub id: ObjectId,
    /// What opens it.
    pub slot_type: SlotType,
    /// What is noted with it; empty when the note is damaged.
    pub note: SlotNote,
}

/// Why a key slot could not be changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// No slot has that id.
    #[error("there is no key slot `{0}`")]
    NotFound(String),
    /// Several slots begin with that.
    #[error("several key slots begin with `{0}`")]
    Ambiguous(String),
    /// Without it nobody could open the repository.
    #[error("this is the last key slot: without it nobody could open the repository")]
    LastSlot,
    /// The repository failed.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

impl Repository {
    /// All key slots, in id order.
    pub async fn list_keys(&self) -> Result<Vec<KeySlotInfo>, RepositoryError> {
        let keyring = self.store().keyring();
        let objects = read_key_objects(&**self.store().backend()).await?;
        let slots = slots(&objects, keyring.repository()).into_iter();
        Ok(slots
            .map(|(id, slot)| KeySlotInfo {
                id,
                slot_type: slot.slot_type,
                note: slot.note(keyring.root()).unwrap_or_default(),
            })
            .collect())
    }

    /// Adds a slot that opens the repository with another secret.
    pub async fn add_key(&self, key: &NewKey, note: &SlotNote) -> Result<ObjectId, RepositoryError> {
        put_slot(&**self.store().backend(), self.store().keyring(), key, note).await
    }

    /// Removes the slot whose id begins with `id`.
    ///
    /// Whoever has seen the root key with that slot's secret can still read what the repository holds: removing a slot is no cure for
    /// a key that leaked.
    ///
    /// # Errors
    /// [`KeyError::LastSlot`] rather than locking everybody out.
    pub async fn remove_key(&self, id: &str) -> Result<ObjectId, KeyError> {
        let slots = self.list_keys().await?;
        let mut found = slots.iter().filter(|slot| !id.is_empty() && slot.id.to_string().starts_with(id));
        let slot = match (found.next(), found.next()) {
            (Some(slot), None) => slot,
            (Some(_), Some(_)) => return Err(KeyError::Ambiguous(id.to_owned())),
            (None, _) => return Err(KeyError::NotFound(id.to_owned())),
        };
        if slots.len() == 1 {
            return Err(KeyError::LastSlot);
        }
        self.store().backend().delete(&layout::key_object(&slot.id)).await.map_err(RepositoryError::from)?;
        Ok(slot.id)
    }

    /// Begins a new key epoch: what this repository writes from now on is sealed under a new key.
    ///
    /// So does everybody who opens it afterwards. Clones that were made before, and operations that are under way, go on with the old
    /// epoch, which stays readable: an object is never sealed under two epochs.
    ///
    /// # Errors
    /// What the storage says; the old epoch is then still in use.
    pub async fn rotate_epoch(&mut self) -> Result<u32, RepositoryError> {
        let mut keyring = Keyring::clone(self.store().keyring());
        let epoch = keyring.newest_epoch().unwrap_or(0) + 1;
        let key = SecretKey::generate();
        put_epoch(&**self.store().backend(), &keyring, epoch, &key).await?;
        keyring.add_epoch(epoch, key);
        self.store = ObjectStore::new(Arc::clone(self.store.backend()), Arc::new(keyring));
        Ok(epoch)
    }
}

/// Stores a slot. Deriving a password's key blocks for as long as its cost says.
pub(super) async fn put_slot(
    backend: &dyn StorageBackend,
    keyring: &Keyring,
    key: &NewKey,
    note: &SlotNote,
) -> Result<ObjectId, RepositoryError> {
    let (slot_type, derivation, secret) = key.parts();
    let object = seal_slot(slot_type, derivation, keyring.repository(), secret, keyring.root(), note);
    let digest = sha256(&object);
    let id = ObjectId::from_bytes(digest);
    put_immutable(backend, &layout::key_object(&id), object.into(), Some(digest)).await?;
    Ok(id)
}

/// 32 letters and digits that are hard to mistake for one another; each carries five bits.
const CODE_ALPHABET: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz023456789";

/// Letters in a group of a printed code.
const CODE_GROUP: usize = 4;

/// 256 bits take 52 letters; four more carry a checksum of twenty bits.
const CODE_LETTERS: usize = 56;

/// A new recovery code: 256 random bits.
pub fn new_recovery_code() -> Zeroizing<[u8; 32]> {
    Zeroizing::new(random())
}

fn code_checksum(secret: &[u8; 32]) -> [u8; 3] {
    let digest = sha256(&[b"backup.v1 recovery code".as_slice(), secret].concat());
    [digest[0], digest[1], digest[2] & 0xf0]
}

/// A recovery code as it is printed: fourteen groups of four letters, the last of them a checksum.
pub fn encode_recovery_code(secret: &[u8; 32]) -> Zeroizing<String> {
    // 256 bits, four zero bits, 20 bits of checksum: 280 bits.
    let mut bits = Zeroizing::new([0u8; 35]);
    bits[..32].copy_from_slice(secret);
    let checksum = code_checksum(secret);
    bits[32] = checksum[0] >> 4;
    bits[33] = checksum[0] << 4 | checksum[1] >> 4;
    bits[34] = checksum[1] << 4 | checksum[2] >> 4;
    let mut text = Zeroizing::new(String::with_capacity(CODE_LETTERS + CODE_LETTERS / CODE_GROUP));
    for letter in 0..CODE_LETTERS {
        if letter > 0 && letter % CODE_GROUP == 0 {
            text.push('-');
        }
        let value = (0..5).fold(0u8, |value, bit| {
            let at = letter * 5 + bit;
            value << 1 | (bits[at / 8] >> (7 - at % 8) & 1)
        });
        text.push(char::from(CODE_ALPHABET[usize::from(value)]));
    }
    text
}

/// The secret of a printed recovery code; spaces, dashes and upper case don't matter. `None` when it is mistyped.
pub fn decode_recovery_code(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let mut bits = Zeroizing::new([0u8; 35]);
    let mut letters = 0;
    for c in text.chars().filter(|c| !c.is_whitespace() && *c != '-') {
        let c = u8::try_from(c.to_ascii_lowercase()).ok()?;
        let value = CODE_ALPHABET.iter().position(|&letter| letter == c)?;
        if letters == CODE_LETTERS {
            return None;
        }
        for bit in 0..5 {
            let at = letters * 5 + bit;
            if value >> (4 - bit) & 1 == 1 {
                bits[at / 8] |= 1 << (7 - at % 8);
            }
        }
        letters += 1;
    }
    let mut secret = Zeroizing::new([0; 32]);
    secret.copy_from_slice(&bits[..32]);
    (letters == CODE_LETTERS && *encode_recovery_code(&secret) == canonical(text)).then_some(secret)
}

fn canonical(text: &str) -> String {
    let letters: Vec<char> =
        text.chars().filter(|c| !c.is_whitespace() && *c != '-').map(|c| c.to_ascii_lowercase()).collect();
    letters.chunks(CODE_GROUP).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recovery_code_comes_back_and_every_single_typo_is_found() {
        let secret: [u8; 32] = std::array::from_fn(|i| u8::try_from(i * 31 % 256).unwrap());
        let code = encode_recovery_code(&secret);
        assert_eq!(code.len(), 69);
        assert_eq!(*decode_recovery_code(&code.to_uppercase().replace('-', " ")).unwrap(), secret);
        for at in (0..code.len()).filter(|at| code.as_bytes()[*at] != b'-') {
            let mut typo = code.to_string().into_bytes();
            typo[at] = if typo[at] == b'a' { b'b' } else { b'a' };
            assert!(decode_recovery_code(std::str::from_utf8(&typo).unwrap()).is_none(), "letter {at}");
        }
        assert!(decode_recovery_code("").is_none());
        assert!(decode_recovery_code(&code[..64]).is_none());
    }
}
