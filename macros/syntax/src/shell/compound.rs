//! Compound commands: `if`, `for`, `case`, groups, functions.

use std::ops::Range;

use super::Problem;
use super::reader::{Read, Reader, never_closed};

impl Reader<'_> {
    /// A compound command, if one begins here.
    pub(super) fn compound(&mut self) -> Read<bool> {
        let word = self.bare_word();
        let text = self.slice(&word);
        match text {
            _ if self.starts("((") && self.arithmetic_command()? => return Ok(true),
            _ if self.peek(0) == Some(b'(') => {
                self.at += 1;
                self.body(word.start..word.start + 1, "(")?;
                self.close_parenthesis(word.start, "subshell `(`")?;
            }
            _ if !self.is_word(text) => return Ok(false),
            "{" => {
                self.at = word.end;
                self.body(word.clone(), "{")?;
                self.close(&word, "{", "}")?;
            }
            "if" => {
                let mut part = word.clone();
                loop {
                    self.at = part.end;
                    let name = self.slice(&part);
                    self.body(part.clone(), name)?;
                    let then = self.expect(&word, "if", "then")?;
                    self.body(then, "then")?;
                    part = self.bare_word();
                    if !self.is_word("elif") {
                        break;
                    }
                }
                if self.is_word("else") {
                    self.at = part.end;
                    self.body(part, "else")?;
                }
                self.close(&word, "if", "fi")?;
            }
            "while" | "until" => {
                self.at = word.end;
                self.body(word.clone(), text)?;
                self.do_done(&word, text)?;
            }
            "for" | "select" => self.for_loop(&word)?,
            "case" => self.case(&word)?,
            "[[" => self.condition(&word)?,
            "function" => {
                self.facts.bash.push((word.clone(), "`function`"));
                self.at = word.end;
                self.blanks();
                self.at = self.bare_word().end;
                self.blanks();
                if self.starts("()") {
                    self.at += 2;
                }
                self.lines()?;
                return self.compound();
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The list after an opening word, which must have a command in it.
    fn body(&mut self, opener: Range<usize>, name: &str) -> Read {
        let mut any = false;
        self.nested(opener.start, |reader| {
            any = reader.list()?;
            Ok(())
        })?;
        if any || self.is_end() {
            return Ok(());
        }
        let problem = Self::problem(opener, format!("`{name}` has no command in it"));
        Err(Problem { help: Some("use `:` for a command that does nothing".into()), ..problem })
    }

    /// The word that must stand here, of what `opener` opened.
    fn expect(&mut self, opener: &Range<usize>, name: &str, wanted: &str) -> Read<Range<usize>> {
        self.lines()?;
        if self.is_word(wanted) {
            let range = self.bare_word();
            self.at = range.end;
            return Ok(range);
        }
        Err(self.not_closed(opener, name, wanted))
    }

    fn close(&mut self, opener: &Range<usize>, name: &str, wanted: &str) -> Read {
        self.expect(opener, name, wanted).map(drop)
    }

    /// The end, or another word, where `wanted` should be.
    fn not_closed(&self, opener: &Range<usize>, name: &str, wanted: &str) -> Problem {
        if self.is_end() {
            let problem = Self::problem(opener.clone(), format!("`{name}` is never closed"));
            return Problem { help: Some(format!("expected `{wanted}` before the end of the script")), ..problem };
        }
        let mut range = self.bare_word();
        if range.is_empty() {
            let length = if self.starts(";;") || self.starts("&&") || self.starts("||") { 2 } else { 1 };
            range.end = (self.at + length).min(self.bytes.len());
            while !self.text.is_char_boundary(range.end) {
                range.end += 1;
            }
        }
        let line = self.text[..opener.start].matches('\n').count() + 1;
        let message = format!("unexpected `{}`", self.slice(&range));
        let note = format!("inside this `{name}`, opened on line {line} of the script");
        let help = Some(format!("expected `{wanted}` first"));
        Problem { note: Some(note), help, ..Self::problem(range, message) }
    }

    pub(super) fn close_parenthesis(&mut self, open: usize, what: &str) -> Read {
        if self.peek(0) == Some(b')') {
            self.at += 1;
            return Ok(());
        }
        match self.is_end() {
            true => Err(never_closed(open..open + 1, what, ")")),
            false => Err(self.not_closed(&(open..open + 1), "(", ")")),
        }
    }

    fn do_done(&mut self, opener: &Range<usize>, name: &str) -> Read {
        let begin = self.expect(opener, name, "do")?;
        self.body(begin, "do")?;
        self.close(opener, name, "done")
    }

    fn for_loop(&mut self, word: &Range<usize>) -> Read {
        let name = self.slice(word);
        if name == "select" {
            self.facts.bash.push((word.clone(), "`select`"));
        }
        self.at = word.end;
        self.blanks();
        if self.starts("((") {
            self.facts.bash.push((self.at..self.at + 2, "`for ((`"));
            let open = self.at;
            if !self.arithmetic_command()? {
                return Err(never_closed(open..open + 2, "`((`", "))"));
            }
            self.blanks();
            self.at += usize::from(self.peek(0) == Some(b';'));
            self.lines()?;
            return self.loop_body(word, name);
        }
        if self.peek(0) == Some(b'$') {
            let start = self.at;
            self.at += 1;
            let variable = self.bare_word();
            let text = self.slice(&variable);
            let problem = Self::problem(
                start..variable.end,
                format!("`{name} ${text}`: the loop variable is written without `$`"),
            );
            return Err(Problem { help: Some(format!("{name} {text}")), ..problem });
        }
        let variable = self.bare_word();
        if !crate::variables::is_name(self.slice(&variable)) {
            return Err(self.not_closed(word, name, "a name"));
        }
        self.facts.assigned.push(variable.clone());
        self.at = variable.end;
        self.lines()?;
        let mut inner_do = None;
        if self.is_word("in") {
            self.at = self.bare_word().end;
            loop {
                self.blanks();
                match self.peek(0) {
                    None | Some(b'\n' | b';') => break,
                    Some(b'&' | b'|' | b')' | b'(') => return Err(self.not_closed(word, name, "do")),
                    Some(b'<' | b'>') if self.peek(1) != Some(b'(') => return Err(self.not_closed(word, name, "do")),
                    _ => {}
                }
                if self.is_word("do") {
                    inner_do = Some(self.bare_word());
                }
                self.word()?;
            }
        }
        if self.peek(0) == Some(b';') {
            self.at += 1;
        }
        self.lines()?;
        if let Some(range) = inner_do.filter(|_| !self.is_word("do")) {
            let message = format!("`do` is read as one more word of the `{name}` list");
            return Err(Problem { help: Some("put `;` before `do`".into()), ..Self::problem(range, message) });
        }
        self.loop_body(word, name)
    }

    fn loop_body(&mut self, word: &Range<usize>, name: &str) -> Read {
        if self.is_word("{") {
            let open = self.bare_word();
            self.at = open.end;
            self.body(open.clone(), "{")?;
            return self.close(&open, "{", "}");
        }
        self.do_done(word, name)
    }

    fn case(&mut self, word: &Range<usize>) -> Read {
        self.at = word.end;
        self.blanks();
        if matches!(self.peek(0), None | Some(b'\n' | b';' | b'&' | b'|' | b'(' | b')' | b'<' | b'>')) {
            return Err(self.not_closed(word, "case", "a word"));
        }
        self.word()?;
        self.expect(word, "case", "in")?;
        loop {
            self.lines()?;
            if self.is_word("esac") {
                self.at = self.bare_word().end;
                return Ok(());
            }
            if self.is_end() {
                return Err(self.not_closed(word, "case", "esac"));
            }
            self.at += usize::from(self.peek(0) == Some(b'('));
            self.pattern(word)?;
            self.nested(word.start, |reader| reader.list().map(drop))?;
            match [";;&", ";;", ";&"].into_iter().find(|end| self.starts(end)) {
                Some(end) => {
                    if end != ";;" {
                        self.facts.bash.push((self.at..self.at + end.len(), "`;&`"));
                    }
                    self.at += end.len();
                }
                None => return self.close(word, "case", "esac"),
            }
        }
    }

    /// Patterns up to the `)`.
    fn pattern(&mut self, word: &Range<usize>) -> Read {
        loop {
            self.blanks();
            if matches!(self.peek(0), None | Some(b'\n' | b';' | b'&' | b'|' | b'(' | b')' | b'<' | b'>')) {
                return Err(self.not_closed(word, "case", "a pattern"));
            }
            let pattern = self.word()?;
            self.blanks();
            match self.peek(0) {
                Some(b'|') => self.at += 1,
                Some(b')') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(Self::problem(pattern, "expected `)` after the `case` pattern")),
            }
        }
    }

    /// `[[ … ]]`: what stands in it is a language of its own, of which only the end is looked for.
    fn condition(&mut self, word: &Range<usize>) -> Read {
        self.facts.bash.push((word.clone(), "`[[ … ]]`"));
        self.at = word.end;
        loop {
            self.lines()?;
            if self.is_word("]]") {
                self.at += 2;
                return Ok(());
            }
            match self.peek(0) {
                None => return Err(never_closed(word.clone(), "`[[`", "]]")),
                Some(b';') => return Err(self.not_closed(word, "[[", "]]")),
                Some(b'(' | b')' | b'<' | b'>' | b'&' | b'|') => self.at += 1,
                _ => {
                    self.word()?;
                }
            }
        }
    }

    /// `(( … ))`, if it is one and no subshell in a subshell.
    fn arithmetic_command(&mut self) -> Read<bool> {
        let open = self.at;
        self.at += 2;
        if self.arithmetic()? {
            self.facts.bash.push((open..open + 2, "`(( … ))`"));
            return Ok(true);
        }
        self.at = open;
        Ok(false)
    }
}
