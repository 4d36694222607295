//! What is known about shell text.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simple_commands_are_joined_as_they_are() {
        assert_eq!(join(&["a", "b | c", "d >x 2>&1"]), "a && b | c && d >x 2>&1");
        assert_eq!(join(&["a; b"]), "a; b");
    }

    #[test]
    fn lists_are_put_in_braces() {
        for script in ["a; b", "a || b", "a &", "a\nb", "a # why"] {
            assert_eq!(join(&["x", script]), format!("x && {{ {script}\n}}"), "{script}");
        }
    }

    #[test]
    fn separators_in_quotes_and_subshells_do_not_count() {
        for script in ["echo ';'", "echo \"a || b\"", "(a; b)", "echo \\;", "echo $(a; b)", "echo a#b"] {
            assert_eq!(join(&["x", script]), format!("x && {script}"), "{script}");
        }
    }
}
