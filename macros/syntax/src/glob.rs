//! Patterns of paths, as Go's `path.Match` reads them: `*`, `?`, `[a-z]`, `[^a]`, `\x`.
//!
//! `*` and `?` do not match a slash. `**` is a component of its own and matches any number of components; `.dockerignore`
//! has it, and `COPY` has it here too.

use crate::finding::Problem;

/// Whether a text is more than a plain name.
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[', '\\'])
}

/// Checks that a pattern can be read.
///
/// # Errors
/// A problem named `bad_glob`.
pub fn check(pattern: &str) -> Result<(), Problem> {
    let bytes = pattern.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        match bytes[i] {
            b'\\' if i + 1 == bytes.len() => {
                let message = format!("`\\` at the end of `{pattern}` escapes nothing");
                return Err(Problem::new("bad_glob", message, i..i + 1));
            }
            b'\\' => i += 1,
            b'[' => match class_end(bytes, i) {
                Some(end) => i = end - 1,
                None => {
                    let message = format!("`[` is never closed in `{pattern}`");
                    return Err(
                        Problem::new("bad_glob", message, i..i + 1).help("add `]`, or write `\\\\[` for a literal one")
                    );
                }
            },
            _ => {}
        }
        i += 1;
    }
    Ok(())
}

/// The position after the `]` of the class that begins at `start`.
fn class_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut i = start + 1;
    if bytes.get(i) == Some(&b'^') {
        i += 1;
    }
    let first = i;
    loop {
        match bytes.get(i)? {
            b']' if i > first => return Some(i + 1),
            b'\\' => i += 2,
            _ => i += 1,
        }
    }
}

/// Whether a pattern matches the whole of a path. Both are normal: no leading, trailing or repeated slash.
pub fn matches(pattern: &str, path: &str) -> bool {
    let pattern: Vec<&str> = pattern.split('/').collect();
    let path: Vec<&str> = path.split('/').collect();
    components_match(&pattern, &path)
}

/// Matches component by component; on `**` only the last one seen needs to be tried again.
fn components_match(pattern: &[&str], path: &[&str]) -> bool {
    let (mut p, mut s) = (0, 0);
    let mut again: Option<(usize, usize)> = None;
    while s < path.len() {
        if pattern.get(p) == Some(&"**") {
            again = Some((p, s));
            p += 1;
        } else if p < pattern.len() && component_matches(pattern[p].as_bytes(), path[s].as_bytes()) {
            p += 1;
            s += 1;
        } else if let Some((stars, from)) = again {
            again = Some((stars, from + 1));
            p = stars + 1;
            s = from + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|part| *part == "**")
}

fn component_matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut s) = (0, 0);
    let mut again: Option<(usize, usize)> = None;
    while s < name.len() {
        if pattern.get(p) == Some(&b'*') {
            again = Some((p, s));
            p += 1;
        } else if let Some((next_p, next_s)) = one(pattern, p, name, s) {
            (p, s) = (next_p, next_s);
        } else if let Some((star, from)) = again {
            // A star never stops inside a character.
            let from = from + width(name, from);
            again = Some((star, from));
            (p, s) = (star + 1, from);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// Matches one element of the pattern with one character; gives the positions after both.
fn one(pattern: &[u8], p: usize, name: &[u8], s: usize) -> Option<(usize, usize)> {
    match *pattern.get(p)? {
        b'?' => Some((p + 1, s + width(name, s))),
        b'[' => {
            let end = class_end(pattern, p)?;
            let end_s = s + width(name, s);
            let c = char_at(name, s)?;
            class_matches(&pattern[p + 1..end - 1], c).then_some((end, end_s))
        }
        b'\\' => (pattern.get(p + 1) == name.get(s)).then_some((p + 2, s + 1)),
        byte => (byte == *name.get(s)?).then_some((p + 1, s + 1)),
    }
}

fn class_matches(class: &[u8], c: char) -> bool {
    let Ok(class) = std::str::from_utf8(class) else { return false };
    let (negated, class) = match class.strip_prefix('^') {
        Some(rest) => (true, rest),
        None => (false, class),
    };
    let mut chars = class.chars().peekable();
    let mut found = false;
    while let Some(mut low) = chars.next() {
        if low == '\\' {
            low = chars.next().unwrap_or(low);
        }
        let mut high = low;
        if chars.peek() == Some(&'-') {
            chars.next();
            // A `-` at the end stands for itself.
            match chars.next() {
                Some('\\') => high = chars.next().unwrap_or(low),
                Some(end) => high = end,
                None => found |= c == '-',
            }
        }
        found |= low <= c && c <= high;
    }
    found != negated
}

fn width(name: &[u8], at: usize) -> usize {
    char_at(name, at).map_or(1, char::len_utf8)
}

fn char_at(name: &[u8], at: usize) -> Option<char> {
    let rest = name.get(at..)?;
    let end = (1..=rest.len().min(4)).find(|end| std::str::from_utf8(&rest[..*end]).is_ok())?;
    std::str::from_utf8(&rest[..end]).ok()?.chars().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_go() {
        for (pattern, path, expected) in [
            ("*.rs", "a.rs", true),
            ("*.rs", "a/b.rs", false),
            ("a/*/c", "a/b/c", true),
            ("a?c", "aäc", true),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[]a]", "]", true),
            (r"\*", "*", true),
            (r"\*", "a", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "xaxbx", false),
            ("**", "a/b/c", true),
            ("**/c", "a/b/c", true),
            ("**/c", "c", true),
            ("a/**/c", "a/c", true),
            ("a/**", "a/b/c", true),
            ("**/b/**/d", "a/b/c/b/x/d", true),
            ("", "a", false),
            ("[a", "a", false),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn matching_takes_no_exponential_time() {
        assert!(!matches(&"*a".repeat(500), &"a".repeat(499)));
    }

    #[test]
    fn a_pattern_that_cannot_be_read_says_why() {
        assert_eq!(check("[a-").unwrap_err().message, "`[` is never closed in `[a-`");
        assert_eq!(check("a\\").unwrap_err().range, 1..2);
        assert!(check("[]a]*\\[").is_ok());
    }
}
