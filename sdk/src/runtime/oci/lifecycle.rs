//! What can be done with a container that was made: start, signals, pausing, removal.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Container;
use super::create;
use super::fault::Fault;
use super::hooks::{self, Place};
use super::plan;
use super::state::{Record, State, Status};
use crate::error::{Attempt, Error, ErrorKind, Result};
use crate::spec::ExitStatus;
use crate::sys::cgroup::{Group, remove_directories};
use crate::sys::clone::Failure;
use crate::sys::wait::{self, End};
use crate::sys::{signal, waiting};

/// How long a process may take to end after `SIGKILL`; long only if it hangs in a device.
const PATIENCE: Duration = Duration::from_secs(10);

impl Container {
    /// The container's ID.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where the container is in its life.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if it has been removed.
    pub fn state(&self) -> Result<State> {
        Ok(self.directory.state(&self.directory.load(&self.id)?))
    }

    /// Lets its program begin, and returns once it has.
    ///
    /// Blocks until its hooks `startContainer` and `poststart` have ended.
    ///
    /// # Errors
    /// If it is not [`Created`](Status::Created), a hook fails, or the program cannot be executed. A container whose hook has
    /// failed is killed.
    pub fn start(&self) -> Result<()> {
        let _lock = self.directory.lock(&self.id)?;
        let record = self.directory.load(&self.id)?;
        self.expect(&record, "start", &[Status::Created])?;
        let config = self.directory.load_config()?;
        let mut state = self.directory.state(&record);
        let before =
            hooks::run("startContainer", &config.hooks.start_container, &state.to_json(), Place::Container(record.pid));
        before.inspect_err(|_| self.kill_all_quietly(&record))?;
        let process = config.process.as_ref().ok_or(Fault::Missing { property: "process" })?;
        let mut payload = plan::payload(&create::spec(&config, process, &record)?, record.preserved)?;
        waiting::go_on(self.directory.path(), &mut payload.blob).map_err(|failure| match failure {
            Failure::Killed => Fault::State { verb: "start", id: self.id.clone(), status: "stopped" }.into(),
            failure => payload.error(failure),
        })?;
        state.status = Status::Running;
        let after = hooks::run("poststart", &config.hooks.poststart, &state.to_json(), Place::Runtime(&record.bundle));
        after.inspect_err(|_| self.kill_all_quietly(&record))
    }

