//! Compression of blocks and records: zstd, or nothing where nothing is gained.

use zstd::zstd_safe::CParameter;

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

/// How many entries the two tables of the default level have, as a power of two: both fit a core's second-level cache beside the data.
///
/// zstd's own sizes for a block of 1 MiB are four and two times that. These take 13 % less time and make 1 % more of programs and
/// libraries, and nothing more of source text (decision 0011).
const TABLE_LOG: u32 = 15;

/// The share of a payload that compression must save, as a divisor: at least 1/32.
const WORTHWHILE_DIVISOR: usize = 32;

/// A payload below this many bytes is compressed without asking: the probe would cost as much.
const PROBE_MIN_BYTES: usize = 64 * 1024;

/// Memory for a larger payload is given back after use: few payloads are so large, and every thread has several such buffers.
pub const MAX_KEPT_BYTES: usize = 2 << 20;

/// A compressor with its tables, to be used again and again by one thread.
pub struct Compressor {
    zstd: zstd::bulk::Compressor<'static>,
    /// What was compressed last. Keeps its length, so that its memory is cleared once and not for every payload.
    scratch: Vec<u8>,
}

impl Compressor {
    /// A compressor of a zstd level, 1 to 19.
    pub fn new(level: i32) -> Self {
        let mut zstd = zstd::bulk::Compressor::new(level.clamp(1, 19)).expect("zstd takes every level from 1 to 19");
        if level == DEFAULT_LEVEL {
            for parameter in [CParameter::HashLog(TABLE_LOG), CParameter::ChainLog(TABLE_LOG)] {
                zstd.set_parameter(parameter).expect("zstd takes tables of these sizes");
            }
        }
        Self { zstd, scratch: Vec::new() }
    }

    /// Compresses `raw` where that saves enough, and gives back what is to be stored.
    pub fn compress<'a>(&'a mut self, raw: &'a [u8]) -> (Codec, &'a [u8]) {
        if raw.len() >= PROBE_MIN_BYTES && looks_random(raw) {
            return (Codec::Stored, raw);
        }
        // Room for what is worthwhile only: zstd gives up early where that does not suffice.
        let room = raw.len() - raw.len() / WORTHWHILE_DIVISOR;
        if self.scratch.len() < room || self.scratch.len() > MAX_KEPT_BYTES {
            self.scratch = vec![0; room];
        }
        match self.zstd.compress_to_buffer(raw, &mut self.scratch[..room]) {
            Ok(len) if len < room => (Codec::Zstd, &self.scratch[..len]),
            Ok(_) | Err(_) => (Codec::Stored, raw),
        }
    }

    /// How much memory it holds on to between payloads, apart from its tables.
    #[cfg(test)]
    pub(crate) fn kept_bytes(&self) -> usize {
        self.scratch.capacity()
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
        let mut compressor = Compressor::new(DEFAULT_LEVEL);
        let (codec, payload) = compressor.compress(raw);
        out.extend_from_slice(payload);
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
        let mut compressor = Compressor::new(3);
        let (codec, out) = compressor.compress(&raw);
        assert_eq!(codec, Codec::Zstd);
        for wrong in [raw.len() - 1, raw.len() + 1, 0] {
            assert!(Decompressor::new().extract(Codec::Zstd, out, wrong, &mut Vec::new()).is_err());
        }
    }
}
