//! `.dockerignore`: what of the build context is left out.
//!
//! One pattern a line; `#` at the beginning of a line is a comment; `!` takes back what an earlier line left out. A
//! pattern that matches a directory leaves out all that is in it. The last line that matches decides.

use crate::{glob, path};

/// The rules of a `.dockerignore`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ignore {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    pattern: String,
    takes_back: bool,
    /// From 1.
    line: usize,
}

impl Ignore {
    /// Reads a `.dockerignore`. A pattern that cannot be read matches nothing.
    pub fn parse(text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut rules = Vec::new();
        for (index, line) in text.lines().enumerate() {
            if line.starts_with('#') {
                continue;
            }
            let line = line.trim();
            let (takes_back, pattern) = match line.strip_prefix('!') {
                Some(rest) => (true, rest.trim()),
                None => (false, line),
            };
            // As `path.Clean` after which a leading slash means nothing; a pattern cannot lead out of the context.
            let pattern = path::resolve("/", pattern).split_off(1);
            if !pattern.is_empty() {
                rules.push(Rule { pattern, takes_back, line: index + 1 });
            }
        }
        Self { rules }
    }

    /// Whether a path of the context is left out. The path is relative, with `/` between its parts.
    pub fn is_ignored(&self, path: &str) -> bool {
        self.excluded_by(path).is_some()
    }

    /// The line, from 1, that leaves a path out, if one does.
    pub fn excluded_by(&self, path: &str) -> Option<usize> {
        let mut excluded = None;
        for rule in &self.rules {
            // A rule that changes nothing need not be looked at.
            if rule.takes_back == excluded.is_none() {
                continue;
            }
            if rule.matches(path) {
                excluded = (!rule.takes_back).then_some(rule.line);
            }
        }
        excluded
    }

    /// Whether something below an ignored directory may be taken back, so that it must be walked nevertheless.
    pub fn may_take_back(&self) -> bool {
        self.rules.iter().any(|rule| rule.takes_back)
    }

    /// Whether there are no rules.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

impl Rule {
    /// Whether the pattern matches the path or a directory above it.
    fn matches(&self, path: &str) -> bool {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        ends.into_iter().any(|end| glob::matches(&self.pattern, &path[..end]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_rule_that_matches_decides() {
        let ignore = Ignore::parse("# a comment\n*.md\n!README.md\n\ntarget/\n/docs\n**/*.key\n!keep/**\n  temp?  \n");
        for (path, line) in [
            ("a.md", Some(2)),
            ("sub/a.md", None),
            ("README.md", None),
            ("target/debug/x", Some(5)),
            ("docs", Some(6)),
            ("a/b/x.key", Some(7)),
            ("x.key", Some(7)),
            ("keep/x.key", None),
            ("temp1", Some(9)),
            ("temp", None),
            ("src/main.rs", None),
        ] {
            assert_eq!(ignore.excluded_by(path), line, "{path}");
        }
        assert!(ignore.may_take_back());
    }

    #[test]
    fn everything_but_some_can_be_said() {
        let ignore = Ignore::parse("*\n!src\n!Cargo.toml\nsrc/secret\n");
        assert!(ignore.is_ignored("target/x") && ignore.is_ignored("src/secret/key"));
        assert!(!ignore.is_ignored("src/main.rs") && !ignore.is_ignored("Cargo.toml"));
    }

    #[test]
    fn odd_files_are_read() {
        assert!(Ignore::parse("\u{feff}# x\r\n\r\n.\n/\n!\n").is_empty());
        assert!(Ignore::parse("\u{feff}a\r\n").is_ignored("a"));
        assert!(!Ignore::parse("[a\n").is_ignored("a"));
        assert!(Ignore::parse("a/../b").is_ignored("b"));
    }
}
