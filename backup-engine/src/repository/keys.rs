//! Key slots of an open repository, and recovery codes.

use std::sync::Arc;

use backup_core::StorageBackend;
use zeroize::Zeroizing;

use super::Repository;
use super::init::put_epoch;
use super::open::{read_key_objects, slots};
use crate::crypto::code::{self, CodeKind};
use crate::crypto::escrow::EscrowPublicKey;
use crate::crypto::kdf::PasswordCost;
use crate::crypto::{Keyring, SecretKey, random, sha256};
use crate::error::RepositoryError;
use crate::format::slot::{SlotDerivation, SlotNote, SlotType, seal_escrow_slot, seal_slot};
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
    /// The public half of a key pair whose private half is kept elsewhere. Whoever adds it can't open the slot.
    Escrow(EscrowPublicKey),
}

impl NewKey {
    /// A password with the recommended cost.
    pub fn password(password: impl Into<String>) -> Self {
        Self::Password(Zeroizing::new(password.into()), PasswordCost::RECOMMENDED)
    }

    fn slot_type(&self) -> SlotType {
        match self {
            Self::Password(..) => SlotType::Password,
            Self::KeyFile(_) => SlotType::KeyFile,
            Self::Keyring(_) => SlotType::Keyring,
            Self::RecoveryCode(_) => SlotType::RecoveryKit,
            Self::Escrow(_) => SlotType::Escrow,
        }
    }

    /// The object of a new slot.
    fn seal(&self, keyring: &Keyring, note: &SlotNote) -> Vec<u8> {
        let (repository, root) = (keyring.repository(), keyring.root());
        let by = |derivation, secret| seal_slot(self.slot_type(), derivation, repository, secret, root, note);
        match self {
            Self::Password(password, cost) => by(SlotDerivation::Argon2id(*cost), password.as_bytes()),
            Self::KeyFile(key) | Self::Keyring(key) => by(SlotDerivation::Hkdf, key),
            Self::RecoveryCode(code) => by(SlotDerivation::Hkdf, &code[..]),
            Self::Escrow(public) => seal_escrow_slot(repository, *public, root, note),
        }
    }
}

impl std::fmt::Debug for NewKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NewKey({:?}, …)", self.slot_type())
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
    let object = key.seal(keyring, note);
    let digest = sha256(&object);
    let id = ObjectId::from_bytes(digest);
    put_immutable(backend, &layout::key_object(&id), object.into(), Some(digest)).await?;
    Ok(id)
}

/// A new recovery code: 256 random bits.
pub fn new_recovery_code() -> Zeroizing<[u8; 32]> {
    Zeroizing::new(random())
}

/// A recovery code as it is printed: fourteen groups of four letters, the last of them a checksum.
pub fn encode_recovery_code(secret: &[u8; 32]) -> Zeroizing<String> {
    code::encode(CodeKind::Recovery, secret)
}

/// The secret of a printed recovery code; spaces, dashes and upper case don't matter. `None` when it is mistyped.
pub fn decode_recovery_code(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    code::decode(CodeKind::Recovery, text)
}
