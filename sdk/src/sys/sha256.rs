//! SHA-256 for builds without optimisation, in which that of a dependency is fifty times slower: its compression function
//! is compiled by `build.rs`, with optimisation in any case.
//!
//! Users run plywood in their tests, and no line of ours in a manifest reaches their builds.
//!
//! # Safety
//!
//! The functions that are called read as many blocks as they are told, and one of them takes a processor with
//! instructions for it.
#![allow(unsafe_code)]

/// Takes so many blocks into the state.
type Compress = unsafe extern "C" fn(&mut [u32; 8], *const [u8; BLOCK], usize);

// `sha256/compress.rs`
unsafe extern "C" {
    fn plywood_sha256_compress(state: &mut [u32; 8], blocks: *const [u8; BLOCK], count: usize);
    #[cfg(target_arch = "x86_64")]
    fn plywood_sha256_compress_x86(state: &mut [u32; 8], blocks: *const [u8; BLOCK], count: usize);
}

const BLOCK: usize = 64;

/// The first 32 bits of the fractional parts of the square roots of the first eight primes.
const BEGIN: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// A digest in progress.
#[derive(Clone)]
pub(crate) struct Sha256 {
    compress: Compress,
    state: [u32; 8],
    /// The beginning of the next block, `filled` bytes of it.
    block: [u8; BLOCK],
    filled: usize,
    bytes: u64,
}

impl Sha256 {
    pub(crate) fn new() -> Self {
        #[cfg(target_arch = "x86_64")]
        let has_instructions =
            is_x86_feature_detected!("sha") && is_x86_feature_detected!("ssse3") && is_x86_feature_detected!("sse4.1");
        #[cfg(target_arch = "x86_64")]
        if has_instructions {
            return Self::with(plywood_sha256_compress_x86);
        }
        Self::with(plywood_sha256_compress)
    }

    fn with(compress: Compress) -> Self {
        Self { compress, state: BEGIN, block: [0; BLOCK], filled: 0, bytes: 0 }
    }

    /// Takes more content.
    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        if self.filled > 0 {
            let length = bytes.len().min(BLOCK - self.filled);
            self.block[self.filled..self.filled + length].copy_from_slice(&bytes[..length]);
            self.filled += length;
            bytes = &bytes[length..];
            if self.filled < BLOCK {
                return;
            }
            let block = self.block;
            self.take(&[block]);
        }
        let (blocks, rest) = bytes.as_chunks();
        self.take(blocks);
        self.block[..rest.len()].copy_from_slice(rest);
        self.filled = rest.len();
    }

    /// The digest of all content.
    pub(crate) fn finalize(mut self) -> [u8; 32] {
        let bits = self.bytes.wrapping_mul(8);
        // A one, zeros, and the length at the end of a block.
        let zeros = (2 * BLOCK - 1 - size_of::<u64>() - self.filled) % BLOCK;
        let mut end = [0; 2 * BLOCK];
        end[0] = 0x80;
        end[1 + zeros..1 + zeros + size_of::<u64>()].copy_from_slice(&bits.to_be_bytes());
        self.update(&end[..1 + zeros + size_of::<u64>()]);
        let mut digest = [0; 32];
        for (bytes, word) in digest.as_chunks_mut::<4>().0.iter_mut().zip(self.state) {
            *bytes = word.to_be_bytes();
        }
        digest
    }

    fn take(&mut self, blocks: &[[u8; BLOCK]]) {
        // SAFETY: the blocks are there, and the function was chosen for this processor.
        unsafe { (self.compress)(&mut self.state, blocks.as_ptr(), blocks.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::Digest as _;

    #[test]
    fn each_way_gives_the_digests_of_another_implementation() {
        let bytes: Vec<u8> = (0..1000u32).map(|i| (i * i + (i >> 3)) as u8).collect();
        for compress in [plywood_sha256_compress, Sha256::new().compress] {
            for length in 0..bytes.len() {
                let mut ours = Sha256::with(compress);
                // In two pieces, cut at each place within a block.
                let (first, second) = bytes[..length].split_at(length.min(length % 67));
                ours.update(first);
                ours.update(second);
                assert_eq!(ours.finalize(), *sha2::Sha256::digest(&bytes[..length]), "{length} bytes");
            }
        }
    }
}
