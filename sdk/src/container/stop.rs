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
        let last_word = self.last_word()?;
        self.end_restarts()?;
        let end = || match self.state()? {
            (state, _) if state.is_running() => self.end_by_signal(state, timeout),
            (_, status) => Ok(status.unwrap_or(ExitStatus::exited(0))),
        };
        let status = match (end(), last_word) {
            // It was removed at its end.
            (Err(error), Some(word)) if error.kind() == ErrorKind::NotFound => word.status().ok_or(error)?,
            (ended, _) => ended?,
        };
        self.note_stop()?;
        self.tell(Action::Stop);
        Ok(status)
    }

    /// The signal by which it is asked to end.
    pub(super) fn stop_signal(&self) -> Result<Signal> {
        let wanted = self.files()?.config.config.stop_signal;
        // An image may say anything; what is no signal is not worth failing over when something has to stop.
        Ok(wanted.and_then(|text| text.parse().ok()).unwrap_or(Signal::TERM))
    }

    fn end_by_signal(&self, state: State, timeout: Duration) -> Result<ExitStatus> {
        self.signal_if_running(self.stop_signal()?)?;
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
