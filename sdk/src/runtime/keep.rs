//! Hands a container over to a supervisor of its own, which outlives this program: the helper as `plywood-keeper`.
//!
//! What that is given and does is described in `sdk/helper/keeper.rs` and `orders.rs`.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::cgroup;
use super::check::{self, Check, CheckPlan};
use super::replay::Replay;
use super::terminal::Opening;
use super::users::Users;
use crate::error::{Attempt, Error, ErrorKind, Result};
use crate::logs::json_file::LogConfig;
use crate::spec::ExitStatus;
use crate::spec::port::ExposedPort;
use crate::sys::cgroup::Group;
use crate::sys::clone::Child;
use crate::sys::wait::{End, start_time};
use crate::sys::{background, helper};

/// How many descriptors come before the listeners of published ports.
const BEFORE_PORTS: usize = 23;

/// What a supervisor needs, beside the process.
#[derive(Debug)]
pub(crate) struct Keeper {
    /// What the process writes to standard output and standard error, unless it has a terminal; they do not block.
    pub outputs: [OwnedFd; 2],
    /// Where others may write what it reads, unless it has a terminal.
    pub input: Option<OwnedFd>,
    /// Open for appending.
    pub log: File,
    pub log_name: String,
    pub config: LogConfig,
    /// The directory of the container, where the log is, and where it is written down how the container does.
    pub directory: File,
    /// The lock that says that somebody cares for the container.
    pub owner: OwnedFd,
    /// The lock that keeps dockerd out of the data root.
    pub interlock: File,
    /// The socket on which others speak to the supervisor.
    pub control: OwnedFd,
    /// Whether what is written down shall survive a loss of power.
    pub is_durable: bool,
    /// The name of the container's cgroup.
    pub cgroup: String,
    /// When it is started again.
    pub restart: Option<Restart>,
    /// What says whether it works.
    pub check: Option<Check>,
    /// What is removed at its end.
    pub removal: Option<Removal>,
    /// Sockets of the host that do not block, and the ports of the container that they lead to.
    pub ports: Vec<(OwnedFd, ExposedPort)>,
    /// When it ends because nobody uses it.
    pub idle: Option<Idle>,
    /// Whether it is removed however it has ended, and not only when nobody has used it.
    pub is_removed: bool,
    /// The file that events are told in, and the members of the JSON object that every one of them has.
    pub events: PathBuf,
    pub event: String,
}

/// When a container that has ended is started again.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Restart {
    Always,
    /// If it has failed; so often at most, 0 for as often as it takes.
    OnFailure(u32),
}

/// When a container ends because nobody uses it (`sdk/helper/idle.rs`).
#[derive(Debug)]
pub(crate) struct Idle {
    /// Whoever uses it locks this file.
    pub lease: File,
    /// For how long nobody has to.
    pub time: Duration,
    /// By which it is asked to end.
    pub signal: i32,
}

/// What goes with a container that is removed at its end, in the words of the reaper (`sdk/helper/reaper.rs`).
#[derive(Debug)]
pub(crate) struct Removal {
    pub root: File,
    pub orders: Vec<(u8, PathBuf)>,
}

impl Keeper {
    /// Starts the supervisor; `line` leads to the init.
    pub(super) fn begin(
        mut self,
        line: Option<OwnedFd>,
        terminal: Option<Opening>,
        child: &Child,
        group: Option<&Group>,
        users: Users<'_>,
        (replay, check): (Option<Replay>, Option<CheckPlan>),
    ) -> Result<()> {
        let missing = || Error::new(ErrorKind::InvalidArgument, "keep a container that has no init");
        let line = line.ok_or_else(missing)?;
        let has_terminal = terminal.is_some();
        if let Some(terminal) = terminal {
            let (master, _) = terminal.receive()?;
            rustix::io::ioctl_fionbio(&master, true).attempt(|| "set up the terminal of a container")?;
            let [stdout, _] = &mut self.outputs;
            *stdout = master;
        }
        let orders = self.orders(child, group, has_terminal, replay.as_ref(), check.as_ref());
        let removal = self.removal.as_ref().map(|removal| in_a_row(&removal.orders)).unwrap_or_default();
        let start = || {
            let nothing = File::options().read(true).write(true).open("/dev/null")?;
            let orders = background::memory("plywood-orders", &orders)?;
            let removal = background::memory("plywood-removal", &removal)?;
            let nothing = nothing.as_fd();
            let [stdout, stderr] = &self.outputs;
            let mut given = vec![
                line.as_fd(),
                child.pidfd.as_fd(),
                stdout.as_fd(),
                stderr.as_fd(),
                self.log.as_fd(),
                self.directory.as_fd(),
                self.owner.as_fd(),
                orders.as_fd(),
                self.interlock.as_fd(),
                self.control.as_fd(),
                self.input.as_ref().map_or(nothing, OwnedFd::as_fd),
                self.removal.as_ref().map_or(nothing, |removal| removal.root.as_fd()),
                removal.as_fd(),
                match users {
                    Users::Many(namespace) => namespace.as_fd(),
                    // Only to start the container again: the files are those of the host's ids.
                    Users::Shifted(namespace) if replay.is_some() => namespace.fd.as_fd(),
                    _ => nothing,
                },
                self.idle.as_ref().map_or(nothing, |idle| idle.lease.as_fd()),
            ];
            if replay.is_some() || check.is_some() {
                let plans = replay.as_ref().map_or([nothing; 2], |it| [it.plan.as_fd(), it.payload.as_fd()]);
                given.extend(plans);
                given.push(helper::program()?);
                let end = |at: usize| replay.as_ref()?.streams.get(at)?.as_ref().map(OwnedFd::as_fd);
                given.extend([0, 1, 2].map(|at| end(at).unwrap_or(nothing)));
            }
            given.extend(check.iter().flat_map(|check| [check.plan.as_fd(), check.payload.as_fd()]));
            if !self.ports.is_empty() {
                given.resize(BEFORE_PORTS, nothing);
                given.extend(self.ports.iter().map(|(listener, _)| listener.as_fd()));
            }
            let given: Vec<BorrowedFd<'_>> = given;
            background::start("plywood-keeper", &given)
        };
        start().attempt(|| "start the supervisor of a kept container")
    }

