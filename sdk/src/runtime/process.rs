//! The handle of a running process: pid, signals, its end.

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{PidfdFlags, getpid, pidfd_open};

use super::cgroup;
use crate::error::{Attempt, Error, ErrorKind, Result};
use crate::spec::ExitStatus;
use crate::sys::cgroup::Group;
use crate::sys::clone::Companion;
use crate::sys::{background, helper, signal, wait};

/// A process that was started; clones share it. It ends with the host program.
#[derive(Clone)]
pub(crate) struct Process(Arc<Shared>);

struct Shared {
    pid: u32,
    start_time: u64,
    pidfd: OwnedFd,
    /// Namespaces of its own, as `CLONE_NEW*` bits.
    namespaces: u64,
    /// The host's end of its terminal, if it has one; its session is hung up when the last copy is closed.
    terminal: Option<OwnedFd>,
    /// To the init of a container, which tells how the payload has ended.
    line: Option<OwnedFd>,
    /// The name of the container's cgroup, if this is its first process, and the cgroup, if it has one yet.
    cgroup: Option<String>,
    group: Mutex<Option<Group>>,
    /// What serves the root file system of its container.
    companion: Mutex<Option<Companion>>,
    end: Arc<End>,
}

/// How it ended, and who waits for that.
#[derive(Default)]
struct End {
    status: Mutex<Option<ExitStatus>>,
    known: Condvar,
}

/// What goes with the first process of a container, and is nothing for one that has merely joined it.
#[derive(Debug, Default)]
pub(super) struct Membership {
    pub name: Option<String>,
    pub group: Option<Group>,
    pub start_time: u64,
    pub companion: Option<Companion>,
}

impl Process {
    pub(super) fn new(
        pid: u32,
        pidfd: OwnedFd,
        namespaces: u64,
        terminal: Option<OwnedFd>,
        line: Option<OwnedFd>,
        membership: Membership,
    ) -> Self {
        let Membership { name: cgroup, group, start_time, companion } = membership;
        let (group, companion) = (Mutex::new(group), Mutex::new(companion));
        let end = Arc::default();
        Self(Arc::new(Shared { pid, start_time, pidfd, namespaces, terminal, line, cgroup, group, companion, end }))
    }

    /// Its number in the pid namespace of the host program.
    pub(crate) fn pid(&self) -> u32 {
        self.0.pid
    }

    /// When the first process of a container started, in clock ticks since boot, as in `/proc/<pid>/stat`: tells it from a
    /// later process of the same number.
    pub(crate) fn start_time(&self) -> u64 {
        self.0.start_time
    }

    /// Sends a signal. Process 1 of a container gets only those that it handles, `SIGKILL` and `SIGSTOP`; an init handles
    /// all others, and passes them on.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) once it has ended.
    pub(crate) fn signal(&self, number: i32) -> Result<()> {
        match signal::send(&self.0.pidfd, number) {
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {
                let message = format!("send signal {number} to process {}: it has ended", self.0.pid);
                Err(Error::new(ErrorKind::NotFound, message))
            }
            sent => sent.attempt(|| format!("send signal {number} to process {}", self.0.pid)),
        }
    }

    /// Whether it has not ended yet, or output is still to be delivered.
    pub(crate) fn is_running(&self) -> bool {
        self.try_wait().is_none()
    }

    /// How it ended; `None` while it runs.
    pub(crate) fn try_wait(&self) -> Option<ExitStatus> {
        *self.ended()
    }

    /// Waits until it has ended and its sinks have all of its output.
    pub(crate) fn wait(&self) -> ExitStatus {
        let mut ended = self.ended();
        loop {
            if let Some(status) = *ended {
                return status;
            }
            ended = self.0.end.known.wait(ended).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The same, for `timeout` at most.
    pub(crate) fn wait_timeout(&self, timeout: Duration) -> Option<ExitStatus> {
        // A time too far away for the clock is no limit.
        let Some(deadline) = Instant::now().checked_add(timeout) else { return Some(self.wait()) };
        let mut ended = self.ended();
        while ended.is_none() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            ended = self.0.end.known.wait_timeout(ended, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        *ended
    }

    /// The host's end of its terminal.
    pub(crate) fn terminal(&self) -> Option<&OwnedFd> {
        self.0.terminal.as_ref()
    }

    /// Lets its terminal stay when this program has ended, if it has one.
    pub(crate) fn hold_terminal(&self) -> Result<()> {
        let hold = |master: &OwnedFd| {
            let program = pidfd_open(getpid(), PidfdFlags::empty())?;
            background::start("plywood-holder", &[master.as_fd(), program.as_fd()])
        };
        self.terminal().map_or(Ok(()), hold).attempt(|| "start the process that holds a terminal")
    }

    /// The cgroup of its container, if that has one.
    pub(crate) fn group(&self) -> Option<Group> {
        let known = self.0.group.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // One that was paused by another program has got its group there.
        known.or_else(|| Group::find_freezer(self.0.cgroup.as_deref()?))
    }

    /// What the kernel says at the end of a container; its cgroup goes, and what has served its files.
    pub(super) fn conclude(&self, status: ExitStatus) -> ExitStatus {
        // Everything in the container has ended, so that nobody is waiting for it.
        drop(self.0.companion.lock().unwrap_or_else(PoisonError::into_inner).take());
        let Some(name) = &self.0.cgroup else { return status };
        let group = self.0.group.lock().unwrap_or_else(PoisonError::into_inner).take();
        cgroup::conclude(group, name, status)
    }

    /// Readable once it has ended.
    pub(crate) fn pidfd(&self) -> &OwnedFd {
        &self.0.pidfd
    }

    /// How the payload has ended, once an init has; `None` without one, or if it was killed.
    pub(super) fn payload_end(&self) -> Option<wait::End> {
        self.0.line.as_ref().and_then(helper::payload_status).map(wait::End::of_status)
    }

    /// Namespaces of its own, as `CLONE_NEW*` bits.
    pub(super) fn namespaces(&self) -> u64 {
        self.0.namespaces
    }

    /// Records the end and wakes who waits for it. The descriptor is given up before: whoever has waited finds as many
    /// open as before the start.
    pub(super) fn set_ended(self, status: ExitStatus) {
        let end = Arc::clone(&self.0.end);
        drop(self);
        *end.lock() = Some(status);
        end.known.notify_all();
    }

    fn ended(&self) -> MutexGuard<'_, Option<ExitStatus>> {
        self.0.end.lock()
    }
}

impl End {
    fn lock(&self) -> MutexGuard<'_, Option<ExitStatus>> {
        // The value is replaced as a whole: a panic elsewhere cannot leave it half-written.
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").field("pid", &self.0.pid).field("ended", &self.try_wait()).finish_non_exhaustive()
    }
}
