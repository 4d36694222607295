//! Data that holds addresses of other data: structs of the kernel such as `msghdr`.

use super::{Offset, Plan};

/// 64 bits of a struct.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Word {
    /// As it is.
    Number(u64),
    /// Becomes an address when the blob gets one.
    Address(Offset),
}

impl Plan {
    /// Adds a struct of words.
    pub(crate) fn structure(&mut self, words: &[Word]) -> Offset {
        let structure = self.words(&[]);
        for word in words {
            let value = match word {
                Word::Number(number) => *number,
                Word::Address(offset) => {
                    self.pointers.push(self.here().0);
                    offset.0.into()
                }
            };
            self.data.extend_from_slice(&value.to_ne_bytes());
        }
        structure
    }
}

impl Offset {
    /// A place inside the data that begins here.
    pub(crate) fn plus(self, bytes: u32) -> Self {
        Self(self.0 + bytes)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_structure_holds_addresses_after_relocation() {
        let mut plan = Plan::default();
        let text = plan.string("text").unwrap();
        let structure = plan.structure(&[Word::Number(7), Word::Address(text)]);
        let mut blob = plan.seal().unwrap();
        blob.replace(blob.relocated(0x10_0000));
        let words = blob.read(structure, 16);
        let word = |n: usize| u64::from_ne_bytes(words[n * 8..n * 8 + 8].try_into().unwrap());
        assert_eq!(word(0), 7);
        assert_eq!(word(1), 0x10_0000 + u64::from(blob.data + text.0));
    }
}
