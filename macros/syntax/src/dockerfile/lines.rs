//! Lines of a file → whole instructions: directives, comments, continued lines, here-documents.

use super::mapped::Mapped;
use super::words;

/// One instruction as text, with its here-documents.
#[derive(Default)]
pub(super) struct Line {
    pub(super) text: Mapped,
    pub(super) heredocs: Vec<Heredoc>,
    /// What comments beginning with `# plywood:` before it say.
    pub(super) notes: Vec<String>,
    /// An empty line inside the instruction.
    pub(super) gap: Option<usize>,
}

/// `<<EOF` and the lines up to `EOF`.
pub(super) struct Heredoc {
    pub(super) name: String,
    /// Whether no part of the name is quoted: then variables in it are expanded.
    pub(super) expands: bool,
    /// The lines, each with its end.
    pub(super) body: Mapped,
    /// The lines and the delimiter as a shell reads them.
    pub(super) raw: Mapped,
    pub(super) is_closed: bool,
    /// Where its `<<` stands in the instruction.
    pub(super) at: usize,
}

/// What the comments at the top of a file direct.
#[derive(Default)]
pub(super) struct Directives {
    pub(super) escape: char,
    /// A directive that cannot be: its position, length and what is wrong.
    pub(super) wrong: Vec<(usize, usize, String)>,
}

/// A reader of lines that keeps their positions.
pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 } }
    }

    /// The next line without its end, and its position.
    fn next(&mut self) -> Option<(&'a str, usize)> {
        let start = self.at;
        let rest = self.text.get(start..).filter(|rest| !rest.is_empty())?;
        let length = rest.find('\n').unwrap_or(rest.len());
        self.at = start + (length + 1).min(rest.len());
        let line = &rest[..length];
        Some((line.strip_suffix('\r').unwrap_or(line), start))
    }

    /// The directives: comments `# name=value` before anything else.
    pub(super) fn directives(&mut self) -> Directives {
        let mut found = Directives { escape: '\\', wrong: Vec::new() };
        let mut seen: Vec<String> = Vec::new();
        loop {
            let before = self.at;
            let directive = self.next().and_then(|(line, start)| Some((directive(line)?, line, start)));
            let Some(((name, value), line, start)) = directive else {
                self.at = before;
                return found;
            };
            if seen.contains(&name) {
                found.wrong.push((start, line.len(), format!("only one `{name}` directive can be used")));
            }
            if name == "escape" {
                match value {
                    "\\" | "`" => found.escape = if value == "`" { '`' } else { '\\' },
                    _ => found.wrong.push((start, line.len(), format!("`{value}` cannot be the escape character"))),
                }
            }
            seen.push(name);
        }
    }

    /// The next instruction.
    pub(super) fn line(&mut self, escape: char) -> Option<Line> {
        let mut line = Line::default();
        let mut begun = false;
        while let Some((text, start)) = self.next() {
            let trimmed = text.trim_start();
            if let Some(comment) = trimmed.strip_prefix('#') {
                let note = comment.strip_prefix(" plywood: ").filter(|_| !begun);
                line.notes.extend(note.map(str::to_owned));
                continue;
            }
            if trimmed.trim_end().is_empty() {
                if begun {
                    line.gap.get_or_insert(start);
                }
                continue;
            }
            let indent = if begun { 0 } else { text.len() - trimmed.len() };
            if !begun {
                line.text = Mapped::at(start + indent);
                begun = true;
            }
            match continued(&text[indent..], escape) {
                Some(part) => line.text.push_str(part, start + indent),
                None => {
                    line.text.push_str(&text[indent..], start + indent);
                    break;
                }
            }
        }
        if !begun {
            return None;
        }
        line.text = line.text.trim();
        for (at, word) in words::heredocs(&line.text.text) {
            let heredoc = self.heredoc(at, &word);
            line.heredocs.push(heredoc);
        }
        Some(line)
    }

    fn heredoc(&mut self, at: usize, word: &words::HeredocWord) -> Heredoc {
        let (mut body, mut raw) = (Mapped::at(self.at), Mapped::at(self.at));
        let mut is_closed = false;
        while let Some((text, start)) = self.next() {
            raw.push_str(text, start);
            let indent = if word.strips_tabs { text.len() - text.trim_start_matches('\t').len() } else { 0 };
            if text[indent..] == word.name {
                is_closed = true;
                break;
            }
            body.push_str(&text[indent..], start + indent);
            body.push('\n', start + text.len());
            raw.push('\n', start + text.len());
        }
        Heredoc { name: word.name.clone(), expands: word.expands, body, raw, is_closed, at }
    }
}

/// `# name=value`, of a name that is a directive.
fn directive(line: &str) -> Option<(String, &str)> {
    let (name, value) = line.trim().strip_prefix('#')?.split_once('=')?;
    let name = name.trim().to_ascii_lowercase();
    let value = value.trim();
    (["escape", "syntax", "check"].contains(&name.as_str()) && !value.is_empty()).then_some((name, value))
}

/// The part of a line before the escape character that continues it.
fn continued(line: &str, escape: char) -> Option<&str> {
    let part = line.trim_end_matches([' ', '\t']).strip_suffix(escape)?;
    // Two of them are one that is meant.
    (!part.ends_with(escape)).then_some(part)
}
