//! Bytes of a file and what can be told of them.

use bytes::Bytes;
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// The bytes of a file with their checksums.
#[derive(Debug, Clone)]
pub(super) struct Content {
    pub(super) bytes: Bytes,
    pub(super) md5: String,
    pub(super) sha1: String,
    pub(super) sha256: String,
}

impl Content {
    pub(super) fn of(bytes: Bytes) -> Self {
        let (md5, sha1) = (hex(&Md5::digest(&bytes)), hex(&Sha1::digest(&bytes)));
        let sha256 = hex(&Sha256::digest(&bytes));
        Self { bytes, md5, sha1, sha256 }
    }

    pub(super) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
