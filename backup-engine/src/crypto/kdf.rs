//! Key derivation: HKDF-SHA-256 (RFC 5869) and Argon2id (RFC 9106).

use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::hkdf;
use zeroize::Zeroize;

use super::SecretKey;

/// How hard a password is made to guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordCost {
    /// Argon2id memory in KiB.
    pub memory_kib: u32,
    /// Argon2id passes.
    pub passes: u32,
    /// Argon2id lanes.
    pub lanes: u32,
}

impl PasswordCost {
    /// RFC 9106's second recommended option: 64 MiB, 3 passes, 4 lanes.
    pub const RECOMMENDED: Self = Self { memory_kib: 65_536, passes: 3, lanes: 4 };

    /// Whether these parameters are neither a downgrade nor a denial of service (format §4.1).
    pub fn is_acceptable(self) -> bool {
        (65_536..=4_194_304).contains(&self.memory_kib)
            && (3..=64).contains(&self.passes)
            && (1..=64).contains(&self.lanes)
    }
}

struct OkmLen(usize);

impl hkdf::KeyType for OkmLen {
    fn len(&self) -> usize {
        self.0
    }
}

/// HKDF-SHA-256 into `out`; `info` is the concatenation of its parts.
pub fn hkdf(ikm: &[u8], salt: &[u8], info: &[&[u8]], out: &mut [u8]) {
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(ikm);
    let okm = prk.expand(info, OkmLen(out.len())).expect("no output here is longer than 255 hashes");
    okm.fill(out).expect("the length is the one asked for");
}

/// HKDF-SHA-256 for one key.
pub fn hkdf_key(ikm: &[u8], salt: &[u8], info: &[&[u8]]) -> SecretKey {
    let mut bytes = [0; 32];
    hkdf(ikm, salt, info, &mut bytes);
    let key = SecretKey::from_bytes(&bytes);
    bytes.zeroize();
    key
}

/// HKDF-SHA-256 for a key and its commitment.
pub fn hkdf_committed(ikm: &[u8], salt: &[u8], info: &[&[u8]]) -> (SecretKey, [u8; 32]) {
    let mut bytes = [0; 64];
    hkdf(ikm, salt, info, &mut bytes);
    split(&mut bytes)
}

/// Argon2id for a key and its commitment.
///
/// Takes the memory it is told to for as long as it runs, and wipes it.
///
/// # Errors
/// Fails when the parameters are not acceptable.
pub fn argon2id(password: &[u8], salt: &[u8; 32], cost: PasswordCost) -> Result<(SecretKey, [u8; 32]), argon2::Error> {
    if !cost.is_acceptable() {
        return Err(argon2::Error::MemoryTooLittle);
    }
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(64))?;
    let mut memory = vec![Block::default(); params.block_count()];
    let mut bytes = [0; 64];
    let hashed = Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into_with_memory(
        password,
        salt,
        &mut bytes,
        &mut memory,
    );
    memory.iter_mut().for_each(Zeroize::zeroize);
    hashed?;
    Ok(split(&mut bytes))
}

fn split(bytes: &mut [u8; 64]) -> (SecretKey, [u8; 32]) {
    let (key, commitment) = bytes.split_at(32);
    let key = SecretKey::from_bytes(key.try_into().expect("32 bytes"));
    let commitment = commitment.try_into().expect("32 bytes");
    bytes.zeroize();
    (key, commitment)
}

/// Whether two commitments are equal, in constant time.
pub fn equal(a: &[u8; 32], b: &[u8; 32]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a, b).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::hex;

    #[test]
    fn hkdf_matches_rfc_5869_case_1() {
        let salt: Vec<u8> = (0..=0x0c).collect();
        let info: Vec<u8> = (0xf0..=0xf9).collect();
        let mut okm = [0; 42];
        hkdf(&[0x0b; 22], &salt, &[&info[..4], &info[4..]], &mut okm);
        assert_eq!(hex(&okm), "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
    }

    #[test]
    fn weak_and_absurd_password_parameters_are_refused() {
        let good = PasswordCost::RECOMMENDED;
        for bad in [
            PasswordCost { memory_kib: 65_535, ..good },
            PasswordCost { memory_kib: 4_194_305, ..good },
            PasswordCost { passes: 2, ..good },
            PasswordCost { passes: 65, ..good },
            PasswordCost { lanes: 0, ..good },
            PasswordCost { lanes: 65, ..good },
        ] {
            assert!(!bad.is_acceptable(), "{bad:?}");
            assert!(argon2id(b"x", &[0; 32], bad).is_err());
        }
    }
}
