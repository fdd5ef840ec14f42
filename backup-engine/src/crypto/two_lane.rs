//! SHA-256 (FIPS 180-4), of two messages at a time where the processor can.
//!
//! The rounds of one message wait for each other: a processor with instructions for SHA-256 idles for half of the time. A second
//! message beside the first fills these gaps, and much of what is hashed here comes in pairs: a chunk and the file it is part of,
//! the blobs of one block. Everything else in the project hashes with `sha2`.

mod lanes;

use sha2::block_api::compress256;

/// Bytes that are mixed into the state at once.
const BLOCK_BYTES: usize = 64;

/// The state before the first block (FIPS 180-4 §5.3.3).
const INITIAL: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// Messages that are hashed at a time. Whoever collects as many before hashing them gains what there is to gain.
pub const LANES: usize = 2;

/// A SHA-256 digest.
pub type Digest = [u8; 32];

/// A SHA-256 computation that takes its message in parts and can go on beside another one.
///
/// ```
/// use backup_engine::crypto::two_lane::Sha256;
///
/// let (mut whole, mut part) = (Sha256::new(), Sha256::new());
/// whole.update(b"first and ");
/// Sha256::update_both(&mut whole, b"second", &mut part, b"second");
/// assert_eq!(part.finalize()[..4], [0x16, 0x36, 0x7a, 0xac]);
/// assert_eq!(whole.finalize()[..4], [0x7a, 0x95, 0x24, 0xf2]);
/// ```
#[derive(Clone)]
pub struct Sha256 {
    state: [u32; 8],
    /// The beginning of a block whose end has not come yet.
    pending: [u8; BLOCK_BYTES],
    pending_bytes: usize,
    message_bytes: u64,
}

impl Sha256 {
    /// The computation over nothing yet.
    #[expect(clippy::new_without_default, reason = "a digest of nothing is no default of anything")]
    pub fn new() -> Self {
        Self { state: INITIAL, pending: [0; BLOCK_BYTES], pending_bytes: 0, message_bytes: 0 }
    }

    /// Adds the next part of the message.
    pub fn update(&mut self, part: &[u8]) {
        let rest = self.fill_pending(part);
        let (blocks, rest) = rest.as_chunks();
        compress256(&mut self.state, blocks);
        self.keep(rest);
    }

    /// Adds the next parts of two messages, faster than one after the other.
    pub fn update_both(first: &mut Self, first_part: &[u8], second: &mut Self, second_part: &[u8]) {
        let (first_blocks, first_rest) = first.fill_pending(first_part).as_chunks();
        let (second_blocks, second_rest) = second.fill_pending(second_part).as_chunks();
        let both = first_blocks.len().min(second_blocks.len());
        lanes::compress_both(&mut first.state, &first_blocks[..both], &mut second.state, &second_blocks[..both]);
        compress256(&mut first.state, &first_blocks[both..]);
        compress256(&mut second.state, &second_blocks[both..]);
        first.keep(first_rest);
        second.keep(second_rest);
    }

    /// The digest of what was added.
    pub fn finalize(mut self) -> Digest {
        let bits = self.message_bytes * 8;
        let mut tail = [[0; BLOCK_BYTES]; 2];
        tail[0][..self.pending_bytes].copy_from_slice(&self.pending[..self.pending_bytes]);
        tail[0][self.pending_bytes] = 0x80;
        // The length takes the last eight bytes, in a block of its own where the first one is too full.
        let blocks = if self.pending_bytes < BLOCK_BYTES - 8 { 1 } else { 2 };
        tail[blocks - 1][BLOCK_BYTES - 8..].copy_from_slice(&bits.to_be_bytes());
        compress256(&mut self.state, &tail[..blocks]);
        let mut digest = [0; 32];
        for (bytes, word) in digest.chunks_exact_mut(4).zip(self.state) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        digest
    }

