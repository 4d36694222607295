//! Sizes in bytes: `64m`, `256MiB`.
//!
//! All units are powers of 1024, as in Docker: `k`, `kB` and `KiB` are the same.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Invalid;
use crate::error::{Error, Result};

/// A number of bytes.
///
/// ```
/// # fn main() -> plywood::Result<()> {
/// use plywood::spec::ByteSize;
/// assert_eq!(ByteSize::parse("256MiB")?, ByteSize::mib(256));
/// assert_eq!(ByteSize::mib(256).to_string(), "256MiB");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ByteSize(u64);

/// Units from the largest, with their length in bits.
const UNITS: [(char, u32); 5] = [('p', 50), ('t', 40), ('g', 30), ('m', 20), ('k', 10)];

impl ByteSize {
    /// A number of bytes.
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// A number of KiB; stops at the largest size.
    pub const fn kib(count: u64) -> Self {
        Self(count.saturating_mul(1 << 10))
    }

    /// A number of MiB; stops at the largest size.
    pub const fn mib(count: u64) -> Self {
        Self(count.saturating_mul(1 << 20))
    }

    /// A number of GiB; stops at the largest size.
    pub const fn gib(count: u64) -> Self {
        Self(count.saturating_mul(1 << 30))
    }

    /// Reads a number, a decimal fraction allowed, and a unit: none or `b`, `k`, `m`, `g`, `t`, `p`, also as `kb` or
    /// `KiB`, in either case.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) with the broken rule.
    pub fn parse(text: &str) -> Result<Self> {
        let invalid = |why: &str| Error::from(Invalid::new("size", text, why));
        let end = text.find(|char: char| !char.is_ascii_digit() && char != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let unit = unit.trim_start().to_ascii_lowercase();
        let letter = unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(&unit);
        let bits = match letter {
            "" if unit != "ib" => 0,
            _ => UNITS
                .iter()
                .find(|(name, _)| letter.chars().eq([*name]))
                .map(|(_, bits)| *bits)
                .ok_or_else(|| invalid("its unit is none of B, KiB, MiB, GiB, TiB, PiB"))?,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(fraction) {
            return Err(invalid("it does not begin with a number"));
        }
        let too_large = || invalid("it is beyond 2^64 bytes");
        let whole: u64 = whole.parse().map_err(|_| too_large())?;
        // More digits of a fraction than 9 change no size that a person would write.
        let digits = &fraction[..fraction.len().min(9)];
        let fraction: u64 = digits.parse().map_err(|_| too_large())?;
        let scale = 10_u128.pow(digits.len() as u32);
        let bytes = (u128::from(whole) << bits) + (u128::from(fraction) << bits) / scale;
        u64::try_from(bytes).map(Self).map_err(|_| too_large())
    }

    /// The number of bytes.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl From<u64> for ByteSize {
    fn from(bytes: u64) -> Self {
        Self(bytes)
    }
}

impl From<ByteSize> for u64 {
    fn from(size: ByteSize) -> Self {
        size.0
    }
}

impl std::str::FromStr for ByteSize {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

impl TryFrom<&str> for ByteSize {
    type Error = Error;

    fn try_from(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

impl fmt::Display for ByteSize {
    /// Exact where the size is a multiple of a unit, else with one decimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((unit, bits)) = UNITS.iter().find(|(_, bits)| self.0 >> bits > 0) else {
            return f.pad(&format!("{}B", self.0));
        };
        let unit = unit.to_ascii_uppercase();
        let whole = self.0 >> bits;
        let rest = self.0 & ((1 << bits) - 1);
        let tenths = (u128::from(rest) * 10) >> bits;
        match (rest, tenths) {
            (0, _) => f.pad(&format!("{whole}{unit}iB")),
            (_, tenths) => f.pad(&format!("{whole}.{tenths}{unit}iB")),
        }
    }
}

impl std::iter::Sum for ByteSize {
    fn sum<I: Iterator<Item = Self>>(sizes: I) -> Self {
        Self(sizes.fold(0, |sum, size| sum.saturating_add(size.0)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn units_are_binary_as_in_docker() {
        let table = [
            ("0", 0),
            ("64", 64),
            ("64b", 64),
            ("64m", 64 << 20),
            ("64MB", 64 << 20),
            ("256MiB", 256 << 20),
            ("1.5g", 3 << 29),
            ("2 GiB", 2 << 30),
            ("1k", 1024),
            ("8p", 8 << 50),
        ];
        for (text, bytes) in table {
            assert_eq!(ByteSize::parse(text).unwrap().as_u64(), bytes, "{text}");
        }
    }

    #[test]
    fn what_is_not_a_size_is_refused() {
        for text in ["", "m", "-1m", "1x", "1mm", "1ib", "1.", ".5g", "1.2.3", "99999999999999999999", "17179869184g"] {
            let error = ByteSize::parse(text).unwrap_err();
            assert!(error.to_string().starts_with(&format!("invalid size {text:?}: ")), "{error}");
        }
    }

    #[test]
    fn sizes_are_printed_for_people() {
        for (bytes, text) in [(0, "0B"), (1023, "1023B"), (1024, "1KiB"), (3 << 29, "1.5GiB"), (u64::MAX, "16383.9PiB")]
        {
            assert_eq!(ByteSize::bytes(bytes).to_string(), text);
        }
        assert_eq!([ByteSize::mib(1), ByteSize::mib(2)].into_iter().sum::<ByteSize>(), ByteSize::mib(3));
    }
}
