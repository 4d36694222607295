//! Stopping: ask, wait, kill.

use std::time::Duration;

use super::events::Action;
use super::handle::Handle;
use super::remove::KILL_PATIENCE;
use super::signal::Signal;
use super::state::State;
use crate::error::{ErrorKind, Fault, Result};
use crate::spec::exit_status::ExitStatus;

#[derive(Debug, thiserror::Error)]
#[error("stop {title}: it was killed {} s ago and has not ended", KILL_PATIENCE.as_secs())]
struct Unkillable {
    title: String,
}

impl Fault for Unkillable {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Timeout
    }

    fn hint(&self) -> Option<String> {
        Some("a process waits for a device or a network file system".to_owned())
    }
}

impl Handle {
    /// Sends the stop signal, waits, and kills.
    pub(crate) fn stop(&self, timeout: Duration) -> Result<ExitStatus> {
        let (state, status) = self.state()?;
        if !state.is_running() {
            return Ok(status.unwrap_or(ExitStatus::exited(0)));
        }
        let status = self.end_by_signal(state, timeout)?;
        self.tell(Action::Stop);
        Ok(status)
    }

    fn end_by_signal(&self, state: State, timeout: Duration) -> Result<ExitStatus> {
        let wanted = self.files()?.config.config.stop_signal;
        // An image may say anything; what is no signal is not worth failing over when something has to stop.
        let signal = wanted.and_then(|text| text.parse().ok()).unwrap_or(Signal::TERM);
        self.signal_if_running(signal)?;
        if state == State::Paused {
            self.thaw()?;
        }
        if let Some(status) = self.wait(Some(timeout))? {
            return Ok(status);
        }
        self.signal_if_running(Signal::KILL)?;
        self.wait(Some(KILL_PATIENCE))?.ok_or_else(|| Unkillable { title: self.title() }.into())
    }

    fn signal_if_running(&self, signal: Signal) -> Result<()> {
        match self.signal(signal) {
            Err(error) if error.kind() == ErrorKind::InvalidArgument => Ok(()),
            sent => sent,
        }
    }
}
