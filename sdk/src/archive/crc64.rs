//! CRC-64/ISO, the checksum of file contents in tar-split.
//!
//! The polynomial x⁶⁴ + x⁴ + x³ + x + 1 is so sparse that eight bytes are reduced by a few shifts, without tables: a
//! word times x⁶⁴ is the word times x⁴ + x³ + x + 1, and what that shifts out (four bits at most) once more. Times x²⁵⁶ is
//! that to the fourth, x¹⁶ + x¹² + x⁴ + 1, so that four sums at a distance of four words do not wait for each other, and a
//! compiler puts them side by side. Bits are reflected: the lowest is the highest power.

/// Sums that are taken at once.
const LANES: usize = 4;

/// A checksum in progress.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crc64(u64);

impl Crc64 {
    pub(super) fn new() -> Self {
        Self(u64::MAX)
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        let mut crc = self.0;
        let (words, rest) = bytes.as_chunks::<8>();
        // By index: unoptimised builds count, and there an iterator costs more than the arithmetic.
        let mut at = 0;
        if words.len() >= 2 * LANES {
            // What came before belongs to the first word.
            let mut lanes = [crc, 0, 0, 0];
            loop {
                lanes[0] ^= u64::from_le_bytes(words[at]);
                lanes[1] ^= u64::from_le_bytes(words[at + 1]);
                lanes[2] ^= u64::from_le_bytes(words[at + 2]);
                lanes[3] ^= u64::from_le_bytes(words[at + 3]);
                at += LANES;
                if at + LANES > words.len() {
                    break;
                }
                lanes = [times_x256(lanes[0]), times_x256(lanes[1]), times_x256(lanes[2]), times_x256(lanes[3])];
            }
            crc = lanes.iter().fold(0, |crc, lane| times_x64(crc ^ lane));
        }
        while at < words.len() {
            crc = times_x64(crc ^ u64::from_le_bytes(words[at]));
            at += 1;
        }
        for byte in rest {
            crc = (crc >> 8) ^ reduced((crc ^ u64::from(*byte)) << 56);
        }
        self.0 = crc;
    }

    /// As tar-split writes it: big-endian.
    pub(super) fn finish(self) -> [u8; 8] {
        (!self.0).to_be_bytes()
    }
}

/// What was shifted out, times x⁶⁴.
#[inline(always)]
fn reduced(out: u64) -> u64 {
    out ^ (out >> 1) ^ (out >> 3) ^ (out >> 4)
}

#[inline(always)]
fn times_x64(v: u64) -> u64 {
    reduced(v) ^ reduced((v << 63) ^ (v << 61) ^ (v << 60))
}

#[inline(always)]
fn times_x256(v: u64) -> u64 {
    v ^ (v >> 4) ^ (v >> 12) ^ (v >> 16) ^ reduced((v << 60) ^ (v << 52) ^ (v << 48))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_is_that_of_crc_64_go_iso() {
        let mut crc = Crc64::new();
        crc.update(b"123456789");
        assert_eq!(crc.finish(), 0xB909_56C7_75A4_1001_u64.to_be_bytes());
    }

    #[test]
    fn pieces_give_the_sum_of_the_whole_and_of_a_bitwise_loop() {
        let bytes: Vec<u8> = (0..1000u32).map(|i| (i * i + (i >> 3)) as u8).collect();
        let mut bitwise = u64::MAX;
        for byte in &bytes {
            bitwise ^= u64::from(*byte);
            for _ in 0..8 {
                bitwise = (bitwise >> 1) ^ if bitwise & 1 == 1 { 0xD800_0000_0000_0000 } else { 0 };
            }
        }
        for cut in [0, 1, 7, 8, 9, 63, 64, 100, 500, 937, 999, 1000] {
            let mut crc = Crc64::new();
            crc.update(&bytes[..cut]);
            crc.update(&bytes[cut..]);
            assert_eq!(crc.finish(), (!bitwise).to_be_bytes(), "cut at {cut}");
        }
    }
}
