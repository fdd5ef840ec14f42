//! Opening a repository.

use std::sync::Arc;

use backup_core::{ByteRange, Clock, ObjectKey, StorageBackend, StorageErrorKind};
use futures::TryStreamExt;
use zeroize::Zeroizing;

use super::Repository;
use crate::crypto::escrow::EscrowPrivateKey;
use crate::crypto::{Keyring, SecretKey, sha256};
use crate::error::RepositoryError;
use crate::format::config::UncheckedConfig;
use crate::format::slot::{EPOCH_KIND, KeySlot, SLOT_KIND, SlotType, key_object_kind, open_epoch};
use crate::format::{FormatError, ObjectKind, malformed};
use crate::id::RepositoryId;
use crate::layout;

/// What a repository is opened with. It can't be printed.
pub enum Unlock {
    /// A password.
    Password(Zeroizing<String>),
    /// The bytes of a key file, or the secret from a keyring.
    Key(Zeroizing<Vec<u8>>),
    /// The code of a recovery kit, as it is printed.
    RecoveryCode(Zeroizing<String>),
    /// The private half of a key pair.
    Escrow(EscrowPrivateKey),
}

impl std::fmt::Debug for Unlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Password(_) => "Unlock::Password(…)",
            Self::Key(_) => "Unlock::Key(…)",
            Self::RecoveryCode(_) => "Unlock::RecoveryCode(…)",
            Self::Escrow(_) => "Unlock::Escrow(…)",
        })
    }
}

impl Unlock {
    /// Opens with a password.
    pub fn password(password: impl Into<String>) -> Self {
        Self::Password(Zeroizing::new(password.into()))
    }

    fn fits(&self, slot: SlotType) -> bool {
        match self {
            Self::Password(_) => slot == SlotType::Password,
            Self::Key(_) => matches!(slot, SlotType::KeyFile | SlotType::Keyring),
            Self::RecoveryCode(_) => slot == SlotType::RecoveryKit,
            Self::Escrow(_) => slot == SlotType::Escrow,
        }
    }
}

