//! Random names: container IDs, and the cache IDs of layers.

use std::{fmt, io};

use super::digest::hex;
use super::{Invalid, text_value};
use crate::error::{Attempt, Result};

/// Digits of an ID.
const LENGTH: usize = 64;
/// Digits of a short ID.
const SHORT: usize = 12;
/// Longest file name of Linux file systems, in bytes (`NAME_MAX`).
const FILE_NAME_MAX: usize = 255;

/// 64 random lower-case hexadecimal digits.
///
/// # Errors
/// As [getrandom(2)](https://man7.org/linux/man-pages/man2/getrandom.2.html): on no kernel this crate runs on.
pub fn random_hex64() -> io::Result<String> {
    let mut bytes = [0; LENGTH / 2];
    random_bytes(&mut bytes)?;
    Ok(hex(&bytes))
}

/// Fills `bytes` from the kernel's random source.
pub(crate) fn random_bytes(bytes: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while filled < bytes.len() {
        // A signal may cut a long read short.
        match rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The ID of a container: 64 lower-case hexadecimal digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId(String);

impl ContainerId {
    /// A new ID.
    ///
    /// # Errors
    /// If the kernel's random source fails.
    pub fn random() -> Result<Self> {
        loop {
            let id = random_hex64().attempt(|| "draw a container id")?;
            // The host name of a container is its short ID; Docker too avoids one that reads as a number.
            if id.bytes().take(SHORT).any(|digit| digit.is_ascii_alphabetic()) {
                return Ok(Self(id));
            }
        }
    }

    /// Reads a full ID.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) unless the text is 64 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self> {
        match is_hex64(text) {
            true => Ok(Self(text.to_owned())),
            false => Err(Invalid::new("container id", text, "it has 64 lower-case hexadecimal digits").into()),
        }
    }

    /// The first 12 digits: the container's host name, and what is shown to people.
    pub fn short(&self) -> &str {
        &self.0[..SHORT]
    }

    /// All digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name of a layer's directory under the storage driver.
///
/// New ones have 64 random hexadecimal digits; others wrote the store too, so any plain file name is accepted.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CacheId(String);

/// The layer of a container that has no record of it is called as the container.
impl From<&ContainerId> for CacheId {
    fn from(id: &ContainerId) -> Self {
        Self(id.as_str().to_owned())
    }
}

impl CacheId {
    /// A new name.
    ///
    /// # Errors
    /// If the kernel's random source fails.
    pub fn random() -> Result<Self> {
        random_hex64().map(Self).attempt(|| "draw a cache id")
    }

    /// Reads the name of a directory: letters, digits, `_`, `.` and `-`, beginning with a letter or digit.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for anything else, so that it never leaves its directory.
    pub fn parse(text: &str) -> Result<Self> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        let begins_well = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        match begins_well && text.len() <= FILE_NAME_MAX && text.bytes().all(is_plain) {
            true => Ok(Self(text.to_owned())),
            false => Err(Invalid::new("cache id", text, "it is not a plain directory name").into()),
        }
    }

    /// The directory of the init layer that belongs to this writable layer: the name with `-init` appended.
    pub fn init(&self) -> Self {
        Self(format!("{}-init", self.0))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! id_text {
    ($($type:ty),+) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        text_value!($type);
    )+};
}
id_text!(ContainerId, CacheId);

fn is_hex64(text: &str) -> bool {
    text.len() == LENGTH && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn random_ids_differ_and_parse() {
        let (one, other) = (ContainerId::random().unwrap(), ContainerId::random().unwrap());
        assert_ne!(one, other);
        assert_eq!(ContainerId::parse(one.as_str()).unwrap(), one);
        assert_eq!(one.short().len(), 12);
        assert!(is_hex64(CacheId::random().unwrap().as_str()));
    }

    #[test]
    fn container_ids_are_64_lower_case_digits() {
        for text in ["", "abc", &"A".repeat(64), &"a".repeat(63), &"g".repeat(64), &format!("../{}", "a".repeat(61))] {
            assert!(ContainerId::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn cache_ids_never_leave_their_directory() {
        for text in ["", ".", "..", "a/b", "../a", "a\0", "-a", &"a".repeat(256)] {
            assert!(CacheId::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(CacheId::parse("0123456789abcdef").unwrap().init().as_str(), "0123456789abcdef-init");
    }
}
