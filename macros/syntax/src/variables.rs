//! Variables in values: `$NAME`, `${NAME}`, `${NAME:-word}`, `${NAME-word}`, `${NAME:+word}`, `${NAME+word}`.
//!
//! A backslash before `$` makes it a literal dollar; of several backslashes before a `$` each pair is one backslash.
//! All other backslashes stand for themselves, so that a Rust string needs no second layer of escapes.

use std::ops::Range;

use crate::finding::Problem;

/// How deep `${A:-${B:-…}}` may be nested.
const MAX_DEPTH: usize = 50;

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
    let mut reader = Reader { text, at: 0, depth: 0, uses: None };
    reader.read(
        false,
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
    let mut reader = Reader { text, at: 0, depth: 0, uses: Some(Vec::new()) };
    reader.read(false, &mut |_| {}, &|_| None)?;
    let mut uses = reader.uses.unwrap_or_default();
    uses.sort_by_key(|found| found.range.start);
    Ok(uses)
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
    uses: Option<Vec<Use<'a>>>,
}

impl<'a> Reader<'a> {
    /// Reads to the end, or inside braces to the closing one, which is left.
    fn read(
        &mut self,
        in_braces: bool,
        out: &mut dyn FnMut(Event<'a>),
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(), Problem> {
        while let Some(byte) = self.peek() {
            let start = self.at;
            match byte {
                b'}' if in_braces => return Ok(()),
                b'$' => self.variable(out, lookup)?,
                b'\\' => {
                    while self.peek() == Some(b'\\') {
                        self.at += 1;
                    }
                    let slashes = self.at - start;
                    if self.peek() != Some(b'$') {
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
                    let stop = |c: char| c == '$' || c == '\\' || in_braces && c == '}';
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
        let mut word = String::new();
        if modifier.is_some() {
            if self.depth == MAX_DEPTH {
                return Err(bad(start..self.at, "variables are nested too deeply"));
            }
            self.depth += 1;
            self.read(
                true,
                &mut |event| match event {
                    Event::Text(piece) => word.push_str(piece),
                    Event::Value(value) => word.push_str(&value),
                },
                lookup,
            )?;
            self.depth -= 1;
        }
        if self.peek() != Some(b'}') {
            return Err(never_closed(start));
        }
        self.at += 1;
        self.used(name, start, modifier.is_some());
        out(Event::Value(match modifier {
            None => value.unwrap_or_default(),
            Some(":-") => value.filter(|value| !value.is_empty()).unwrap_or(word),
            Some("-") => value.unwrap_or(word),
            Some(":+") => value.filter(|value| !value.is_empty()).map_or(String::new(), |_| word),
            Some(_) => value.map_or(String::new(), |_| word),
        }));
        Ok(())
    }

    /// Reads what stands between the name and the word of `${NAME:-word}`.
    fn modifier(&mut self, start: usize, name: &str) -> Result<Option<&'static str>, Problem> {
        let rest = &self.text[self.at..];
        match rest.bytes().next() {
            Some(b'}') => return Ok(None),
            None => return Err(never_closed(start)),
            _ => {}
        }
        for modifier in [":-", "-", ":+", "+"] {
            if rest.starts_with(modifier) {
                self.at += modifier.len();
                return Ok(Some(modifier));
            }
        }
        let end = rest.find('}').map_or(self.text.len(), |length| self.at + length + 1);
        let problem = bad(start..end, format!("`{}` has an unknown modifier", &self.text[start..end]));
        Err(problem.help(format!("the modifiers are `:-`, `-`, `:+` and `+`, as in `${{{name}:-default}}`")))
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
            uses.push(Use { name, range, has_default });
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
            ("${}", "`$` needs a variable name", 0..3),
        ] {
            let problem = expand(text, lookup).unwrap_err();
            assert_eq!((problem.message.as_str(), problem.range), (message, range), "{text}");
        }
        assert!(expand(&"${A:-".repeat(10_000), lookup).is_err());
    }

    #[test]
    fn uses_are_found_in_order_and_in_defaults() {
        let found = uses("$A/${B:-x$C}").unwrap();
        let names: Vec<_> = found.iter().map(|found| (found.name, found.range.clone(), found.has_default)).collect();
        assert_eq!(names, [("A", 0..2, false), ("B", 3..12, true), ("C", 9..11, false)]);
    }
}
