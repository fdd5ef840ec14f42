//! The compression function on two states at once.

use sha2::block_api::compress256;

/// Mixes blocks into two states, as many into the one as into the other.
///
/// # Panics
/// When there are more blocks for one of them.
pub(super) fn compress_both(
    first: &mut [u32; 8],
    first_blocks: &[[u8; 64]],
    second: &mut [u32; 8],
    second_blocks: &[[u8; 64]],
) {
    assert_eq!(first_blocks.len(), second_blocks.len(), "two states take the same number of blocks");
    #[cfg(target_arch = "x86_64")]
    if x86::compress_both(first, first_blocks, second, second_blocks) {
        return;
    }
    compress256(first, first_blocks);
    compress256(second, second_blocks);
}

#[cfg(target_arch = "x86_64")]
#[expect(
    unsafe_code,
    reason = "the processor's SHA instructions are to be had through intrinsics only, and `sha2` takes one message at a time"
)]
mod x86 {
    use std::arch::x86_64::{
        __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_blend_epi16, _mm_loadu_si128, _mm_set_epi64x,
        _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32, _mm_shuffle_epi8, _mm_shuffle_epi32,
        _mm_storeu_si128,
    };

    /// The constants of the rounds (FIPS 180-4 §4.2.2).
    #[rustfmt::skip]
    static ROUNDS: [[u32; 4]; 16] = [
        [0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5], [0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5],
        [0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3], [0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174],
        [0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc], [0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da],
        [0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7], [0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967],
        [0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13], [0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85],
        [0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3], [0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070],
        [0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5], [0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3],
        [0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208], [0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2],
    ];

    /// Mixes the blocks in and returns `true`, where the processor has the instructions.
    pub(super) fn compress_both(
        first: &mut [u32; 8],
        first_blocks: &[[u8; 64]],
        second: &mut [u32; 8],
        second_blocks: &[[u8; 64]],
    ) -> bool {
        let has_instructions =
            is_x86_feature_detected!("sha") && is_x86_feature_detected!("ssse3") && is_x86_feature_detected!("sse4.1");
        if has_instructions {
            // SAFETY: the processor has what the function is compiled for.
            unsafe { compress_lanes([first, second], [first_blocks, second_blocks]) };
        }
        has_instructions
    }

    fn load(bytes: &[u8; 16]) -> __m128i {
        // SAFETY: sixteen bytes may be read, and this load asks for no alignment.
        unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
    }

    fn load_words(words: &[u32; 4]) -> __m128i {
        // SAFETY: sixteen bytes may be read, and this load asks for no alignment.
        unsafe { _mm_loadu_si128(words.as_ptr().cast()) }
    }

    fn store_words(vector: __m128i, words: &mut [u32; 4]) {
        // SAFETY: sixteen bytes may be written, and this store asks for no alignment.
        unsafe { _mm_storeu_si128(words.as_mut_ptr().cast(), vector) }
    }

    #[target_feature(enable = "sha,ssse3,sse4.1")]
    fn compress_lanes(states: [&mut [u32; 8]; 2], blocks: [&[[u8; 64]]; 2]) {
        // The message is big-endian, the lanes of a vector are not.
        let swap = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
        // The instructions want the words a, b, e, f in one vector and c, d, g, h in another.
        let (mut abef, mut cdgh) = ([swap; 2], [swap; 2]);
        for lane in 0..2 {
            let (dcba, hgfe) = (halves(states[lane])[0], halves(states[lane])[1]);
            let cdab = _mm_shuffle_epi32(load_words(dcba), 0xb1);
            let efgh = _mm_shuffle_epi32(load_words(hgfe), 0x1b);
            abef[lane] = _mm_alignr_epi8(cdab, efgh, 8);
            cdgh[lane] = _mm_blend_epi16(efgh, cdab, 0xf0);
        }
        for (first, second) in blocks[0].iter().zip(blocks[1]) {
            let before = (abef, cdgh);
            // The next sixteen words of the message schedule, four in a vector.
            let mut words = [[swap; 4]; 2];
            for (lane, block) in [first, second].into_iter().enumerate() {
                for (vector, bytes) in words[lane].iter_mut().zip(block.as_chunks().0) {
                    *vector = _mm_shuffle_epi8(load(bytes), swap);
                }
            }
            // Four rounds of both lanes and the schedule of four words. Written out by the macro, so that all indices are constants and
            // the words stay in registers: the compiler leaves a loop of this length a loop.
            macro_rules! quads {
                ($($quad:literal)*) => { $( for lane in 0..2 {
                    let words = &mut words[lane];
                    let mixed = _mm_add_epi32(words[$quad % 4], load_words(&ROUNDS[$quad]));
                    cdgh[lane] = _mm_sha256rnds2_epu32(cdgh[lane], abef[lane], mixed);
                    abef[lane] = _mm_sha256rnds2_epu32(abef[lane], cdgh[lane], _mm_shuffle_epi32(mixed, 0x0e));
                    if $quad < 12 {
                        let [a, b, c, d] = [$quad, $quad + 1, $quad + 2, $quad + 3].map(|number| words[number % 4]);
                        let sum = _mm_add_epi32(_mm_sha256msg1_epu32(a, b), _mm_alignr_epi8(d, c, 4));
                        words[$quad % 4] = _mm_sha256msg2_epu32(sum, d);
                    }
                } )* };
            }
            quads!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
            for lane in 0..2 {
                abef[lane] = _mm_add_epi32(abef[lane], before.0[lane]);
                cdgh[lane] = _mm_add_epi32(cdgh[lane], before.1[lane]);
            }
        }
        for (lane, state) in states.into_iter().enumerate() {
            let feba = _mm_shuffle_epi32(abef[lane], 0x1b);
            let dchg = _mm_shuffle_epi32(cdgh[lane], 0xb1);
            let [dcba, hgfe] = state.as_chunks_mut().0 else { unreachable!("eight words are two halves") };
            store_words(_mm_blend_epi16(feba, dchg, 0xf0), dcba);
            store_words(_mm_alignr_epi8(dchg, feba, 8), hgfe);
        }
    }

    /// The words a to d and e to h of a state.
    fn halves(state: &[u32; 8]) -> [&[u32; 4]; 2] {
        let [dcba, hgfe] = state.as_chunks().0 else { unreachable!("eight words are two halves") };
        [dcba, hgfe]
    }
}
