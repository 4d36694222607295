//! What is known about shell text.
//!
//! [`read`] recognises a script: it finds the first syntax error, or notes what the script does. It builds no tree, takes
//! time in proportion to the length, and accepts what a POSIX shell or bash accepts.
//!
//! Source: POSIX.1-2024, Shell Command Language, and bash(1).

mod compound;
mod reader;
#[cfg(test)]
mod tests;
mod word;

use std::ops::Range;

use reader::Reader;

/// What a script does, as far as it can be seen; ranges are bytes of the script.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The words of each simple command, without assignments and redirections.
    pub commands: Vec<Vec<Range<usize>>>,
    /// Each `|` between two commands.
    pub pipes: Vec<Range<usize>>,
    /// Each `$NAME`, without those inside single quotes.
    pub parameters: Vec<Range<usize>>,
    /// The file of each redirection that writes one.
    pub outputs: Vec<Range<usize>>,
    /// Names that the script itself gives a value.
    pub assigned: Vec<Range<usize>>,
    /// What bash has and a POSIX shell has not, in words.
    pub bash: Vec<(Range<usize>, &'static str)>,
    /// What stands in quotes, and the bodies of here-documents; in order, none within another.
    pub quoted: Vec<Range<usize>>,
}

/// A syntax error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// One clause, without its prefix.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
    /// A fact that explains it.
    pub note: Option<String>,
    /// The bytes concerned: the opener of what is never closed, else the intruder.
    pub range: Range<usize>,
}

/// Recognises a script.
///
/// # Errors
/// The first syntax error.
pub fn read(script: &str) -> Result<Facts, Problem> {
    let mut reader = Reader::new(script);
    reader.script()?;
    Ok(reader.facts)
}

/// What the first line of a script says is to read it, as in `#!/usr/bin/env python3`: the script is a program then.
pub fn interpreter(script: &str) -> Option<&str> {
    Some(script.strip_prefix("#!")?.lines().next().unwrap_or_default().trim())
}

/// Joins scripts with `&&` so that each runs as a whole if those before it succeeded.
///
/// A script that is more than one and-list is put in braces, on lines of its own, so that `&&` binds as written.
pub fn join<S: AsRef<str>>(scripts: &[S]) -> String {
    if let [one] = scripts {
        return one.as_ref().to_owned();
    }
    let parts: Vec<String> = scripts
        .iter()
        .map(|script| {
            let script = script.as_ref();
            if needs_braces(script) { format!("{{ {script}\n}}") } else { script.to_owned() }
        })
        .collect();
    parts.join(" && ")
}

/// Whether something outside quotes and parentheses ends or separates commands other than by `&&` and `|`.
fn needs_braces(script: &str) -> bool {
    let bytes = script.as_bytes();
    let mut depth = 0_usize;
    let mut i = 0;
    while i < bytes.len() {
        match bytes[i] {
            b'\\' => i += 1,
            b'\'' => i = skip_to(bytes, i + 1, b'\'', false),
            quote @ (b'"' | b'`') => i = skip_to(bytes, i + 1, quote, true),
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            b'#' if i == 0 || bytes[i - 1].is_ascii_whitespace() => return true,
            _ if depth > 0 => {}
            b';' | b'\n' => return true,
            b'|' if bytes.get(i + 1) == Some(&b'|') => return true,
            b'&' if bytes.get(i + 1) == Some(&b'&') => i += 1,
            // `2>&1` and `&>file` redirect.
            b'&' if i > 0 && matches!(bytes[i - 1], b'>' | b'<') || bytes.get(i + 1) == Some(&b'>') => {}
            b'&' => return true,
            _ => {}
        }
        i += 1;
    }
    false
}

/// The position of the closing quote, or the end.
fn skip_to(bytes: &[u8], mut i: usize, quote: u8, escapes: bool) -> usize {
    while i < bytes.len() && bytes[i] != quote {
        i += if escapes && bytes[i] == b'\\' { 2 } else { 1 };
    }
    i
}
