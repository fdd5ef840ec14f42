//! Stored bytes and the vendor's checksum of them.

use bytes::Bytes;
use sha2::{Digest, Sha256};

/// Bytes in one block of the checksum.
const BLOCK_BYTES: usize = 4 << 20;

/// The `content_hash` of Dropbox: SHA-256 over the SHA-256s of blocks of 4 MiB, in lower-case hexadecimal.
pub fn content_hash(bytes: &[u8]) -> String {
    let mut whole = Sha256::new();
    for block in bytes.chunks(BLOCK_BYTES) {
        whole.update(Sha256::digest(block));
    }
    hexadecimal(&whole.finalize())
}

/// Lower-case hexadecimal digits.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of one revision of a file.
#[derive(Clone, Debug)]
pub(super) struct Content {
    pub(super) bytes: Bytes,
    pub(super) hash: String,
}

impl Content {
    /// Bytes with their checksum.
    pub(super) fn new(bytes: Bytes) -> Self {
        let hash = content_hash(&bytes);
        Self { bytes, hash }
    }

    /// The bytes of pieces in their order.
    pub(super) fn of_pieces<'a>(pieces: impl IntoIterator<Item = &'a Bytes>) -> Self {
        let mut pieces = pieces.into_iter();
        let first = pieces.next().cloned().unwrap_or_default();
        let Some(second) = pieces.next() else { return Self::new(first) };
        let mut whole = first.to_vec();
        for piece in std::iter::once(second).chain(pieces) {
            whole.extend_from_slice(piece);
        }
        Self::new(whole.into())
    }

    /// How many bytes there are.
    pub(super) fn size_bytes(&self) -> u64 {
        len_bytes(&self.bytes)
    }
}

/// The length of bytes as the vendor counts it.
pub(super) fn len_bytes(bytes: &[u8]) -> u64 {
    bytes.len().try_into().expect("lengths in memory fit into 64 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_of_one_block_is_the_hash_of_its_hash() {
        assert_eq!(content_hash(b"abc"), hexadecimal(&Sha256::digest(Sha256::digest(b"abc"))));
    }

    #[test]
    fn hash_of_nothing_is_the_hash_of_no_blocks() {
        assert_eq!(content_hash(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    #[test]
    fn blocks_end_after_four_mebibytes() {
        let bytes = vec![7; BLOCK_BYTES + 1];
        let two = [Sha256::digest(&bytes[..BLOCK_BYTES]), Sha256::digest(&bytes[BLOCK_BYTES..])].concat();
        assert_eq!(content_hash(&bytes), hexadecimal(&Sha256::digest(two)));
    }

    #[test]
    fn pieces_are_put_together_in_order() {
        let pieces = [Bytes::from_static(b"ab"), Bytes::new(), Bytes::from_static(b"c")];
        assert_eq!(Content::of_pieces(&pieces).bytes, "abc");
        assert_eq!(Content::of_pieces(&pieces[..1]).bytes, "ab");
        assert_eq!(Content::of_pieces(&[]).bytes, "");
    }
}
