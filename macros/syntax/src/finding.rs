//! What a check reports.

use std::ops::Range;

/// Where something was written: a number that only the caller of a check understands.
///
/// The macro keeps a table of spans, the Dockerfile reader of byte offsets, the builder of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place(pub u32);

/// Whether a finding stops the build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The image would not build, or not be what was meant.
    Error,
    /// The image builds and probably disappoints.
    Warning,
}

/// A rule that a text broke, before anyone knows where the text stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The name of the check.
    pub name: &'static str,
    /// What is wrong, with the offender in backquotes.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
    /// The bytes of the text concerned.
    pub range: Range<usize>,
}

impl Problem {
    /// A problem with the bytes `range` of a text.
    pub fn new(name: &'static str, message: impl Into<String>, range: Range<usize>) -> Self {
        Self { name, message: message.into(), help: None, range }
    }

    /// The same, with what would be right.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// What a check found, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The name of the check, as in `#[allow(name)]`.
    pub name: &'static str,
    /// Whether it stops the build.
    pub severity: Severity,
    /// What is wrong in one clause, with the offender in backquotes.
    pub message: String,
    /// What would be right: text or code that works if pasted.
    pub help: Option<String>,
    /// A fact that explains it.
    pub note: Option<String>,
    /// The instruction or value concerned.
    pub place: Place,
    /// The bytes of that value concerned, where it is only a part of it.
    pub range: Option<Range<usize>>,
}

impl Finding {
    /// An error.
    pub fn error(name: &'static str, place: Place, message: impl Into<String>) -> Self {
        Self { name, severity: Severity::Error, message: message.into(), help: None, note: None, place, range: None }
    }

    /// A warning.
    pub fn warning(name: &'static str, place: Place, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(name, place, message) }
    }

    /// A problem of the text at a place.
    pub fn of(problem: Problem, place: Place) -> Self {
        let Problem { name, message, help, range } = problem;
        Self { help, range: Some(range), ..Self::error(name, place, message) }
    }

    /// The same, with what would be right.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same, with what would be right where that is known.
    #[must_use]
    pub fn maybe_help(mut self, help: Option<impl Into<String>>) -> Self {
        self.help = help.map(Into::into).or(self.help);
        self
    }

    /// The same, with a fact that explains it.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    /// The same, about these bytes of the value.
    #[must_use]
    pub fn at(mut self, range: Range<usize>) -> Self {
        self.range = Some(range);
        self
    }
}
