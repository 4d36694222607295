//! What `run` and `create` take about the container's health check.

use std::time::Duration;

use clap::Args;
use plywood::container::Definition;
use plywood::image::{Command, HealthCheck};

use crate::failure::{Failure, Outcome};

/// How it is known whether a container works.
#[derive(Debug, Args)]
#[command(next_help_heading = "Health check")]
pub struct Health {
    /// Run this command in the container's shell now and then: it works if that ends with 0. Default: the image's
    #[arg(long, value_name = "COMMAND")]
    health_cmd: Option<String>,
    /// The time between two checks, such as 30s or 1m30s
    #[arg(long, value_name = "TIME", value_parser = time, requires = "health_cmd")]
    health_interval: Option<Duration>,
    /// How long one check may take
    #[arg(long, value_name = "TIME", value_parser = time, requires = "health_cmd")]
    health_timeout: Option<Duration>,
    /// How long after the start failures do not count
    #[arg(long, value_name = "TIME", value_parser = time, requires = "health_cmd")]
    health_start_period: Option<Duration>,
    /// The time between two checks in that period
    #[arg(long, value_name = "TIME", value_parser = time, requires = "health_cmd")]
    health_start_interval: Option<Duration>,
    /// How many failures in a row make it unhealthy
    #[arg(long, value_name = "NUMBER", requires = "health_cmd")]
    health_retries: Option<u32>,
    /// Do not run the image's check either
    #[arg(long, conflicts_with = "health_cmd")]
    no_healthcheck: bool,
}

impl Health {
    /// The definition, with the check that is asked for.
    pub fn apply(&self, definition: Definition) -> Outcome<Definition> {
        if self.no_healthcheck {
            return Ok(definition.health(HealthCheck::none()));
        }
        let Some(script) = &self.health_cmd else { return Ok(definition) };
        if script.is_empty() {
            return Err(Failure::usage("--health-cmd is empty\n  hint: --no-healthcheck takes the image's check away"));
        }
        let mut check = HealthCheck::cmd(Command::shell(script));
        if let Some(time) = self.health_interval {
            check = check.interval(time);
        }
        if let Some(time) = self.health_timeout {
            check = check.timeout(time);
        }
        if let Some(time) = self.health_start_period {
            check = check.start_period(time);
        }
        if let Some(time) = self.health_start_interval {
            check = check.start_interval(time);
        }
        if let Some(retries) = self.health_retries {
            check = check.retries(retries);
        }
        Ok(definition.health(check))
    }
}

fn time(text: &str) -> Result<Duration, String> {
    plywood_syntax::duration::parse(text).ok_or_else(|| "a time reads like 30s or 1m30s".to_owned())
}
