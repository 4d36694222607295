//! Extended headers: records `LENGTH KEY=VALUE\n` that override fields of the next header.
//!
//! A malformed record makes the archive malformed: readers that skip it see other entries than readers that do not.

use crate::sys::fs::{Time, Xattr};

use super::sparse::Extent;

const XATTR: &[u8] = b"SCHILY.xattr.";
/// Longest name of an extended attribute: `XATTR_NAME_MAX`.
const LONGEST_XATTR_NAME: usize = 255;

/// What the extended header before an entry says.
#[derive(Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) uid: Option<i64>,
    pub(super) gid: Option<i64>,
    pub(super) size: Option<u64>,
    pub(super) modified: Option<Time>,
    pub(super) xattrs: Vec<Xattr>,
    pub(super) sparse: PaxSparse,
}

/// The records of GNU's sparse formats 0.0, 0.1 and 1.0.
#[derive(Default)]
pub(super) struct PaxSparse {
    pub(super) major: Option<u64>,
    pub(super) minor: Option<u64>,
    pub(super) name: Option<Vec<u8>>,
    pub(super) real_size: Option<u64>,
    pub(super) map: Option<Vec<Extent>>,
    /// Format 0.0: offset, length, offset, length…
    pairs: Vec<u64>,
}

impl Pax {
    /// Reads the records of one extended header.
    pub(super) fn parse(mut records: &[u8]) -> Result<Self, String> {
        let mut pax = Self::default();
        while !records.is_empty() {
            let (key, value, rest) = record(records)?;
            pax.set(key, value)?;
            records = rest;
        }
        let (pairs, odd) = pax.sparse.pairs.as_chunks::<2>();
        if !odd.is_empty() {
            return Err("an extended header has half an extent of a sparse file".into());
        }
        if !pairs.is_empty() {
            pax.sparse.map = Some(pairs.iter().map(|&[offset, length]| Extent { offset, length }).collect());
        }
        Ok(pax)
    }

    /// Reads a global extended header, whose records would concern all entries that follow.
    ///
    /// Docker ignores them, GNU tar does not. What would make the two see different entries is refused.
    pub(super) fn check_global(mut records: &[u8]) -> Result<(), String> {
        while !records.is_empty() {
            let (key, _, rest) = record(records)?;
            if matches!(key, b"path" | b"linkpath" | b"size" | b"uid" | b"gid") || key.starts_with(b"GNU.sparse.") {
                return Err(format!("a global extended header sets {:?}", String::from_utf8_lossy(key)));
            }
            records = rest;
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        // An empty value takes back an earlier one.
        let set = !value.is_empty();
        match key {
            b"path" => self.path = set.then(|| value.to_vec()),
            b"linkpath" => self.link = set.then(|| value.to_vec()),
            b"uid" => self.uid = set.then(|| signed(key, value)).transpose()?,
            b"gid" => self.gid = set.then(|| signed(key, value)).transpose()?,
            b"size" => self.size = set.then(|| unsigned(key, value)).transpose()?,
            b"mtime" => self.modified = set.then(|| time(value)).transpose()?,
            b"GNU.sparse.major" => self.sparse.major = Some(unsigned(key, value)?),
            b"GNU.sparse.minor" => self.sparse.minor = Some(unsigned(key, value)?),
            b"GNU.sparse.name" => self.sparse.name = set.then(|| value.to_vec()),
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => {
                self.sparse.real_size = set.then(|| unsigned(key, value)).transpose()?;
            }
            b"GNU.sparse.map" => self.sparse.map = Some(map(value)?),
            b"GNU.sparse.offset" if self.sparse.pairs.len().is_multiple_of(2) => {
                self.sparse.pairs.push(unsigned(key, value)?);
            }
            b"GNU.sparse.numbytes" if !self.sparse.pairs.len().is_multiple_of(2) => {
                self.sparse.pairs.push(unsigned(key, value)?);
            }
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => {
                return Err("an extended header mixes up the extents of a sparse file".into());
            }
            _ => {
                if let Some(name) = key.strip_prefix(XATTR) {
                    self.set_xattr(name, value)?;
                }
            }
        }
        Ok(())
    }

    fn set_xattr(&mut self, name: &[u8], value: &[u8]) -> Result<(), String> {
        if name.is_empty() || name.len() > LONGEST_XATTR_NAME {
            return Err("an extended header names an attribute that cannot exist".into());
        }
        match self.xattrs.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value.to_vec(),
            None => self.xattrs.push((name.to_vec(), value.to_vec())),
        }
        Ok(())
    }
}

