//! Key bytes that leave memory when they are dropped.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// A 32-byte key. It can't be printed, compared or copied, and is overwritten when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretKey(Box<[u8; 32]>);

impl SecretKey {
    /// A key of these bytes; the caller's copy is the caller's to wipe.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(Box::new(*bytes))
    }

    /// A key of fresh randomness.
    pub fn generate() -> Self {
        let mut bytes = super::random::<32>();
        let key = Self::from_bytes(&bytes);
        bytes.zeroize();
        key
    }

    /// The bytes, for deriving and sealing.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(…)")
    }
}
