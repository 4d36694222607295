//! When a kept container is started again, and the word that it shall not be.

use std::fmt;
use std::str::FromStr;

use super::create::attempted;
use super::handle::Handle;
use super::host_config;
use super::signal::Signal;
use crate::error::{Attempt, Error, ErrorKind, Fault, Result};
use crate::runtime;
use crate::spec::exit_status::ExitStatus;
use crate::sys::keeper::{Line, Word};

/// When a [kept](super::Definition::keep) container that has ended is started again.
///
/// By its supervisor, whether or not any program of plywood runs: first after 100 ms, then after twice the time each,
/// up to one minute; after a run of ten seconds or more it begins with 100 ms again. Each start has namespaces, mounts and
/// a network of its own; files, cgroup and log stay. What is stopped or killed by [`stop`](super::Container::stop) or
/// [`kill`](super::Container::kill) is not started again.
///
/// ```
/// use plywood::container::RestartPolicy;
///
/// let policy: RestartPolicy = "on-failure:5".parse()?;
/// assert_eq!(policy, RestartPolicy::OnFailure { retries: Some(5) });
/// # Ok::<(), plywood::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
#[doc(alias = "--restart")]
pub enum RestartPolicy {
    /// Never: `no`.
    #[default]
    No,
    /// Whenever it ends: `always`. A Docker daemon that opens the data root starts it as well.
    Always,
    /// The same, and a Docker daemon does not start what was stopped: `unless-stopped`.
    UnlessStopped,
    /// If its exit code is not 0: `on-failure` or, at most so often, `on-failure:<retries>`.
    OnFailure {
        /// How often at most. Default: as often as it takes.
        retries: Option<u32>,
    },
}

#[derive(Debug, thiserror::Error)]
#[error("invalid restart policy {0:?}")]
struct Invalid(String);

impl Fault for Invalid {
    fn kind(&self) -> ErrorKind {
        ErrorKind::InvalidArgument
    }

    fn hint(&self) -> Option<String> {
        Some("there is no, always, unless-stopped, on-failure and on-failure:<retries>".to_owned())
    }
}

impl FromStr for RestartPolicy {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text.split_once(':') {
            None if text.is_empty() || text == "no" => Self::No,
            None if text == "always" => Self::Always,
            None if text == "unless-stopped" => Self::UnlessStopped,
            None if text == "on-failure" => Self::OnFailure { retries: None },
            Some(("on-failure", retries)) => {
                let retries: u32 = retries.parse().map_err(|_| Invalid(text.to_owned()))?;
                // As in Docker, 0 is no limit.
                Self::OnFailure { retries: Some(retries).filter(|retries| *retries > 0) }
            }
            _ => return Err(Invalid(text.to_owned()).into()),
        })
    }
}

impl fmt::Display for RestartPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::No => f.write_str("no"),
            Self::Always => f.write_str("always"),
            Self::UnlessStopped => f.write_str("unless-stopped"),
            Self::OnFailure { retries: None } => f.write_str("on-failure"),
            Self::OnFailure { retries: Some(retries) } => write!(f, "on-failure:{retries}"),
        }
    }
}

impl RestartPolicy {
    /// As Docker writes it.
    pub(super) fn recorded(self) -> host_config::RestartPolicy {
        let (name, retries) = match self {
            Self::OnFailure { retries } => ("on-failure".to_owned(), retries.unwrap_or(0)),
            policy => (policy.to_string(), 0),
        };
        host_config::RestartPolicy { name, maximum_retry_count: retries }
    }

    /// As it is recorded; one that nobody knows is none.
    pub(super) fn of(recorded: &host_config::RestartPolicy) -> Self {
        match recorded.name.parse() {
            Ok(Self::OnFailure { .. }) => {
                let retries = Some(recorded.maximum_retry_count).filter(|retries| *retries > 0);
                Self::OnFailure { retries }
            }
            policy => policy.unwrap_or_default(),
        }
    }

