//! The keys that leave a container to itself.

use std::str::FromStr;

use crate::failure::Failure;

/// A sequence of keys, and how much of it has been typed. By default there is none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DetachKeys {
    keys: Vec<u8>,
    typed: usize,
}

/// Docker's.
pub const DEFAULT: &str = "ctrl-p,ctrl-q";

impl FromStr for DetachKeys {
    type Err = Failure;

    /// Keys between commas: a character, or `ctrl-` and a letter or one of `@[\]^_`. Nothing: there is no such sequence.
    fn from_str(text: &str) -> Result<Self, Failure> {
        let key = |word: &str| match (word.as_bytes(), word.strip_prefix("ctrl-").map(str::as_bytes)) {
            ([key], _) if key.is_ascii() => Some(*key),
            (_, Some([key])) if key.is_ascii_alphabetic() || b"@[\\]^_".contains(key) => {
                Some(key.to_ascii_uppercase() - b'@')
            }
            _ => None,
        };
        let words = text.split(',').filter(|_| !text.is_empty());
        let keys: Option<Vec<u8>> = words.map(key).collect();
        let wrong = || {
            let hint = "give keys between commas, each a character or ctrl-<letter>, such as ctrl-p,ctrl-q";
            Failure::usage(format!("invalid --detach-keys {text:?}\n  hint: {hint}"))
        };
        Ok(Self { keys: keys.ok_or_else(wrong)?, typed: 0 })
    }
}

impl DetachKeys {
    /// What is to be typed of these keys, and whether the sequence has come to its end with them. What may yet become the
    /// sequence is held back.
    pub fn type_through(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let mut through = Vec::with_capacity(typed.len());
        for key in typed {
            if self.keys.get(self.typed) == Some(key) {
                self.typed += 1;
                if self.typed == self.keys.len() {
                    self.typed = 0;
                    return (through, true);
                }
                continue;
            }
            // It is no sequence: what was held back goes first, and may hold the beginning of one.
            let mut held = self.keys[..self.typed].to_vec();
            held.push(*key);
            self.typed = 0;
            let kept = (0..held.len()).find(|at| self.keys.starts_with(&held[*at..])).unwrap_or(held.len());
            through.extend_from_slice(&held[..kept]);
            self.typed = held.len() - kept;
        }
        (through, false)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_the_whole_sequence_detaches_and_nothing_else_is_lost() {
        let mut keys: DetachKeys = DEFAULT.parse().unwrap();
        assert_eq!(keys.type_through(b"ls\r"), (b"ls\r".to_vec(), false));
        assert_eq!(keys.type_through(b"a\x10"), (b"a".to_vec(), false));
        assert_eq!(keys.type_through(b"b"), (b"\x10b".to_vec(), false));
        assert_eq!(keys.type_through(b"\x10\x10\x10"), (b"\x10\x10".to_vec(), false));
        assert_eq!(keys.type_through(b"\x11rest"), (Vec::new(), true));
        let mut keys: DetachKeys = "a,b,a,c".parse().unwrap();
        assert_eq!(keys.type_through(b"ababac"), (b"ab".to_vec(), true));
        let mut none: DetachKeys = "".parse().unwrap();
        assert_eq!(none.type_through(b"\x10\x11"), (b"\x10\x11".to_vec(), false));
    }

    #[test]
    fn sequences_are_written_as_in_docker() {
        let read = |text: &str| text.parse::<DetachKeys>().ok().map(|keys| keys.keys);
        assert_eq!(read("ctrl-a,x,ctrl-[,ctrl-\\"), Some(vec![1, b'x', 27, 28]));
        for wrong in ["ctrl-", "ctrl-ab", "ctrl-1", "ab", "a,,b", ",", "ä"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
