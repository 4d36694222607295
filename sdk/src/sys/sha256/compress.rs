//! The compression function of SHA-256 (FIPS 180-4, section 6.2), which `build.rs` compiles with optimisation.
//!
//! It is linked as it is, so nothing may be left to call: no panics, no copies of memory.

#![no_std]

#[cfg(target_arch = "x86_64")]
use core::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_blend_epi16, _mm_loadu_si128, _mm_set_epi64x, _mm_sha256msg1_epu32,
    _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32, _mm_shuffle_epi8, _mm_shuffle_epi32, _mm_storeu_si128,
};

/// The first 32 bits of the fractional parts of the cube roots of the first 64 primes.
const K: [u32; 64] = [
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
    0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
    0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
    0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
    0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
];

/// Takes `count` blocks into `state`.
///
/// # Safety
/// There are so many at `blocks`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plywood_sha256_compress(state: &mut [u32; 8], blocks: *const [u8; 64], count: usize) {
    let mut number = 0;
    while number < count {
        // SAFETY: the caller says that this block is there.
        let block = unsafe { &*blocks.add(number) };
        number += 1;
        // The 16 words before the next one, round and round.
        let mut words = [0; 16];
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
        let mut round = 0;
        while round < 64 {
            let word = if round < 16 {
                let at = round * 4;
                u32::from_be_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
            } else {
                let (w15, w2) = (words[(round + 1) & 15], words[(round + 14) & 15]);
                let (w16, w7): (u32, u32) = (words[round & 15], words[(round + 9) & 15]);
                let s0 = w15.rotate_right(7) ^ w15.rotate_right(18) ^ (w15 >> 3);
                let s1 = w2.rotate_right(17) ^ w2.rotate_right(19) ^ (w2 >> 10);
                w16.wrapping_add(s0).wrapping_add(w7).wrapping_add(s1)
            };
            words[round & 15] = word;
            let s1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
            let choice = (e & f) ^ (!e & g);
            let t1 = h.wrapping_add(s1).wrapping_add(choice).wrapping_add(K[round]).wrapping_add(word);
            let s0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
            let majority = (a & b) ^ (a & c) ^ (b & c);
            (h, g, f, e) = (g, f, e, d.wrapping_add(t1));
            (d, c, b, a) = (c, b, a, t1.wrapping_add(s0.wrapping_add(majority)));
            round += 1;
        }
        let sums = [a, b, c, d, e, f, g, h];
        let mut at = 0;
        while at < 8 {
            state[at] = state[at].wrapping_add(sums[at]);
            at += 1;
        }
    }
}

/// The same, by the instructions for it.
///
/// # Safety
/// There are so many at `blocks`, and the processor has the instructions.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sha,ssse3,sse4.1")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plywood_sha256_compress_x86(state: &mut [u32; 8], blocks: *const [u8; 64], count: usize) {
    let words = state.as_mut_ptr().cast::<__m128i>();
    // SAFETY: the state is two of these.
    let (dcba, hgfe) = unsafe { (_mm_loadu_si128(words), _mm_loadu_si128(words.add(1))) };
    // The instructions want the words as ABEF and CDGH.
    let (cdab, efgh) = (_mm_shuffle_epi32::<0xb1>(dcba), _mm_shuffle_epi32::<0x1b>(hgfe));
    let mut abef = _mm_alignr_epi8::<8>(cdab, efgh);
    let mut cdgh = _mm_blend_epi16::<0xf0>(efgh, cdab);
    let big_endian = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
    let mut number = 0;
    while number < count {
        // SAFETY: the caller says that this block is there.
        let block = unsafe { blocks.add(number) }.cast::<__m128i>();
        number += 1;
        let before = (abef, cdgh);
        let load = |at: usize| {
            // SAFETY: a block is four of these.
            _mm_shuffle_epi8(unsafe { _mm_loadu_si128(block.add(at)) }, big_endian)
        };
        let mut words = [load(0), load(1), load(2), load(3)];
        let mut round = 0;
        while round < 64 {
            let constants = K.as_ptr().cast::<__m128i>();
            // SAFETY: the constants are 16 of these.
            let constants = unsafe { _mm_loadu_si128(constants.add(round / 4)) };
            let [w0, w1, w2, w3] = words;
            let sum = _mm_add_epi32(w0, constants);
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32::<0x0e>(sum));
            let next = _mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), _mm_alignr_epi8::<4>(w3, w2));
            words = [w1, w2, w3, _mm_sha256msg2_epu32(next, w3)];
            round += 4;
        }
        (abef, cdgh) = (_mm_add_epi32(abef, before.0), _mm_add_epi32(cdgh, before.1));
    }
    let (feba, dchg) = (_mm_shuffle_epi32::<0x1b>(abef), _mm_shuffle_epi32::<0xb1>(cdgh));
    // SAFETY: as above.
    unsafe {
        _mm_storeu_si128(words, _mm_blend_epi16::<0xf0>(feba, dchg));
        _mm_storeu_si128(words.add(1), _mm_alignr_epi8::<8>(dchg, feba));
    }
}
