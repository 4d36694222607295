//! Tar headers as we write them: ustar, with PAX records only for what ustar cannot say.
//!
//! The same file always gives the same bytes: no user names, no times of our own, records sorted by key.

use std::borrow::Cow;

use crate::sys::fs::{Time, Xattr};

use super::entry::{Kind, padding};
use super::ring::UNIT;

/// Largest number in eight and in twelve bytes of octal digits with an end.
const MOST_7: u64 = 0o777_7777;
const MOST_11: u64 = 0o777_7777_7777;

/// What is written before a file's content.
pub(super) struct Header<'a> {
    pub(super) path: &'a [u8],
    pub(super) kind: Kind,
    /// Target of a symbolic or hard link.
    pub(super) link: &'a [u8],
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) size: u64,
    pub(super) modified: Time,
    pub(super) device: (u32, u32),
    pub(super) xattrs: &'a [Xattr],
}

/// Key and value of an extended header.
type Record<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

impl Header<'_> {
    /// Appends the header, with an extended one before it if needed.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let mut records: Vec<Record<'_>> = Vec::new();
        let mut record = |key: &'static [u8], value: Vec<u8>| records.push((Cow::Borrowed(key), Cow::Owned(value)));
        let mut unit = [0u8; UNIT];

        match split_name(self.path) {
            Some((prefix, name)) => {
                unit[..name.len()].copy_from_slice(name);
                unit[345..345 + prefix.len()].copy_from_slice(prefix);
            }
            None => {
                unit[..100].copy_from_slice(&self.path[..100]);
                record(b"path", self.path.to_vec());
            }
        }
        if self.link.len() > 100 {
            record(b"linkpath", self.link.to_vec());
        }
        let link = &self.link[..self.link.len().min(100)];
        unit[157..157 + link.len()].copy_from_slice(link);

        octal(&mut unit[100..108], self.mode.into());
        for (field, key, id) in [(108, b"uid", self.uid), (116, b"gid", self.gid)] {
            let fits = u64::from(id) <= MOST_7;
            octal(&mut unit[field..field + 8], if fits { id.into() } else { 0 });
            if !fits {
                record(key, id.to_string().into_bytes());
            }
        }
        octal(&mut unit[124..136], if self.size <= MOST_11 { self.size } else { 0 });
        if self.size > MOST_11 {
            record(b"size", self.size.to_string().into_bytes());
        }
        let seconds = u64::try_from(self.modified.seconds).ok().filter(|seconds| *seconds <= MOST_11);
        octal(&mut unit[136..148], seconds.unwrap_or(0));
        if seconds.is_none() || self.modified.nanoseconds != 0 {
            record(b"mtime", decimal(self.modified).into_bytes());
        }
        for (name, value) in self.xattrs {
            let mut key = b"SCHILY.xattr.".to_vec();
            key.extend_from_slice(name);
            records.push((Cow::Owned(key), Cow::Borrowed(value)));
        }

        unit[156] = match self.kind {
            Kind::File | Kind::Global => b'0',
            Kind::HardLink => b'1',
            Kind::Symlink => b'2',
            Kind::CharDevice => b'3',
            Kind::BlockDevice => b'4',
            Kind::Directory => b'5',
            Kind::Fifo => b'6',
        };
        if matches!(self.kind, Kind::CharDevice | Kind::BlockDevice) {
            octal(&mut unit[329..337], u64::from(self.device.0) & MOST_7);
            octal(&mut unit[337..345], u64::from(self.device.1) & MOST_7);
        }
        if !records.is_empty() {
            records.sort();
            self.write_records(&records, out);
        }
        seal(&mut unit);
        out.extend_from_slice(&unit);
    }

    fn write_records(&self, records: &[Record<'_>], out: &mut Vec<u8>) {
        let mut body = Vec::new();
        for (key, value) in records {
            // The length counts its own digits.
            let rest = key.len() + value.len() + 3;
            let mut length = rest + 1;
            while length != rest + length.to_string().len() {
                length = rest + length.to_string().len();
            }
            body.extend_from_slice(length.to_string().as_bytes());
            body.push(b' ');
            body.extend_from_slice(key);
            body.push(b'=');
            body.extend_from_slice(value);
            body.push(b'\n');
        }
        let mut unit = [0u8; UNIT];
        let name = b"PaxHeaders.0/";
        unit[..name.len()].copy_from_slice(name);
        let base = self.path.strip_suffix(b"/").unwrap_or(self.path).rsplit(|byte| *byte == b'/').next();
        let base = base.unwrap_or_default();
        let base = &base[..base.len().min(100 - name.len())];
        unit[name.len()..name.len() + base.len()].copy_from_slice(base);
        octal(&mut unit[100..108], 0o644);
        octal(&mut unit[108..116], 0);
        octal(&mut unit[116..124], 0);
        octal(&mut unit[124..136], body.len() as u64);
        octal(&mut unit[136..148], 0);
        unit[156] = b'x';
        seal(&mut unit);
        out.extend_from_slice(&unit);
        out.extend_from_slice(&body);
        let padding = usize::try_from(padding(body.len() as u64)).unwrap_or_default();
        out.extend_from_slice(&[0; UNIT][..padding]);
    }
}

