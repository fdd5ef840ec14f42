//! The header of sealed objects and the frames that follow it (§5).

use super::wire::{Cursor, put_varint};
use super::{FORMAT_VERSION, FormatError, MAGIC, ObjectKind, malformed};
use crate::compress::{Codec, Compressor, Decompressor};
use crate::crypto::{Keyring, ObjectKeys, SealingKey, TAG_BYTES, random};
use crate::id::RepositoryId;

/// Length of the header.
pub const HEADER_BYTES: usize = 80;

/// Length of what stands before the sealed part of a frame.
pub const FRAME_PREFIX_BYTES: usize = 12;

/// The longest payload of a sealed object that is no pack; bounds what a decoder allocates.
pub const MAX_RECORD_BYTES: usize = 64 << 20;

/// The only key type of version 1.
const KEY_TYPE_EPOCH: u8 = 1;

/// Which frame of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameRole {
    /// A block of blobs, or an object's only frame.
    Block,
    /// A pack's footer.
    Footer,
}

impl FrameRole {
    const fn magic(self) -> [u8; 4] {
        match self {
            Self::Block => *b"BLK1",
            Self::Footer => *b"FTR1",
        }
    }

    const fn number(self) -> u8 {
        match self {
            Self::Block => 0,
            Self::Footer => 1,
        }
    }
}

/// What stands in clear before a frame's sealed part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FramePrefix {
    /// Block or footer.
    pub role: FrameRole,
    /// The frame's number, which is its nonce.
    pub ordinal: u32,
    /// Length of the sealed part.
    pub sealed_bytes: u32,
}

impl FramePrefix {
    /// Decodes a prefix.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut cursor = Cursor::new(bytes, "frame");
        let magic: [u8; 4] = cursor.array()?;
        let role = [FrameRole::Block, FrameRole::Footer]
            .into_iter()
            .find(|role| role.magic() == magic)
            .ok_or_else(|| cursor.malformed("no frame begins here"))?;
        Ok(Self { role, ordinal: cursor.u32()?, sealed_bytes: cursor.u32()? })
    }
}

/// Seals the frames of one new object, or opens those of an existing one.
#[derive(Debug)]
pub struct Envelope {
    header: [u8; HEADER_BYTES],
    key: SealingKey,
    /// Repository id and bound header bytes, the beginning of every frame's associated data.
    aad: [u8; 44],
}

fn bound_bytes(kind: ObjectKind, epoch: u32) -> [u8; 12] {
    let mut bound = [0; 12];
    bound[0] = FORMAT_VERSION;
    bound[1] = kind.number();
    bound[2] = KEY_TYPE_EPOCH;
    bound[4..8].copy_from_slice(&epoch.to_le_bytes());
    bound
}

fn aad_start(repository: RepositoryId, bound: &[u8; 12]) -> [u8; 44] {
    let mut aad = [0; 44];
    aad[..32].copy_from_slice(repository.as_bytes());
    aad[32..].copy_from_slice(bound);
    aad
}

/// Refuses bytes that are no object of ours, and objects of newer versions.
pub(super) fn check_start(bytes: &[u8], what: &'static str) -> Result<(), FormatError> {
    let Some(&[m0, m1, m2, m3, version]) = bytes.first_chunk::<5>() else {
        return Err(FormatError::Truncated(what));
    };
    if [m0, m1, m2, m3] != MAGIC {
        return Err(malformed(what, "not an object of this format"));
    }
    match version {
        FORMAT_VERSION => Ok(()),
        0 => Err(malformed(what, "version 0")),
        newer => Err(FormatError::NewerVersion { found: u64::from(newer) }),
    }
}

impl Envelope {
    /// A new object with a fresh salt.
    pub fn create(keyring: &Keyring, kind: ObjectKind) -> Self {
        Self::create_with_salt(keyring, kind, &random())
    }

    /// A new object with a given salt, which must never be used twice; for test vectors.
    pub fn create_with_salt(keyring: &Keyring, kind: ObjectKind, salt: &[u8; 32]) -> Self {
        let epoch = keyring.newest_epoch().expect("an open repository has an epoch");
        let bound = bound_bytes(kind, epoch);
        let ObjectKeys { key, commitment } = keyring.seal_keys(&bound, salt);
        let mut header = [0; HEADER_BYTES];
        header[..4].copy_from_slice(&MAGIC);
        header[4..16].copy_from_slice(&bound);
        header[16..48].copy_from_slice(salt);
        header[48..].copy_from_slice(&commitment);
        Self { header, key, aad: aad_start(keyring.repository(), &bound) }
    }

