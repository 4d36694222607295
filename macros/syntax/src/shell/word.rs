//! Words: quotes, parameters, substitutions.

use std::ops::Range;

use super::Problem;
use super::reader::{Read, Reader, never_closed};

impl Reader<'_> {
    /// One word. Something stands here that is no blank and no operator.
    pub(super) fn word(&mut self) -> Read<Range<usize>> {
        let start = self.at;
        while let Some(byte) = self.peek(0) {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' | b';' | b'&' | b'|' | b')' => break,
                b'<' | b'>' if self.peek(1) == Some(b'(') && self.at == start => {
                    self.facts.bash.push((self.at..self.at + 2, "`<( … )`"));
                    let open = self.at;
                    self.at += 2;
                    self.substitution(open, "`<(`")?;
                }
                b'<' | b'>' => break,
                b'(' if self.at > start && b"?*+@!".contains(&self.bytes[self.at - 1]) => self.extended_glob()?,
                b'(' => break,
                b'\\' => self.at = (self.at + 2).min(self.bytes.len()),
                b'\'' => self.single("single quote `'`")?,
                b'"' => self.double()?,
                b'`' => self.backquote()?,
                b'$' => self.dollar(false)?,
                _ => self.at += 1,
            }
        }
        Ok(start..self.at)
    }

    fn single(&mut self, what: &str) -> Read {
        let open = self.at;
        self.at += 1;
        match self.bytes[self.at..].iter().position(|byte| *byte == b'\'') {
            Some(length) => {
                self.at += length + 1;
                self.quoted(open);
                Ok(())
            }
            None => {
                let problem = Self::problem(open..open + 1, format!("{what} is never closed"));
                Err(Problem { help: Some("close the quote, or write `\"'\"` for a literal one".into()), ..problem })
            }
        }
    }

    fn double(&mut self) -> Read {
        let open = self.at;
        self.at += 1;
        loop {
            match self.peek(0) {
                None => return Err(never_closed(open..open + 1, "double quote `\"`", "\"")),
                Some(b'"') => break,
                Some(b'\\') => self.at = (self.at + 2).min(self.bytes.len()),
                Some(b'$') => self.dollar(true)?,
                Some(b'`') => self.backquote()?,
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        self.quoted(open);
        Ok(())
    }

    fn backquote(&mut self) -> Read {
        let open = self.at;
        self.at += 1;
        loop {
            match self.peek(0) {
                None => return Err(never_closed(open..open + 1, "backquote `` ` ``", "`")),
                Some(b'`') => break,
                Some(b'\\') => self.at = (self.at + 2).min(self.bytes.len()),
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        Ok(())
    }

    fn dollar(&mut self, in_quotes: bool) -> Read {
        let open = self.at;
        self.at += 1;
        match self.peek(0) {
            Some(b'(') if self.peek(1) == Some(b'(') => {
                self.at += 2;
                if self.arithmetic()? {
                    return Ok(());
                }
                self.at = open + 2;
                self.substitution(open, "`$(`")
            }
            Some(b'(') => {
                self.at += 1;
                self.substitution(open, "`$(`")
            }
            Some(b'{') => self.nested(open, |reader| reader.parameter(open, in_quotes)),
            Some(b'\'') if !in_quotes => {
                self.facts.bash.push((open..open + 2, "`$'…'`"));
                self.escaped_quote()
            }
            Some(byte) if byte.is_ascii_alphabetic() || byte == b'_' => {
                while self.peek(0).is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                    self.at += 1;
                }
                self.facts.parameters.push(open + 1..self.at);
                Ok(())
            }
            Some(b'0'..=b'9' | b'@' | b'*' | b'#' | b'?' | b'-' | b'$' | b'!') => {
                self.at += 1;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// `$'…'`, in which a backslash escapes the quote.
    fn escaped_quote(&mut self) -> Read {
        let open = self.at;
        self.at += 1;
        loop {
            match self.peek(0) {
                None => return Err(never_closed(open - 1..open + 1, "quote `$'`", "'")),
                Some(b'\'') => break,
                Some(b'\\') => self.at = (self.at + 2).min(self.bytes.len()),
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        Ok(())
    }

    fn substitution(&mut self, open: usize, what: &str) -> Read {
        self.nested(open, |reader| {
            reader.list()?;
            match reader.is_end() {
                true => Err(never_closed(open..open + 2, what, ")")),
                false => reader.close_parenthesis(open, what),
            }
        })
    }

    /// `${…}`, from its brace.
    fn parameter(&mut self, open: usize, in_quotes: bool) -> Read {
        self.at += 1;
        let start = self.at;
        if self.peek(0) == Some(b'#') && self.peek(1) != Some(b'}') || self.peek(0) == Some(b'!') {
            self.at += 1;
        }
        let name = self.at;
        while self.peek(0).is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            self.at += 1;
        }
        if self.at > name {
            self.facts.parameters.push(name..self.at);
        } else if self.peek(0).is_some_and(|byte| b"@*#?-$!".contains(&byte)) {
            self.at += 1;
        }
        let named = self.at > name;
        let bash = match self.peek(0) {
            Some(b'}' | b':' | b'-' | b'+' | b'=' | b'?' | b'#' | b'%') => None,
            Some(b'/') => Some("`${a/b/c}`"),
            Some(b'^' | b',') => Some("`${a^}`"),
            Some(b'[' | b'@') => Some("an array"),
            None => return Err(never_closed(open..open + 2, "`${`", "}")),
            Some(_) => return Err(self.bad_substitution(open)),
        };
        if !named && start == name {
            return Err(self.bad_substitution(open));
        }
        self.facts.bash.extend(bash.map(|what| (open..self.at + 1, what)));
        loop {
            match self.peek(0) {
                None => return Err(never_closed(open..open + 2, "`${`", "}")),
                Some(b'}') => break,
                Some(b'\\') => self.at = (self.at + 2).min(self.bytes.len()),
                Some(b'\'') if !in_quotes => self.single("single quote `'`")?,
                Some(b'"') => self.double()?,
                Some(b'$') => self.dollar(in_quotes)?,
                Some(b'`') => self.backquote()?,
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        Ok(())
    }

    fn bad_substitution(&self, open: usize) -> Problem {
        let rest = &self.text[open..];
        let end = rest.find(['}', '\n']).map_or(rest.len(), |at| at + 1);
        let shown = rest[..end].trim_end();
        let problem = Self::problem(open..open + shown.len(), format!("bad substitution `{shown}`"));
        Problem { help: Some("write `\\$` for a literal dollar".into()), ..problem }
    }

    /// An expression up to its `))`; false where it is none, and then the position means nothing.
    pub(super) fn arithmetic(&mut self) -> Read<bool> {
        let start = self.at;
        let Err(_) = self.no_arithmetic.binary_search(&start) else { return Ok(false) };
        let is_one = self.expression()?;
        if !is_one {
            // Others may have been found inside meanwhile.
            let index = self.no_arithmetic.partition_point(|other| *other < start);
            self.no_arithmetic.insert(index, start);
        }
        Ok(is_one)
    }

    fn expression(&mut self) -> Read<bool> {
        let mut depth = 0_usize;
        loop {
            match self.peek(0) {
                None => return Ok(false),
                Some(b'(') => depth += 1,
                Some(b')') if depth > 0 => depth -= 1,
                Some(b')') if self.peek(1) == Some(b')') => {
                    self.at += 2;
                    return Ok(true);
                }
                Some(b')') => return Ok(false),
                Some(b'\\') => self.at += 1,
                Some(b'\'' | b'"' | b'`') => {
                    let quoted = match self.peek(0) {
                        Some(b'\'') => self.single("single quote `'`"),
                        Some(b'"') => self.double(),
                        _ => self.backquote(),
                    };
                    if quoted.is_err() {
                        return Ok(false);
                    }
                    continue;
                }
                Some(b'$') => {
                    // What is wrong in it is found when it is read as a command.
                    let open = self.at;
                    if self.nested(open, |reader| reader.dollar(true)).is_err() {
                        return Ok(false);
                    }
                    continue;
                }
                Some(_) => {}
            }
            self.at = (self.at + 1).min(self.bytes.len());
        }
    }

    /// `@(a|b)`.
    fn extended_glob(&mut self) -> Read {
        let open = self.at;
        self.facts.bash.push((open - 1..open + 1, "an extended pattern"));
        self.at += 1;
        self.nested(open, |reader| {
            loop {
                match reader.peek(0) {
                    None => return Err(never_closed(open..open + 1, "pattern `(`", ")")),
                    Some(b')') => break,
                    Some(b'|' | b' ' | b'\t' | b'\n' | b'&' | b';' | b'<' | b'>' | b'(') => reader.at += 1,
                    Some(_) => {
                        reader.word()?;
                    }
                }
            }
            reader.at += 1;
            Ok(())
        })
    }
}
