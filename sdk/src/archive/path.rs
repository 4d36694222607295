//! Names in an archive.

use super::fault::{ArchiveFault, text};
use crate::error::Error;

/// Longest name of a file: `NAME_MAX`.
const LONGEST_NAME: usize = 255;

/// Why a name in an archive is no path of a layer.
#[derive(Debug)]
pub(super) enum BadPath {
    Long(usize),
    Refused(String),
}

impl BadPath {
    /// The error that names the entry it belongs to.
    pub(super) fn of(self, entry: &[u8], what: &'static str) -> Error {
        let name = text(entry);
        match self {
            Self::Long(limit) => ArchiveFault::EntryLimit { entry: name, what, limit: limit as u64 }.into(),
            Self::Refused(why) => ArchiveFault::Entry { entry: name, why: format!("the {what} {why}") }.into(),
        }
    }
}

/// Writes the plain relative form of a name in an archive to `out`: no leading or trailing slash, no empty component,
/// no `.` and `..`. The root itself is empty.
///
/// A `..` is taken by its text, as Docker does; one that leads out of the root is refused.
pub(super) fn clean(name: &[u8], most: usize, out: &mut Vec<u8>) -> Result<(), BadPath> {
    let refused = |why: &str| Err(BadPath::Refused(why.to_owned()));
    out.clear();
    if name.is_empty() {
        return refused("is empty");
    }
    // Not in `out` already: `a/../` repeated would cost nothing there.
    if name.len() > most.saturating_add(1) {
        return Err(BadPath::Long(most));
    }
    for component in name.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => {
                if out.is_empty() {
                    return refused("leads out of the layer");
                }
                let parent = out.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                out.truncate(parent);
            }
            _ if component.len() > LONGEST_NAME => {
                return refused(&format!("has {:?}, a name of more than {LONGEST_NAME} bytes", text(component)));
            }
            _ if component.contains(&0) => return refused("contains a zero byte"),
            _ => {
                if !out.is_empty() {
                    out.push(b'/');
                }
                out.extend_from_slice(component);
            }
        }
    }
    if out.len() > most {
        return Err(BadPath::Long(most));
    }
    Ok(())
}

/// Directory and last component.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

/// A name below a directory.
pub(super) fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(directory.len() + 1 + name.len());
    path.extend_from_slice(directory);
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn names_become_plain_relative_paths_or_are_refused() {
        let mut out = Vec::new();
        for (name, plain) in [
            ("a", "a"),
            ("./a//b/./c/", "a/b/c"),
            ("/etc/passwd", "etc/passwd"),
            ("./", ""),
            ("/", ""),
            ("a/../b", "b"),
            ("a/b/..", "a"),
            ("a/..", ""),
            ("-x\n", "-x\n"),
        ] {
            clean(name.as_bytes(), 4096, &mut out).unwrap();
            assert_eq!(out, plain.as_bytes(), "{name}");
        }
        for name in ["", "..", "../x", "a/../../x", "/..", "a\0b"] {
            assert!(clean(name.as_bytes(), 4096, &mut out).is_err(), "{name:?}");
        }
        assert!(clean(&[b'x'; 255], 4096, &mut out).is_ok());
        assert!(clean(&[b'x'; 256], 4096, &mut out).is_err());
        let long = |length: usize| "a/".repeat(3000).into_bytes()[..length].to_vec();
        assert!(clean(&long(4095), 4096, &mut out).is_ok());
        assert!(clean(&long(4096), 4096, &mut out).is_ok());
        let error = clean(&long(4098), 4096, &mut out).unwrap_err().of(b"entry", "path");
        assert_eq!(error.kind(), ErrorKind::LimitExceeded);
        assert_eq!(error.to_string(), "extract \"entry\": more than 4096 bytes in its path");
    }
}
