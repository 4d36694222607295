//! Health checks: a command that is run in a container now and then says whether it works.
//!
//! The program that started the container runs them (`watch.rs`), or the supervisor of one that is kept (`kept.rs`). How they
//! went stands where Docker has it, in `State.Health` of `config.v2.json`, so any program that has the data root open knows.

use std::time::{Duration, Instant};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::config::{Config, Process, RecordedState};
use super::events::Action;
use super::handle::Handle;
use super::record::Run;
use super::state::State;
use super::{Container, events};
use crate::error::{ErrorKind, Fault, Result};
use crate::spec::ExitStatus;
use crate::spec::image_config::HealthCheck;
use crate::spec::time::Timestamp;

mod kept;
mod watch;

/// Where it stands in the state.
const HEALTH: &str = "Health";

/// How many results are kept, as in Docker.
const RESULTS: usize = 5;

/// How much of what a check writes is kept, in bytes, as in Docker.
const OUTPUT: usize = 4096;

/// The exit code of a check that has not ended by itself, as in Docker.
const NO_CODE: i32 = -1;

/// How the [health check](super::Definition::health) of a container has gone.
///
/// Serialised, it has the shape of Docker's `State.Health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct Health {
    /// What it comes to.
    pub status: HealthStatus,
    /// How often in a row it has failed, up to now.
    #[serde(default)]
    pub failing_streak: u32,
    /// The last five results, oldest first.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub log: Vec<HealthResult>,
}

/// Whether a container works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum HealthStatus {
    /// Not yet known: it has neither passed a check nor failed too many.
    Starting,
    /// It has passed the last check, or has not failed too many since.
    Healthy,
    /// It has failed too many checks in a row, or has ended.
    Unhealthy,
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct HealthResult {
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// The exit code of the command; -1 if it could not be run or took too long.
    pub exit_code: i32,
    /// What it has written to both outputs, its first 4096 bytes; or why it could not be run.
    #[serde(default)]
    pub output: String,
}

#[derive(Debug, thiserror::Error)]
#[error("wait until {title} is healthy: {why}")]
struct Unwell {
    title: String,
    why: Why,
}

#[derive(Debug, thiserror::Error)]
enum Why {
    #[error("it has no health check")]
    NoCheck,
    #[error("it is not running")]
    NotRunning,
    #[error("it has ended: {0}")]
    Ended(ExitStatus),
    #[error("it is unhealthy, its last check: {0}")]
    Unhealthy(String),
    #[error("it has not been for {0:?}")]
    Timeout(Duration),
}

impl Fault for Unwell {
    fn kind(&self) -> ErrorKind {
        match self.why {
            Why::NoCheck | Why::NotRunning => ErrorKind::InvalidArgument,
            Why::Ended(_) | Why::Unhealthy(_) => ErrorKind::Failed,
            Why::Timeout(_) => ErrorKind::Timeout,
        }
    }

    fn hint(&self) -> Option<String> {
        match self.why {
            Why::NoCheck => Some("give it one with .health(…), or HEALTHCHECK in its image".to_owned()),
            _ => None,
        }
    }
}

impl<D> Container<D> {
    /// How its health check has gone up to now, whichever program runs it; `None` if it has none, and until it was started.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if it was removed.
    pub fn health(&self) -> Result<Option<Health>> {
        Ok(Health::of(&self.handle.files()?.config.state))
    }

    /// Waits until its health check says that it works. Returns at once if that is so, and sleeps meanwhile.
    ///
    /// # Errors
    /// [`Failed`](ErrorKind::Failed) as soon as it is unhealthy or has ended,
    /// [`Timeout`](ErrorKind::Timeout) if it is neither within this time, and
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) if it has no health check or was not started.
    pub fn wait_healthy(&self, timeout: Duration) -> Result<()> {
        let handle = &self.handle;
        let fail = |why| Err(Unwell { title: handle.title(), why }.into());
        let deadline = Instant::now().checked_add(timeout);
        // From before the first look on, so that nothing is missed.
        let mut told = handle.store().root().told(false)?;
        loop {
            // In this order: at its end it counts as unhealthy, and that it has ended says more.
            let files = handle.files()?;
            let (state, status) = handle.state()?;
            if Check::of(&files.config.config).is_none() {
                return fail(Why::NoCheck);
            }
            match (state, status) {
                (State::Created, _) => return fail(Why::NotRunning),
                (State::Exited | State::Dead, status) => return fail(status.map_or(Why::NotRunning, Why::Ended)),
                _ => {}
            }
            match Health::of(&files.config.state) {
                Some(Health { status: HealthStatus::Healthy, .. }) => return Ok(()),
                Some(health) if health.status == HealthStatus::Unhealthy => return fail(Why::Unhealthy(health.last())),
                _ => {}
            }
            loop {
                match told.next_line()? {
                    Some(line) if events::is_of(&line, handle.id()) => break,
                    Some(_) => {}
                    None if told.wait(deadline)? => {}
                    None => return fail(Why::Timeout(timeout)),
                }
            }
        }
    }
}

impl Health {
    fn starting() -> Self {
        Self { status: HealthStatus::Starting, failing_streak: 0, log: Vec::new() }
    }

    /// As it is recorded; one that nobody understands is none.
    pub(super) fn of(state: &RecordedState) -> Option<Self> {
        state.other.get(HEALTH).and_then(|value| serde_json::from_value(value.clone()).ok())
    }

    pub(super) fn record(&self, state: &mut RecordedState) {
        if let Ok(value) = serde_json::to_value(self) {
            state.other.insert(HEALTH.to_owned(), value);
        }
    }