    /// What the supervisor does.
    pub(super) fn resolve(self) -> Option<runtime::Restart> {
        match self {
            Self::No => None,
            Self::Always | Self::UnlessStopped => Some(runtime::Restart::Always),
            Self::OnFailure { retries } => Some(runtime::Restart::OnFailure(retries.unwrap_or(0))),
        }
    }
}

/// What a supervisor will say when the process has ended.
#[derive(Debug)]
pub(super) struct LastWord(Line);

impl LastWord {
    /// How it has ended; `None` if the supervisor was killed.
    pub(super) fn status(self) -> Option<ExitStatus> {
        match self.0.next_word() {
            Ok(Some(Word::End { status, out_of_memory })) => Some(runtime::kept_status(status, out_of_memory)),
            _ => None,
        }
    }
}

impl Handle {
    /// The last word of the supervisor of a container that is removed at its end, and leaves no other.
    pub(super) fn last_word(&self) -> Result<Option<LastWord>> {
        if !self.files()?.record.is_some_and(|record| record.kept && record.may_remove_itself()) {
            return Ok(None);
        }
        let Some(line) = self.supervisor()? else { return Ok(None) };
        // One that is at its end has said it.
        Ok(line.wait().is_ok().then_some(LastWord(line)))
    }

    /// The line to the supervisor of a container that is kept, if it has one.
    pub(super) fn supervisor(&self) -> Result<Option<Line>> {
        let directory = self.store().root().container_dir(self.id());
        let line = Line::open(&directory).attempt(|| "speak to its supervisor");
        line.map_err(|error| attempted(format!("use {}", self.title()), error))
    }

    /// Lets the container not be started again: returns once its supervisor knows that. What runs goes on.
    pub(super) fn end_restarts(&self) -> Result<()> {
        if self.process().is_some() { Ok(()) } else { self.cancel_restarts() }
    }

    /// The same of a container whose process is not of this program.
    pub(super) fn cancel_restarts(&self) -> Result<()> {
        match self.supervisor()? {
            Some(line) => {
                let cancelled = line.cancel().attempt(|| "speak to its supervisor");
                cancelled.map_err(|error| attempted(format!("stop {}", self.title()), error))
            }
            None => Ok(()),
        }
    }

    /// Whether a signal is one that ends the container for good.
    pub(super) fn is_final(&self, signal: Signal) -> Result<bool> {
        Ok(signal == Signal::KILL || signal == self.stop_signal()?)
    }

    /// Notes that it was stopped by the user, for a Docker daemon that opens the data root.
    pub(super) fn note_stop(&self) -> Result<()> {
        let Ok(_entry) = self.own() else { return Ok(()) };
        let Some(mut files) = self.store().read(self.id())? else { return Ok(()) };
        if RestartPolicy::of(&files.host.restart_policy) == RestartPolicy::No {
            return Ok(());
        }
        files.config.has_been_manually_stopped = true;
        self.store().write(self.id(), &files)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn policies_read_as_docker_writes_them() {
        let table = [
            ("no", "no", 0),
            ("always", "always", 0),
            ("unless-stopped", "unless-stopped", 0),
            ("on-failure", "on-failure", 0),
            ("on-failure:3", "on-failure", 3),
        ];
        for (text, name, retries) in table {
            let policy: RestartPolicy = text.parse().unwrap();
            let recorded = policy.recorded();
            assert_eq!((recorded.name.as_str(), recorded.maximum_retry_count), (name, retries));
            assert_eq!(RestartPolicy::of(&recorded), policy);
            assert_eq!(policy.to_string(), text);
        }
        assert_eq!("on-failure:0".parse::<RestartPolicy>().unwrap(), RestartPolicy::OnFailure { retries: None });
        for text in ["sometimes", "always:3", "on-failure:", "on-failure:-1", "no:1"] {
            assert_eq!(text.parse::<RestartPolicy>().unwrap_err().kind(), ErrorKind::InvalidArgument, "{text}");
        }
    }
}
