//! The health check of a container that outlives this program: the plan of a process that joins it, which its supervisor
//! walks again and again (`sdk/helper/health.rs`).
//!
//! The plan knows the container by the descriptor of its process, so that it fits the next one after a restart as well.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use rustix::pipe::{PipeFlags, pipe_with};

use super::bundle::ProcessSpec;
use super::plan::{self, Stream, beyond_standard};
use super::replay::in_json;
use super::target::Target;
use crate::error::{Attempt, Result};
use crate::sys::helper::{Line, Role, plan_file};

/// What is attempted when it is put together.
const PREPARE: &str = "prepare the health check of a container";

/// A command that says by its exit code whether a container works, and when it is run.
#[derive(Debug)]
pub(crate) struct Check {
    pub spec: ProcessSpec,
    pub interval: Duration,
    pub timeout: Duration,
    pub start_period: Duration,
    pub start_interval: Duration,
    /// How many failures in a row make the container unhealthy; at least 1.
    pub retries: u32,
}

/// What its supervisor needs.
#[derive(Debug)]
pub(super) struct CheckPlan {
    pub plan: File,
    pub payload: File,
    /// What the steps of both attempt, as it stands in a JSON string.
    pub steps: [Vec<String>; 2],
    /// Four times in milliseconds, the retries, then the numbers that the plan knows these by: two outputs, the process of
    /// the container, line, plan of the payload, helper.
    pub numbers: [u64; NUMBERS],
}

/// How many numbers there are.
pub(super) const NUMBERS: usize = 11;

impl Check {
    /// For a container that runs.
    pub(super) fn prepare(&self, target: &Target<'_>) -> Result<CheckPlan> {
        let payload = plan::payload(&self.spec, Role::Trampoline)?;
        let line = Line::new(Role::Trampoline, &payload.blob).attempt(|| PREPARE)?;
        let handover = line.handover().attempt(|| PREPARE)?;
        // Two descriptors, whose numbers are all that is used of them.
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).attempt(|| PREPARE)?;
        let [out, error] = [writer, reader].map(beyond_standard);
        let (out, error): (OwnedFd, OwnedFd) = (out?, error?);
        let numbers = [out.as_raw_fd(), error.as_raw_fd(), target.pidfd().as_raw_fd()];
        let numbers = numbers.into_iter().chain([handover.socket, handover.plan, handover.program]);
        let times = [self.interval, self.timeout, self.start_period, self.start_interval].map(milliseconds);
        let mut all = [0; NUMBERS];
        let values = times.into_iter().chain([self.retries.max(1).into()]);
        let values = values.chain(numbers.map(|number| u64::try_from(number).unwrap_or(u64::MAX)));
        all.iter_mut().zip(values).for_each(|(place, value)| *place = value);
        let streams = [Stream::Null, Stream::Fd(out), Stream::Fd(error)];
        let prepared = plan::exec(target, &self.spec, &streams, None, None, handover)?;
        Ok(CheckPlan {
            plan: plan_file(&prepared.blob).attempt(|| PREPARE)?,
            payload: plan_file(&payload.blob).attempt(|| PREPARE)?,
            steps: [&prepared, &payload].map(|prepared| prepared.steps.attempts().map(in_json).collect()),
            numbers: all,
        })
    }
}

/// Longer times than the supervisor can wait for are none that anybody waits for.
fn milliseconds(time: Duration) -> u64 {
    const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    u64::try_from(time.min(LONGEST).as_millis()).unwrap_or(u64::MAX).max(u64::from(!time.is_zero()))
}
