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
        &value[length(&self.0, &mut value.chars(), longest).unwrap_or(0)..]
    }

    /// The value without its shortest or longest end that matches.
    pub(super) fn without_end<'a>(&self, value: &'a str, longest: bool) -> &'a str {
        let backwards: Vec<Part> = self.0.iter().rev().copied().collect();
        &value[..value.len() - length(&backwards, &mut value.chars().rev(), longest).unwrap_or(0)]
    }

    /// The value with the first match, or each, replaced; of several at one place the longest.
    pub(super) fn replace(&self, value: &str, by: &str, each: bool) -> String {
        let mut out = String::with_capacity(value.len());
        let mut rest = value;
        let mut done = false;
        while let Some(c) = rest.chars().next() {
            let length = length(&self.0, &mut rest.chars(), true).filter(|length| *length > 0);
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

/// The shortest or longest length in bytes of what the parts match from the first of the characters on.
fn length(parts: &[Part], chars: &mut dyn Iterator<Item = char>, longest: bool) -> Option<usize> {
    // `reached[i]`: the first `i` parts match all characters so far.
    let mut reached = vec![false; parts.len() + 1];
    reached[0] = true;
    skip_any(parts, &mut reached);
    let mut length = 0;
    let mut found = reached[parts.len()].then_some(length);
    while (longest || found.is_none()) && reached.contains(&true) {
        let Some(c) = chars.next() else { break };
        for i in (0..=parts.len()).rev() {
            let stays = reached[i] && parts.get(i) == Some(&Part::Any);
            let comes = i > 0 && reached[i - 1] && matches!(parts[i - 1], Part::One) | (parts[i - 1] == Part::Char(c));
            reached[i] = stays || comes;
        }
        skip_any(parts, &mut reached);
        length += c.len_utf8();
        found = reached[parts.len()].then_some(length).or(found);
    }
    found
}

/// A `*` also matches nothing.
fn skip_any(parts: &[Part], reached: &mut [bool]) {
    for (i, part) in parts.iter().enumerate() {
        reached[i + 1] |= reached[i] && *part == Part::Any;
    }
}