    /// An existing object of an expected kind, from its first bytes.
    pub fn open(keyring: &Keyring, kind: ObjectKind, bytes: &[u8]) -> Result<Self, FormatError> {
        check_start(bytes, "object header")?;
        let header: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(FormatError::Truncated("object header"))?;
        let mut cursor = Cursor::new(&header[4..], "object header");
        let bound: [u8; 12] = cursor.array()?;
        let salt: [u8; 32] = cursor.array()?;
        let commitment: [u8; 32] = cursor.array()?;
        let epoch = u32::from_le_bytes([bound[4], bound[5], bound[6], bound[7]]);
        if bound[1] != kind.number() {
            return Err(malformed("object header", "not of the expected kind"));
        }
        if bound != bound_bytes(kind, epoch) {
            return Err(malformed("object header", "unknown key type or reserved bytes set"));
        }
        match keyring.open_keys(epoch, &bound, &salt, &commitment) {
            Some(keys) => Ok(Self { header: *header, key: keys.key, aad: aad_start(keyring.repository(), &bound) }),
            None if keyring.has_epoch(epoch) => Err(FormatError::Authentication("object header")),
            None => Err(FormatError::UnknownEpoch(epoch)),
        }
    }

    /// The header's bytes.
    pub fn header(&self) -> &[u8; HEADER_BYTES] {
        &self.header
    }

    fn aad(&self, role: FrameRole, ordinal: u32) -> [u8; 49] {
        let mut aad = [0; 49];
        aad[..44].copy_from_slice(&self.aad);
        aad[44..48].copy_from_slice(&ordinal.to_le_bytes());
        aad[48] = role.number();
        aad
    }

    /// Leaves room in `buffer` for a frame's prefix; the plaintext is appended after.
    pub fn begin_frame(buffer: &mut Vec<u8>) -> usize {
        let at = buffer.len();
        buffer.extend_from_slice(&[0; FRAME_PREFIX_BYTES]);
        at
    }

    /// Seals the frame begun at `at`, whose plaintext is everything after its prefix. No ordinal may be used twice.
    pub fn seal_frame(&self, role: FrameRole, ordinal: u32, buffer: &mut Vec<u8>, at: usize) {
        let plain_from = at + FRAME_PREFIX_BYTES;
        let sealed = u32::try_from(buffer.len() - plain_from + TAG_BYTES).expect("no frame is longer than 4 GiB");
        buffer[at..at + 4].copy_from_slice(&role.magic());
        buffer[at + 4..at + 8].copy_from_slice(&ordinal.to_le_bytes());
        buffer[at + 8..plain_from].copy_from_slice(&sealed.to_le_bytes());
        self.key.seal(ordinal, &self.aad(role, ordinal), buffer, plain_from);
    }

    /// Opens a frame's sealed part in place.
    pub fn open_frame<'a>(&self, prefix: FramePrefix, sealed: &'a mut [u8]) -> Result<&'a mut [u8], FormatError> {
        let what = match prefix.role {
            FrameRole::Block => "block",
            FrameRole::Footer => "pack footer",
        };
        self.key
            .open(prefix.ordinal, &self.aad(prefix.role, prefix.ordinal), sealed)
            .ok_or(FormatError::Authentication(what))
    }
}

/// Appends `codec ‖ varint length ‖ payload`.
pub fn put_payload(compressor: &mut Compressor, payload: &[u8], out: &mut Vec<u8>) {
    let codec_at = out.len();
    out.push(0);
    put_varint(out, payload.len() as u64);
    out[codec_at] = compressor.append(payload, out).number();
}

/// Decodes `codec ‖ varint length ‖ payload`.
pub fn get_payload(decompressor: &mut Decompressor, bytes: &[u8]) -> Result<Vec<u8>, FormatError> {
    let mut cursor = Cursor::new(bytes, "record");
    let codec = Codec::from_number(cursor.u8()?)?;
    let raw_len = usize::try_from(cursor.varint()?).map_err(|_| cursor.malformed("too long"))?;
    if raw_len > MAX_RECORD_BYTES {
        return Err(cursor.malformed("too long"));
    }
    let mut payload = Vec::new();
    decompressor.extract(codec, cursor.rest(), raw_len, &mut payload)?;
    Ok(payload)
}