    /// Adds a result; `age` is how long the container had run when the check began.
    fn take(&mut self, result: HealthResult, check: &Check, age: Duration) {
        if result.exit_code == 0 {
            (self.status, self.failing_streak) = (HealthStatus::Healthy, 0);
        } else if self.status != HealthStatus::Starting || age >= check.start_period {
            self.failing_streak = self.failing_streak.saturating_add(1);
            if self.failing_streak >= check.retries {
                self.status = HealthStatus::Unhealthy;
            }
        }
        self.log.push(result);
        let beyond = self.log.len().saturating_sub(RESULTS);
        self.log.drain(..beyond);
    }

    /// What the last check has said.
    fn last(&self) -> String {
        self.log.last().map_or_else(String::new, |result| {
            let text = result.output.trim();
            match result.exit_code {
                NO_CODE => text.to_owned(),
                code if text.is_empty() => format!("exit code {code}"),
                code => format!("exit code {code}: {text}"),
            }
        })
    }
}

impl std::fmt::Display for HealthStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        })
    }
}

/// A health check whose every part is known.
#[derive(Debug, Clone)]
pub(super) struct Check {
    argv: Vec<String>,
    interval: Duration,
    timeout: Duration,
    start_period: Duration,
    start_interval: Duration,
    retries: u32,
}

impl Check {
    /// That of a container; `None` if it has none.
    fn of(process: &Process) -> Option<Self> {
        let check: HealthCheck = serde_json::from_value(process.healthcheck.clone()?).ok()?;
        let argv = match check.test.split_first()? {
            (kind, argv) if kind == "CMD" && !argv.is_empty() => argv.to_vec(),
            (kind, [script, ..]) if kind == "CMD-SHELL" => {
                let shell = process.other.get(SHELL).cloned().and_then(|shell| serde_json::from_value(shell).ok());
                let shell: Vec<String> = shell.unwrap_or_else(|| ["/bin/sh", "-c"].map(str::to_owned).to_vec());
                shell.into_iter().chain([script.clone()]).collect()
            }
            _ => return None,
        };
        // Docker's defaults.
        let or = |time: Duration, seconds| if time.is_zero() { Duration::from_secs(seconds) } else { time };
        Some(Self {
            argv,
            interval: or(check.interval, 30),
            timeout: or(check.timeout, 30),
            start_period: check.start_period,
            start_interval: or(check.start_interval, 5),
            retries: if check.retries == 0 { 3 } else { check.retries },
        })
    }

    /// How long the next check is away from the last one, or from the start.
    fn pause(&self, status: HealthStatus, age: Duration) -> Duration {
        let is_starting = status == HealthStatus::Starting && age < self.start_period;
        if is_starting { self.start_interval } else { self.interval }
    }
}

/// The key of the shell of an image in Docker's `Config`.
pub(super) const SHELL: &str = "Shell";

/// What a definition says of the check, and the image where that says nothing.
pub(super) fn merge(own: Option<&HealthCheck>, image: Option<&HealthCheck>) -> Option<Value> {
    let or = |own: Duration, other: Duration| if own.is_zero() { other } else { own };
    let merged = match (own, image) {
        (Some(own), Some(image)) => HealthCheck {
            test: own.test.clone(),
            interval: or(own.interval, image.interval),
            timeout: or(own.timeout, image.timeout),
            start_period: or(own.start_period, image.start_period),
            start_interval: or(own.start_interval, image.start_interval),
            retries: if own.retries == 0 { image.retries } else { own.retries },
        },
        (own, image) => own.or(image)?.clone(),
    };
    serde_json::to_value(merged).ok()
}

/// Whether its check says that a container works; if not, what is known instead.
pub(super) fn look(handle: &Handle) -> std::result::Result<(), String> {
    let files = handle.files().map_err(|error| error.to_string())?;
    match Health::of(&files.config.state) {
        None => Err(Why::NoCheck.to_string()),
        Some(Health { status: HealthStatus::Healthy, .. }) => Ok(()),
        Some(health) if health.log.is_empty() => Err("it has not been checked yet".to_owned()),
        Some(health) => Err(format!("it has said {:?}", health.last())),
    }
}

/// Notes that a container is started.
pub(super) fn begin(config: &mut Config) {
    match Check::of(&config.config) {
        Some(_) => Health::starting().record(&mut config.state),
        None => drop(config.state.other.remove(HEALTH)),
    }
}

/// Notes that it has ended: as in Docker, it does not count as healthy any more.
pub(super) fn end(config: &mut Config) {
    if let Some(mut health) = Health::of(&config.state) {
        health.status = HealthStatus::Unhealthy;
        health.record(&mut config.state);
    }
}

pub(super) use kept::{KEPT_FILE, kept, resolve};
pub(super) use watch::watch;

impl Handle {
    /// Whether this run of the container goes on, in this program.
    fn still_runs(&self, run: &Run) -> bool {
        self.lock().record_mut().is_some_and(|record| record.run.as_ref() == Some(run))
    }

    /// Takes down how a check of this run has ended; the status then.
    fn take_health(&self, run: &Run, check: &Check, result: HealthResult) -> Option<HealthStatus> {
        let mut inner = self.lock();
        let files = inner.files.as_mut()?;
        files.record.as_ref()?.run.as_ref().filter(|current| *current == run)?;
        let mut health = Health::of(&files.config.state).unwrap_or_else(Health::starting);
        let before = health.status;
        let age = result.start.since(run.started_at);
        health.take(result, check, age);
        health.record(&mut files.config.state);
        if let Err(error) = self.store().write_health(self.id(), files) {
            tracing::warn!("how a health check of {} went could not be recorded: {error}", self.title());
        }
        drop(inner);
        if health.status != before {
            self.tell_with(Action::HealthStatus, "healthStatus", health.status);
        }
        Some(health.status)
    }
}

fn null_is_empty<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Vec<HealthResult>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests;
