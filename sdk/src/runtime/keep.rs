//! Hands a container over to a supervisor of its own, which outlives this program: the helper as `plywood-keeper`.
//!
//! What that is given and does is described in `sdk/helper/keeper.rs`.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::cgroup;
use crate::error::{Attempt, Error, ErrorKind, Result};
use crate::logs::json_file::LogConfig;
use crate::spec::ExitStatus;
use crate::sys::background;
use crate::sys::cgroup::Group;
use crate::sys::clone::Child;
use crate::sys::wait::{End, start_time};

/// What a supervisor needs, beside the process.
#[derive(Debug)]
pub(crate) struct Keeper {
    /// What the process writes to standard output and standard error; they do not block.
    pub outputs: [OwnedFd; 2],
    /// Open for appending.
    pub log: File,
    pub log_name: String,
    pub config: LogConfig,
    /// The directory of the container, where the log is, and where the end is written down.
    pub directory: File,
    /// The lock that says that somebody cares for the container.
    pub owner: OwnedFd,
    /// The lock that keeps dockerd out of the data root.
    pub interlock: File,
    /// Whether the end shall survive a loss of power.
    pub is_durable: bool,
    /// The name of the container's cgroup.
    pub cgroup: String,
}

impl Keeper {
    /// Starts the supervisor; `line` leads to the init.
    pub(super) fn begin(self, line: Option<OwnedFd>, child: &Child, group: Option<&Group>) -> Result<()> {
        let missing = || Error::new(ErrorKind::InvalidArgument, "keep a container that has no init");
        let line = line.ok_or_else(missing)?;
        let orders = self.orders(child, group);
        let start = || {
            let orders = background::memory("plywood-orders", &orders)?;
            let [stdout, stderr] = &self.outputs;
            let given = [
                line.as_fd(),
                child.pidfd.as_fd(),
                stdout.as_fd(),
                stderr.as_fd(),
                self.log.as_fd(),
                self.directory.as_fd(),
                self.owner.as_fd(),
                orders.as_fd(),
                self.interlock.as_fd(),
            ];
            background::start("plywood-keeper", &given)
        };
        start().attempt(|| "start the supervisor of a kept container")
    }

    fn orders(&self, child: &Child, group: Option<&Group>) -> Vec<u8> {
        // Nobody but us frees its number, so the file is its own.
        let start_time = start_time(child.pid).unwrap_or(0);
        let numbers = [
            self.config.max_size.unwrap_or(0),
            self.config.max_file.into(),
            child.pid.into(),
            start_time,
            self.is_durable.into(),
        ];
        let mut orders: Vec<u8> = numbers.into_iter().flat_map(u64::to_ne_bytes).collect();
        orders.extend_from_slice(self.log_name.as_bytes());
        orders.push(0);
        let mut order = |letter: u8, path: &Path| {
            orders.push(letter);
            orders.extend_from_slice(path.as_os_str().as_bytes());
            orders.push(0);
        };
        if let Some(memory) = group.and_then(cgroup::memory_events) {
            order(b'M', &memory);
        }
        // Those too that it may get when it is paused.
        let mut groups: Vec<PathBuf> = group.iter().flat_map(|group| group.directories()).map(Path::to_owned).collect();
        groups.extend(Group::candidates(&self.cgroup));
        groups.sort();
        groups.dedup();
        groups.iter().for_each(|path| order(b'G', path));
        groups.iter().filter_map(|path| path.parent()).for_each(|path| order(b'P', path));
        orders
    }
}

/// The exit status of a payload, from the wait status that its supervisor has written down.
pub(crate) fn kept_status(wait_status: i32, out_of_memory: bool) -> ExitStatus {
    let status = match End::of_status(wait_status) {
        End::Exited(code) => ExitStatus::exited(code),
        End::Signaled(signal) => ExitStatus::signaled(signal),
        End::Unknown => ExitStatus::exited(0),
    };
    if out_of_memory { status.out_of_memory() } else { status }
}
