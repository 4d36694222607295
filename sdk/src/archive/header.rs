//! The fields of a 512-byte tar header: v7, ustar, GNU, star.
//!
//! Read as Go's `archive/tar` reads them, for its reading is what image tools agree on.

use super::ring::UNIT;

pub(super) type Raw = [u8; UNIT];

/// Dialect, told by the magic at offset 257.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    V7,
    Ustar,
    Star,
    Gnu,
}

/// A header whose checksum is right.
pub(super) struct Header<'a> {
    raw: &'a Raw,
    dialect: Dialect,
}

impl<'a> Header<'a> {
    pub(super) fn new(raw: &'a Raw) -> Result<Self, &'static str> {
        // The checksum is that of the header with spaces in its place, summed unsigned or, by old programs, signed.
        let stated = number(&raw[148..156]).ok_or("a header's checksum is not a number")?;
        if stated != unsigned_sum(raw) && stated != signed_sum(raw) {
            return Err("a header's checksum is wrong (the file is damaged or not a tar archive)");
        }
        let dialect = match (&raw[257..263], &raw[263..265], &raw[508..512]) {
            (b"ustar\0", _, b"tar\0") => Dialect::Star,
            (b"ustar\0", ..) => Dialect::Ustar,
            (b"ustar ", b" \0", _) => Dialect::Gnu,
            _ => Dialect::V7,
        };
        Ok(Self { raw, dialect })
    }

    pub(super) fn kind(&self) -> u8 {
        self.raw[156]
    }

    /// Writes prefix and name to `out`.
    pub(super) fn name(&self, out: &mut Vec<u8>) {
        out.clear();
        let prefix = match self.dialect {
            Dialect::V7 => &[],
            Dialect::Ustar => &self.raw[345..500],
            Dialect::Star => &self.raw[345..476],
            // Go before 1.8 wrote a prefix into headers with GNU's magic, where the times belong.
            Dialect::Gnu if number(&self.raw[345..357]).is_none() || number(&self.raw[357..369]).is_none() => {
                &self.raw[345..500]
            }
            Dialect::Gnu => &[],
        };
        let prefix = until_nul(prefix);
        if !prefix.is_empty() {
            out.extend_from_slice(prefix);
            out.push(b'/');
        }
        out.extend_from_slice(until_nul(&self.raw[..100]));
    }

    pub(super) fn link(&self) -> &'a [u8] {
        until_nul(&self.raw[157..257])
    }

    pub(super) fn mode(&self) -> Option<i64> {
        number(&self.raw[100..108])
    }

    pub(super) fn uid(&self) -> Option<i64> {
        number(&self.raw[108..116])
    }

    pub(super) fn gid(&self) -> Option<i64> {
        number(&self.raw[116..124])
    }

    pub(super) fn size(&self) -> Option<u64> {
        number(&self.raw[124..136]).and_then(|size| u64::try_from(size).ok())
    }

    pub(super) fn modified(&self) -> Option<i64> {
        number(&self.raw[136..148])
    }

    pub(super) fn device(&self) -> Option<(u32, u32)> {
        if self.dialect == Dialect::V7 {
            return Some((0, 0));
        }
        let major = u32::try_from(number(&self.raw[329..337])?).ok()?;
        Some((major, u32::try_from(number(&self.raw[337..345])?).ok()?))
    }

    /// The first four extents of an old GNU sparse file, whether more follow, and the size with its holes.
    pub(super) fn old_sparse(&self) -> Option<(&'a [u8], bool, u64)> {
        if self.dialect != Dialect::Gnu {
            return None;
        }
        let size = number(&self.raw[483..495]).and_then(|size| u64::try_from(size).ok())?;
        Some((&self.raw[386..482], self.raw[482] != 0, size))
    }
}

/// The bytes' sum with spaces for the checksum, eight bytes at a time: four lanes of 16 bits hold 128 bytes each.
fn unsigned_sum(raw: &Raw) -> i64 {
    const LANES: u64 = 0x00ff_00ff_00ff_00ff;
    let words = raw.as_chunks::<8>().0;
    let (mut lanes, mut at) = (0u64, 0);
    while at < words.len() {
        let word = u64::from_le_bytes(words[at]);
        lanes += (word & LANES) + ((word >> 8) & LANES);
        at += 1;
    }
    let sum = (0..4).map(|lane| (lanes >> (16 * lane) & 0xffff).cast_signed()).sum::<i64>();
    let own: i64 = raw[148..156].iter().map(|byte| i64::from(*byte)).sum();
    sum - own + 8 * i64::from(b' ')
}

/// As old programs summed: bytes with a sign.
fn signed_sum(raw: &Raw) -> i64 {
    let own: i64 = raw[148..156].iter().map(|byte| i64::from(byte.cast_signed())).sum();
    raw.iter().map(|byte| i64::from(byte.cast_signed())).sum::<i64>() - own + 8 * i64::from(b' ')
}

/// A number in octal digits between spaces and zero bytes, or in base 256 if the highest bit is set.
pub(super) fn number(field: &[u8]) -> Option<i64> {
    let first = *field.first()?;
    if first & 0x80 != 0 {
        // Two's complement whose sign is the second bit.
        let negative = first & 0x40 != 0;
        let mut value: i128 = if negative { -1 } else { 0 };
        for (at, byte) in field.iter().enumerate() {
            // The bit that marks the format carries the sign.
            let byte = match at {
                0 if negative => *byte,
                0 => *byte & 0x7f,
                _ => *byte,
            };
            value = (value << 8) | i128::from(byte);
        }
        return i64::try_from(value).ok();
    }
    let digits = field.trim_ascii_start();
    let start = digits.iter().position(|byte| *byte != 0).unwrap_or(digits.len());
    let digits = &digits[start..];
    let end = digits.iter().rposition(|byte| !matches!(byte, b' ' | 0)).map_or(0, |last| last + 1);
    // What follows a zero byte in the middle does not count.
    let digits = until_nul(&digits[..end]).trim_ascii_end();
    let mut value = 0i64;
    for digit in digits {
        if !(b'0'..=b'7').contains(digit) {
            return None;
        }
        value = value.checked_mul(8)?.checked_add(i64::from(digit - b'0'))?;
    }
    Some(value)
}

fn until_nul(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    &field[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_base_256() {
        for (field, value) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"        ", Some(0)),
            (b"77777777", Some(0o77_777_777)),
            (b"\x80\0\0\0\0\0\x01\0", Some(256)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff", Some(-1)),
            (b"\xff\xff\xff\xff\xff\xff\xff\x00", Some(-256)),
            (b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", None),
            (b"00006a4\0", None),
            (b"-000001\0", None),
            (b"8\0\0\0\0\0\0\0", None),
        ] {
            assert_eq!(number(field), value, "{field:?}");
        }
    }
}