    fn orders(
        &self,
        child: &Child,
        group: Option<&Group>,
        has_terminal: bool,
        replay: Option<&Replay>,
        check: Option<&CheckPlan>,
    ) -> Vec<u8> {
        let (policy, retries) = match self.restart {
            None => (0, 0),
            Some(Restart::Always) => (1, 0),
            Some(Restart::OnFailure(retries)) => (2, retries),
        };
        let numbers = [
            self.config.max_size.unwrap_or(0),
            self.config.max_file.into(),
            child.pid.into(),
            // Nobody but us frees its number, so the file is its own.
            start_time(child.pid).unwrap_or(0),
            self.is_durable.into(),
            policy,
            retries.into(),
            replay.map_or(0, |replay| replay.namespaces),
            has_terminal.into(),
            self.is_removed.into(),
            self.idle.as_ref().map_or(u64::MAX, |idle| idle.time.as_millis().try_into().unwrap_or(u64::MAX)),
            self.idle.as_ref().map_or(0, |idle| idle.signal.unsigned_abs().into()),
        ];
        let places = replay.map_or([u64::MAX; 7], |replay| replay.numbers);
        let checks = check.map_or([0; check::NUMBERS], |check| check.numbers);
        let all = numbers.into_iter().chain(places).chain(checks);
        let mut bytes: Vec<u8> = all.flat_map(u64::to_ne_bytes).collect();
        bytes.extend_from_slice(self.log_name.as_bytes());
        bytes.push(0);
        let mut orders = vec![(b'V', self.events.clone()), (b'E', PathBuf::from(&self.event))];
        orders.extend(group.and_then(cgroup::memory_events).map(|memory| (b'M', memory)));
        // Those too that it may get when it is paused.
        let mut groups: Vec<PathBuf> = group.iter().flat_map(|group| group.directories()).map(Path::to_owned).collect();
        groups.extend(Group::candidates(&self.cgroup));
        groups.sort();
        groups.dedup();
        orders.extend(groups.iter().map(|path| (b'G', path.clone())));
        orders.extend(groups.iter().filter_map(|path| Some((b'P', path.parent()?.to_owned()))));
        if replay.is_some() || check.is_some() {
            let joined = group.iter().flat_map(|group| group.directories());
            orders.extend(joined.map(|group| (b'J', group.join("cgroup.procs"))));
        }
        orders.extend(self.ports.iter().map(|(_, port)| (b'T', PathBuf::from(port.to_string()))));
        if let Some(check) = check {
            let frozen =
                groups.iter().flat_map(|group| ["freezer.state", "cgroup.freeze"].map(|name| group.join(name)));
            orders.extend(frozen.map(|path| (b'Z', path)));
            let [first, second] = &check.steps;
            let steps = first.iter().map(|step| (b'3', step)).chain(second.iter().map(|step| (b'4', step)));
            orders.extend(steps.map(|(letter, text)| (letter, PathBuf::from(text))));
        }
        if let Some(replay) = replay {
            let [first, second] = &replay.steps;
            let maps = replay.maps.iter().flat_map(|[groups, users]| [(b'g', groups), (b'u', users)]);
            let steps = first.iter().map(|step| (b'1', step)).chain(second.iter().map(|step| (b'2', step)));
            orders.extend(maps.chain(steps).map(|(letter, text)| (letter, PathBuf::from(text))));
            orders.extend(replay.oom_score.map(|score| (b'O', PathBuf::from(score.to_string()))));
        }
        bytes.extend(in_a_row(&orders));
        bytes
    }
}

/// A letter and a text each, with a zero byte behind it.
fn in_a_row(orders: &[(u8, PathBuf)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (letter, text) in orders {
        bytes.push(*letter);
        bytes.extend_from_slice(text.as_os_str().as_bytes());
        bytes.push(0);
    }
    bytes
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
