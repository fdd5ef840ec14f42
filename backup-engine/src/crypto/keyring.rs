//! The keys of one open repository.

use std::collections::BTreeMap;

use aws_lc_rs::hmac;
use sha2::{Digest, Sha256};

use super::{SealingKey, SecretKey, kdf};
use crate::format::BlobType;
use crate::id::{BlobId, RepositoryId};

/// Everything derived from the root key, and the epochs it unwraps (format §4).
#[derive(Debug, Clone)]
pub struct Keyring {
    repository: RepositoryId,
    root: SecretKey,
    hasher: BlobHasher,
    epochs: BTreeMap<u32, Vec<SecretKey>>,
}

/// Computes blob ids.
#[derive(Clone)]
pub struct BlobHasher(hmac::Key);

/// The key of one object, and what commits to it.
#[derive(Debug)]
pub struct ObjectKeys {
    /// Seals and opens the object's frames.
    pub key: SealingKey,
    /// Stands in the object's header.
    pub commitment: [u8; 32],
}

impl Keyring {
    /// The keys that follow from a root key; epochs are added after.
    pub fn new(repository: RepositoryId, root: SecretKey) -> Self {
        let id_key = kdf::hkdf_key(root.expose(), repository.as_bytes(), &[b"backup.v1 blob-id"]);
        let hasher = BlobHasher(hmac::Key::new(hmac::HMAC_SHA256, id_key.expose()));
        Self { repository, root, hasher, epochs: BTreeMap::new() }
    }

    /// Which repository these keys belong to.
    pub fn repository(&self) -> RepositoryId {
        self.repository
    }

    /// The root key, for wrapping it in slots.
    pub fn root(&self) -> &SecretKey {
        &self.root
    }

    /// What computes blob ids.
    pub fn hasher(&self) -> &BlobHasher {
        &self.hasher
    }

    /// Adds an epoch's key; two keys may share a number after a race.
    pub fn add_epoch(&mut self, epoch: u32, key: SecretKey) {
        self.epochs.entry(epoch).or_default().push(key);
    }

    /// The epoch that writers use: the highest there is.
    pub fn newest_epoch(&self) -> Option<u32> {
        self.epochs.keys().next_back().copied()
    }

    /// Keys for a new object with a fresh salt in the newest epoch.
    ///
    /// `bound` are header bytes 4..16, the epoch among them.
    ///
    /// # Panics
    /// When no epoch was added; an open repository has one.
    pub fn seal_keys(&self, bound: &[u8; 12], salt: &[u8; 32]) -> ObjectKeys {
        let keys = self.epochs.values().next_back().and_then(|keys| keys.first());
        self.derive(keys.expect("an open repository has an epoch"), bound, salt)
    }

    /// Keys for an existing object, found by its commitment; `None` when no epoch key commits to it.
    pub fn open_keys(
        &self,
        epoch: u32,
        bound: &[u8; 12],
        salt: &[u8; 32],
        commitment: &[u8; 32],
    ) -> Option<ObjectKeys> {
        self.epochs
            .get(&epoch)?
            .iter()
            .map(|key| self.derive(key, bound, salt))
            .find(|keys| kdf::equal(&keys.commitment, commitment))
    }

    /// Whether an epoch with this number is known.
    pub fn has_epoch(&self, epoch: u32) -> bool {
        self.epochs.contains_key(&epoch)
    }

    fn derive(&self, epoch_key: &SecretKey, bound: &[u8; 12], salt: &[u8; 32]) -> ObjectKeys {
        let info: [&[u8]; 3] = [b"backup.v1 object", self.repository.as_bytes(), bound];
        let (key, commitment) = kdf::hkdf_committed(epoch_key.expose(), salt, &info);
        ObjectKeys { key: SealingKey::new(&key), commitment }
    }

    /// The 256 numbers that the content-defined chunker mixes (format §12).
    pub fn gear_table(&self) -> Box<[u64; 256]> {
        let chunker = kdf::hkdf_key(self.root.expose(), self.repository.as_bytes(), &[b"backup.v1 chunker"]);
        let mut bytes = [0; 2048];
        kdf::hkdf(chunker.expose(), self.repository.as_bytes(), &[b"backup.v1 gear"], &mut bytes);
        let mut table = Box::new([0; 256]);
        for (number, chunk) in table.iter_mut().zip(bytes.chunks_exact(8)) {
            *number = u64::from_le_bytes(chunk.try_into().expect("8 bytes"));
        }
        table
    }

    /// Authenticates the first line of `config` (format §3).
    pub fn config_mac(&self, line: &[u8]) -> [u8; 32] {
        let key = kdf::hkdf_key(self.root.expose(), self.repository.as_bytes(), &[b"backup.v1 config"]);
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.expose()), line);
        tag.as_ref().try_into().expect("HMAC-SHA-256 has 32 bytes")
    }
}

impl BlobHasher {
    /// The id of a blob.
    pub fn id(&self, blob_type: BlobType, plaintext: &[u8]) -> BlobId {
        self.id_of_digest(blob_type, &Sha256::digest(plaintext).into())
    }

    /// The id of a blob whose SHA-256 is known.
    pub fn id_of_digest(&self, blob_type: BlobType, digest: &[u8; 32]) -> BlobId {
        let mut message = [0; 33];
        message[0] = blob_type.number();
        message[1..].copy_from_slice(digest);
        let tag = hmac::sign(&self.0, &message);
        BlobId::from_bytes(tag.as_ref().try_into().expect("HMAC-SHA-256 has 32 bytes"))
    }
}

impl std::fmt::Debug for BlobHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BlobHasher(…)")
    }
}
