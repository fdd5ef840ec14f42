//! Cryptography: derivation, sealing, keyed hashing. Nothing here knows of files or storage.

mod aead;
pub mod code;
pub mod escrow;
pub mod kdf;
pub mod keyring;
pub mod secret;
pub mod two_lane;

pub use aead::{SealingKey, TAG_BYTES};
pub use keyring::{BlobHasher, Keyring, ObjectKeys};
pub use secret::SecretKey;

use sha2::{Digest, Sha256};

/// SHA-256 of bytes.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Fills an array from the operating system's randomness.
///
/// # Panics
/// When the operating system has no randomness to give: no key may be made then.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives randomness");
    bytes
}
