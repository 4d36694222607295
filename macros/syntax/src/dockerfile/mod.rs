//! Dockerfiles: text → the tree that the checks read.
//!
//! It accepts what BuildKit accepts: instructions in any case, `#` comments, the directives `escape`, `syntax` and `check`,
//! here-documents, JSON and shell forms, `ENV key value`. Quotes and escapes are taken away here, so that a value is the
//! same as one of `layers!`; what stands for a Rust value is in comments that begin with `# plywood:`.
//!
//! Source: <https://docs.docker.com/reference/dockerfile/> and BuildKit's `frontend/dockerfile/{parser,shell}`.

mod instruction;
mod json;
mod lines;
mod mapped;
#[cfg(test)]
mod tests;
mod words;

use std::ops::Range;

use crate::ast::Instruction;
use crate::checks::{self, Files, Surroundings};
use crate::finding::{Finding, Place, Severity};

pub use words::{bare, quoted_word, word};

/// A Dockerfile that was read, right or wrong.
#[derive(Debug)]
pub struct Dockerfile<'a> {
    text: &'a str,
    /// Where each line begins.
    lines: Vec<usize>,
    /// Its instructions. What could not be read is left out.
    pub instructions: Vec<Instruction>,
    /// What is wrong with the text itself.
    pub findings: Vec<Finding>,
    /// For each place, where each byte of its value was written.
    places: Vec<Vec<usize>>,
    /// What comments say about an instruction, by its index.
    pub notes: Vec<(usize, String)>,
}

/// Where something stands in a file; both numbers count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// Checks that are about what Docker builds without a word: in a Dockerfile they warn.
const ONLY_WARNS: [&str; 12] = [
    "undefined_variable",
    "relative_destination",
    "relative_workdir",
    "duplicate_stage",
    "duplicate_port",
    "duplicate_volume",
    "port_mapping",
    "overridden",
    "env_same_statement",
    "repeated_key",
    "bad_label_key",
    "maintainer",
];

/// Whether a check that fails elsewhere only warns in a Dockerfile.
pub fn only_warns(check: &str) -> bool {
    ONLY_WARNS.contains(&check)
}

/// Reads a Dockerfile. It never stops at a mistake.
pub fn parse(text: &str) -> Dockerfile<'_> {
    let mut lines = lines::Reader::new(text);
    let directives = lines.directives();
    let mut reader = instruction::Reader::new(directives.escape);
    for (start, length, message) in directives.wrong {
        let place = reader.place_of(start..start + length);
        reader.report(Finding::error("bad_directive", place, message).help("# escape=`"));
    }
    let mut instructions = Vec::new();
    let mut notes = Vec::new();
    while let Some(line) = lines.line(directives.escape) {
        if let Some(gap) = line.gap {
            let place = reader.place_of(gap..gap + 1);
            let message = "an empty line inside a continued instruction";
            reader.report(Finding::warning("empty_continuation", place, message).help("remove it, or write `#`"));
        }
        notes.extend(line.notes.iter().map(|note| (instructions.len(), note.clone())));
        instructions.extend(reader.instruction(&line));
    }
    let instruction::Reader { findings, places, .. } = reader;
    let lines = [0].into_iter().chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
    Dockerfile { text, lines, instructions, findings, places, notes }
}

/// Reads one instruction, as `ONBUILD` leaves it in an image, and what comments before it say. `stages` are the names
/// that `--from` may mean.
///
/// # Errors
/// The first mistake, in words.
pub fn parse_one(text: &str, stages: &[&str]) -> Result<(Instruction, Vec<String>), String> {
    let mut lines = lines::Reader::new(text);
    let mut reader = instruction::Reader::new('\\');
    reader.stages = stages.iter().map(|name| name.to_ascii_lowercase()).collect();
    let line = lines.line('\\').unwrap_or_default();
    let instruction = reader.instruction(&line);
    match (instruction, reader.findings.into_iter().find(|finding| finding.severity == Severity::Error)) {
        (_, Some(finding)) => Err(finding.message),
        (Some(instruction), None) => Ok((instruction, line.notes)),
        (None, None) => Err("it is empty".to_owned()),
    }
}

impl Dockerfile<'_> {
    /// All findings in the order of their places. Without `files` nothing is said about the build context.
    pub fn check(&self, files: Option<&dyn Files>) -> Vec<Finding> {
        let line = |place| Some(self.position(place, None).line);
        let around = Surroundings { line: &line, files };
        let mut findings = self.findings.clone();
        // Where an instruction could not be read, its absence says nothing.
        if !self.instructions.is_empty() || findings.is_empty() {
            findings.extend(checks::check(&self.instructions, &around).into_iter().map(instruction::for_dockerfiles));
        }
        checks::in_order(&mut findings);
        for finding in &mut findings {
            if only_warns(finding.name) {
                finding.severity = Severity::Warning;
            }
        }
        findings
    }

    /// Where a place begins, or the first byte of `range` of its value.
    pub fn position(&self, place: Place, range: Option<&Range<usize>>) -> Position {
        let (start, _) = self.span(place, range);
        let line = self.lines.partition_point(|begin| *begin <= start);
        let before = self.text.get(self.lines[line - 1]..start).unwrap_or_default();
        Position { line, column: before.trim_start_matches('\u{feff}').chars().count() + 1 }
    }

    /// The line a place begins on, and how many characters of it are meant.
    pub fn excerpt(&self, place: Place, range: Option<&Range<usize>>) -> (&str, usize) {
        let (start, end) = self.span(place, range);
        let line_start = self.lines[self.lines.partition_point(|begin| *begin <= start) - 1];
        let rest = self.text.get(line_start..).unwrap_or_default();
        let line = rest.split('\n').next().unwrap_or_default().trim_end_matches('\r');
        let end = end.min(line_start + line.len());
        let width = self.text.get(start..end).map_or(1, |meant| meant.chars().count().max(1));
        (line.trim_start_matches('\u{feff}'), width)
    }

    fn span(&self, place: Place, range: Option<&Range<usize>>) -> (usize, usize) {
        let index = place.0.wrapping_sub(instruction::FIRST_PLACE);
        let Some(offsets) = self.places.get(index as usize) else { return (0, 0) };
        let at = |index: usize| offsets.get(index).or(offsets.last()).copied().unwrap_or_default();
        match range {
            Some(range) => (at(range.start), at(range.end).max(at(range.start) + 1)),
            None => (at(0), at(usize::MAX)),
        }
    }
}
