//! The user of a process, as an image or a caller names it: `app`, `app:staff`, `1000:1000`.
//!
//! A number beyond the range is an error and never wraps to root (CVE-2024-40635).

use std::fmt;

use super::{Invalid, text_value};
use crate::error::Result;

/// The largest ID: Docker's limit, `i32::MAX`.
const ID_MAX: u32 = 2_147_483_647;
/// Longest user name, as in `useradd(8)`.
const NAME_MAX: usize = 32;

/// A user and, where given, a group; each a number or a name that the container's `/etc/passwd` and `/etc/group` know.
#[doc(alias = "USER")]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct User {
    user: Account,
    group: Option<Account>,
}

/// A user or a group.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Account {
    /// By number, at most 2147483647.
    Id(u32),
    /// By name, to be looked up in the container.
    Name(String),
}

impl User {
    /// `root`, by number.
    pub const ROOT: Self = Self { user: Account::Id(0), group: None };

    /// Reads `user` or `user:group`.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for an empty part, a number beyond 2147483647 or signed, or
    /// a text that is neither a number nor a name.
    pub fn parse(text: &str) -> Result<Self> {
        let invalid = |why: String| Invalid::new("user", text, why);
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        let user = Account::parse(user).map_err(|why| invalid(format!("the user {why}")))?;
        let group = group.map(Account::parse).transpose().map_err(|why| invalid(format!("the group {why}")))?;
        Ok(Self { user, group })
    }

    /// The user.
    pub fn user(&self) -> &Account {
        &self.user
    }

    /// The group, where one is given; otherwise the user's own.
    pub fn group(&self) -> Option<&Account> {
        self.group.as_ref()
    }
}

impl Account {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("is empty".into());
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return match text.parse() {
                Ok(id) if id <= ID_MAX => Ok(Self::Id(id)),
                _ => Err(format!("`{text}` is beyond the largest id, {ID_MAX}")),
            };
        }
        // `+0`, ` 0`, `-1` and `0x0` are neither numbers nor names.
        let begins_well = text.starts_with(|char: char| char.is_ascii_alphabetic() || char == '_');
        let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        let stem = text.strip_suffix('$').unwrap_or(text);
        match begins_well && stem.bytes().all(is_valid) && text.len() <= NAME_MAX {
            true => Ok(Self::Name(text.to_owned())),
            false => Err(format!("{text:?} is neither a number nor a name")),
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.group {
            Some(group) => write!(f, "{}:{group}", self.user),
            None => self.user.fmt(f),
        }
    }
}

impl From<u32> for Account {
    /// A number; one beyond the range is refused when the user is resolved.
    fn from(id: u32) -> Self {
        Self::Id(id)
    }
}

text_value!(User);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn users_are_numbers_or_names() {
        for text in ["0", "1000:1000", "app", "app:staff", "www-data:33", "_apt", "machine$", "2147483647"] {
            assert_eq!(User::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(User::parse("0").unwrap(), User::ROOT);
        assert_eq!(User::parse("a:7").unwrap().group(), Some(&Account::Id(7)));
    }

    #[test]
    fn nothing_malformed_becomes_root() {
        let texts = [
            "",
            ":0",
            "0:",
            "4294967296",
            "4294967296:0",
            "2147483648",
            "-1",
            "+0",
            " 0",
            "0 ",
            "0x0",
            "0:0:0",
            "a/b",
            "a\0",
            "1app",
        ];
        for text in texts {
            let error = User::parse(text).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::InvalidArgument, "{text:?}");
        }
        let error = User::parse("2147483648").unwrap_err();
        let expected = "invalid user \"2147483648\": the user `2147483648` is beyond the largest id, 2147483647";
        assert_eq!(error.to_string(), expected);
    }
}
