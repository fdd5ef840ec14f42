//! Compression of blocks and records: zstd, or nothing where nothing is gained.

use zstd::zstd_safe::{CParameter, Strategy};

use crate::format::{FormatError, malformed};

/// How a payload stands in the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// As it is.
    Stored,
    /// As one zstd frame.
    Zstd,
}

impl Codec {
    /// The codec's number in the repository.
    pub const fn number(self) -> u8 {
        match self {
            Self::Stored => 0,
            Self::Zstd => 1,
        }
    }

    /// The codec with a number.
    pub fn from_number(number: u8) -> Result<Self, FormatError> {
        match number {
            0 => Ok(Self::Stored),
            1 => Ok(Self::Zstd),
            _ => Err(malformed("codec", "unknown number")),
        }
    }
}

/// The default zstd level: past it, time grows much faster than ratio.
pub const DEFAULT_LEVEL: i32 = 3;

/// How many entries the table of the default level has, as a power of two: it fits a core's caches beside the data.
const TABLE_LOG: u32 = 16;

/// The shortest match that the default level looks for.
const MIN_MATCH_BYTES: u32 = 5;

/// The share of a payload that compression must save, as a divisor: at least 1/32.
const WORTHWHILE_DIVISOR: usize = 32;

/// A payload below this many bytes is compressed without asking: the probe would cost as much.
const PROBE_MIN_BYTES: usize = 64 * 1024;

/// Memory for a larger payload is given back after use: few payloads are so large, and every thread has several such buffers.
pub const MAX_KEPT_BYTES: usize = 4 << 20;

/// A compressor with its tables, to be used again and again by one thread.
pub struct Compressor {
    zstd: zstd::bulk::Compressor<'static>,
}

impl Compressor {
    /// A compressor of a zstd level, 1 to 19.
    pub fn new(level: i32) -> Self {
        let mut zstd = zstd::bulk::Compressor::new(level.clamp(1, 19)).expect("zstd takes every level from 1 to 19");
        if level == DEFAULT_LEVEL {
            // One table instead of zstd's own two: blocks are large enough to make up for it (decision 0011).
            let fast = CParameter::Strategy(Strategy::ZSTD_fast);
            for parameter in [fast, CParameter::HashLog(TABLE_LOG), CParameter::MinMatch(MIN_MATCH_BYTES)] {
                zstd.set_parameter(parameter).expect("zstd takes these parameters");
            }
        }
        Self { zstd }
    }

    /// Appends `raw` to `out`, compressed where that saves enough, and says which. Never takes more room than `raw`.
    pub fn append(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Codec {
        let start = out.len();
        // Nothing is copied, and pages that nobody writes to cost nothing.
        out.reserve_exact(raw.len());
        if raw.len() < PROBE_MIN_BYTES || !looks_random(raw) {
            let mut end = std::io::Cursor::new(&mut *out);
            end.set_position(start as u64);
            if let Ok(len) = self.zstd.compress_to_buffer(raw, &mut end)
                && len < raw.len() - raw.len() / WORTHWHILE_DIVISOR
            {
                return Codec::Zstd;
            }
        }
        out.truncate(start);
        out.extend_from_slice(raw);
        Codec::Stored
    }
}

/// A decompressor to be used again and again by one thread.
pub struct Decompressor {
    zstd: zstd::bulk::Decompressor<'static>,
}

impl Decompressor {
    /// A new decompressor.
    #[expect(clippy::new_without_default, reason = "making one allocates a context; that should be visible")]
    pub fn new() -> Self {
        Self { zstd: zstd::bulk::Decompressor::new().expect("a zstd context can be allocated") }
    }

    /// Replaces what is in `out` by exactly `raw_len` bytes of plain payload.
    ///
    /// # Errors
    /// `Compression` when the payload does not give exactly that many bytes.
    pub fn extract(
        &mut self,
        codec: Codec,
        payload: &[u8],
        raw_len: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), FormatError> {
        out.clear();
        match codec {
            Codec::Stored => {
                if payload.len() != raw_len {
                    return Err(FormatError::Compression("payload"));
                }
                out.extend_from_slice(payload);
            }
            Codec::Zstd => {
                out.reserve_exact(raw_len);
                // The buffer's capacity may be larger than asked for: the length is compared after.
                match self.zstd.decompress_to_buffer(payload, out) {
                    Ok(len) if len == raw_len => {}
                    Ok(_) | Err(_) => return Err(FormatError::Compression("payload")),
                }
            }
        }
        Ok(())
    }
}

/// Whether a payload's bytes are so evenly distributed that compression would gain nothing.
///
/// Looks at four samples. Text, code and tables are far from even; encrypted and compressed data are even. What is even and still
/// compressible (long repeats of random bytes) is rare, and storing it plain costs room, not correctness.
fn looks_random(raw: &[u8]) -> bool {
    const SAMPLES: usize = 4;
    const SAMPLE_BYTES: usize = 4096;
    let mut counts = [0u32; 256];
    let stride = (raw.len() - SAMPLE_BYTES) / (SAMPLES - 1);
    for sample in 0..SAMPLES {
        for &byte in &raw[sample * stride..][..SAMPLE_BYTES] {
            counts[usize::from(byte)] += 1;
        }
    }
    // The sum of squares is smallest for an even distribution: n²/256 + n for random bytes, give or take a percent. A
    // distribution that Huffman coding shrinks by 3 % lies over 1.08 times that.
    let n = (SAMPLES * SAMPLE_BYTES) as u64;
    let squares: u64 = counts.iter().map(|&count| u64::from(count) * u64::from(count)).sum();
    squares * 100 < (n * n / 256 + n) * 106
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(raw: &[u8]) -> Codec {
        let mut out = vec![7];
        let codec = Compressor::new(DEFAULT_LEVEL).append(raw, &mut out);
        let mut back = vec![1, 2, 3];
        Decompressor::new().extract(codec, &out[1..], raw.len(), &mut back).unwrap();
        assert_eq!(back, raw);
        codec
    }

    proptest! {
        #[test]
        fn any_payload_comes_back(raw: Vec<u8>) {
            round_trip(&raw);
        }

        #[test]
        fn arbitrary_payload_gives_an_error_or_the_length(payload: Vec<u8>, raw_len in 0usize..100_000) {
            let mut out = Vec::new();
            if Decompressor::new().extract(Codec::Zstd, &payload, raw_len, &mut out).is_ok() {
                prop_assert_eq!(out.len(), raw_len);
            }
        }
    }

    #[test]
    fn text_is_compressed_and_randomness_is_stored() {
        assert_eq!(round_trip(&b"the quick brown fox ".repeat(50_000)), Codec::Zstd);
        let mut random = vec![0; 1 << 20];
        getrandom::fill(&mut random).unwrap();
        assert!(looks_random(&random));
        assert_eq!(round_trip(&random), Codec::Stored);
    }

    #[test]
    fn a_frame_of_another_length_is_refused() {
        let raw = b"abc".repeat(1000);
        let mut out = Vec::new();
        assert_eq!(Compressor::new(3).append(&raw, &mut out), Codec::Zstd);
        for wrong in [raw.len() - 1, raw.len() + 1, 0] {
            assert!(Decompressor::new().extract(Codec::Zstd, &out, wrong, &mut Vec::new()).is_err());
        }
    }
}
