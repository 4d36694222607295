//! A running container that a further process joins.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::process::Process;
use crate::error::{Attempt, Result};
use crate::sys::cgroup::Group;
use crate::sys::clone::Child;
use crate::sys::namespace;

/// The first process of a running container, whichever program started it.
#[derive(Debug, Clone)]
pub(crate) struct Target<'a> {
    pid: u32,
    pidfd: BorrowedFd<'a>,
    namespaces: u64,
    group: Option<Group>,
}

impl<'a> Target<'a> {
    /// The container of a process of another program, which must be the one behind `pidfd`: what `/proc` says under
    /// its number is about another process once it has ended, so the caller looks again whether it lives afterwards.
    ///
    /// # Errors
    /// [`PermissionDenied`](crate::ErrorKind::PermissionDenied) if it is another user's.
    pub(crate) fn foreign(pid: u32, pidfd: &'a impl AsFd, group: Option<Group>) -> Result<Self> {
        let namespaces = namespace::foreign(pid).attempt(|| format!("look at the namespaces of process {pid}"))?;
        Ok(Self { pid, pidfd: pidfd.as_fd(), namespaces, group })
    }

    /// The container of a process that this program has just started.
    pub(super) fn own(child: &'a Child, namespaces: u64, group: Option<&Group>) -> Self {
        Self { pid: child.pid, pidfd: child.pidfd.as_fd(), namespaces, group: group.cloned() }
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn pidfd(&self) -> BorrowedFd<'a> {
        self.pidfd
    }

    /// Which namespaces are to be joined, as `CLONE_NEW*` bits.
    pub(super) fn namespaces(&self) -> u64 {
        self.namespaces
    }

    /// The cgroup of the container.
    pub(super) fn group(&self) -> Option<&Group> {
        self.group.as_ref()
    }

    pub(super) fn has_ended(&self) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], Some(&now)).is_ok_and(|ready| ready > 0)
    }
}

impl<'a> From<&'a Process> for Target<'a> {
    fn from(process: &'a Process) -> Self {
        let (pid, pidfd) = (process.pid(), process.pidfd().as_fd());
        Self { pid, pidfd, namespaces: process.namespaces(), group: process.group() }
    }
}
