//! Variables in values: `$NAME`, `${NAME}`, and with a modifier:
//!
//! ```text
//! ${NAME:-word} ${NAME-word}   word where it is not set; with `:` also where it is empty
//! ${NAME:+word} ${NAME+word}   word where it is set
//! ${NAME:?word} ${NAME?word}   a mistake with these words where it is not set
//! ${NAME#pat}   ${NAME##pat}   without the shortest, longest beginning that matches
//! ${NAME%pat}   ${NAME%%pat}   without the shortest, longest end that matches
//! ${NAME/pat/w} ${NAME//pat/w} with the first, each longest match replaced
//! ```
//!
//! In a pattern `*` is any text and `?` one character. Source: BuildKit's `frontend/dockerfile/shell`.
//!
//! A backslash before `$` makes it a literal dollar; of several backslashes before a `$` each pair is one backslash.
//! All other backslashes stand for themselves, so that a Rust string needs no second layer of escapes.

mod pattern;

use std::ops::Range;

use crate::finding::Problem;
use pattern::Pattern;

/// How deep `${A:-${B:-…}}` may be nested.
const MAX_DEPTH: usize = 50;

/// What may stand after the name; of two that begin alike the longer first.
const MODIFIERS: [&str; 12] = [":-", "-", ":+", "+", ":?", "?", "##", "#", "%%", "%", "//", "/"];

/// A use of a variable in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use<'a> {
    /// The name.
    pub name: &'a str,
    /// The bytes from the `$` to the end of the name, or to the closing brace.
    pub range: Range<usize>,
    /// Whether the text says what to take where the variable is not set.
    pub has_default: bool,
}

/// Replaces all variables by their values; one that `lookup` does not know is empty.
///
/// # Errors
/// A problem named `bad_substitution` for a `$` that begins no variable.
pub fn expand(text: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<String, Problem> {
    let mut out = String::with_capacity(text.len());
    let mut reader = Reader { text, at: 0, depth: 0, in_pattern: false, uses: None };
    reader.read(
        None,
        &mut |event| match event {
            Event::Text(piece) => out.push_str(piece),
            Event::Value(value) => out.push_str(&value),
        },
        &lookup,
    )?;
    Ok(out)
}

/// All variables that a text uses, also those in defaults, in order.
///
/// # Errors
/// A problem named `bad_substitution` for a `$` that begins no variable.
pub fn uses(text: &str) -> Result<Vec<Use<'_>>, Problem> {
    if !text.contains('$') {
        return Ok(Vec::new());
    }
    let mut reader = Reader { text, at: 0, depth: 0, in_pattern: false, uses: Some(Vec::new()) };
    reader.read(None, &mut |_| {}, &|_| None)?;
    Ok(reader.uses.unwrap_or_default())
}

/// Whether a name can be a variable's: letters, digits and `_`, not beginning with a digit.
pub fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

enum Event<'a> {
    Text(&'a str),
    Value(String),
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    in_pattern: bool,
    uses: Option<Vec<Use<'a>>>,
}

