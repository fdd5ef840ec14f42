//! One copy of a blob, as the index keeps it.

use super::BlobLocation;
use crate::id::BlobPrefix;

/// Length of a record in a file.
pub(super) const RECORD_BYTES: usize = 30;

/// Where one copy of one blob is. Ordered by prefix, then by place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Record {
    pub(super) prefix: BlobPrefix,
    pub(super) location: BlobLocation,
}

impl Record {
    pub(super) fn encode(&self) -> [u8; RECORD_BYTES] {
        let BlobLocation { pack, offset_bytes, sealed_bytes, number } = self.location;
        let mut out = [0; RECORD_BYTES];
        out[..16].copy_from_slice(&self.prefix.0);
        out[16..20].copy_from_slice(&pack.to_le_bytes());
        out[20..24].copy_from_slice(&offset_bytes.to_le_bytes());
        out[24..28].copy_from_slice(&sealed_bytes.to_le_bytes());
        out[28..].copy_from_slice(&number.to_le_bytes());
        out
    }

    pub(super) fn decode(bytes: &[u8; RECORD_BYTES]) -> Self {
        let [p0, p1, p2, p3, o0, o1, o2, o3, s0, s1, s2, s3, n0, n1] = *bytes.last_chunk().expect("14 of 30 bytes");
        Self {
            prefix: BlobPrefix(*bytes.first_chunk().expect("16 of 30 bytes")),
            location: BlobLocation {
                pack: u32::from_le_bytes([p0, p1, p2, p3]),
                offset_bytes: u32::from_le_bytes([o0, o1, o2, o3]),
                sealed_bytes: u32::from_le_bytes([s0, s1, s2, s3]),
                number: u16::from_le_bytes([n0, n1]),
            },
        }
    }
}

/// The records in a stretch of a file; what is left over at the end is ignored.
pub(super) fn decode_all(bytes: &[u8]) -> impl Iterator<Item = Record> {
    bytes.as_chunks().0.iter().map(Record::decode)
}

/// The first 64 bits of a prefix, by which records are spread evenly.
pub(super) fn top(prefix: BlobPrefix) -> u64 {
    u64::from_be_bytes(*prefix.0.first_chunk().expect("8 of 16 bytes"))
}
