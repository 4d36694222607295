//! Patterns of `${NAME#pattern}` and its like: `*`, `?`, and a backslash before a character that stands for itself.

/// A pattern, its parts in order.
pub(super) struct Pattern(Vec<Part>);

#[derive(Clone, Copy, PartialEq)]
enum Part {
    Any,
    One,
    Char(char),
}

impl Pattern {
    pub(super) fn new(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            let part = match c {
                '*' => Part::Any,
                '?' => Part::One,
                '\\' => Part::Char(chars.next().unwrap_or('\\')),
                c => Part::Char(c),
            };
            // Two in a row say no more than one, and take longer.
            if part != Part::Any || parts.last() != Some(&Part::Any) {
                parts.push(part);
            }
        }
        Self(parts)
    }

    /// The value without its shortest or longest beginning that matches.
    pub(super) fn without_start<'a>(&self, value: &'a str, longest: bool) -> &'a str {
        let ends = lengths(self.0.iter().copied(), value.chars());
        &value[pick(ends, longest).unwrap_or(0)..]
    }

    /// The value without its shortest or longest end that matches.
    pub(super) fn without_end<'a>(&self, value: &'a str, longest: bool) -> &'a str {
        let ends = lengths(self.0.iter().rev().copied(), value.chars().rev());
        &value[..value.len() - pick(ends, longest).unwrap_or(0)]
    }

    /// The value with the first match, or each, replaced; of several at one place the longest.
    pub(super) fn replace(&self, value: &str, by: &str, each: bool) -> String {
        let mut out = String::with_capacity(value.len());
        let mut rest = value;
        let mut done = false;
        while let Some(c) = rest.chars().next() {
            let length = pick(lengths(self.0.iter().copied(), rest.chars()), true).filter(|length| *length > 0);
            match length.filter(|_| !done) {
                Some(length) => {
                    out.push_str(by);
                    rest = &rest[length..];
                    done = !each;
                }
                None if done => break,
                None => {
                    out.push(c);
                    rest = &rest[c.len_utf8()..];
                }
            }
        }
        out.push_str(rest);
        out
    }
}

fn pick(mut lengths: impl DoubleEndedIterator<Item = usize>, longest: bool) -> Option<usize> {
    if longest { lengths.next_back() } else { lengths.next() }
}

/// The lengths in bytes, ascending, of what the parts match from the first of the characters on.
fn lengths(
    parts: impl Iterator<Item = Part>,
    chars: impl Iterator<Item = char>,
) -> impl DoubleEndedIterator<Item = usize> {
    // `reached[i]`: the first `i` parts match all characters so far.
    let parts: Vec<Part> = parts.collect();
    let mut reached = vec![false; parts.len() + 1];
    reached[0] = true;
    skip_any(&parts, &mut reached);
    let mut found = Vec::new();
    let mut length = 0;
    found.extend(reached[parts.len()].then_some(length));
    for c in chars {
        for i in (0..=parts.len()).rev() {
            let stays = reached[i] && parts.get(i) == Some(&Part::Any);
            let comes = i > 0 && reached[i - 1] && matches!(parts[i - 1], Part::One) | (parts[i - 1] == Part::Char(c));
            reached[i] = stays || comes;
        }
        skip_any(&parts, &mut reached);
        length += c.len_utf8();
        found.extend(reached[parts.len()].then_some(length));
        if !reached.contains(&true) {
            break;
        }
    }
    found.into_iter()
}

/// A `*` also matches nothing.
fn skip_any(parts: &[Part], reached: &mut [bool]) {
    for (i, part) in parts.iter().enumerate() {
        reached[i + 1] |= reached[i] && *part == Part::Any;
    }
}
