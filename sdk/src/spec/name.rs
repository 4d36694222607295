//! Names that people give: containers, volumes, networks.
//!
//! A name becomes a directory of the store, so the rule is Docker's and strict: `[a-zA-Z0-9][a-zA-Z0-9_.-]+`.

use std::fmt;

use super::id::random_bytes;
use super::{Invalid, text_value, words};
use crate::error::{Attempt, Result};

/// Longest file name of Linux file systems, in bytes (`NAME_MAX`).
const MAX: usize = 255;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Reads a name: two to 255 letters, digits, `_`, `.` and `-`, beginning with a letter or digit.
            ///
            /// # Errors
            /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) with the broken rule.
            pub fn parse(text: &str) -> Result<Self> {
                match check(text) {
                    Ok(()) => Ok(Self(text.to_owned())),
                    Err(why) => Err(Invalid::new($what, text, why).into()),
                }
            }

            /// The name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl From<&$name> for String {
            fn from(name: &$name) -> Self {
                name.0.clone()
            }
        }

        text_value!($name);
    };
}

name! {
    /// The name of a container; unique in a data root.
    ContainerName, "container name"
}
name! {
    /// The name of a volume; unique in a data root.
    VolumeName, "volume name"
}
name! {
    /// The name of a network; unique in a data root.
    NetworkName, "network name"
}

impl ContainerName {
    /// An adjective and a noun, as `calm_otter`, for a container that was given no name.
    ///
    /// It may be taken already: there are some thousand of them.
    ///
    /// # Errors
    /// If the kernel's random source fails.
    pub fn random() -> Result<Self> {
        let mut bytes = [0; 4];
        random_bytes(&mut bytes).attempt(|| "draw a container name")?;
        let pick = |words: &[&'static str], low: u8, high: u8| {
            words[usize::from(u16::from_le_bytes([low, high])) % words.len()]
        };
        let [a, b, c, d] = bytes;
        Ok(Self(format!("{}_{}", pick(words::ADJECTIVES, a, b), pick(words::NOUNS, c, d))))
    }

    /// Appends a number, for a random name that is taken.
    pub fn numbered(&self, number: u32) -> Self {
        Self(format!("{}{number}", self.0))
    }
}

impl VolumeName {
    /// The name of an anonymous volume: 64 random hexadecimal digits.
    ///
    /// # Errors
    /// If the kernel's random source fails.
    pub fn random() -> Result<Self> {
        super::id::random_hex64().map(Self).attempt(|| "draw a volume name")
    }

    /// Whether it looks like one that was drawn: 64 hexadecimal digits.
    pub(crate) fn is_random(&self) -> bool {
        self.0.len() == 64 && self.0.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    }
}

fn check(text: &str) -> Result<(), String> {
    if text.len() < 2 {
        return Err("a name has at least two characters".into());
    }
    if text.len() > MAX {
        return Err(format!("a name has at most {MAX} characters, this one has {}", text.len()));
    }
    if !text.starts_with(|char: char| char.is_ascii_alphanumeric()) {
        return Err("a name begins with a letter or a digit".into());
    }
    let is_valid = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '.' | '-');
    match text.chars().find(|char| !is_valid(*char)) {
        Some(wrong) => Err(format!("{wrong:?} cannot be in a name (letters, digits, `_`, `.` and `-` can)")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_that_could_leave_a_directory_are_refused() {
        let table = [
            ("", "a name has at least two characters"),
            ("a", "a name has at least two characters"),
            ("../x", "a name begins with a letter or a digit"),
            ("_data", "a name begins with a letter or a digit"),
            ("a/b", "'/' cannot be in a name (letters, digits, `_`, `.` and `-` can)"),
            ("a\0b", "'\\0' cannot be in a name (letters, digits, `_`, `.` and `-` can)"),
        ];
        for (text, why) in table {
            let error = VolumeName::parse(text).unwrap_err();
            assert_eq!(error.to_string(), format!("invalid volume name {text:?}: {why}"));
        }
        assert!(NetworkName::parse(&"a".repeat(256)).is_err());
        assert_eq!(ContainerName::parse("web-1.x_Y").unwrap().as_str(), "web-1.x_Y");
    }

    #[test]
    fn random_names_are_names() {
        for _ in 0..64 {
            let name = ContainerName::random().unwrap();
            assert_eq!(ContainerName::parse(name.as_str()).unwrap(), name);
        }
        assert_eq!(ContainerName::parse("calm_otter").unwrap().numbered(3).as_str(), "calm_otter3");
    }
}
