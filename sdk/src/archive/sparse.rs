//! GNU's sparse files: old format, 0.0, 0.1 and 1.0.

use crate::error::Result;

use super::fault::ArchiveFault;
use super::header::{self, Header};
use super::pax::PaxSparse;
use super::ring::{Tape, UNIT};

/// Extents of one file at most: 16 bytes each in our memory.
const MOST_EXTENTS: u64 = 1 << 20;

/// A piece of a sparse file that has data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// How a file with holes is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sparse {
    /// Size with the holes.
    pub(super) real_size: u64,
    /// `None` if the map stands at the beginning of the content (format 1.0).
    pub(super) map: Option<Vec<Extent>>,
}

impl Sparse {
    /// The old format: extents in the header, more of them in blocks that follow it.
    pub(super) fn old(header: &Header<'_>, tape: &mut Tape) -> Result<Self> {
        let Some((fields, mut more, real_size)) = header.old_sparse() else {
            return Err(ArchiveFault::malformed("a sparse file's header is malformed"));
        };
        let mut map = Vec::new();
        extents(fields, &mut map)?;
        while more {
            let Some(unit) = tape.unit()? else { return Err(ArchiveFault::Truncated.into()) };
            extents(&unit[..504], &mut map)?;
            more = unit[504] != 0;
        }
        Ok(Self { real_size, map: Some(map) })
    }

    /// The formats in extended headers; `None` if the entry is no sparse file.
    pub(super) fn of_pax(pax: &mut PaxSparse, size: u64) -> Result<Option<Self>> {
        let map = match (pax.major, pax.minor) {
            (Some(1), Some(0)) => None,
            (None, None) | (Some(0), Some(0 | 1)) => match pax.map.take() {
                Some(map) => Some(map),
                None => return Ok(None),
            },
            _ => return Err(ArchiveFault::malformed("a sparse file has an unknown format")),
        };
        Ok(Some(Self { real_size: pax.real_size.unwrap_or(size), map }))
    }

    /// The extents, read from the content if they stand there, checked against `stored`, the bytes that follow.
    ///
    /// Returns how many bytes of the content are data.
    pub(super) fn read_map(&mut self, tape: &mut Tape, mut stored: u64) -> Result<u64> {
        if self.map.is_none() {
            self.map = Some(read_inline_map(tape, &mut stored)?);
        }
        let (mut end, mut data) = (0u64, 0u64);
        for extent in self.map.iter().flatten() {
            let next = extent.offset.checked_add(extent.length).filter(|next| *next <= self.real_size);
            let (Some(next), true) = (next, extent.offset >= end) else {
                return Err(ArchiveFault::malformed("the map of a sparse file contradicts its size"));
            };
            end = next;
            data += extent.length;
        }
        if data != stored {
            return Err(ArchiveFault::malformed("the map of a sparse file contradicts its content"));
        }
        Ok(data)
    }
}

fn extents(fields: &[u8], map: &mut Vec<Extent>) -> Result<()> {
    for field in fields.as_chunks::<24>().0 {
        if field[0] == 0 {
            break;
        }
        let number = |field: &[u8]| header::number(field).and_then(|number| u64::try_from(number).ok());
        let (Some(offset), Some(length)) = (number(&field[..12]), number(&field[12..])) else {
            return Err(ArchiveFault::malformed("the map of a sparse file is malformed"));
        };
        map.push(Extent { offset, length });
    }
    check_count(map.len() as u64)
}

/// Decimal numbers, one a line, in as many whole units as needed: the count, then offset and length of each.
fn read_inline_map(tape: &mut Tape, stored: &mut u64) -> Result<Vec<Extent>> {
    let bad = || ArchiveFault::malformed("the map of a sparse file is malformed");
    let mut numbers = Vec::new();
    let mut expected = 1;
    let mut number: Option<u64> = None;
    while (numbers.len() as u64) < expected {
        let unit = tape.unit()?.ok_or_else(bad)?;
        *stored = stored.checked_sub(UNIT as u64).ok_or_else(bad)?;
        for byte in unit {
            match byte {
                b'0'..=b'9' => {
                    let digit = u64::from(byte - b'0');
                    let value = number.unwrap_or(0).checked_mul(10).and_then(|value| value.checked_add(digit));
                    number = Some(value.filter(|value| i64::try_from(*value).is_ok()).ok_or_else(bad)?);
                }
                b'\n' => numbers.push(number.take().ok_or_else(bad)?),
                _ => return Err(bad()),
            }
            if let [count] = numbers[..] {
                check_count(count)?;
                expected = 1 + 2 * count;
            }
            if numbers.len() as u64 == expected {
                // The rest of the unit is padding.
                break;
            }
        }
    }
    Ok(numbers[1..].as_chunks::<2>().0.iter().map(|&[offset, length]| Extent { offset, length }).collect())
}

fn check_count(count: u64) -> Result<()> {
    if count > MOST_EXTENTS {
        return Err(ArchiveFault::Limit { what: "extents in a sparse file", limit: MOST_EXTENTS }.into());
    }
    Ok(())
}
