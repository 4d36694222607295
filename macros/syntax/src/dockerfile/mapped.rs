//! Text that knows where each of its bytes was written.

use std::ops::Range;

/// A piece of text, with the position in the file of each byte and of its end.
#[derive(Clone, Default)]
pub(super) struct Mapped {
    pub(super) text: String,
    /// One for each byte of the text.
    offsets: Vec<usize>,
    end: usize,
}

impl Mapped {
    pub(super) fn at(offset: usize) -> Self {
        Self { end: offset, ..Self::default() }
    }

    /// Adds a character that was written at `offset`.
    pub(super) fn push(&mut self, c: char, offset: usize) {
        self.text.push(c);
        self.offsets.resize(self.text.len(), offset);
        self.end = offset + c.len_utf8();
    }

    /// Adds text that was written as it is.
    pub(super) fn push_str(&mut self, text: &str, offset: usize) {
        self.text.push_str(text);
        self.offsets.extend(offset..offset + text.len());
        self.end = offset + text.len();
    }

    /// Where a byte of the text was written; past its last byte, where it ends.
    pub(super) fn offset(&self, at: usize) -> usize {
        self.offsets.get(at).copied().unwrap_or(self.end)
    }

    pub(super) fn slice(&self, range: Range<usize>) -> Self {
        let end = self.offset(range.end);
        let end = if range.is_empty() { self.offset(range.start) } else { end };
        Self { text: self.text[range.clone()].to_owned(), offsets: self.offsets[range].to_vec(), end }
    }

    /// Without white space around it.
    pub(super) fn trim(&self) -> Self {
        let start = self.text.len() - self.text.trim_start().len();
        let end = self.text.trim_end().len().max(start);
        self.slice(start..end)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The position of each byte, and of the end.
    pub(super) fn into_offsets(mut self) -> Vec<usize> {
        self.offsets.push(self.end);
        self.offsets
    }
}
