//! Lists, pipelines, simple commands, redirections and here-documents.

use std::ops::Range;

use super::{Facts, Problem};

pub(super) type Read<T = ()> = Result<T, Problem>;

/// Commands that give variables values.
const DECLARES: [&str; 10] =
    ["export", "readonly", "local", "read", "declare", "typeset", "getopts", "mapfile", "unset", "eval"];

/// How deep commands may be nested.
const MAX_DEPTH: usize = 200;
/// Reserved words that end a list.
const CLOSERS: [&str; 8] = ["then", "elif", "else", "fi", "do", "done", "esac", "}"];

pub(super) struct Reader<'a> {
    pub(super) text: &'a str,
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    depth: usize,
    pub(super) facts: Facts,
    /// Here-documents whose bodies come after the line.
    pending: Vec<Heredoc>,
    /// Where `((` was tried and is no arithmetic, so that nobody tries again.
    pub(super) no_arithmetic: Vec<usize>,
}

struct Heredoc {
    name: String,
    strips_tabs: bool,
    at: Range<usize>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            at: 0,
            depth: 0,
            facts: Facts::default(),
            pending: Vec::new(),
            no_arithmetic: Vec::new(),
        }
    }

    pub(super) fn peek(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at + ahead).copied()
    }

    pub(super) fn starts(&self, text: &str) -> bool {
        self.bytes[self.at.min(self.bytes.len())..].starts_with(text.as_bytes())
    }

    pub(super) fn is_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    pub(super) fn slice(&self, range: &Range<usize>) -> &'a str {
        self.text.get(range.clone()).unwrap_or_default()
    }

    pub(super) fn problem(range: Range<usize>, message: impl Into<String>) -> Problem {
        Problem { message: message.into(), help: None, note: None, range }
    }

    /// Reads something nested, no deeper than a person writes.
    pub(super) fn nested(&mut self, open: usize, read: impl FnOnce(&mut Self) -> Read) -> Read {
        if self.depth == MAX_DEPTH {
            return Err(Self::problem(open..open + 1, format!("nested more than {MAX_DEPTH} levels deep")));
        }
        self.depth += 1;
        let done = read(self);
        self.depth -= 1;
        done
    }

    pub(super) fn script(&mut self) -> Read {
        self.list()?;
        if !self.is_end() {
            return Err(self.unexpected());
        }
        match self.pending.first() {
            Some(open) => Err(never_closed_heredoc(open)),
            None => Ok(()),
        }
    }

    /// What stands here and should not, outside anything that it could close.
    fn unexpected(&self) -> Problem {
        if self.peek(0) == Some(b')') {
            let problem = Self::problem(self.at..self.at + 1, "`)` closes nothing");
            return Problem { help: Some("quote it, `')'`, for a literal parenthesis".into()), ..problem };
        }
        if self.starts(";;") || self.starts(";&") {
            return Self::problem(
                self.at..self.at + 2,
                format!("`{}` belongs inside `case`", &self.text[self.at..self.at + 2]),
            );
        }
        let range = self.bare_word();
        let word = self.slice(&range);
        let opener = match word {
            "done" => "do",
            "fi" | "then" | "else" | "elif" => "if",
            "do" => "for",
            "esac" => "case",
            _ => "{",
        };
        let note = format!("no `{opener}` is open here; a missing `;` before it?");
        Problem { note: Some(note), ..Self::problem(range.clone(), format!("unexpected `{word}`")) }
    }

    /// Blanks and escaped line ends.
    pub(super) fn blanks(&mut self) {
        loop {
            match self.peek(0) {
                Some(b' ' | b'\t' | b'\r') => self.at += 1,
                Some(b'\\') if self.peek(1) == Some(b'\n') => self.at += 2,
                Some(b'#') => {
                    while self.peek(0).is_some_and(|byte| byte != b'\n') {
                        self.at += 1;
                    }
                }
                _ => return,
            }
        }
    }

    /// Blanks, comments and line ends, with the bodies of here-documents.
    pub(super) fn lines(&mut self) -> Read {
        loop {
            self.blanks();
            if self.peek(0) != Some(b'\n') {
                return Ok(());
            }
            self.newline()?;
        }
    }

    pub(super) fn newline(&mut self) -> Read {
        self.at += 1;
        for heredoc in std::mem::take(&mut self.pending) {
            let open = self.at;
            loop {
                if self.is_end() {
                    return Err(never_closed_heredoc(&heredoc));
                }
                let rest = &self.bytes[self.at..];
                let length = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
                let mut line = &rest[..length];
                while heredoc.strips_tabs && line.first() == Some(&b'\t') {
                    line = &line[1..];
                }
                self.at += (length + 1).min(rest.len());
                if line == heredoc.name.as_bytes() {
                    break;
                }
            }
            self.quoted(open);
        }
        Ok(())
    }

    /// Notes that what stands from here to the current position means itself.
    pub(super) fn quoted(&mut self, open: usize) {
        while self.facts.quoted.pop_if(|last| last.start >= open).is_some() {}
        self.facts.quoted.push(open..self.at);
    }

    /// The unquoted word that stands here, without moving.
    pub(super) fn bare_word(&self) -> Range<usize> {
        let stop = |byte: &u8| b" \t\n\r;&|<>()'\"`$\\".contains(byte);
        let rest = &self.bytes[self.at.min(self.bytes.len())..];
        self.at..self.at + rest.iter().position(stop).unwrap_or(rest.len())
    }

    /// Whether exactly this word stands here, unquoted.
    pub(super) fn is_word(&self, word: &str) -> bool {
        let range = self.bare_word();
        let ends = self.bytes.get(range.end).is_none_or(|byte| b" \t\n\r;&|<>()".contains(byte));
        ends && self.slice(&range) == word
    }

    pub(super) fn at_closer(&self) -> bool {
        CLOSERS.iter().any(|word| self.is_word(word))
    }

    /// Commands up to something that closes a list. Tells whether there was one.
    pub(super) fn list(&mut self) -> Read<bool> {
        let mut any = false;
        loop {
            self.lines()?;
            match self.peek(0) {
                None | Some(b')') => return Ok(any),
                Some(b';') if matches!(self.peek(1), Some(b';' | b'&')) => return Ok(any),
                Some(b';' | b'&' | b'|') if !self.starts("&>") => return Err(self.no_command()),
                _ if self.at_closer() => return Ok(any),
                _ => {}
            }
            self.and_or()?;
            any = true;
            self.blanks();
            match self.peek(0) {
                None | Some(b')' | b'\n') => {}
                Some(b';') if matches!(self.peek(1), Some(b';' | b'&')) => {}
                Some(b';' | b'&') => self.at += 1,
                _ if self.at_closer() => {}
                _ => return Err(self.intruder()),
            }
        }
    }

    /// An operator without a command before it.
    fn no_command(&self) -> Problem {
        let two = ["&&", "||", ";;", "|&"].into_iter().find(|two| self.starts(two));
        let length = two.map_or(1, str::len);
        let range = self.at..self.at + length;
        let message = format!("unexpected `{}`: there is no command before it", &self.text[range.clone()]);
        Self::problem(range, message)
    }

    /// Something after a complete command.
    fn intruder(&self) -> Problem {
        if self.peek(0) == Some(b'(') {
            let problem = Self::problem(self.at..self.at + 1, "unexpected `(`");
            let help = "quote it for a literal parenthesis; a subshell starts a command";
            return Problem { help: Some(help.into()), ..problem };
        }
        let mut range = self.bare_word();
        range.end = range.end.max(self.at + self.text[self.at..].chars().next().map_or(0, char::len_utf8));
        let word = self.slice(&range);
        let problem = Self::problem(range.clone(), format!("unexpected `{word}`"));
        Problem { help: Some("a missing `;` before it?".into()), ..problem }
    }

    fn and_or(&mut self) -> Read {
        loop {
            self.pipeline()?;
            self.blanks();
            let Some(operator) = ["&&", "||"].into_iter().find(|operator| self.starts(operator)) else { return Ok(()) };
            self.operator(operator)?;
        }
    }

    /// Takes an operator and sees that a command follows.
    fn operator(&mut self, operator: &str) -> Read {
        let range = self.at..self.at + operator.len();
        self.at = range.end;
        self.lines()?;
        let nothing = match self.peek(0) {
            None | Some(b')' | b';') => true,
            Some(b'&' | b'|') => return Err(self.no_command()),
            _ => self.at_closer(),
        };
        if nothing {
            let problem = Self::problem(range, format!("nothing follows `{operator}`"));
            let help = format!("add a command, or remove the `{operator}`");
            return Err(Problem { help: Some(help), ..problem });
        }
        Ok(())
    }

    fn pipeline(&mut self) -> Read {
        while self.is_word("!") || self.is_word("time") && self.before_command() {
            self.at = self.bare_word().end;
            self.blanks();
            // bash takes a `!` alone for a command.
            if matches!(self.peek(0), Some(b'|')) || self.starts("&&") || self.at_closer() {
                return Err(self.intruder());
            }
        }
        loop {
            self.command()?;
            self.blanks();
            if self.peek(0) != Some(b'|') || self.peek(1) == Some(b'|') {
                return Ok(());
            }
            let operator = if self.peek(1) == Some(b'&') { "|&" } else { "|" };
            let range = self.at..self.at + operator.len();
            if operator == "|&" {
                self.facts.bash.push((range.clone(), "`|&`"));
            }
            self.facts.pipes.push(range);
            self.operator(operator)?;
            if self.is_word("!") {
                return Err(self.intruder());
            }
        }
    }

    /// Whether the word here is followed by another command: `time { …; }`.
    fn before_command(&self) -> bool {
        let rest = self.text[self.bare_word().end..].trim_start_matches([' ', '\t']);
        rest.starts_with(|c: char| c.is_alphanumeric() || "{(./_$\"'".contains(c))
    }

    fn command(&mut self) -> Read {
        let open = self.at;
        if self.nested_compound(open)? {
            // Only redirections may follow.
            loop {
                self.blanks();
                if !self.redirection()? {
                    return Ok(());
                }
            }
        }
        self.simple()
    }

    fn nested_compound(&mut self, open: usize) -> Read<bool> {
        let mut is_compound = false;
        self.nested(open, |reader| {
            is_compound = reader.compound()?;
            Ok(())
        })?;
        Ok(is_compound)
    }

    fn simple(&mut self) -> Read {
        let start = self.at;
        let mut words: Vec<Range<usize>> = Vec::new();
        loop {
            self.blanks();
            if self.redirection()? {
                continue;
            }
            match self.peek(0) {
                None | Some(b'\n' | b';' | b'&' | b'|' | b')') => break,
                Some(b'(') if words.len() == 1 && self.at > start => {
                    let name = words.remove(0);
                    return self.function_body(name);
                }
                Some(b'(') => return Err(self.intruder()),
                _ => {}
            }
            // `local a=(…)`: to a command that declares, an array is an argument.
            let of_array =
                self.slice(&self.bare_word()).ends_with('=') && self.bytes.get(self.bare_word().end) == Some(&b'(');
            let declares = || words.first().is_some_and(|first| DECLARES.contains(&self.slice(first)));
            if (words.is_empty() || of_array && declares()) && self.assignment()? {
                continue;
            }
            let word = self.word()?;
            words.push(word);
        }
        self.declares(&words);
        if !words.is_empty() {
            self.facts.commands.push(words);
        }
        Ok(())
    }

    /// `name ( )` and a compound command.
    fn function_body(&mut self, name: Range<usize>) -> Read {
        let open = self.at;
        self.at += 1;
        self.blanks();
        let good = self.slice(&name).bytes().all(|byte| !b"$'\"`\\".contains(&byte));
        if self.peek(0) != Some(b')') || !good {
            self.at = open;
            return Err(self.intruder());
        }
        self.at += 1;
        self.lines()?;
        if matches!(self.peek(0), None | Some(b';' | b'&' | b'|' | b')' | b'<' | b'>')) || self.at_closer() {
            return Err(Self::problem(name.start..open + 1, format!("`{}()` has no body", self.slice(&name))));
        }
        self.command()
    }

    /// `NAME=value`, `NAME+=value`, `NAME[index]=value`, `NAME=(…)`.
    fn assignment(&mut self) -> Read<bool> {
        let rest = &self.bytes[self.at..];
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let length = rest.iter().position(|byte| !is_name(byte)).unwrap_or(rest.len());
        if length == 0 || rest[0].is_ascii_digit() {
            return Ok(false);
        }
        let mut after = length;
        if rest.get(after) == Some(&b'[') {
            let Some(close) = rest.iter().position(|byte| matches!(byte, b']' | b'\n')) else { return Ok(false) };
            after = close + 1;
        }
        let plus = usize::from(rest.get(after) == Some(&b'+'));
        if rest.get(after + plus) != Some(&b'=') {
            return Ok(false);
        }
        let name = self.at..self.at + length;
        if after > length || plus > 0 {
            self.facts
                .bash
                .push((name.start..name.start + after + plus + 1, if plus > 0 { "`+=`" } else { "an array" }));
        }
        self.facts.assigned.push(name.clone());
        self.at += after + plus + 1;
        if self.peek(0) == Some(b'(') {
            self.facts.bash.push((name.start..self.at + 1, "an array"));
            let open = self.at;
            self.at += 1;
            loop {
                self.lines()?;
                match self.peek(0) {
                    Some(b')') => break,
                    None => return Err(never_closed(open..open + 1, "array `(`", ")")),
                    Some(b';' | b'&' | b'|' | b'<' | b'>' | b'(') => return Err(self.intruder()),
                    _ => {
                        self.word()?;
                    }
                }
            }
            self.at += 1;
        } else if !matches!(
            self.peek(0),
            None | Some(b' ' | b'\t' | b'\n' | b'\r' | b';' | b'&' | b'|' | b')' | b'<' | b'>')
        ) {
            self.word()?;
        }
        Ok(true)
    }

    /// Names that a command gives a value: `read a b`, `export A=b`, `getopts … name`.
    fn declares(&mut self, words: &[Range<usize>]) {
        let Some(first) = words.first() else { return };
        if !DECLARES.contains(&self.slice(first)) {
            return;
        }
        for word in &words[1..] {
            let length = self.slice(word).split('=').next().unwrap_or_default().len();
            self.facts.assigned.push(word.start..word.start + length);
        }
    }

    /// One redirection, if one stands here.
    pub(super) fn redirection(&mut self) -> Read<bool> {
        let start = self.at;
        let mut at = self.at;
        while self.bytes.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        let rest = self.text.get(at..).unwrap_or_default();
        let operators = ["&>>", "&>", "<<<", "<<-", "<<", "<>", "<&", ">>", ">&", ">|", ">", "<"];
        let Some(operator) = operators.into_iter().find(|operator| rest.starts_with(operator)) else {
            return Ok(false);
        };
        if at > start && operator.starts_with('&') || rest.starts_with("<(") || rest.starts_with(">(") {
            return Ok(false);
        }
        self.at = at + operator.len();
        let range = start..self.at;
        let bash = match operator {
            "&>" | "&>>" => Some("`&>`"),
            "<<<" => Some("`<<<`"),
            _ => None,
        };
        self.facts.bash.extend(bash.map(|what| (range.clone(), what)));
        self.blanks();
        if matches!(self.peek(0), None | Some(b'\n' | b';' | b'&' | b'|' | b')' | b'('))
            || matches!(self.peek(0), Some(b'<' | b'>')) && !matches!(self.peek(1), Some(b'('))
        {
            return Err(Self::problem(at..at + operator.len(), format!("`{operator}` needs a target after it")));
        }
        let target = self.word()?;
        if [">", ">>", ">|", "&>", "&>>"].contains(&operator) {
            self.facts.outputs.push(target.clone());
        }
        if operator == "<<" || operator == "<<-" {
            let name = self.slice(&target).replace(&['"', '\'', '\\'][..], "");
            self.pending.push(Heredoc { name, strips_tabs: operator == "<<-", at: at..target.end });
        }
        Ok(true)
    }
}

pub(super) fn never_closed(range: Range<usize>, what: &str, closer: &str) -> Problem {
    let problem = Reader::problem(range, format!("{what} is never closed"));
    Problem { help: Some(format!("add `{closer}`")), ..problem }
}

fn never_closed_heredoc(open: &Heredoc) -> Problem {
    let message = format!("here-document is never closed: no line holds just `{}`", open.name);
    Reader::problem(open.at.clone(), message)
}
