//! `plywood.json`: what we know about a container and Docker does not.
//!
//! dockerd rewrites its two files whenever it starts and loses keys it does not know, so ours stand apart. Nothing in
//! here is believed about a living process: a run counts as alive only while a process of that ID and that start time
//! exists since the same boot.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{Attempt, Error, Result};
use crate::spec::exit_status::ExitStatus;
use crate::spec::port::ExposedPort;
use crate::spec::time::Timestamp;

use super::config::Config;
use super::health;
use super::network::NetworkMode;
use super::publish;

/// The version of the file's format.
const VERSION: u32 = 1;

/// A whole `plywood.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) version: u32,
    /// Whether the container goes when its owner does.
    pub(crate) guard: bool,
    /// Whether its process outlives the program that starts it.
    #[serde(default)]
    pub(crate) kept: bool,
    /// Whether a kept one is removed at the end of its process.
    #[serde(default)]
    pub(crate) auto_remove: bool,
    /// For how many milliseconds no program may have used a kept one that several share before it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) idle: Option<u64>,
    #[serde(default)]
    pub(crate) network: NetworkMode,
    /// Whether it joins a network of the program that made it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) shares_network: bool,
    /// Whether root has given it a user namespace.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) user_namespace: bool,
    /// Whether it will not run any more: its files are those of its forks.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) frozen: bool,
    /// Whether it is counted what it uses, whatever that costs.
    #[serde(default)]
    pub(crate) statistics: bool,
    /// The directories of its cgroup while it runs, for whoever has to remove them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) cgroup: Vec<PathBuf>,
    /// The process, from its start until its end is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) run: Option<Run>,
    /// The published ports of that process.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) ports: Vec<(SocketAddr, ExposedPort)>,
    /// How the last run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) exit: Option<Exit>,
}

/// A process of a container, told from every other that had or will have its ID.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) pid: u32,
    /// Field 22 of `/proc/<pid>/stat`, in clock ticks since boot.
    pub(crate) start_time: u64,
    /// `/proc/sys/kernel/random/boot_id`.
    pub(crate) boot_id: String,
    pub(crate) started_at: Timestamp,
}

/// The end of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Exit {
    pub(crate) status: ExitStatus,
    pub(crate) started_at: Timestamp,
    pub(crate) finished_at: Timestamp,
}

impl Record {
    /// The record of a new container.
    pub(crate) fn new(network: NetworkMode) -> Self {
        Self {
            version: VERSION,
            guard: true,
            kept: false,
            auto_remove: false,
            idle: None,
            network,
            shares_network: false,
            user_namespace: false,
            frozen: false,
            statistics: false,
            cgroup: Vec::new(),
            run: None,
            ports: Vec::new(),
            exit: None,
        }
    }
}

impl Record {
    /// Whether its supervisor may remove it at its end.
    pub(crate) fn may_remove_itself(&self) -> bool {
        self.auto_remove || self.idle.is_some()
    }

    /// Ends a run: the process is gone, and this is how. Docker's state says the same.
    pub(crate) fn close(&mut self, run: &Run, config: &mut Config, status: ExitStatus, finished_at: Timestamp) {
        let exit = Exit { status, started_at: run.started_at, finished_at };
        config.state.exit_code = status.code();
        config.state.oom_killed = status.is_oom_killed();
        config.state.started_at = exit.started_at.to_string();
        config.state.finished_at = exit.finished_at.to_string();
        config.state.error.clear();
        publish::forget(&mut config.network_settings.other);
        config.has_been_started_before = true;
        health::end(config);
        self.run = None;
        self.ports.clear();
        self.cgroup.clear();
        self.exit = Some(exit);
    }
}

/// The end of a process that nobody saw: it was killed together with the program that ran it.
pub(crate) fn lost() -> ExitStatus {
    ExitStatus::signaled(libc::SIGKILL)
}

impl Run {
    /// The run of a process that has just started.
    pub(crate) fn of(pid: u32, start_time: u64, started_at: Timestamp) -> Self {
        Self { pid, start_time, boot_id: boot_id(), started_at }
    }