    /// Sends a signal to its first process, or to all of its processes; `TERM`, `SIGTERM` and `15` are the same.
    ///
    /// # Errors
    /// If it has no process any more, or there is no such signal.
    pub fn kill(&self, signal: &str, all: bool) -> Result<()> {
        let number = signal::number(signal).ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidArgument,
                format!("send a signal to container {:?}: unknown {signal:?}", self.id),
            )
        })?;
        let record = self.directory.load(&self.id)?;
        let not_running = || Error::from(Fault::NotRunning { id: self.id.clone() });
        if all {
            return self.kill_all(&record, number);
        }
        let process = self.process(&record).ok_or_else(not_running)?;
        match signal::send(&process, number) {
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Err(not_running()),
            sent => sent.attempt(|| format!("send signal {number} to container {:?}", self.id))?,
        }
        if number == libc::SIGKILL {
            // A process that stands still does not see its end.
            record.group().map_or(Ok(()), |group| group.thaw()).attempt(|| "let a paused container end")?;
        }
        Ok(())
    }

    fn kill_all(&self, record: &Record, number: i32) -> Result<()> {
        let attempt = || format!("send signal {number} to all processes of container {:?}", self.id);
        // One without processes has nobody to be told.
        let Some(group) = record.group() else { return Ok(()) };
        for pid in group.all_processes().attempt(attempt)? {
            let Ok(process) = wait::open(pid) else { continue };
            // Still one of the group's: the number was not given to another.
            if group.all_processes().attempt(attempt)?.contains(&pid) {
                match signal::send(&process, number) {
                    Err(error) if error.raw_os_error() != Some(libc::ESRCH) => return Err(Error::os(attempt(), error)),
                    _ => {}
                }
            }
        }
        match number {
            libc::SIGKILL => group.thaw().attempt(attempt),
            _ => Ok(()),
        }
    }

    fn kill_all_quietly(&self, record: &Record) {
        if let Some(process) = self.process(record) {
            // There is an error to be told already.
            let _ = signal::send(&process, libc::SIGKILL);
            wait_for(&process, PATIENCE);
        }
    }

    /// Freezes all of its processes, and returns once they stand still.
    ///
    /// # Errors
    /// If it does not run.
    pub fn pause(&self) -> Result<()> {
        let _lock = self.directory.lock(&self.id)?;
        let record = self.directory.load(&self.id)?;
        self.expect(&record, "pause", &[Status::Running, Status::Created])?;
        let group = self.group(&record, "pause")?;
        group.begin_freeze().and_then(|()| group.wait_until_frozen()).map_err(|error| {
            // Half a container that stands still is worse than none.
            let _ = group.thaw();
            Error::os(format_args!("pause container {:?}", self.id), error)
        })
    }

    /// Lets its processes go on.
    ///
    /// # Errors
    /// If it is not paused.
    pub fn resume(&self) -> Result<()> {
        let _lock = self.directory.lock(&self.id)?;
        let record = self.directory.load(&self.id)?;
        self.expect(&record, "resume", &[Status::Paused])?;
        self.group(&record, "resume")?.thaw().attempt(|| format!("resume container {:?}", self.id))
    }

    /// Removes what is left of it: its cgroup and its directory; its hooks `poststop` are run. With `force` its processes
    /// are killed before.
    ///
    /// Blocks until its processes have ended: for 10 s at most.
    ///
    /// # Errors
    /// If it is neither stopped nor to be killed. Hooks that fail do not keep it from being removed, as the specification has
    /// it; they are warned of.
    pub fn delete(&self, force: bool) -> Result<()> {
        let _lock = self.directory.lock(&self.id)?;
        let record = match self.directory.load(&self.id) {
            // It was never made to its end.
            Err(error) if error.kind() == ErrorKind::NotFound => return self.directory.remove(),
            loaded => loaded?,
        };
        if !force {
            self.expect(&record, "delete", &[Status::Stopped])?;
        }
        if let Some(process) = self.process(&record) {
            let _ = signal::send(&process, libc::SIGKILL);
            record.group().map_or(Ok(()), |group| group.thaw()).attempt(|| "let a paused container end")?;
            wait_for(&process, PATIENCE);
        }
        if let Some(group) = record.group() {
            group.remove().attempt(|| format!("remove the cgroup of container {:?}", self.id))?;
        }
        remove_directories(&record.made);
        let mut state = self.directory.state(&record);
        (state.status, state.pid) = (Status::Stopped, 0);
        // One whose hooks are not known any more is removed all the same.
        let hooks = self.directory.load_config().map(|config| config.hooks.poststop).unwrap_or_default();
        for hook in hooks {
            let ran = hooks::run("poststop", &[hook], &state.to_json(), Place::Runtime(&record.bundle));
            if let Err(error) = ran {
                tracing::warn!("{error}");
            }
        }
        self.directory.remove()
    }

    /// Waits until its program has ended: for containers that this process has made.
    ///
    /// # Errors
    /// If it is another program's, or has been waited for.
    pub fn wait(&self) -> Result<ExitStatus> {
        let record = self.directory.load(&self.id)?;
        let attempt = || format!("wait for container {:?}", self.id);
        reap(&wait::open(record.pid).attempt(attempt)?).attempt(attempt)
    }

    /// The numbers of all of its processes.
    ///
    /// # Errors
    /// If its cgroup cannot be read.
    pub fn processes(&self) -> Result<Vec<u32>> {
        let record = self.directory.load(&self.id)?;
        let Some(group) = record.group() else { return Ok(Vec::new()) };
        group.all_processes().attempt(|| format!("list the processes of container {:?}", self.id))
    }

    /// Fails unless it is in one of these states.
    pub(super) fn expect(&self, record: &Record, verb: &'static str, states: &[Status]) -> Result<()> {
        let status = self.directory.status(record);
        match states.contains(&status) {
            true => Ok(()),
            false => Err(Fault::State { verb, id: self.id.clone(), status: status.as_str() }.into()),
        }
    }

    pub(super) fn group(&self, record: &Record, verb: &str) -> Result<Group> {
        let message = || format!("{verb} container {:?}: its cgroup is gone", self.id);
        record.group().ok_or_else(|| Error::new(ErrorKind::NotFound, message()))
    }

    /// Its first process, while that lives.
    pub(super) fn process(&self, record: &Record) -> Option<OwnedFd> {
        let process = wait::open(record.pid).ok()?;
        // Looked at afterwards: the number was not given to another in between.
        record.is_alive().then_some(process)
    }
}

/// How a child ended.
pub(super) fn reap(process: &OwnedFd) -> std::io::Result<ExitStatus> {
    wait::reap(process).map(|end| match end {
        End::Exited(code) => ExitStatus::exited(code),
        End::Signaled(signal) => ExitStatus::signaled(signal),
        End::Unknown => ExitStatus::exited(255),
    })
}

/// Waits for the end of a process that may be somebody else's child.
fn wait_for(process: &OwnedFd, patience: Duration) {
    let limit = Timespec::try_from(patience).ok();
    while let Err(rustix::io::Errno::INTR) = poll(&mut [PollFd::new(&process.as_fd(), PollFlags::IN)], limit.as_ref()) {
    }
    // Where it is ours, its number is freed.
    let _ = wait::try_reap(process);
}
