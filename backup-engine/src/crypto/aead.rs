//! AES-256-GCM with counted nonces.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use super::SecretKey;

/// Length of the authentication tag that sealing appends.
pub const TAG_BYTES: usize = 16;

/// A key that seals each ordinal at most once; the caller keeps to that.
pub struct SealingKey(LessSafeKey);

impl SealingKey {
    /// A sealing key of these bytes.
    pub fn new(key: &SecretKey) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, key.expose()).expect("the key has the algorithm's length");
        Self(LessSafeKey::new(key))
    }

    fn nonce(ordinal: u32) -> Nonce {
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&ordinal.to_le_bytes());
        Nonce::assume_unique_for_key(bytes)
    }

    /// Encrypts `buffer[from..]` in place and appends the tag.
    pub fn seal(&self, ordinal: u32, aad: &[u8], buffer: &mut Vec<u8>, from: usize) {
        let tag = self
            .0
            .seal_in_place_separate_tag(Self::nonce(ordinal), Aad::from(aad), &mut buffer[from..])
            .expect("no sealed part is longer than the algorithm's 64 GiB");
        buffer.extend_from_slice(tag.as_ref());
    }

    /// Decrypts `sealed` in place; returns the plaintext, or `None` when it is not authentic.
    pub fn open<'a>(&self, ordinal: u32, aad: &[u8], sealed: &'a mut [u8]) -> Option<&'a mut [u8]> {
        self.0.open_in_place(Self::nonce(ordinal), Aad::from(aad), sealed).ok()
    }
}

impl std::fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealingKey(…)")
    }
}