/// A whole object of one frame around a payload.
pub fn seal_record(keyring: &Keyring, kind: ObjectKind, compressor: &mut Compressor, payload: &[u8]) -> Vec<u8> {
    seal_record_with_salt(keyring, kind, compressor, payload, &random())
}

/// The same with a given salt, which must never be used twice; for test vectors.
pub fn seal_record_with_salt(
    keyring: &Keyring,
    kind: ObjectKind,
    compressor: &mut Compressor,
    payload: &[u8],
    salt: &[u8; 32],
) -> Vec<u8> {
    let envelope = Envelope::create_with_salt(keyring, kind, salt);
    let mut object = envelope.header().to_vec();
    let at = Envelope::begin_frame(&mut object);
    put_payload(compressor, payload, &mut object);
    envelope.seal_frame(FrameRole::Block, 0, &mut object, at);
    object
}

/// The payload of a whole object of one frame.
pub fn open_record(keyring: &Keyring, kind: ObjectKind, object: &[u8]) -> Result<Vec<u8>, FormatError> {
    let envelope = Envelope::open(keyring, kind, object)?;
    let frame = &object[HEADER_BYTES..];
    let prefix = FramePrefix::decode(frame)?;
    let sealed = &frame[FRAME_PREFIX_BYTES..];
    if prefix.role != FrameRole::Block || prefix.ordinal != 0 || sealed.len() as u64 != u64::from(prefix.sealed_bytes) {
        return Err(malformed("record", "not exactly one frame"));
    }
    let mut sealed = sealed.to_vec();
    let plain = envelope.open_frame(prefix, &mut sealed)?;
    get_payload(&mut Decompressor::new(), plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compress::DEFAULT_LEVEL;
    use crate::crypto::SecretKey;

    fn keyring() -> Keyring {
        let mut keyring = Keyring::new(RepositoryId::from_bytes([1; 32]), SecretKey::from_bytes(&[2; 32]));
        keyring.add_epoch(1, SecretKey::from_bytes(&[3; 32]));
        keyring
    }

    fn record(keyring: &Keyring) -> Vec<u8> {
        seal_record(keyring, ObjectKind::Snapshot, &mut Compressor::new(DEFAULT_LEVEL), b"some payload, some payload")
    }

    #[test]
    fn record_comes_back() {
        let keyring = keyring();
        let object = record(&keyring);
        assert_eq!(open_record(&keyring, ObjectKind::Snapshot, &object).unwrap(), b"some payload, some payload");
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_refused() {
        let keyring = keyring();
        let object = record(&keyring);
        for at in 0..object.len() {
            for bit in 0..8 {
                let mut damaged = object.clone();
                damaged[at] ^= 1 << bit;
                assert!(open_record(&keyring, ObjectKind::Snapshot, &damaged).is_err(), "bit {bit} of byte {at}");
            }
            assert!(open_record(&keyring, ObjectKind::Snapshot, &object[..at]).is_err(), "first {at} bytes");
        }
        let mut longer = object;
        longer.push(0);
        assert!(open_record(&keyring, ObjectKind::Snapshot, &longer).is_err());
    }

    #[test]
    fn record_opens_as_no_other_kind_repository_or_epoch() {
        let keyring = keyring();
        let object = record(&keyring);
        assert!(open_record(&keyring, ObjectKind::Index, &object).is_err());
        let mut other = Keyring::new(RepositoryId::from_bytes([9; 32]), SecretKey::from_bytes(&[2; 32]));
        other.add_epoch(1, SecretKey::from_bytes(&[3; 32]));
        assert!(open_record(&other, ObjectKind::Snapshot, &object).is_err());
        let mut later = Keyring::new(RepositoryId::from_bytes([1; 32]), SecretKey::from_bytes(&[2; 32]));
        later.add_epoch(2, SecretKey::from_bytes(&[3; 32]));
        assert_eq!(open_record(&later, ObjectKind::Snapshot, &object), Err(FormatError::UnknownEpoch(1)));
    }

    #[test]
    fn newer_version_is_named() {
        let keyring = keyring();
        let mut object = record(&keyring);
        object[4] = 2;
        let error = open_record(&keyring, ObjectKind::Snapshot, &object).unwrap_err();
        assert_eq!(error, FormatError::NewerVersion { found: 2 });
    }

    #[test]
    fn salts_differ_between_objects() {
        let keyring = keyring();
        assert_ne!(record(&keyring)[16..48], record(&keyring)[16..48]);
    }
}
