//! Content-defined chunking: FastCDC with a keyed gear table (format §12).
//!
//! FastCDC is described in Xia et al., "FastCDC: a Fast and Efficient Content-Defined Chunking Approach for Data
//! Deduplication", USENIX ATC 2016. Normalisation level 2; the cut looks at the top bits of the rolling hash, which
//! depend on the last 64 bytes.

use serde::{Deserialize, Serialize};

/// Sizes of chunks, as they stand in `config`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkerParameters {
    /// The algorithm's name.
    pub name: String,
    /// No chunk but the last of a stream is smaller; 0 where another algorithm has no such bound.
    #[serde(default)]
    pub min: u32,
    /// Cuts become likelier from here on; a power of two.
    #[serde(default)]
    pub avg: u32,
    /// No chunk is larger.
    #[serde(default)]
    pub max: u32,
}

impl Default for ChunkerParameters {
    /// 512 KiB, 1 MiB, 4 MiB.
    fn default() -> Self {
        Self { name: Self::FASTCDC.to_owned(), min: 512 * 1024, avg: 1024 * 1024, max: 4 * 1024 * 1024 }
    }
}

impl ChunkerParameters {
    const FASTCDC: &'static str = "fastcdc-1";

    /// Whether this program can chunk like that.
    pub fn is_supported(&self) -> bool {
        self.name == Self::FASTCDC
            && self.avg.is_power_of_two()
            && (64 * 1024..=self.avg).contains(&self.min)
            && (self.avg..=8 * 1024 * 1024).contains(&self.max)
    }
}

/// Finds the ends of chunks.
#[derive(Debug, Clone)]
pub struct Chunker {
    gear: Box<[u64; 256]>,
    min: usize,
    avg: usize,
    max: usize,
    early_limit: u64,
    late_limit: u64,
}

impl Chunker {
    /// A chunker with these sizes and this gear table.
    ///
    /// Returns `None` for parameters that are not [supported](ChunkerParameters::is_supported).
    pub fn new(parameters: &ChunkerParameters, gear: Box<[u64; 256]>) -> Option<Self> {
        if !parameters.is_supported() {
            return None;
        }
        let size = |bytes: u32| usize::try_from(bytes).ok();
        let bits = parameters.avg.ilog2();
        Some(Self {
            gear,
            min: size(parameters.min)?,
            avg: size(parameters.avg)?,
            max: size(parameters.max)?,
            early_limit: 1 << (64 - (bits + 2)),
            late_limit: 1 << (64 - (bits - 2)),
        })
    }

    /// No chunk but the last is smaller; a stream that is not longer is one chunk.
    pub fn min_bytes(&self) -> usize {
        self.min
    }

    /// No chunk is larger.
    pub fn max_bytes(&self) -> usize {
        self.max
    }

    /// The length of the first chunk of `stream`, which must hold [`Self::max_bytes`] or all that is left.
    pub fn cut(&self, stream: &[u8]) -> usize {
        if stream.len() <= self.min {
            return stream.len();
        }
        let end = stream.len().min(self.max);
        let middle = end.min(self.avg);
        let mut hash = 0;
        if let Some(len) = self.scan(&stream[self.min..middle], &mut hash, self.early_limit) {
            return self.min + len;
        }
        if let Some(len) = self.scan(&stream[middle..end], &mut hash, self.late_limit) {
            return middle + len;
        }
        end
    }