/// Magic and checksum.
fn seal(unit: &mut [u8; UNIT]) {
    unit[257..265].copy_from_slice(b"ustar\x0000");
    unit[148..156].copy_from_slice(b"        ");
    let sum: u64 = unit.iter().map(|byte| u64::from(*byte)).sum();
    octal(&mut unit[148..155], sum);
}

/// Zero-padded octal digits and a zero byte.
fn octal(field: &mut [u8], mut value: u64) {
    let Some((end, digits)) = field.split_last_mut() else { return };
    *end = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(value & 7).unwrap_or_default();
        value >>= 3;
    }
}

/// Prefix and name as ustar stores them; `None` if the path does not fit.
fn split_name(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.len() <= 100 {
        return Some((b"", path));
    }
    // A directory's trailing slash belongs to the name.
    let slash = path[..path.len() - 1].iter().take(156).rposition(|byte| *byte == b'/').filter(|at| *at > 0)?;
    let (prefix, name) = (&path[..slash], &path[slash + 1..]);
    (name.len() <= 100).then_some((prefix, name))
}

/// Decimal seconds with as many digits of the fraction as needed.
fn decimal(time: Time) -> String {
    let (sign, seconds, nanoseconds) = match time {
        Time { seconds, nanoseconds: 0 } => return seconds.to_string(),
        Time { seconds, nanoseconds } if seconds < 0 => {
            ("-", (seconds + 1).unsigned_abs(), 1_000_000_000 - nanoseconds)
        }
        Time { seconds, nanoseconds } => ("", seconds.unsigned_abs(), nanoseconds),
    };
    let text = format!("{sign}{seconds}.{nanoseconds:09}");
    text.trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_exactly() {
        for (seconds, nanoseconds, text) in [
            (5, 0, "5"),
            (5, 500_000_000, "5.5"),
            (-1, 0, "-1"),
            (-2, 499_999_999, "-1.500000001"),
            (-1, 1, "-0.999999999"),
        ] {
            assert_eq!(decimal(Time { seconds, nanoseconds }), text);
        }
    }

    #[test]
    fn long_paths_are_split_at_a_slash_or_not_at_all() {
        let long = [b"d".repeat(99), b"/".to_vec(), b"f".repeat(100)].concat();
        assert_eq!(split_name(&long), Some((&long[..99], &long[100..])));
        assert_eq!(split_name(&b"x".repeat(101)), None);
        let deep = [b"d".repeat(160), b"/f".to_vec()].concat();
        assert_eq!(split_name(&deep), None);
        let directory = [b"d".repeat(50), b"/".to_vec(), b"e".repeat(60), b"/".to_vec()].concat();
        assert_eq!(split_name(&directory), Some((&directory[..50], &directory[51..])));
    }
}
