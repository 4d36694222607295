//! `HEALTHCHECK`.

use std::time::Duration;

use super::Command;
use crate::spec::image_config::HealthCheck as Config;

/// How to tell whether a container works.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[doc(alias = "HEALTHCHECK")]
pub struct HealthCheck {
    command: Option<Command>,
    interval: Option<Duration>,
    timeout: Option<Duration>,
    start_period: Option<Duration>,
    start_interval: Option<Duration>,
    retries: Option<u32>,
}

impl HealthCheck {
    /// Runs this command in the container; exit code 0 means healthy.
    pub fn cmd(command: impl Into<Command>) -> Self {
        Self { command: Some(command.into()), ..Self::default() }
    }

    /// No health check, also where the base image has one.
    pub fn none() -> Self {
        Self::default()
    }

    /// The time between two checks. Default: 30 s.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = Some(interval);
        self
    }

    /// How long one check may take. Default: 30 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How long after the start failures do not count. Default: none.
    #[must_use]
    pub fn start_period(mut self, period: Duration) -> Self {
        self.start_period = Some(period);
        self
    }

    /// The time between two checks in the start period. Default: 5 s.
    #[must_use]
    pub fn start_interval(mut self, interval: Duration) -> Self {
        self.start_interval = Some(interval);
        self
    }

    /// How many failures in a row make the container unhealthy. Default: 3.
    #[must_use]
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = Some(retries);
        self
    }

    /// As an image's configuration has it.
    pub(crate) fn to_config(&self) -> Config {
        let test = match &self.command {
            None => vec!["NONE".to_owned()],
            Some(Command::Exec(args)) => std::iter::once("CMD".to_owned()).chain(args.iter().cloned()).collect(),
            Some(Command::Shell(script)) => vec!["CMD-SHELL".to_owned(), script.clone()],
        };
        Config {
            test,
            interval: self.interval.unwrap_or_default(),
            timeout: self.timeout.unwrap_or_default(),
            start_period: self.start_period.unwrap_or_default(),
            start_interval: self.start_interval.unwrap_or_default(),
            retries: self.retries.unwrap_or_default(),
        }
    }

    /// The command; none if the check is switched off.
    pub fn command(&self) -> Option<&Command> {
        self.command.as_ref()
    }

    /// The time between two checks, if given.
    pub fn interval_time(&self) -> Option<Duration> {
        self.interval
    }

    /// How long one check may take, if given.
    pub fn timeout_time(&self) -> Option<Duration> {
        self.timeout
    }

    /// How long failures do not count, if given.
    pub fn start_period_time(&self) -> Option<Duration> {
        self.start_period
    }

    /// The time between two checks in the start period, if given.
    pub fn start_interval_time(&self) -> Option<Duration> {
        self.start_interval
    }

    /// How many failures make the container unhealthy, if given.
    pub fn retry_count(&self) -> Option<u32> {
        self.retries
    }
}
