//! Bytes that are easy to make, different for each number, and hard to hit by accident.

use bytes::Bytes;

/// `len` pseudo-random bytes; the same for the same number.
pub(crate) fn bytes(number: u64, len: usize) -> Bytes {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bd1_e995;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = state;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        out.extend_from_slice(&(x ^ (x >> 31)).to_le_bytes());
    }
    out.truncate(len);
    out.into()
}

/// Where two byte strings differ, in words.
pub(crate) fn difference(got: &[u8], expected: &[u8]) -> String {
    let common = got.iter().zip(expected).take_while(|(a, b)| a == b).count();
    format!("got {} bytes, expected {}; equal up to byte {common}", got.len(), expected.len())
}
