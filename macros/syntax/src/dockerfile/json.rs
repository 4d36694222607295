//! Arrays of strings, as the exec form has them.

use super::mapped::Mapped;

/// The strings of an array; `None` where it is none, and then the text is one for the shell.
pub(super) fn array(source: &Mapped) -> Option<Vec<Mapped>> {
    let mut reader = Reader { source, at: 0 };
    reader.space();
    reader.take('[')?;
    let mut values = Vec::new();
    reader.space();
    if reader.take(']').is_none() {
        loop {
            reader.space();
            values.push(reader.string()?);
            reader.space();
            if reader.take(',').is_none() {
                reader.take(']')?;
                break;
            }
        }
    }
    reader.space();
    (reader.at == source.text.len()).then_some(values)
}

struct Reader<'a> {
    source: &'a Mapped,
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.source.text[self.at..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn take(&mut self, wanted: char) -> Option<()> {
        (self.peek() == Some(wanted)).then(|| self.at += wanted.len_utf8())
    }

    fn space(&mut self) {
        while self.peek().is_some_and(|c| matches!(c, ' ' | '\t' | '\n' | '\r')) {
            self.at += 1;
        }
    }

    fn string(&mut self) -> Option<Mapped> {
        self.take('"')?;
        let mut out = Mapped::at(self.source.offset(self.at));
        loop {
            let offset = self.source.offset(self.at);
            match self.next()? {
                '"' => return Some(out),
                '\\' => {
                    let c = match self.next()? {
                        c @ ('"' | '\\' | '/') => c,
                        'n' => '\n',
                        't' => '\t',
                        'r' => '\r',
                        'b' => '\u{8}',
                        'f' => '\u{c}',
                        'u' => self.unicode()?,
                        _ => return None,
                    };
                    out.push(c, offset);
                }
                c if c < ' ' => return None,
                c => out.push(c, offset),
            }
        }
    }

    fn unicode(&mut self) -> Option<char> {
        let high = self.hex()?;
        if !(0xd800..0xdc00).contains(&high) {
            return Some(char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        self.take('\\')?;
        self.take('u')?;
        let low = self.hex()?;
        let code = 0x10000 + ((high - 0xd800) << 10) + low.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
        char::from_u32(code)
    }

    fn hex(&mut self) -> Option<u32> {
        let digits = self.source.text.get(self.at..self.at + 4)?;
        self.at += 4;
        digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok()).flatten()
    }
}
