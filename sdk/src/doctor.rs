//! What this host offers to containers, and what to do about what it lacks.
//!
//! Files and settings of the kernel are read; what they cannot tell is tried: namespaces are created, and a file system of
//! layers is mounted in them, on the file system of the data root. Nothing is left of it.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::engine::{Engine, EngineOptions};
use crate::error::Error;

mod host;
mod storage;
#[cfg(test)]
mod tests;

/// How far something is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// As plywood wants it.
    Ok,
    /// Containers run, with less.
    Limited,
    /// Without it no container runs.
    Missing,
}

/// One thing that was looked at.
#[derive(Debug, Clone)]
pub struct Finding {
    subject: &'static str,
    state: State,
    seen: String,
    cause: Option<String>,
    remedy: Option<String>,
}

/// What was found on this host.
#[derive(Debug, Clone)]
pub struct Report {
    findings: Vec<Finding>,
}

/// Looks at this host, for this user and the default data root.
///
/// ```no_run
/// let report = plywood::doctor();
/// print!("{report}");
/// assert!(report.can_run());
/// ```
pub fn doctor() -> Report {
    report(Engine::default_path(), &EngineOptions::new())
}

/// Looks at this host, for this user and the data root at `path`, which need not exist.
pub fn doctor_at(path: impl AsRef<Path>) -> Report {
    doctor_with(path, EngineOptions::new())
}

/// Looks at this host, for this user and the data root at `path`, which need not exist, opened with these options.
pub fn doctor_with(path: impl AsRef<Path>, options: impl Into<EngineOptions>) -> Report {
    report(Ok(path.as_ref().to_owned()), &options.into())
}

fn report(root: Result<PathBuf, Error>, options: &EngineOptions) -> Report {
    let facts = host::Facts::gather();
    let mut findings = facts.findings();
    match root {
        Ok(root) => findings.extend(storage::findings(&root, facts.is_root(), options)),
        Err(error) => findings.push(Finding::missing("data root", "none").failed(&error)),
    }
    Report { findings }
}

impl Report {
    /// All that was looked at.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Whether containers can run here, as this user.
    pub fn can_run(&self) -> bool {
        self.findings.iter().all(|finding| finding.state != State::Missing)
    }
}

impl Finding {
    /// What was looked at, such as `user namespaces`.
    pub fn subject(&self) -> &str {
        self.subject
    }

    /// How far it is there.
    pub fn state(&self) -> State {
        self.state
    }

    /// What was seen.
    pub fn seen(&self) -> &str {
        &self.seen
    }

    /// Why it is not as it should be.
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// What can be done about it.
    pub fn remedy(&self) -> Option<&str> {
        self.remedy.as_deref()
    }

    fn ok(subject: &'static str, seen: impl Into<String>) -> Self {
        Self { subject, state: State::Ok, seen: seen.into(), cause: None, remedy: None }
    }

    fn limited(subject: &'static str, seen: impl Into<String>) -> Self {
        Self { state: State::Limited, ..Self::ok(subject, seen) }
    }

    fn missing(subject: &'static str, seen: impl Into<String>) -> Self {
        Self { state: State::Missing, ..Self::ok(subject, seen) }
    }

    fn because(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    fn remedied(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// The words of an error as cause and remedy.
    fn failed(mut self, error: &Error) -> Self {
        let cause = std::error::Error::source(error).map(|source| format!("{error}: {source}"));
        self.cause = Some(cause.unwrap_or_else(|| error.to_string()));
        self.remedy = error.hint().map(str::to_owned).or(self.remedy);
        self
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Limited => "limited",
            Self::Missing => "missing",
        })
    }
}

/// A line, and one or more each for cause and remedy.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<8} {}: {}", self.state, self.subject, self.seen)?;
        for (title, text) in [("cause", &self.cause), ("remedy", &self.remedy)] {
            if let Some(text) = text {
                write!(f, "\n         {title}: {}", text.replace('\n', "\n           "))?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.findings.iter().try_for_each(|finding| writeln!(f, "{finding}"))?;
        match self.can_run() {
            true => writeln!(f, "containers can run here"),
            false => writeln!(f, "containers cannot run here"),
        }
    }
}
