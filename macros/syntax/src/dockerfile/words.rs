//! Words of an instruction, and what is left of them without quotes and escapes.

use std::ops::Range;

use super::mapped::Mapped;
use crate::finding::Problem;

/// How deep `${A:-${B:-…}}` may be nested.
const MAX_DEPTH: usize = 50;

/// Words separated by white space, which quotes do not keep together.
pub(super) fn plain(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut start = None;
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        match (c.is_whitespace(), start) {
            (false, None) => start = Some(at),
            (true, Some(from)) => {
                found.push(from..at);
                start = None;
            }
            _ => {}
        }
    }
    found
}

/// Words separated by white space outside quotes.
pub(super) fn quoted(text: &str, escape: char) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = None;
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if start.is_none() && !c.is_whitespace() {
            start = Some(at);
        }
        match (c, quote) {
            _ if escaped => escaped = false,
            (c, None | Some('"')) if c == escape => escaped = true,
            ('\'' | '"', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            (c, None) if c.is_whitespace() => found.extend(start.take().map(|from| from..at)),
            _ => {}
        }
    }
    found.extend(start.map(|from| from..text.len()));
    found
}

/// A word that begins a here-document.
pub(super) struct HeredocWord {
    pub(super) name: String,
    pub(super) expands: bool,
    pub(super) strips_tabs: bool,
}

/// The here-documents that a line of `RUN`, `COPY` or `ADD` begins, with their positions.
pub(super) fn heredocs(line: &str) -> Vec<(usize, HeredocWord)> {
    let mut words = quoted(line, '\\').into_iter();
    let mut keyword = words.next().map_or("", |range| &line[range]);
    if keyword.eq_ignore_ascii_case("ONBUILD") {
        keyword = words.next().map_or("", |range| &line[range]);
    }
    if !["RUN", "COPY", "ADD"].iter().any(|known| known.eq_ignore_ascii_case(keyword)) {
        return Vec::new();
    }
    words.filter_map(|range| Some((range.start, heredoc(&line[range])?))).collect()
}

/// `3<<-"EOF"`.
fn heredoc(word: &str) -> Option<HeredocWord> {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<")?;
    let (strips_tabs, rest) = rest.strip_prefix('-').map_or((false, rest), |rest| (true, rest));
    if rest.contains('<') {
        return None;
    }
    let name = rest.replace(&['"', '\''][..], "");
    (!name.is_empty()).then(|| HeredocWord { expands: name == rest, name, strips_tabs })
}

/// Takes quotes and escapes away, and writes what is left so that [`crate::variables`] reads it: a dollar that stands
/// for itself gets a backslash, and so does each backslash before a dollar.
///
/// # Errors
/// A problem named `unclosed_quote`.
pub(super) fn unquote(source: &Mapped, escape: char) -> Result<Mapped, Problem> {
    let chars: Vec<(usize, char)> = source.text.char_indices().collect();
    let mut reader =
        Unquote { source, chars, at: 0, escape, out: Mapped::at(source.offset(0)), depth: 0, in_pattern: false };
    reader.read(false)?;
    Ok(reader.out)
}

struct Unquote<'a> {
    source: &'a Mapped,
    chars: Vec<(usize, char)>,
    at: usize,
    escape: char,
    out: Mapped,
    depth: usize,
    /// In the pattern of `${NAME#pattern}` and its like, which has escapes of its own.
    in_pattern: bool,
}

