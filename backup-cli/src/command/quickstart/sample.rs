//! Which files of a snapshot stand for all of them: large, small, oddly named and chance ones.

use backup_core::{EntryKind, EntryPath, Timestamp};
use backup_engine::format::tree::TreeEntry;

/// How many files are tried.
pub(super) const SAMPLE_FILES: usize = 25;

/// How many bytes they have together at most: a first run is to end soon, and the temporary folder may be small.
const SAMPLE_BYTES: u64 = 256 << 20;

/// How many of the largest, and of the smallest.
const EXTREMES: usize = 5;

/// How many with names that are no text.
const ODD_NAMES: usize = 3;

/// A file that is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) path: EntryPath,
    pub(super) size_bytes: u64,
    pub(super) modified: Timestamp,
    pub(super) digest: Option<[u8; 32]>,
    pub(super) is_sparse: bool,
}

impl Candidate {
    fn of(item: &TreeEntry) -> Option<Self> {
        let entry = &item.entry;
        (entry.kind == EntryKind::File).then(|| Self {
            path: entry.path.clone(),
            size_bytes: entry.size_bytes,
            modified: entry.modified,
            digest: item.content.digest().copied(),
            is_sparse: entry.extents.is_some(),
        })
    }
}

/// Chooses while entries pass by; holds a fixed number of them, however many there are.
#[derive(Debug)]
pub(super) struct Sampler {
    large: Vec<Candidate>,
    small: Vec<Candidate>,
    odd: Vec<Candidate>,
    chance: Vec<Candidate>,
    seen: u64,
    random: u64,
}

impl Sampler {
    /// The same seed chooses the same files.
    pub(super) fn new(seed: u64) -> Self {
        let (large, small, odd, chance) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { large, small, odd, chance, seen: 0, random: seed }
    }

    /// Looks at one entry.
    pub(super) fn offer(&mut self, item: &TreeEntry) {
        let Some(candidate) = Candidate::of(item).filter(|candidate| candidate.size_bytes <= SAMPLE_BYTES) else {
            return;
        };
        self.seen += 1;
        keep_first(&mut self.large, candidate.clone(), |a, b| b.size_bytes.cmp(&a.size_bytes));
        if candidate.size_bytes > 0 {
            keep_first(&mut self.small, candidate.clone(), |a, b| a.size_bytes.cmp(&b.size_bytes));
        }
        if self.odd.len() < ODD_NAMES && std::str::from_utf8(candidate.path.as_bytes()).is_err() {
            self.odd.push(candidate.clone());
        }
        // Every file has the same chance to be among those that are kept.
        if self.chance.len() < SAMPLE_FILES {
            self.chance.push(candidate);
        } else if let Ok(at) = usize::try_from(self.next() % self.seen)
            && at < SAMPLE_FILES
        {
            self.chance[at] = candidate;
        }
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// The chosen files in the order of their paths.
    pub(super) fn finish(self) -> Vec<Candidate> {
        let mut chosen: Vec<Candidate> = Vec::new();
        let mut bytes: u64 = 0;
        for candidate in self.odd.into_iter().chain(self.small).chain(self.large).chain(self.chance) {
            let fits = bytes + candidate.size_bytes <= SAMPLE_BYTES;
            let is_new = chosen.iter().all(|other| other.path != candidate.path);
            if chosen.len() < SAMPLE_FILES && fits && is_new {
                bytes += candidate.size_bytes;
                chosen.push(candidate);
            }
        }
        chosen.sort_by(|a, b| a.path.cmp(&b.path));
        chosen
    }
}

/// Keeps the first few in an order.
fn keep_first(kept: &mut Vec<Candidate>, new: Candidate, order: impl Fn(&Candidate, &Candidate) -> std::cmp::Ordering) {
    let at = kept.partition_point(|other| order(other, &new).is_le());
    if at < EXTREMES {
        kept.insert(at, new);
        kept.truncate(EXTREMES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use backup_core::Entry;
    use backup_engine::format::tree::Content;

    fn file(name: &[u8], size_bytes: u64) -> TreeEntry {
        let mut entry = Entry::new(EntryPath::new(name).unwrap(), EntryKind::File);
        entry.size_bytes = size_bytes;
        TreeEntry { entry, content: Content::None }
    }

    fn chosen(seed: u64, files: u64) -> Vec<String> {
        let mut sampler = Sampler::new(seed);
        for number in 0..files {
            sampler.offer(&file(format!("{number:05}").as_bytes(), number));
        }
        sampler.offer(&file(b"z\xff", 500));
        sampler.offer(&file(b"zz", SAMPLE_BYTES + 1));
        sampler.finish().into_iter().map(|candidate| candidate.path.to_string()).collect()
    }

    #[test]
    fn sample_has_the_extremes_the_odd_names_and_no_file_twice() {
        let seed = 7;
        let names = chosen(seed, 10_000);
        assert_eq!(names.len(), SAMPLE_FILES, "seed {seed}");
        for wanted in ["00001", "00005", "09999", "09995", "z\\xff"] {
            assert!(names.iter().any(|name| name == wanted), "{wanted} of {names:?}, seed {seed}");
        }
        assert!(names.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(!names.iter().any(|name| name == "zz"), "too large for a first run");
        assert_eq!(names, chosen(seed, 10_000));
        assert_ne!(names, chosen(seed + 1, 10_000));
    }

    #[test]
    fn few_files_are_all_chosen() {
        assert_eq!(chosen(1, 4), ["00000", "00001", "00002", "00003", "z\\xff"]);
    }
}
