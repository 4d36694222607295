//! Rust literals: the value they stand for, and where each byte of it was written.

/// What a literal is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Literal {
    /// A string, with the place in the source text of each byte of the value, and of its end.
    Text { value: String, offsets: Vec<usize> },
    /// A number, with its suffix.
    Number(String),
    /// Something else, in words.
    Other(&'static str),
}

/// Reads the source text of a literal that the compiler accepted.
pub(crate) fn read(source: &str) -> Literal {
    let hashes = source.trim_start_matches('r');
    if source.starts_with('"') {
        cooked(source)
    } else if source.starts_with('r') && hashes.starts_with(['"', '#']) {
        raw(source)
    } else if source.starts_with(|c: char| c.is_ascii_digit()) {
        Literal::Number(source.to_owned())
    } else if source.starts_with("b'") {
        Literal::Other("a byte")
    } else if source.starts_with('b') {
        Literal::Other("a byte string")
    } else if source.starts_with('c') {
        Literal::Other("a C string")
    } else {
        Literal::Other("a character")
    }
}

#[derive(Default)]
struct Decoded {
    value: String,
    offsets: Vec<usize>,
}

impl Decoded {
    fn push(&mut self, c: char, offset: usize) {
        self.value.push(c);
        self.offsets.resize(self.value.len(), offset);
    }

    fn finish(mut self, end: usize) -> Literal {
        self.offsets.push(end);
        Literal::Text { value: self.value, offsets: self.offsets }
    }
}

fn cooked(source: &str) -> Literal {
    let mut out = Decoded::default();
    let mut chars = source.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return out.finish(at),
            // The compiler reads a line end of two characters as one.
            '\r' if chars.peek().is_some_and(|(_, next)| *next == '\n') => {}
            '\\' => match chars.next() {
                Some((_, 'n')) => out.push('\n', at),
                Some((_, 't')) => out.push('\t', at),
                Some((_, 'r')) => out.push('\r', at),
                Some((_, '0')) => out.push('\0', at),
                Some((_, 'x')) => {
                    let digits: String = chars.by_ref().take(2).map(|(_, c)| c).collect();
                    let byte = u8::from_str_radix(&digits, 16).unwrap_or_default();
                    out.push(char::from(byte), at);
                }
                Some((_, 'u')) => {
                    let digits: String = chars
                        .by_ref()
                        .skip(1)
                        .map(|(_, c)| c)
                        .take_while(|c| *c != '}')
                        .filter(|c| *c != '_')
                        .collect();
                    let c = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                    out.push(c.unwrap_or(char::REPLACEMENT_CHARACTER), at);
                }
                Some((_, '\n' | '\r')) => {
                    while chars.next_if(|(_, c)| matches!(c, ' ' | '\t' | '\n' | '\r')).is_some() {}
                }
                Some((_, c)) => out.push(c, at),
                None => break,
            },
            c => out.push(c, at),
        }
    }
    out.finish(source.len())
}

fn raw(source: &str) -> Literal {
    let hashes = source[1..].len() - source[1..].trim_start_matches('#').len();
    let start = 1 + hashes + 1;
    let end = source.len().saturating_sub(1 + hashes).max(start);
    let body = source.get(start..end).unwrap_or_default();
    if !body.contains('\n') {
        let mut out = Decoded::default();
        body.char_indices().for_each(|(at, c)| out.push(c, start + at));
        return out.finish(end);
    }
    // A text over several lines is indented with the code around it: that indentation is not part of it.
    let mut lines: Vec<&str> = body.split('\n').collect();
    let mut offset = start;
    if lines[0].trim().is_empty() {
        offset += lines[0].len() + 1;
        lines.remove(0);
    }
    let indent = |line: &&str| line.len() - line.trim_start_matches([' ', '\t']).len();
    let common = lines.iter().filter(|line| !line.trim().is_empty()).map(indent).min().unwrap_or(0);
    let mut out = Decoded::default();
    for (index, line) in lines.iter().enumerate() {
        if index > 0 {
            out.push('\n', offset - 1);
        }
        let cut = if line.trim().is_empty() { line.len() } else { common };
        line.char_indices()
            .skip_while(|(at, _)| *at < cut)
            .filter(|(_, c)| *c != '\r')
            .for_each(|(at, c)| out.push(c, offset + at));
        offset += line.len() + 1;
    }
    out.finish(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(source: &str) -> String {
        match read(source) {
            Literal::Text { value, offsets } => {
                assert_eq!(offsets.len(), value.len() + 1, "{source}");
                value
            }
            other => panic!("{source}: {other:?}"),
        }
    }

    #[test]
    fn strings_mean_what_the_compiler_means() {
        macro_rules! same {
            ($($literal:literal)*) => { $(assert_eq!(value(stringify!($literal)), $literal);)* };
        }
        same!("" "a" "a\n\t\\\"\0" "\x41\u{e4}\u{1F6_00}" "a \
            b" r"a\n" r#"a"b"# r##"x"#y"## "ä€😀");
    }

    #[test]
    fn offsets_lead_back_to_the_source() {
        let Literal::Text { value, offsets } = read("\"a\\n$X\"") else { panic!() };
        assert_eq!((value.as_str(), offsets), ("a\n$X", vec![1, 2, 4, 5, 6]));
        let Literal::Text { value, offsets } = read("r#\"b\"#") else { panic!() };
        assert_eq!((value.as_str(), offsets), ("b", vec![3, 4]));
    }

    #[test]
    fn raw_texts_lose_their_indentation() {
        assert_eq!(value("r\"\n    a\n      b\n\n    c\n  \""), "a\n  b\n\nc\n");
        assert_eq!(value("r\"a\n  b\""), "a\n  b");
        let Literal::Text { offsets, .. } = read("r\"\n  a\n  b\"") else { panic!() };
        assert_eq!(offsets, [5, 6, 9, 10]);
    }

    #[test]
    fn other_literals_are_told_apart() {
        for (source, expected) in [
            ("b\"a\"", Literal::Other("a byte string")),
            ("br#\"a\"#", Literal::Other("a byte string")),
            ("c\"a\"", Literal::Other("a C string")),
            ("'a'", Literal::Other("a character")),
            ("b'a'", Literal::Other("a byte")),
            ("0755", Literal::Number("0755".into())),
            ("1m30s", Literal::Number("1m30s".into())),
        ] {
            assert_eq!(read(source), expected, "{source}");
        }
    }
}