    /// Whether this very process still runs.
    pub(crate) fn is_alive(&self) -> bool {
        self.boot_id == boot_id() && stat(self.pid).is_some_and(|stat| stat.start_time == self.start_time && !stat.dead)
    }

    /// A descriptor of this very process; `None` if it has ended.
    pub(crate) fn open(&self) -> Result<Option<std::os::fd::OwnedFd>> {
        let pid = i32::try_from(self.pid).ok().and_then(rustix::process::Pid::from_raw);
        let Some(pid) = pid.filter(|_| self.is_alive()) else { return Ok(None) };
        let fd = match rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()) {
            Ok(fd) => fd,
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            Err(error) => return Err(Error::os(format_args!("open process {}", self.pid), error.into())),
        };
        // Between the look at the start time and the opening, another process may have taken the ID.
        Ok(self.is_alive().then_some(fd))
    }

    /// Sends a signal to this very process; whether it was still there.
    pub(crate) fn signal(&self, signal: super::Signal) -> Result<bool> {
        let Some(fd) = self.open()? else { return Ok(false) };
        match crate::sys::signal::send(&fd, signal.number()) {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(false),
            Err(error) => Err(error).attempt(|| format!("send {signal} to process {}", self.pid)),
        }
    }

    /// Waits until this very process has ended; whether it has within the time.
    pub(crate) fn wait(&self, timeout: Option<std::time::Duration>) -> Result<bool> {
        let Some(fd) = self.open()? else { return Ok(true) };
        let deadline = timeout.map(|timeout| std::time::Instant::now() + timeout);
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(std::time::Instant::now()));
            let left = left.and_then(|left| rustix::event::Timespec::try_from(left).ok());
            let mut fds = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::IN)];
            match rustix::event::poll(&mut fds, left.as_ref()) {
                Ok(0) => return Ok(false),
                Ok(_) => return Ok(true),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error).attempt(|| format!("wait for process {}", self.pid)),
            }
        }
    }
}

struct Stat {
    start_time: u64,
    dead: bool,
}

/// What `/proc` says about a process.
fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// proc_pid_stat(5): the second field is a name in parentheses, in which anything may stand.
fn parse_stat(text: &str) -> Option<Stat> {
    let rest = text.get(text.rfind(')')? + 1..)?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    // `state` is field 3, `starttime` is field 22.
    let start_time = fields.nth(18)?.parse().ok()?;
    Some(Stat { start_time, dead: matches!(state, "Z" | "X" | "x") })
}

/// What tells this boot from every other; empty where the kernel does not say.
fn boot_id() -> String {
    static BOOT_ID: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    BOOT_ID
        .get_or_init(|| {
            let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
            text.trim().to_owned()
        })
        .clone()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn own() -> Run {
        let pid = std::process::id();
        Run::of(pid, stat(pid).unwrap().start_time, Timestamp::now())
    }

    #[test]
    fn a_name_in_parentheses_does_not_confuse_the_fields() {
        let text = "42 (a) b (c) S 1 42 42 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 98765 1000 10";
        let stat = parse_stat(text).unwrap();
        assert_eq!(stat.start_time, 98765);
        assert!(!stat.dead);
        assert!(parse_stat("42 (a").is_none());
    }

    #[test]
    fn a_process_of_another_start_time_or_boot_is_not_ours() {
        assert!(own().is_alive());
        let mut other = own();
        other.start_time += 1;
        assert!(!other.is_alive() && other.open().unwrap().is_none());
        assert!(!other.signal(super::super::Signal::KILL).unwrap());
        let mut rebooted = own();
        rebooted.boot_id = "another boot".into();
        assert!(!rebooted.is_alive());
    }

    #[test]
    fn the_record_reads_back() {
        let mut record = Record::new(NetworkMode::Host);
        record.run = Some(own());
        let text = serde_json::to_string(&record).unwrap();
        let read: Record = serde_json::from_str(&text).unwrap();
        assert_eq!(read.run, record.run);
        assert_eq!(read.network, NetworkMode::Host);
    }
}
