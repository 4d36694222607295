//! The loader's cache, `/etc/ld.so.cache`: library name → paths.
//!
//! ```text
//! "ld.so-1.7.0\0"  u32 count, count × 12 bytes, padding to 8      before glibc 2.32, skipped
//! "glibc-ld.so.cache1.1"  u32 count, u32 length of the strings, 20 bytes
//! count × { i32 flags, u32 name, u32 path, u32 os version, u64 hwcap }   offsets from the second magic
//! strings
//! ```
//!
//! This is `struct cache_file_new` of glibc's `sysdeps/generic/dl-cache.h`. Entries for particular processors (hwcap)
//! are passed over, so that an image does not depend on the processor of the machine that made it. As for the loader, a
//! malformed cache is an empty one.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

const OLD_MAGIC: &[u8] = b"ld.so-1.7.0\0";
const OLD_ENTRY: usize = 12;
const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
const HEADER: usize = 48;
const ENTRY: usize = 24;

/// Which paths a library name has.
#[derive(Debug, Default)]
pub(super) struct LdCache(HashMap<OsString, Vec<PathBuf>>);

impl LdCache {
    /// Reads the text of the file.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        Self::try_parse(bytes).unwrap_or_default()
    }

    /// The paths of a library, best first.
    pub(super) fn paths(&self, name: &OsStr) -> &[PathBuf] {
        self.0.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    fn try_parse(bytes: &[u8]) -> Option<Self> {
        let cache = match bytes.starts_with(OLD_MAGIC) {
            true => {
                let count = number(bytes, OLD_MAGIC.len())?;
                let end = count.checked_mul(OLD_ENTRY)?.checked_add(OLD_MAGIC.len() + 4)?;
                bytes.get(end.next_multiple_of(8)..)?
            }
            false => bytes,
        };
        if !cache.starts_with(MAGIC) {
            return None;
        }
        let count = number(cache, MAGIC.len())?;
        let entries = cache.get(HEADER..HEADER.checked_add(count.checked_mul(ENTRY)?)?)?;
        let mut libraries: HashMap<OsString, Vec<PathBuf>> = HashMap::new();
        for entry in entries.chunks_exact(ENTRY) {
            let is_for_any_processor = entry[16..].iter().all(|byte| *byte == 0);
            if is_for_any_processor {
                let (name, path) = (text(cache, number(entry, 4)?)?, text(cache, number(entry, 8)?)?);
                libraries.entry(name.to_owned()).or_default().push(Path::new(path).to_owned());
            }
        }
        Some(Self(libraries))
    }
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
}

fn text(bytes: &[u8], at: usize) -> Option<&OsStr> {
    let rest = bytes.get(at..)?;
    let end = rest.iter().position(|byte| *byte == 0)?;
    Some(OsStr::from_bytes(&rest[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cache of `(name, path, hwcap)`.
    fn cache(entries: &[(&str, &str, u64)]) -> Vec<u8> {
        let mut strings = Vec::new();
        let start = HEADER + ENTRY * entries.len();
        let mut table = Vec::new();
        for (name, path, hwcap) in entries {
            table.extend(0x0303_u32.to_le_bytes());
            for text in [name, path] {
                table.extend(((start + strings.len()) as u32).to_le_bytes());
                strings.extend(text.bytes().chain([0]));
            }
            table.extend(0_u32.to_le_bytes());
            table.extend(hwcap.to_le_bytes());
        }
        let mut bytes = MAGIC.to_vec();
        bytes.extend((entries.len() as u32).to_le_bytes());
        bytes.extend((strings.len() as u32).to_le_bytes());
        bytes.resize(HEADER, 0);
        bytes.extend(table);
        bytes.extend(strings);
        bytes
    }

    #[test]
    fn libraries_for_particular_processors_are_passed_over() {
        let cache = LdCache::parse(&cache(&[
            ("liba.so.1", "/lib/glibc-hwcaps/x86-64-v3/liba.so.1", 1 << 62),
            ("liba.so.1", "/lib/liba.so.1", 0),
            ("liba.so.1", "/lib32/liba.so.1", 0),
        ]));
        assert_eq!(cache.paths(OsStr::new("liba.so.1")), ["/lib/liba.so.1", "/lib32/liba.so.1"].map(PathBuf::from));
        assert!(cache.paths(OsStr::new("libb.so.1")).is_empty());
    }

    #[test]
    fn the_old_format_in_front_is_skipped() {
        let mut bytes = OLD_MAGIC.to_vec();
        bytes.extend(1_u32.to_le_bytes());
        bytes.resize(32, 7);
        bytes.extend(cache(&[("liba.so", "/liba.so", 0)]));
        assert_eq!(LdCache::parse(&bytes).paths(OsStr::new("liba.so")).len(), 1);
    }

    #[test]
    fn a_malformed_cache_is_an_empty_one() {
        let whole = cache(&[("liba.so", "/liba.so", 0)]);
        for end in 0..whole.len() {
            assert!(LdCache::parse(&whole[..end]).0.is_empty(), "{end}");
        }
        let mut bytes = whole.clone();
        bytes[20..24].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(LdCache::parse(&bytes).0.is_empty());
    }

    #[test]
    fn the_cache_of_the_host_knows_the_c_library() {
        let Ok(bytes) = std::fs::read("/etc/ld.so.cache") else {
            return; // musl has none
        };
        let cache = LdCache::parse(&bytes);
        assert!(cache.paths(OsStr::new("libc.so.6")).iter().any(|path| path.exists()));
    }
}
