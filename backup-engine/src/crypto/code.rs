//! 32 bytes as a code that people can copy: fourteen groups of four letters, with a checksum (format §4.3).

use zeroize::Zeroizing;

use super::sha256;

/// 32 letters and digits that are hard to mistake for one another; each carries five bits.
const ALPHABET: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz023456789";

/// Letters in a group.
const GROUP: usize = 4;

/// 256 bits take 52 letters; four more carry a checksum of twenty bits.
const LETTERS: usize = 56;

/// What a code stands for; its checksum tells one kind from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeKind {
    /// The secret of a recovery kit.
    Recovery,
    /// A private key kept elsewhere.
    EscrowPrivate,
    /// Its public key.
    EscrowPublic,
}

impl CodeKind {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::Recovery => b"backup.v1 recovery code",
            Self::EscrowPrivate => b"backup.v1 escrow private key",
            Self::EscrowPublic => b"backup.v1 escrow public key",
        }
    }

    fn checksum(self, bytes: &[u8; 32]) -> [u8; 3] {
        let message = Zeroizing::new([self.label(), bytes].concat());
        let digest = sha256(&message);
        [digest[0], digest[1], digest[2] & 0xf0]
    }
}

/// The code of some bytes as it is printed.
pub fn encode(kind: CodeKind, bytes: &[u8; 32]) -> Zeroizing<String> {
    // 256 bits, four zero bits, 20 bits of checksum: 280 bits.
    let mut bits = Zeroizing::new([0u8; 35]);
    bits[..32].copy_from_slice(bytes);
    let checksum = kind.checksum(bytes);
    bits[32] = checksum[0] >> 4;
    bits[33] = checksum[0] << 4 | checksum[1] >> 4;
    bits[34] = checksum[1] << 4 | checksum[2] >> 4;
    let mut text = Zeroizing::new(String::with_capacity(LETTERS + LETTERS / GROUP));
    for letter in 0..LETTERS {
        if letter > 0 && letter % GROUP == 0 {
            text.push('-');
        }
        let value = (0..5).fold(0u8, |value, bit| {
            let at = letter * 5 + bit;
            value << 1 | (bits[at / 8] >> (7 - at % 8) & 1)
        });
        text.push(char::from(ALPHABET[usize::from(value)]));
    }
    text
}

/// The bytes of a code; spaces, dashes and upper case don't matter. `None` when it is mistyped or of another kind.
pub fn decode(kind: CodeKind, text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let mut bits = Zeroizing::new([0u8; 35]);
    let mut letters = 0;
    for c in text.chars().filter(|c| !c.is_whitespace() && *c != '-') {
        let c = u8::try_from(c.to_ascii_lowercase()).ok()?;
        let value = ALPHABET.iter().position(|&letter| letter == c)?;
        if letters == LETTERS {
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
    let mut bytes = Zeroizing::new([0; 32]);
    bytes.copy_from_slice(&bits[..32]);
    let checksum = kind.checksum(&bytes);
    let expected = [checksum[0] >> 4, checksum[0] << 4 | checksum[1] >> 4, checksum[1] << 4 | checksum[2] >> 4];
    (letters == LETTERS && bits[32..] == expected).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [CodeKind; 3] = [CodeKind::Recovery, CodeKind::EscrowPrivate, CodeKind::EscrowPublic];

    #[test]
    fn code_comes_back_and_every_single_typo_is_found() {
        let bytes: [u8; 32] = std::array::from_fn(|i| u8::try_from(i * 31 % 256).unwrap());
        for kind in KINDS {
            let code = encode(kind, &bytes);
            assert_eq!(code.len(), 69);
            assert_eq!(*decode(kind, &code.to_uppercase().replace('-', " ")).unwrap(), bytes);
            for at in (0..code.len()).filter(|at| code.as_bytes()[*at] != b'-') {
                let mut typo = code.to_string().into_bytes();
                typo[at] = if typo[at] == b'a' { b'b' } else { b'a' };
                assert!(decode(kind, std::str::from_utf8(&typo).unwrap()).is_none(), "letter {at}");
            }
            assert!(decode(kind, "").is_none());
            assert!(decode(kind, &code[..64]).is_none());
            for other in KINDS.into_iter().filter(|other| *other != kind) {
                assert!(decode(other, &code).is_none(), "{kind:?} passes for {other:?}");
            }
        }
    }
}
