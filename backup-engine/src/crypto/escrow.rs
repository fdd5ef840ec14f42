//! Key pairs of which only the public half is needed to let the private one open a repository (X25519, RFC 7748).

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use zeroize::Zeroizing;

use super::code::{self, CodeKind};
use super::{SecretKey, kdf};
use crate::id::RepositoryId;

/// The public half: whoever has it can let the private half open a repository, and can open nothing.
///
/// ```
/// use backup_engine::crypto::escrow::{EscrowPrivateKey, EscrowPublicKey};
///
/// let private = EscrowPrivateKey::generate();
/// let public: EscrowPublicKey = private.public_key().to_string().parse()?;
/// assert_eq!(public, private.public_key());
/// # Ok::<(), backup_engine::crypto::escrow::InvalidEscrowKey>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EscrowPublicKey([u8; 32]);

/// The private half. It can't be printed; [`to_code`](Self::to_code) is for the file or paper that it is kept on.
pub struct EscrowPrivateKey(SecretKey);

/// A text that is no key of a pair: mistyped, cut off, or the other half.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected an escrow key: fourteen groups of four letters and digits, the last ones a checksum")]
pub struct InvalidEscrowKey;

impl EscrowPublicKey {
    /// The key with these bytes, unless nothing can be agreed upon with it, as with the few points of small order.
    pub fn from_bytes(bytes: [u8; 32]) -> Option<Self> {
        let key = Self(bytes);
        let probe = EscrowPrivateKey::generate();
        agreed(&probe.0, &bytes).map(|_| key)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Key and commitment of a slot for this key, from the private half of a pair made for that slot alone.
    pub(crate) fn slot_key(self, ephemeral: &SecretKey, repository: RepositoryId) -> (SecretKey, [u8; 32]) {
        let public = public_of(ephemeral);
        let shared = agreed(ephemeral, &self.0).expect("a key of small order was refused when it was made");
        derived(&shared, &public, &self.0, repository)
    }
}

impl EscrowPrivateKey {
    /// A new key pair.
    pub fn generate() -> Self {
        Self(SecretKey::generate())
    }

    /// The key with these bytes; any will do.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(SecretKey::from_bytes(bytes))
    }

    /// The public half.
    pub fn public_key(&self) -> EscrowPublicKey {
        EscrowPublicKey(public_of(&self.0))
    }

    /// The key as it is kept: a code with a checksum.
    pub fn to_code(&self) -> Zeroizing<String> {
        code::encode(CodeKind::EscrowPrivate, self.0.expose())
    }

    /// The key that a file holds: its code, and lines for people that begin with `#`.
    ///
    /// # Errors
    /// When there is no such code, or more than that.
    pub fn parse(text: &str) -> Result<Self, InvalidEscrowKey> {
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
        let code = Zeroizing::new(lines.concat());
        let bytes = code::decode(CodeKind::EscrowPrivate, &code).ok_or(InvalidEscrowKey)?;
        Ok(Self::from_bytes(&bytes))
    }

    pub(crate) fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }
}

/// Key and commitment of a slot that was made with an ephemeral public key; `None` where that is of small order.
pub(crate) fn open_slot_key(
    private: &[u8],
    ephemeral: &[u8; 32],
    repository: RepositoryId,
) -> Option<(SecretKey, [u8; 32])> {
    let private = SecretKey::from_bytes(private.try_into().ok()?);
    let public = public_of(&private);
    let shared = agreed(&private, ephemeral)?;
    Some(derived(&shared, ephemeral, &public, repository))
}

/// What both sides compute, each from its private key and the other's public one.
fn agreed(private: &SecretKey, peer: &[u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
    let private = PrivateKey::from_private_key(&X25519, private.expose()).ok()?;
    // Fails where the result is zero, as RFC 7748 §6.1 wants.
    agree(&private, UnparsedPublicKey::new(&X25519, peer), (), |shared| {
        shared.try_into().map(Zeroizing::new).map_err(|_| ())
    })
    .ok()
}

fn derived(
    shared: &[u8; 32],
    ephemeral: &[u8; 32],
    public: &[u8; 32],
    repository: RepositoryId,
) -> (SecretKey, [u8; 32]) {
    let salt = [ephemeral.as_slice(), public].concat();
    kdf::hkdf_committed(shared, &salt, &[b"backup.v1 escrow", repository.as_bytes()])
}

/// The public key of a private one.
pub(crate) fn public_of(private: &SecretKey) -> [u8; 32] {
    let private = PrivateKey::from_private_key(&X25519, private.expose()).expect("any 32 bytes are a private key");
    let public = private.compute_public_key().expect("a private key has a public one");
    public.as_ref().try_into().expect("a public key has 32 bytes")
}

impl fmt::Display for EscrowPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&code::encode(CodeKind::EscrowPublic, &self.0))
    }
}

impl FromStr for EscrowPublicKey {
    type Err = InvalidEscrowKey;

    fn from_str(text: &str) -> Result<Self, InvalidEscrowKey> {
        let bytes = code::decode(CodeKind::EscrowPublic, text).ok_or(InvalidEscrowKey)?;
        Self::from_bytes(*bytes).ok_or(InvalidEscrowKey)
    }
}

impl fmt::Debug for EscrowPrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EscrowPrivateKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_agree_upon_a_key_and_nobody_else_does() {
        let repository = RepositoryId::from_bytes([1; 32]);
        let (private, ephemeral) = (EscrowPrivateKey::generate(), SecretKey::generate());
        let (sealed, commitment) = private.public_key().slot_key(&ephemeral, repository);
        let public = public_of(&ephemeral);
        let (opened, again) = open_slot_key(private.expose(), &public, repository).unwrap();
        assert_eq!((sealed.expose(), commitment), (opened.expose(), again));
        let (_, other) = open_slot_key(EscrowPrivateKey::generate().expose(), &public, repository).unwrap();
        assert_ne!(commitment, other);
        let (_, other) = open_slot_key(private.expose(), &public, RepositoryId::from_bytes([2; 32])).unwrap();
        assert_ne!(commitment, other);
    }

    #[test]
    fn keys_of_small_order_are_refused() {
        let mut one = [0; 32];
        one[0] = 1;
        for bytes in [[0; 32], one] {
            assert_eq!(EscrowPublicKey::from_bytes(bytes), None);
            let text = code::encode(CodeKind::EscrowPublic, &bytes);
            assert_eq!(text.parse::<EscrowPublicKey>(), Err(InvalidEscrowKey));
            assert!(open_slot_key(&[9; 32], &bytes, RepositoryId::from_bytes([1; 32])).is_none());
        }
        assert!(open_slot_key(&[9; 31], &[9; 32], RepositoryId::from_bytes([1; 32])).is_none());
    }

    #[test]
    fn private_key_comes_back_from_its_file_and_never_from_its_public_half() {
        let private = EscrowPrivateKey::generate();
        let file = format!("# for people\n\n{}\n  # more\n", *private.to_code());
        assert_eq!(EscrowPrivateKey::parse(&file).unwrap().expose(), private.expose());
        let public = private.public_key();
        for other in [public.to_string(), String::new(), "# nothing".to_owned(), format!("{file}x")] {
            assert!(EscrowPrivateKey::parse(&other).is_err(), "{other}");
        }
        assert!(private.to_code().parse::<EscrowPublicKey>().is_err());
        assert!(!format!("{private:?}").contains(&private.to_code()[..9]));
    }
}