impl Unquote<'_> {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).map(|(_, c)| *c)
    }

    fn offset(&self) -> usize {
        self.source.offset(self.chars.get(self.at).map_or(self.source.text.len(), |(at, _)| *at))
    }

    /// Takes the next character as it is.
    fn literal(&mut self) {
        let Some(c) = self.peek(0) else { return };
        if c == '$' {
            self.dollar();
            self.out.push('\\', self.offset());
        }
        self.out.push(c, self.offset());
        self.at += 1;
    }

    /// Doubles the backslashes before a dollar, which would escape it otherwise.
    fn dollar(&mut self) {
        let slashes = self.out.text.len() - self.out.text.trim_end_matches('\\').len();
        (0..slashes).for_each(|_| self.out.push('\\', self.offset()));
    }

    /// Reads to the end, or inside braces past the closing one.
    fn read(&mut self, in_braces: bool) -> Result<(), Problem> {
        while let Some(c) = self.peek(0) {
            match c {
                '}' if in_braces => {
                    self.literal();
                    return Ok(());
                }
                '\'' => {
                    let open = self.chars[self.at].0;
                    self.at += 1;
                    while self.peek(0).is_some_and(|c| c != '\'') {
                        self.literal();
                    }
                    self.close(open, '\'')?;
                }
                '"' => self.double()?,
                '$' => self.variable()?,
                c if c == self.escape => {
                    if self.in_pattern && self.peek(1).is_some_and(|next| next != '$' && next != self.escape) {
                        self.out.push('\\', self.offset());
                    }
                    self.at += 1;
                    match self.peek(0) {
                        Some(_) => self.literal(),
                        None => self.out.push(self.escape, self.offset()),
                    }
                }
                _ => self.literal(),
            }
        }
        Ok(())
    }

    fn double(&mut self) -> Result<(), Problem> {
        let open = self.chars[self.at].0;
        self.at += 1;
        while let Some(c) = self.peek(0) {
            match (c, self.peek(1)) {
                ('"', _) => break,
                ('$', _) => self.variable()?,
                (c, Some(next)) if c == self.escape && (next == c || matches!(next, '"' | '$')) => {
                    self.at += 1;
                    self.literal();
                }
                _ => self.literal(),
            }
        }
        self.close(open, '"')
    }

    fn close(&mut self, open: usize, quote: char) -> Result<(), Problem> {
        if self.peek(0) == Some(quote) {
            self.at += 1;
            return Ok(());
        }
        let what = if quote == '"' { "double" } else { "single" };
        let message = format!("{what} quote `{quote}` is never closed");
        Err(Problem::new("unclosed_quote", message, open..open + 1).help("close the quote, or escape it"))
    }

    /// A dollar that begins a variable; what stands in its braces is read as words are.
    fn variable(&mut self) -> Result<(), Problem> {
        self.dollar();
        self.out.push('$', self.offset());
        self.at += 1;
        if self.peek(0) == Some('{') && self.depth < MAX_DEPTH {
            self.literal();
            let name = (0..).take_while(|at| self.peek(*at).is_some_and(|c| c.is_ascii_alphanumeric() || c == '_'));
            let has_pattern = self.peek(name.count()).is_some_and(|c| "#%/".contains(c));
            let outside = std::mem::replace(&mut self.in_pattern, has_pattern);
            self.depth += 1;
            self.read(true)?;
            self.depth -= 1;
            self.in_pattern = outside;
        }
        Ok(())
    }
}

/// Writes a value so that reading gives it back: the opposite direction, for printing. Quoted only where it has to be.
pub fn word(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:,@%+${}*?[]^~=".contains(&byte);
    // What begins with two dashes would be a flag.
    match !value.is_empty() && !value.starts_with("--") && value.bytes().all(plain) {
        true => value.to_owned(),
        false => quoted_word(value),
    }
}

/// The same, always in quotes.
pub fn quoted_word(value: &str) -> String {
    format!("\"{}\"", escaped(value, &['"']))
}

/// The same without quotes around it, where something else marks the end of the value.
pub fn bare(value: &str) -> String {
    escaped(value, &['"', '\''])
}

fn escaped(value: &str, special: &[char]) -> String {
    let mut out = String::with_capacity(value.len() + 8);
    let mut rest = value;
    while let Some(c) = rest.chars().next() {
        let slashes = rest.len() - rest.trim_start_matches('\\').len();
        if slashes > 0 {
            // Backslashes before a dollar already escape; all others stand for themselves.
            let escapes = rest[slashes..].starts_with('$');
            out.push_str(&"\\".repeat(if escapes { slashes } else { 2 * slashes }));
            rest = &rest[slashes..];
            if escapes {
                out.push('$');
                rest = &rest[1..];
            }
            continue;
        }
        if special.contains(&c) {
            out.push('\\');
        }
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    out
}
