//! The modes that `COPY --chmod` takes: octal, or symbolic as chmod(1) reads them.

use std::fmt;

use crate::error::{Error, ErrorKind, Result};

/// A change of a file's mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mode {
    written: String,
    change: Change,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Change {
    Absolute(u32),
    Clauses(Vec<Clause>),
}

/// `go=rX` and the like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Clause {
    /// The bits of the users concerned: `u` 0o4700, `g` 0o2070, `o` 0o1007.
    who: u32,
    operator: char,
    /// The permissions in all places; cut to `who`.
    bits: u32,
    /// Whether `X` was among them: execution for directories and for what somebody can execute already.
    search: bool,
}

impl Mode {
    /// Reads `0755` or `u=rwX,go=rX`.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let change = octal(text).map(Change::Absolute).or_else(|| clauses(text).map(Change::Clauses));
        match change {
            Some(change) => Ok(Self { written: text.to_owned(), change }),
            None => Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("build image: {text:?} is not a mode (octal up to 7777, or symbolic like u=rwX,go=rX)"),
            )),
        }
    }

    /// The mode that a file has after the change.
    pub(super) fn apply(&self, mode: u32, is_directory: bool) -> u32 {
        match &self.change {
            Change::Absolute(mode) => *mode,
            Change::Clauses(clauses) => clauses.iter().fold(mode, |mode, clause| clause.apply(mode, is_directory)),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl Clause {
    fn apply(self, mode: u32, is_directory: bool) -> u32 {
        let search = if self.search && (is_directory || mode & 0o111 != 0) { 0o111 } else { 0 };
        let bits = (self.bits | search) & self.who;
        match self.operator {
            '+' => mode | bits,
            '-' => mode & !bits,
            // chmod(1) leaves the set-id bits of directories alone unless they are named.
            _ if is_directory => (mode & !(self.who & 0o777)) | bits,
            _ => (mode & !self.who) | bits,
        }
    }
}

fn octal(text: &str) -> Option<u32> {
    let is_octal = !text.is_empty() && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    let mode = u32::from_str_radix(text, 8).ok()?;
    (is_octal && mode <= 0o7777).then_some(mode)
}

fn clauses(text: &str) -> Option<Vec<Clause>> {
    let mut clauses = Vec::new();
    for part in text.split(',') {
        let end = part.find(['+', '-', '='])?;
        let mut who = part[..end].chars().try_fold(0, |who, c| {
            Some(
                who | match c {
                    'u' => 0o4700,
                    'g' => 0o2070,
                    'o' => 0o1007,
                    'a' => 0o7777,
                    _ => return None,
                },
            )
        })?;
        if who == 0 {
            who = 0o7777;
        }
        let mut rest = part[end..].chars();
        let operator = rest.next()?;
        let (mut bits, mut search) = (0, false);
        for c in rest {
            match c {
                'r' => bits |= 0o444,
                'w' => bits |= 0o222,
                'x' => bits |= 0o111,
                's' => bits |= 0o6000,
                't' => bits |= 0o1000,
                'X' => search = true,
                _ => return None,
            }
        }
        clauses.push(Clause { who, operator, bits, search });
    }
    Some(clauses)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn modes_change_files_as_chmod_does() {
        for (mode, before, is_directory, after) in [
            ("0755", 0o600, false, 0o755),
            ("4755", 0o600, false, 0o4755),
            ("u=rwX,go=rX", 0o600, false, 0o644),
            ("u=rwX,go=rX", 0o700, false, 0o755),
            ("u=rwX,go=rX", 0o600, true, 0o755),
            ("a-w", 0o666, false, 0o444),
            ("+x", 0o644, false, 0o755),
            ("u+s", 0o755, false, 0o4755),
            ("go=", 0o777, false, 0o700),
        ] {
            let changed = Mode::parse(mode).unwrap().apply(before, is_directory);
            assert_eq!(changed, after, "{mode} on {before:o} gave {changed:o}");
        }
    }

    #[test]
    fn other_text_is_no_mode() {
        for text in ["", "0999", "77777", "u", "u=q", "rwx", "z+x", "+755"] {
            assert!(Mode::parse(text).is_err(), "{text}");
        }
    }
}
