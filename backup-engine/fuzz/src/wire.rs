//! Numbers, lengths, counts.

use backup_engine::format::wire::{Cursor, put_bytes, put_varint, put_zigzag};

use super::bounded;

/// Reads values of the kinds that the first byte of each step names; what is read is written again and must be the same bytes.
pub(crate) fn run(data: &[u8]) {
    bounded(data.len() + 256, || {
        let mut cursor = Cursor::new(data, "fuzz");
        let mut again = Vec::with_capacity(16);
        while let Ok(kind) = cursor.u8() {
            let before = cursor.rest();
            again.clear();
            let read = match kind % 6 {
                0 => cursor.varint().map(|value| put_varint(&mut again, value)),
                1 => cursor.zigzag().map(|value| put_zigzag(&mut again, value)),
                2 => cursor.bytes().map(|bytes| put_bytes(&mut again, bytes)),
                3 => cursor.varint_u32().map(|value| put_varint(&mut again, u64::from(value))),
                4 => cursor.u32().map(|value| again.extend_from_slice(&value.to_le_bytes())),
                _ => cursor.count(usize::from(kind / 6)).map(|count| {
                    assert!(count.saturating_mul(usize::from(kind / 6)) <= cursor.rest().len());
                    put_varint(&mut again, count as u64);
                }),
            };
            if read.is_err() {
                break;
            }
            assert_eq!(again, before[..before.len() - cursor.rest().len()], "kind {kind}");
        }
    });
}
