//! How output without line feeds is cut into pieces: what the helper, which writes the log of a kept container, does as
//! the SDK does it. Nothing here needs more than the core library.

/// The longest piece of output in one line of the file, in bytes, as in Docker.
pub const PIECE: usize = 16 * 1024;

/// How many of the bytes hold whole characters; all of them if the end is no UTF-8 at all.
pub fn whole_characters(bytes: &[u8]) -> usize {
    // No character is longer than four bytes: the first byte of the last one is among the last four.
    let tail = bytes.len().saturating_sub(4);
    for (at, byte) in bytes.iter().enumerate().skip(tail).rev() {
        let length = match byte {
            0x00..=0x7f => 1,
            0x80..=0xbf => continue,
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            _ => 4,
        };
        return if at + length > bytes.len() { at } else { bytes.len() };
    }
    bytes.len()
}