    /// Completes the block that was begun, as far as the part goes; returns what is left of the part.
    fn fill_pending<'a>(&mut self, part: &'a [u8]) -> &'a [u8] {
        self.message_bytes += part.len() as u64;
        if self.pending_bytes == 0 {
            return part;
        }
        let (now, rest) = part.split_at(part.len().min(BLOCK_BYTES - self.pending_bytes));
        self.pending[self.pending_bytes..][..now.len()].copy_from_slice(now);
        self.pending_bytes += now.len();
        if self.pending_bytes == BLOCK_BYTES {
            compress256(&mut self.state, &[self.pending]);
            self.pending_bytes = 0;
        }
        rest
    }

    /// Keeps what is no whole block. There is something only where no begun block is left.
    fn keep(&mut self, rest: &[u8]) {
        self.pending[self.pending_bytes..][..rest.len()].copy_from_slice(rest);
        self.pending_bytes += rest.len();
    }
}

/// Replaces what is in `digests` by those of the messages, in their order.
pub fn digest_all<'a>(messages: impl IntoIterator<Item = &'a [u8]>, digests: &mut Vec<Digest>) {
    digests.clear();
    let mut messages = messages.into_iter();
    let mut next = |digests: &mut Vec<Digest>| {
        let lane = messages.next().map(|rest| Lane { number: digests.len(), hasher: Sha256::new(), rest });
        // The place is taken now, because the other lane may be done first.
        digests.extend(lane.as_ref().map(|_| Digest::default()));
        lane
    };
    let Some(mut first) = next(digests) else { return };
    while let Some(mut second) = next(digests) {
        let both = first.rest.len().min(second.rest.len()) / BLOCK_BYTES * BLOCK_BYTES;
        let (first_part, first_rest) = first.rest.split_at(both);
        let (second_part, second_rest) = second.rest.split_at(both);
        Sha256::update_both(&mut first.hasher, first_part, &mut second.hasher, second_part);
        (first.rest, second.rest) = (first_rest, second_rest);
        // The one that has more left goes on beside the next message.
        if first.rest.len() < second.rest.len() {
            std::mem::swap(&mut first, &mut second);
        }
        let (number, digest) = second.finish();
        digests[number] = digest;
    }
    let (number, digest) = first.finish();
    digests[number] = digest;
}

/// One of the messages that are hashed side by side.
struct Lane<'a> {
    number: usize,
    hasher: Sha256,
    rest: &'a [u8],
}

impl Lane<'_> {
    fn finish(mut self) -> (usize, Digest) {
        self.hasher.update(self.rest);
        (self.number, self.hasher.finalize())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sha2::Digest as _;

    use super::*;

    fn reference(message: &[u8]) -> Digest {
        sha2::Sha256::digest(message).into()
    }

    /// Lengths around the ends of blocks, where padding changes its shape.
    fn message() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..300),
            prop::collection::vec(any::<u8>(), 2000..5000),
            (0usize..4, 54usize..66).prop_map(|(blocks, more)| vec![0xa5; blocks * 64 + more]),
        ]
    }

    proptest! {
        #[test]
        fn message_in_parts_has_its_digest(message in message(), cuts: Vec<prop::sample::Index>) {
            let mut hasher = Sha256::new();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(message.len() + 1)).collect();
            cuts.sort_unstable();
            let mut from = 0;
            for to in cuts.into_iter().chain([message.len()]) {
                hasher.update(&message[from..to]);
                from = to;
            }
            prop_assert_eq!(hasher.finalize(), reference(&message));
        }

        #[test]
        fn two_at_a_time_do_not_mix(
            parts in prop::collection::vec((message(), message()), 1..5),
        ) {
            let (mut first, mut second) = (Sha256::new(), Sha256::new());
            for (one, other) in &parts {
                Sha256::update_both(&mut first, one, &mut second, other);
            }
            let (ones, others): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
            prop_assert_eq!(first.finalize(), reference(&ones.concat()));
            prop_assert_eq!(second.finalize(), reference(&others.concat()));
        }

        #[test]
        fn many_messages_have_their_digests_in_order(messages in prop::collection::vec(message(), 0..12)) {
            let mut digests = vec![[9; 32]];
            digest_all(messages.iter().map(Vec::as_slice), &mut digests);
            prop_assert_eq!(digests, messages.iter().map(|message| reference(message)).collect::<Vec<_>>());
        }
    }
}
