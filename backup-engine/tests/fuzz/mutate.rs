//! Changes seeds a little, at random.

/// Values at which decoders decide: ends of ranges, continuation bits, counts that can't be.
const TELLING: [&[u8]; 10] = [
    &[0],
    &[1],
    &[0x7f],
    &[0x80, 0x80, 0x01],
    &[0xff],
    &[0xff, 0xff, 0x03],
    &[0xff, 0xff, 0xff, 0xff],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    b"BLK1",
];

/// Longer inputs say nothing that shorter ones don't, and take long.
const MAX_BYTES: usize = 1 << 16;

/// Makes inputs out of seeds; the same ones for the same number.
pub(crate) struct Mutator<'a> {
    state: u64,
    seeds: &'a [Vec<u8>],
}

impl<'a> Mutator<'a> {
    pub(crate) fn new(seed: u64, seeds: &'a [Vec<u8>]) -> Self {
        Self { state: seed, seeds }
    }

    /// SplitMix64.
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.random() % end.max(1) as u64).expect("below a usize")
    }

    fn seed(&mut self) -> &'a [u8] {
        let seeds = self.seeds;
        &seeds[self.below(seeds.len())]
    }

    /// The next input: a seed with one to eight changes.
    pub(crate) fn next(&mut self) -> Vec<u8> {
        let mut input = self.seed().to_vec();
        for _ in 0..1 + self.below(8) {
            self.change(&mut input);
        }
        input.truncate(MAX_BYTES);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.below(input.len());
        let to = at + self.below((input.len() - at).min(64) + 1);
        match self.below(8) {
            0 if !input.is_empty() => input[at] ^= 1 << self.below(8),
            1 if !input.is_empty() => input[at] = self.random().to_le_bytes()[0],
            2 => drop(input.splice(at..to, TELLING[self.below(TELLING.len())].iter().copied())),
            3 => input.insert(at, self.random().to_le_bytes()[0]),
            4 => drop(input.drain(at..to)),
            5 => {
                let copied = input[at..to].to_vec();
                let place = self.below(input.len() + 1);
                input.splice(place..place, copied);
            }
            6 => {
                let other = self.seed();
                let from = self.below(other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            // Small steps in numbers.
            _ if !input.is_empty() => input[at] = input[at].wrapping_add(if self.below(2) == 0 { 1 } else { 255 }),
            _ => input.push(0),
        }
    }
}
