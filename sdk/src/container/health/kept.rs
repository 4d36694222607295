//! What the supervisor of a kept container is told of its health check, and what it says.
//!
//! ```text
//! containers/<container id>/plywood-health.json   as Docker's `State.Health`, with the process that it is about
//! ```

use std::path::Path;

use serde::Deserialize;

use super::{Check, Health, HealthResult, HealthStatus};
use crate::container::start::{Command, process_spec};
use crate::container::store::{Files, Store, read_json};
use crate::error::Result;
use crate::layer::WritableLayer;
use crate::runtime;
use crate::spec::time::Timestamp;

/// The file in the directory of a container, written by `sdk/helper/health.rs`.
pub(in crate::container) const KEPT_FILE: &str = "plywood-health.json";

#[derive(Debug, Deserialize)]
struct Kept {
    pid: u32,
    start_time: u64,
    #[serde(rename = "Status")]
    status: HealthStatus,
    #[serde(rename = "FailingStreak")]
    failing_streak: u32,
    #[serde(rename = "Log")]
    log: Vec<KeptResult>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct KeptResult {
    start: Timestamp,
    end: Timestamp,
    exit_code: i32,
    output: String,
    /// Why what stands in the output could not be done.
    errno: Option<i32>,
}

/// The check as the supervisor runs it.
pub(in crate::container) fn resolve(
    store: &Store,
    files: &Files,
    writable: &WritableLayer,
) -> Result<Option<runtime::Check>> {
    let Some(check) = Check::of(&files.config.config) else { return Ok(None) };
    let command = Command { argv: check.argv, ..Command::default() };
    let mut spec = process_spec(store, files, writable, &command)?;
    spec.ends_with_program = false;
    let Check { interval, timeout, start_period, start_interval, retries, .. } = check;
    Ok(Some(runtime::Check { spec, interval, timeout, start_period, start_interval, retries }))
}

/// What the supervisor says, if it is that of the container whose first process was this one.
pub(in crate::container) fn kept(directory: &Path, first: (u32, u64)) -> Result<Option<Health>> {
    let kept = read_json::<Kept>(&directory.join(KEPT_FILE))?;
    Ok(kept.filter(|kept| (kept.pid, kept.start_time) == first).map(|kept| Health {
        status: kept.status,
        failing_streak: kept.failing_streak,
        log: kept.log.into_iter().map(KeptResult::complete).collect(),
    }))
}

impl KeptResult {
    fn complete(self) -> HealthResult {
        let output = match self.errno {
            None => self.output,
            Some(errno) => format!("{}: {}", self.output, std::io::Error::from_raw_os_error(errno)),
        };
        HealthResult { start: self.start, end: self.end, exit_code: self.exit_code, output }
    }
}