impl<'a> Reader<'a> {
    /// Reads to the end, or to the character that closes braces or a pattern in them, which is left.
    fn read(
        &mut self,
        close: Option<u8>,
        out: &mut dyn FnMut(Event<'a>),
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(), Problem> {
        while let Some(byte) = self.peek() {
            let start = self.at;
            match byte {
                byte if Some(byte) == close => return Ok(()),
                b'$' => self.variable(out, lookup)?,
                b'\\' => {
                    while self.peek() == Some(b'\\') {
                        self.at += 1;
                    }
                    let slashes = self.at - start;
                    if self.peek() != Some(b'$') {
                        // In a pattern it makes the next character stand for itself.
                        if self.in_pattern && slashes % 2 == 1 {
                            self.at += self.text[self.at..].chars().next().map_or(0, char::len_utf8);
                        }
                        out(Event::Text(&self.text[start..self.at]));
                        continue;
                    }
                    out(Event::Text(&self.text[start..start + slashes / 2]));
                    if slashes % 2 == 1 {
                        out(Event::Text("$"));
                        self.at += 1;
                    }
                }
                _ => {
                    let stop = |c: char| c == '$' || c == '\\' || close.is_some_and(|close| c == char::from(close));
                    self.at = self.text[start..].find(stop).map_or(self.text.len(), |length| start + length);
                    out(Event::Text(&self.text[start..self.at]));
                }
            }
        }
        Ok(())
    }

    fn variable(
        &mut self,
        out: &mut dyn FnMut(Event<'a>),
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(), Problem> {
        let start = self.at;
        self.at += 1;
        let braces = self.peek() == Some(b'{');
        self.at += usize::from(braces);
        let name = self.name();
        if name.is_empty() {
            return Err(match (braces, self.peek()) {
                (true, None) => never_closed(start),
                _ => bad(start..(self.at + 1).min(self.text.len()), "`$` needs a variable name"),
            });
        }
        if !braces {
            self.used(name, start, false);
            out(Event::Value(lookup(name).unwrap_or_default()));
            return Ok(());
        }
        let modifier = self.modifier(start, name)?;
        let value = lookup(name);
        let replaces = modifier.is_some_and(|modifier| modifier.starts_with('/'));
        let mut word = String::new();
        let mut replacement = String::new();
        if modifier.is_some() {
            if self.depth == MAX_DEPTH {
                return Err(bad(start..self.at, "variables are nested too deeply"));
            }
            self.depth += 1;
            let outside = self.in_pattern;
            self.in_pattern = modifier.is_some_and(|modifier| modifier.starts_with(['#', '%', '/']));
            self.word(if replaces { b'/' } else { b'}' }, &mut word, lookup)?;
            self.in_pattern = outside;
            if replaces {
                if self.peek() != Some(b'/') {
                    return Err(bad(start..self.at, "`${NAME/` needs a second `/`").help("${NAME/from/to}"));
                }
                self.at += 1;
                self.word(b'}', &mut replacement, lookup)?;
            }
            self.depth -= 1;
        }
        if self.peek() != Some(b'}') {
            return Err(never_closed(start));
        }
        self.at += 1;
        let has_default = modifier.is_some_and(|modifier| modifier.ends_with(['-', '+']));
        self.used(name, start, has_default);
        let is_set = value.is_some();
        let filled = value.clone().filter(|value| !value.is_empty());
        let value = value.unwrap_or_default();
        let pattern = || Pattern::new(&word);
        out(Event::Value(match modifier {
            None => value,
            Some(":-") => filled.unwrap_or(word),
            Some("-") if is_set => value,
            Some("-") => word,
            Some(":+") => filled.map_or(String::new(), |_| word),
            Some("+") if is_set => word,
            Some("+") => String::new(),
            // Where only the uses are wanted no value is known.
            Some("?" | ":?") if self.uses.is_some() => value,
            Some(modifier @ ("?" | ":?")) => match filled.or(Some(value).filter(|_| is_set && modifier == "?")) {
                Some(value) => value,
                None => {
                    let why = if word.is_empty() { "it is needed".to_owned() } else { word };
                    let message = format!("`${name}` is not set: {why}");
                    return Err(Problem::new("bad_substitution", message, start..self.at).help("give it a value"));
                }
            },
            Some(modifier @ ("#" | "##")) => pattern().without_start(&value, modifier == "##").to_owned(),
            Some(modifier @ ("%" | "%%")) => pattern().without_end(&value, modifier == "%%").to_owned(),
            Some(modifier) => pattern().replace(&value, &replacement, modifier == "//"),
        }));
        Ok(())
    }

    /// Reads the word after a modifier, up to what closes it.
    fn word(&mut self, close: u8, word: &mut String, lookup: &dyn Fn(&str) -> Option<String>) -> Result<(), Problem> {
        self.read(
            Some(close),
            &mut |event| match event {
                Event::Text(piece) => word.push_str(piece),
                Event::Value(value) => word.push_str(&value),
            },
            lookup,
        )
    }

    /// Reads what stands between the name and the word of `${NAME:-word}`.
    fn modifier(&mut self, start: usize, name: &str) -> Result<Option<&'static str>, Problem> {
        let rest = &self.text[self.at..];
        match rest.bytes().next() {
            Some(b'}') => return Ok(None),
            None => return Err(never_closed(start)),
            _ => {}
        }
        for modifier in MODIFIERS {
            if rest.starts_with(modifier) {
                self.at += modifier.len();
                return Ok(Some(modifier));
            }
        }
        let end = rest.find('}').map_or(self.text.len(), |length| self.at + length + 1);
        let problem = bad(start..end, format!("`{}` has an unknown modifier", &self.text[start..end]));
        Err(problem.help(format!("the modifiers are `{}`, as in `${{{name}:-default}}`", MODIFIERS.join("` `"))))
    }

    fn name(&mut self) -> &'a str {
        let start = self.at;
        let first = self.peek().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
        while first && self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            self.at += 1;
        }
        &self.text[start..self.at]
    }

    fn used(&mut self, name: &'a str, start: usize, has_default: bool) {
        let range = start..self.at;
        if let Some(uses) = &mut self.uses {
            // Those in its default were found before it.
            let index = uses.partition_point(|other| other.range.start < start);
            uses.insert(index, Use { name, range, has_default });
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

fn bad(range: Range<usize>, message: impl Into<String>) -> Problem {
    Problem::new("bad_substitution", message, range).help("write `\\\\$` in the string for a literal dollar")
}

fn never_closed(start: usize) -> Problem {
    Problem::new("bad_substitution", "`${` is never closed", start..start + 2).help("add `}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "A" => Some("a".into()),
            "EMPTY" => Some(String::new()),
            "PATHS" => Some("a/b.tar.gz/c.d".into()),
            "STAR" => Some("x*".into()),
            _ => None,
        }
    }

    #[test]
    fn every_form_expands() {
        for (text, expected) in [
            ("x$A.y", "xa.y"),
            ("${A}b", "ab"),
            ("$NONE", ""),
            ("${NONE:-d}", "d"),
            ("${EMPTY:-d}", "d"),
            ("${EMPTY-d}", ""),
            ("${NONE-d}", "d"),
            ("${A:+d}", "d"),
            ("${EMPTY:+d}", ""),
            ("${EMPTY+d}", "d"),
            ("${NONE+d}", ""),
            ("${NONE:-<${A}>$A}", "<a>a"),
            (r"\$A", "$A"),
            (r"\\$A", r"\a"),
            (r"\\\$A", r"\$A"),
            (r"C:\dir\", r"C:\dir\"),
            ("${A:?x}${A?x}${EMPTY?x}", "aa"),
            ("${PATHS#*/}|${PATHS##*/}", "b.tar.gz/c.d|c.d"),
            ("${PATHS%.*}|${PATHS%%.*}|${PATHS%x}", "a/b.tar.gz/c|a/b|a/b.tar.gz/c.d"),
            ("${PATHS/./-}|${PATHS//./-}|${PATHS/b*z/}", "a/b-tar.gz/c.d|a/b-tar-gz/c-d|a//c.d"),
            ("${PATHS##${A}/}|${PATHS#?/b}|${NONE#x}|${NONE/x/y}", "b.tar.gz/c.d|.tar.gz/c.d||"),
            ("${PATHS//\\//_}|${STAR%\\*}", "a_b.tar.gz_c.d|x"),
            ("no variables }", "no variables }"),
            ("ä$A€", "äa€"),
        ] {
            assert_eq!(expand(text, lookup).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_begins_no_variable_is_a_problem() {
        for (text, message, range) in [
            ("a $", "`$` needs a variable name", 2..3),
            ("$1", "`$` needs a variable name", 0..2),
            ("x${A", "`${` is never closed", 1..3),
            ("${", "`${` is never closed", 0..2),
            ("${A:-$B", "`${` is never closed", 0..2),
            ("${A:x}", "`${A:x}` has an unknown modifier", 0..6),
            ("${A^}", "`${A^}` has an unknown modifier", 0..5),
            ("x${NONE:?say it}", "`$NONE` is not set: say it", 1..16),
            ("${EMPTY:?}", "`$EMPTY` is not set: it is needed", 0..10),
            ("${A/x}", "`${NAME/` needs a second `/`", 0..6),
            ("${A#x", "`${` is never closed", 0..2),
            ("${}", "`$` needs a variable name", 0..3),
        ] {
            let problem = expand(text, lookup).unwrap_err();
            assert_eq!((problem.message.as_str(), problem.range), (message, range), "{text}");
        }
        assert!(expand(&"${A:-".repeat(10_000), lookup).is_err());
    }

    #[test]
    fn uses_are_found_in_order_and_in_defaults() {
        let needed = uses("${A:?x}${B#$C}").unwrap();
        assert!(needed.iter().all(|found| !found.has_default) && needed.len() == 3);
        let found = uses("$A/${B:-x$C}").unwrap();
        let names: Vec<_> = found.iter().map(|found| (found.name, found.range.clone(), found.has_default)).collect();
        assert_eq!(names, [("A", 0..2, false), ("B", 3..12, true), ("C", 9..11, false)]);
    }
}