/// Why a repository could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is none.
    #[error("there is no repository")]
    NotFound,
    /// `config` is gone, and the object that is named is there all the same.
    #[error("the repository has lost its `config`: `{0}` is there")]
    ConfigLost(ObjectKey),
    /// Only a part of `config` is there: making the repository was interrupted, or `config` was damaged later.
    #[error("`config` is cut off: the repository was not made to its end, or damaged")]
    TornConfig(#[source] FormatError),
    /// What is there is something else.
    #[error("this is not a repository")]
    NotARepository(#[source] FormatError),
    /// A newer program made it.
    #[error("the repository has format version {0}, which is newer than this program knows")]
    NewerVersion(u64),
    /// No slot opens with what was given.
    #[error("the password or key opens none of the repository's {slots} key slots")]
    WrongKey {
        /// How many slots there are.
        slots: usize,
    },
    /// The repository has lost its keys.
    #[error("the repository has no usable {0}")]
    KeysLost(&'static str),
    /// It could not be read.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

impl From<backup_core::StorageError> for OpenError {
    fn from(error: backup_core::StorageError) -> Self {
        Self::Repository(error.into())
    }
}

impl Repository {
    /// Opens a repository.
    ///
    /// Costs a request for `config`, a listing and a request for each key object, and the derivation of each slot that is tried:
    /// a password takes 64 MiB and about a tenth of a second for each.
    ///
    /// # Errors
    /// [`OpenError::NotFound`], [`OpenError::WrongKey`] and the others of [`OpenError`].
    pub async fn open(
        backend: Arc<dyn StorageBackend>,
        unlock: &Unlock,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let config = read_config(&*backend).await?;
        let objects = read_key_objects(&*backend).await?;
        let root = unlock_root(&objects, config.repository(), unlock)?;
        let mut keyring = Keyring::new(config.repository(), root);
        for (kind, object) in &objects {
            if *kind == EPOCH_KIND {
                match open_epoch(object, keyring.repository(), keyring.root()) {
                    Ok((epoch, key)) => keyring.add_epoch(epoch, key),
                    // A damaged or foreign epoch costs the objects sealed under it, which name it when they are read.
                    Err(error) => tracing::warn!(%error, "an epoch key can't be used"),
                }
            }
        }
        if keyring.newest_epoch().is_none() {
            return Err(OpenError::KeysLost("epoch key"));
        }
        let config = config.check(&keyring).map_err(|error| RepositoryError::format(&layout::config(), error))?;
        Ok(Self::assemble(backend, keyring, config, clock))
    }

    /// The object `config` as it is stored, to be kept elsewhere: a repository that has lost it opens no more.
    ///
    /// # Errors
    /// What the storage says, and what is wrong with the object when it was damaged since the repository was opened.
    pub async fn config_object(&self) -> Result<String, RepositoryError> {
        let key = layout::config();
        let object = self.store().backend().get(&key, ByteRange::Full).await?;
        let sound = UncheckedConfig::decode(&object).and_then(|config| config.check(self.store().keyring()));
        sound.map_err(|error| RepositoryError::format(&key, error))?;
        String::from_utf8(object.to_vec()).map_err(|_| RepositoryError::format(&key, malformed("config", "no text")))
    }
}

/// Reads `config`, which can't be authentic before the keys are known that it leads to.
///
/// # Errors
/// [`OpenError::NotFound`], [`OpenError::ConfigLost`], [`OpenError::TornConfig`], [`OpenError::NotARepository`], [`OpenError::NewerVersion`], or
/// what the storage says.
pub async fn read_config(backend: &dyn StorageBackend) -> Result<UncheckedConfig, OpenError> {
    let object = match backend.get(&layout::config(), ByteRange::Full).await {
        Ok(object) => object,
        Err(error) if error.kind() == StorageErrorKind::NotFound => {
            return Err(match trace_of_repository(backend).await? {
                Some(key) => OpenError::ConfigLost(key),
                None => OpenError::NotFound,
            });
        }
        Err(error) => return Err(error.into()),
    };
    UncheckedConfig::decode(&object).map_err(|error| match error {
        FormatError::NewerVersion { found } => OpenError::NewerVersion(found),
        error if UncheckedConfig::is_torn(&object) => OpenError::TornConfig(error),
        error => OpenError::NotARepository(error),
    })
}

/// An object that only a repository has and that is stored after its `config`; `None` where there is none. Keys are no such object:
/// making a repository that was interrupted leaves them.
pub(super) async fn trace_of_repository(backend: &dyn StorageBackend) -> Result<Option<ObjectKey>, RepositoryError> {
    let records = [ObjectKind::Snapshot, ObjectKind::Index].into_iter().filter_map(layout::records);
    for folder in records.chain([layout::packs()]) {
        let mut objects = backend.list(&folder);
        while let Some(object) = objects.try_next().await? {
            if layout::pack_of(&object.key).is_some() || layout::is_record(&object.key) {
                return Ok(Some(object.key));
            }
        }
    }
    Ok(None)
}

/// All key objects whose name is their hash, with their kind, in name order.
pub(super) async fn read_key_objects(backend: &dyn StorageBackend) -> Result<Vec<(u8, bytes::Bytes)>, RepositoryError> {
    let folder = layout::keys();
    let mut listed: Vec<_> = backend.list(&folder).try_collect().await?;
    listed.sort_by(|a, b| a.key.cmp(&b.key));
    let mut objects = Vec::new();
    for meta in listed {
        let object = match backend.get(&meta.key, ByteRange::Full).await {
            Ok(object) => object,
            // Removed between the listing and now.
            Err(error) if error.kind() == StorageErrorKind::NotFound => continue,
            Err(error) => return Err(error.into()),
        };
        let name = meta.key.name().parse::<crate::id::ObjectId>();
        match key_object_kind(&object) {
            Ok(kind) if name.is_ok_and(|id| *id.as_bytes() == sha256(&object)) => objects.push((kind, object)),
            Ok(_) => tracing::warn!(key = %meta.key, "a key object is damaged"),
            Err(error) => tracing::warn!(key = %meta.key, %error, "a key object is damaged"),
        }
    }
    Ok(objects)
}

/// The slots of a repository among its key objects.
pub(super) fn slots(objects: &[(u8, bytes::Bytes)], repository: RepositoryId) -> Vec<(crate::id::ObjectId, KeySlot)> {
    let slots = objects.iter().filter(|(kind, _)| *kind == SLOT_KIND);
    slots
        .filter_map(|(_, object)| {
            let slot = KeySlot::decode(object).ok().filter(|slot| slot.repository == repository)?;
            Some((crate::id::ObjectId::from_bytes(sha256(object)), slot))
        })
        .collect()
}

fn unlock_root(
    objects: &[(u8, bytes::Bytes)],
    repository: RepositoryId,
    unlock: &Unlock,
) -> Result<SecretKey, OpenError> {
    let slots = slots(objects, repository);
    if slots.is_empty() {
        let is_of_another = objects.iter().any(|(kind, object)| *kind == SLOT_KIND && KeySlot::decode(object).is_ok());
        if is_of_another {
            let error = malformed("config", "it names another repository than the key slots do");
            return Err(RepositoryError::format(&layout::config(), error).into());
        }
        return Err(OpenError::KeysLost("key slot"));
    }
    let decoded;
    let secret: &[u8] = match unlock {
        Unlock::Password(password) => password.as_bytes(),
        Unlock::Key(key) => key,
        Unlock::Escrow(private) => private.expose(),
        Unlock::RecoveryCode(code) => match super::keys::decode_recovery_code(code) {
            Some(bytes) => {
                decoded = bytes;
                &decoded[..]
            }
            None => return Err(OpenError::WrongKey { slots: slots.len() }),
        },
    };
    for (_, slot) in slots.iter().filter(|(_, slot)| unlock.fits(slot.slot_type)) {
        match slot.unlock(secret) {
            Ok(Some(root)) => return Ok(root),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "a key slot is damaged"),
        }
    }
    Err(OpenError::WrongKey { slots: slots.len() })
}