/// Splits off the first record: key, value, rest.
#[allow(clippy::type_complexity)]
fn record(records: &[u8]) -> Result<(&[u8], &[u8], &[u8]), String> {
    let malformed = || "a record of an extended header is malformed".to_owned();
    let space = records.iter().take(20).position(|byte| *byte == b' ').ok_or_else(malformed)?;
    let length = unsigned(b"length", &records[..space]).map_err(|_| malformed())?;
    let length = usize::try_from(length).ok().filter(|length| *length <= records.len()).ok_or_else(malformed)?;
    let body = records.get(space + 1..length).ok_or_else(malformed)?;
    let body = body.strip_suffix(b"\n").ok_or_else(malformed)?;
    let equals = body.iter().position(|byte| *byte == b'=').filter(|at| *at > 0).ok_or_else(malformed)?;
    let (key, value) = (&body[..equals], &body[equals + 1..]);
    let text = matches!(key, b"path" | b"linkpath" | b"uname" | b"gname" | b"GNU.sparse.name");
    if key.contains(&0) || (text && value.contains(&0)) {
        return Err("a name in an extended header contains a zero byte".into());
    }
    Ok((key, value, &records[length..]))
}

fn unsigned(key: &[u8], value: &[u8]) -> Result<u64, String> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(value).ok().filter(|_| digits).and_then(|value| value.parse().ok());
    // Sizes are signed in every reader.
    number
        .filter(|number| i64::try_from(*number).is_ok())
        .ok_or_else(|| format!("{:?} in an extended header is not a number that fits", String::from_utf8_lossy(key)))
}

fn signed(key: &[u8], value: &[u8]) -> Result<i64, String> {
    match value.strip_prefix(b"-") {
        Some(value) => unsigned(key, value).map(|value| -value.cast_signed()),
        None => unsigned(key, value).map(u64::cast_signed),
    }
}

/// Decimal seconds with a fraction; digits below the nanosecond are cut off.
fn time(value: &[u8]) -> Result<Time, String> {
    let bad = || "a time in an extended header is malformed".to_owned();
    let (negative, value) = match value.strip_prefix(b"-") {
        Some(value) => (true, value),
        None => (false, value),
    };
    let point = value.iter().position(|byte| *byte == b'.').unwrap_or(value.len());
    let seconds = unsigned(b"mtime", &value[..point]).map_err(|_| bad())?.cast_signed();
    let fraction = value.get(point + 1..).unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return Err(bad());
    }
    let digit = |at: usize| fraction.get(at).map_or(0, |digit| u32::from(digit - b'0'));
    let nanoseconds = (0..9).fold(0, |sum, at| sum * 10 + digit(at));
    Ok(match (negative, nanoseconds) {
        (false, _) => Time { seconds, nanoseconds },
        (true, 0) => Time { seconds: -seconds, nanoseconds },
        (true, _) => Time { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds },
    })
}

/// Format 0.1: `offset,length,offset,length…`
fn map(value: &[u8]) -> Result<Vec<Extent>, String> {
    let mut numbers = value.split(|byte| *byte == b',').map(|number| unsigned(b"GNU.sparse.map", number));
    let mut extents = Vec::new();
    while let Some(offset) = numbers.next() {
        let length = numbers.next().ok_or("the map of a sparse file has an odd number of numbers")?;
        extents.push(Extent { offset: offset?, length: length? });
    }
    Ok(extents)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn records_override_fields_and_keep_arbitrary_bytes() {
        let pax = Pax::parse(
            b"11 path=a\nb\n12 size=1234\n20 mtime=-1.500000001\n28 SCHILY.xattr.user.x=\0\n=y\n11 uid=-1\n\n",
        );
        assert!(pax.is_err(), "a wrong length is an error");
        let pax = Pax::parse(
            b"12 path=a\nb\n14 size=12345\n22 mtime=-1.500000001\n28 SCHILY.xattr.user.x=\0\n=y\n9 uid=-1\n",
        )
        .unwrap();
        assert_eq!(pax.path.as_deref(), Some(&b"a\nb"[..]));
        assert_eq!(pax.size, Some(12345));
        assert_eq!(pax.modified, Some(Time { seconds: -2, nanoseconds: 499_999_999 }));
        assert_eq!(pax.xattrs, [(b"user.x".to_vec(), b"\0\n=y".to_vec())]);
        assert_eq!(pax.uid, Some(-1));
    }

    #[test]
    fn malformed_records_are_errors() {
        for records in [
            &b"x"[..],
            b"9 path=a",
            b"999999999999999999999999 path=a\n",
            b"100 path=a\n",
            b"5 =a\n",
            b"8 patha\n",
            b"12 path=a\0b\n",
            b"10 size=-1\n",
            b"10 size=1x\n",
            b"28 size=18446744073709551615\n",
            b"0 path=a\n",
        ] {
            assert!(Pax::parse(records).is_err(), "{:?}", String::from_utf8_lossy(records));
        }
    }

    #[test]
    fn a_global_header_must_not_move_entries() {
        assert!(Pax::check_global(b"17 comment=abcde\n").is_ok());
        assert!(Pax::check_global(b"10 size=10\n").is_err());
    }
}
