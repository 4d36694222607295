//! Pausing and going on.

use super::events::Action;
use super::handle::{Handle, HandleFault};
use super::record::Run;
use super::state::State;
use super::store::Files;
use crate::error::Result;
use crate::runtime::cgroup;

impl Handle {
    /// Freezes all processes, whichever program runs them.
    pub(crate) fn pause(&self) -> Result<()> {
        let (files, run) = self.running("pause")?;
        if running_state(&files) == State::Paused {
            return Ok(());
        }
        let paused = cgroup::pause(self.id().as_str(), &recorded(&files), run.pid);
        paused.map_err(|error| self.attempted("pause", error))?;
        self.tell(Action::Pause);
        Ok(())
    }

    /// Lets them go on.
    pub(crate) fn resume(&self) -> Result<()> {
        let (files, _) = self.running("resume")?;
        if running_state(&files) == State::Running {
            return Ok(());
        }
        let resumed = cgroup::resume(self.id().as_str(), &recorded(&files));
        resumed.map_err(|error| self.attempted("resume", error))?;
        self.tell(Action::Unpause);
        Ok(())
    }

    /// After a signal that ends it: it could not act on it otherwise.
    pub(super) fn thaw(&self) -> Result<()> {
        let recorded = self.files().map(|files| recorded(&files)).unwrap_or_default();
        cgroup::resume(self.id().as_str(), &recorded)
    }

    /// The files and the process of a running container.
    pub(super) fn running(&self, verb: &'static str) -> Result<(Files, Run)> {
        let (state, _) = self.state()?;
        let files = self.files()?;
        let run = files.record.as_ref().and_then(|record| record.run.clone());
        match run.filter(|_| state.is_running()) {
            Some(run) => Ok((files, run)),
            None => Err(HandleFault::NotRunningTo { verb, title: self.title() }.into()),
        }
    }

    fn attempted(&self, verb: &str, error: crate::Error) -> crate::Error {
        super::create::attempted(format!("{verb} {}", self.title()), error)
    }
}

/// Running or paused: whether the kernel holds its processes.
pub(super) fn running_state(files: &Files) -> State {
    match cgroup::find(&files.config.id, &recorded(files)).is_some_and(|group| group.is_frozen()) {
        true => State::Paused,
        false => State::Running,
    }
}

/// The directories of its cgroup, as its owner has recorded them.
pub(super) fn recorded(files: &Files) -> Vec<std::path::PathBuf> {
    files.record.as_ref().map(|record| record.cgroup.clone()).unwrap_or_default()
}
