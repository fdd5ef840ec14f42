//! Bytes that are easy to make, different for each number, and hard to hit by accident.

use bytes::Bytes;

use crate::random::Random;

/// Bytes that are made one by one; the rest repeats them, each time with a number of its own.
const BLOCK: usize = 4 << 10;

/// `len` bytes that look random and differ between numbers and between blocks; the same for the same number.
pub(crate) fn bytes(number: u64, len: usize) -> Bytes {
    let mut random = Random::new(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bd1_e995);
    let mut block = Vec::with_capacity(BLOCK);
    while block.len() < BLOCK.min(len) {
        block.extend_from_slice(&random.number().to_le_bytes());
    }
    let mut out = Vec::with_capacity(len + BLOCK);
    for count in 0_u64.. {
        if out.len() >= len {
            break;
        }
        let start = out.len();
        out.extend_from_slice(&block);
        // The first block stays as it is, so that short contents are random throughout.
        for (byte, mark) in out[start..].iter_mut().zip(count.to_le_bytes()) {
            *byte ^= mark;
        }
    }
    out.truncate(len);
    out.into()
}

/// Where two byte strings differ, in words.
pub(crate) fn difference(got: &[u8], expected: &[u8]) -> String {
    let common = got.iter().zip(expected).take_while(|(a, b)| a == b).count();
    format!("got {} bytes, expected {}; equal up to byte {common}", got.len(), expected.len())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn contents_differ_between_numbers_and_blocks_and_are_prefixes_of_longer_ones() {
        let one = bytes(1, 100_001);
        assert_eq!(one.len(), 100_001);
        assert_eq!(one, bytes(1, 100_001));
        assert_eq!(bytes(1, 5_003), one[..5_003]);
        let blocks: BTreeSet<&[u8]> = one.chunks_exact(BLOCK).collect();
        assert_eq!(blocks.len(), 100_001 / BLOCK);
        let short: BTreeSet<Bytes> = (0..1_000).map(|number| bytes(number, 10)).collect();
        assert_eq!(short.len(), 1_000);
    }
}