    /// How many bytes it takes until the rolling hash is below the limit.
    ///
    /// Two bytes a round (FastCDC, 2020): the hash after the second does not wait for the hash after the first, only the comparison does.
    fn scan(&self, bytes: &[u8], hash: &mut u64, limit: u64) -> Option<usize> {
        let gear = |byte: u8| self.gear[usize::from(byte)];
        let (pairs, last) = bytes.as_chunks();
        let mut before = *hash;
        for (number, &[one, two]) in pairs.iter().enumerate() {
            let after_one = (before << 1).wrapping_add(gear(one));
            before = (before << 2).wrapping_add((gear(one) << 1).wrapping_add(gear(two)));
            if after_one < limit {
                return Some(2 * number + 1);
            }
            if before < limit {
                return Some(2 * number + 2);
            }
        }
        for &byte in last {
            before = (before << 1).wrapping_add(gear(byte));
            if before < limit {
                return Some(bytes.len());
            }
        }
        *hash = before;
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chunker() -> Chunker {
        let mut state = 1u64;
        let gear = std::array::from_fn(|_| {
            // SplitMix64: any fixed well-mixed table serves.
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        });
        let sizes =
            ChunkerParameters { min: 64 * 1024, avg: 128 * 1024, max: 512 * 1024, ..ChunkerParameters::default() };
        Chunker::new(&sizes, Box::new(gear)).unwrap()
    }

    fn noise(seed: u64, len: usize) -> Vec<u8> {
        let mut state = seed | 1;
        (0..len)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()[3]
            })
            .collect()
    }

    fn chunks<'a>(chunker: &Chunker, mut data: &'a [u8]) -> Vec<&'a [u8]> {
        let mut out = Vec::new();
        while !data.is_empty() {
            let (chunk, rest) = data.split_at(chunker.cut(data));
            out.push(chunk);
            data = rest;
        }
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn chunks_keep_their_limits_and_add_up(seed: u64, len in 0usize..3_000_000) {
            let chunker = chunker();
            let data = noise(seed, len);
            let chunks = chunks(&chunker, &data);
            prop_assert_eq!(chunks.concat(), data.as_slice());
            for (i, chunk) in chunks.iter().enumerate() {
                prop_assert!(chunk.len() <= chunker.max_bytes());
                prop_assert!(chunk.len() >= chunker.min_bytes() || i + 1 == chunks.len());
            }
        }
    }

    /// The rule of format §12, one byte after the other.
    fn cut_by_bytes(chunker: &Chunker, stream: &[u8]) -> usize {
        let mut hash = 0u64;
        for (at, &byte) in stream.iter().enumerate().take(chunker.max).skip(chunker.min) {
            hash = (hash << 1).wrapping_add(chunker.gear[usize::from(byte)]);
            let limit = if at < chunker.avg { chunker.early_limit } else { chunker.late_limit };
            if hash < limit {
                return at + 1;
            }
        }
        stream.len().min(chunker.max)
    }

    #[test]
    fn two_bytes_a_round_cut_where_one_byte_a_round_cuts() {
        // Frequent cuts, at odd and even places, and streams that end early.
        let mut chunker = chunker();
        (chunker.min, chunker.avg, chunker.max) = (63, 129, 600);
        (chunker.early_limit, chunker.late_limit) = (1 << 56, 1 << 57);
        let mut lengths = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let data = noise(seed * 7919 + 1, 20_000 + usize::try_from(seed).unwrap());
            let mut rest = &data[..];
            while !rest.is_empty() {
                let len = chunker.cut(rest);
                assert_eq!(len, cut_by_bytes(&chunker, rest));
                lengths.insert(len);
                rest = &rest[len..];
            }
        }
        assert!(lengths.len() > 300, "{} different lengths", lengths.len());
        assert!(
            lengths.contains(&600) && lengths.contains(&64),
            "a chunk of the largest size, one cut at the first byte"
        );
    }

    #[test]
    fn an_insertion_changes_few_chunks() {
        let chunker = chunker();
        let data = noise(3, 8 << 20);
        let mut changed = data.clone();
        changed.splice(4_000_000..4_000_000, *b"inserted");
        let before: std::collections::BTreeSet<_> = chunks(&chunker, &data).into_iter().collect();
        let after = chunks(&chunker, &changed);
        let new = after.iter().filter(|chunk| !before.contains(*chunk)).count();
        assert!(after.len() > 30 && new <= 4, "{new} of {} chunks are new", after.len());
    }

    #[test]
    fn unsupported_parameters_are_refused() {
        let good = ChunkerParameters::default();
        assert!(good.is_supported());
        for bad in [
            ChunkerParameters { name: "other".into(), ..good.clone() },
            ChunkerParameters { avg: 1_000_000, ..good.clone() },
            ChunkerParameters { min: 1, ..good.clone() },
            ChunkerParameters { max: u32::MAX, ..good.clone() },
            ChunkerParameters { min: 2 << 20, ..good },
        ] {
            assert!(!bad.is_supported(), "{bad:?}");
        }
    }
}
