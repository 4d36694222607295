//! Starts processes: the plan, the child, and who watches it.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::pipe::{PipeFlags, pipe_with};

use super::OnExit;
use super::bundle::{Bundle, NetworkMode, ProcessSpec};
use super::cgroup;
use super::keep::Keeper;
use super::outside;
use super::plan::{self, JOIN, Namespaces, Prepared, Stream, beyond_standard};
use super::process::{Membership, Process};
use super::replay::Replay;
use super::stdio::{Input, Output, Sink, Stdio};
use super::supervisor::Supervisor;
use super::target::Target;
use super::terminal::{Opening, Wish};
use super::tools::Tools;
use super::users::Users;
use crate::error::{Attempt, Error, ErrorKind, Result};
use crate::sys::cgroup::Group;
use crate::sys::clone::{self, Child, Failure, Gate, Options};
use crate::sys::helper::{Line, Role};
use crate::sys::visible::Visibility;
use crate::sys::{namespace, network, signal, tty, wait};

/// What the caller does at certain points of a container's start.
#[derive(Default)]
pub(crate) struct Hooks<'a> {
    /// Called with the process before its payload begins.
    pub created: Option<Hook<'a>>,
    /// Called once the process no longer shares memory with this program, and before the payload begins: the point for
    /// limits on memory, which could end this program earlier. It has the memory of the helper until then.
    pub held: Option<HeldHook<'a>>,
    /// The container is handed over to a supervisor that outlives this program, when the payload runs.
    pub kept: Option<Keeper>,
}

/// Is given the number and the pidfd of the process that a container begins with. An error ends that process.
pub(crate) type Hook<'a> = Box<dyn FnOnce(u32, BorrowedFd<'_>) -> Result<()> + 'a>;

/// The same with all that is known of the process.
pub(crate) type HeldHook<'a> = Box<dyn FnOnce(&Held<'_>) -> Result<()> + 'a>;

/// A process that waits for its payload to begin.
pub(crate) struct Held<'a> {
    pub pid: u32,
    pub start_time: u64,
    pub group: Option<&'a Group>,
}

/// Starts a container, and returns once its program runs.
///
/// Blocks for some milliseconds. The container ends with this program. `on_exit` is called on the supervisor thread.
///
/// # Errors
/// They name the step and its object. A program that is not there is [`NotFound`](ErrorKind::NotFound) with exit code
/// 127, one that cannot be executed has 126. Nothing is left behind then but directories that were mounted on.
pub(crate) fn start(bundle: &Bundle, stdio: Stdio, on_exit: OnExit) -> Result<Process> {
    start_with(bundle, stdio, Hooks::default(), on_exit)
}

/// The same, with the caller's part in it.
pub(crate) fn start_with(bundle: &Bundle, stdio: Stdio, hooks: Hooks<'_>, on_exit: OnExit) -> Result<Process> {
    let group = cgroup::create(bundle)?;
    start_in(group.as_ref(), bundle, stdio, hooks, on_exit).map_err(|error| match &group {
        Some(group) => cgroup::discard(group, error),
        None => error,
    })
}

fn start_in(
    group: Option<&Group>,
    bundle: &Bundle,
    stdio: Stdio,
    hooks: Hooks<'_>,
    on_exit: OnExit,
) -> Result<Process> {
    // What serves the layers would have to be told from its processes at its end.
    if bundle.shares_pids() && bundle.rootfs.is_served() {
        let message = "share the processes of others: its layers are shown by fuse-overlayfs";
        let error = Error::new(ErrorKind::Unsupported, message);
        return Err(error.with_hint("use a data root with the driver overlay2, btrfs or vfs (--storage-driver)"));
    }
    let users = Users::of(bundle);
    let supervisor = Supervisor::get()?;
    let Wired { streams, mut ours } = wire(stdio)?;
    let wish = ours.wish(&bundle.process);
    // With a limit of memory that acts from the first instruction of the payload on.
    let limits = bundle.cgroup.as_ref().map(|cgroup| &cgroup.limits);
    let limited = group.zip(limits).filter(|(_, limits)| limits.has_memory());
    let helped = Helped::new(if bundle.init { Role::Init } else { Role::Trampoline }, &bundle.process)?;
    let handover = helped.line.handover().attempt(|| HAND_OVER)?;
    let own = |bits: u64| bits & !bundle.host_namespaces;
    let mut namespaces = namespace::MOUNT | own(namespace::PID | namespace::IPC | namespace::UTS);
    if bundle.network != NetworkMode::Host {
        namespaces |= namespace::NETWORK;
    }
    // A kept one makes its own, since it may be started again.
    let made_ahead = match users {
        Users::Host if bundle.network != NetworkMode::Host && bundle.joined.is_none() && hooks.kept.is_none() => {
            network::take()
        }
        _ => None,
    };
    let joined = bundle.joined.as_ref().map(|network| &network.namespace).or(made_ahead.as_ref());
    let mut fresh = if joined.is_some() { namespaces & !namespace::NETWORK } else { namespaces };
    if bundle.shared_memory.is_some() {
        fresh &= !namespace::IPC;
    }
    if bundle.pids.is_some() {
        fresh &= !namespace::PID;
    }
    let all = Namespaces { own: fresh, network: joined };
    let mut prepared = plan::start(bundle, &streams, wish, users, all, handover, group)?;
    let directory = open_group(group)?;
    let cgroup = directory.as_ref().map(AsFd::as_fd);
    let gate = match users {
        // The helper lets its payload wait, so that nothing has to wait for us before.
        Users::Host if !group.is_some_and(Group::has_legacy) => Gate::Open,
        _ => Gate::Closed,
    };
    let options = match users {
        // The first child starts what serves the root file system; the second one has the namespaces.
        Users::Host if bundle.rootfs.is_served() => {
            Options { namespaces: 0, forks: true, visibility: Visibility::Hidden, cgroup, gate }
        }
        Users::One if bundle.rootfs.is_served() => {
            Options { namespaces: namespace::USER, forks: true, visibility: Visibility::Kept, cgroup, gate }
        }
        // The one that joins a pid namespace is not in it; its children are.
        Users::Host if bundle.pids.is_some() => {
            Options { namespaces: 0, forks: true, visibility: Visibility::Hidden, cgroup, gate }
        }
        Users::Host => Options { namespaces: fresh, forks: false, visibility: Visibility::Hidden, cgroup, gate },
        // Its maps are written from outside, which wants it visible.
        Users::One => {
            let namespaces = fresh | namespace::USER;
            Options { namespaces, forks: false, visibility: Visibility::Kept, cgroup, gate }
        }
        Users::Below { .. } => Options { namespaces: 0, forks: true, visibility: Visibility::Own, cgroup, gate },
        Users::Many(_) | Users::Joined => {
            Options { namespaces: 0, forks: true, visibility: Visibility::Hidden, cgroup, gate }
        }
        Users::Shifted(_) => {
            Options { namespaces: namespace::MOUNT, forks: true, visibility: Visibility::Hidden, cgroup, gate }
        }
    };
    if users.are_mapped() {
        namespaces |= namespace::USER;
    }
    let user = &bundle.process.user;
    let replay = match &hooks.kept {
        Some(Keeper { restart: Some(_), .. }) => {
            let plans = [&prepared, &helped.payload];
            Some(Replay::new(bundle, plans, &streams, users, options.namespaces, handover)?)
        }
        _ => None,
    };
    let refused = Cell::new(None);
    let prepare = |pid, _: BorrowedFd<'_>| {
        keep(group.map_or(Ok(()), |group| cgroup::join(group, pid)), &refused)?;
        match users {
            Users::One => clone::map_single(pid, user.uid, user.gid),
            _ => Ok(()),
        }
    };
    let created =
        |pid, pidfd: BorrowedFd<'_>| keep(hooks.created.map_or(Ok(()), |created| created(pid, pidfd)), &refused);
    let spawned = clone::spawn(&mut prepared.blob, options, prepare, created);
    let child = spawned.map_err(|failure| refused.take().unwrap_or_else(|| prepared.error(failure)))?;
    // The container's ends of the pipes: their last copies here, so that a read sees the end.
    let replay = match replay {
        Some(mut replay) => {
            replay.take(streams);
            Some(replay)
        }
        None => {
            drop(streams);
            None
        }
    };
    drop(made_ahead);
    // Nobody but us frees its number, so the file is its own, even if it has ended already.
    let start_time = wait::start_time(child.pid).unwrap_or(0);
    let held = |pid| {
        limited.map_or(Ok(()), |(group, limits)| cgroup::limit_memory(group, limits))?;
        hooks.held.map_or(Ok(()), |held| held(&Held { pid, start_time, group }))
    };
    ours.line = helped.go_on(&child, &bundle.process, held)?;
    let name = bundle.cgroup.as_ref().map(|it| it.name.clone());
    let mut membership = Membership { name, group: group.cloned(), start_time, companion: None };
    if let Some(keeper) = hooks.kept {
        let (line, terminal) = (ours.line.take(), ours.terminal.take());
        let target = Target::own(&child, namespaces | own(namespace::CGROUP), group);
        let check = keeper.check.as_ref().map(|check| check.prepare(&target)).transpose();
        let begun = check.and_then(|check| keeper.begin(line, terminal, &child, group, users, (replay, check)));
        begun.inspect_err(|_| end(&child.pidfd))?;
        // Its supervisor removes it.
        membership.name = None;
    }
    watch(&supervisor, child, namespaces | own(namespace::CGROUP), membership, ours, false, on_exit)
}

/// The directory of version 2 of a group.
pub(super) fn open_group(group: Option<&Group>) -> Result<Option<OwnedFd>> {
    let directory = group.map_or(Ok(None), Group::open_unified);
    directory.attempt(|| "open the cgroup of the container")
}

/// Keeps an error of ours for the caller of a function that hands `io::Error` on.
fn keep(done: Result<()>, refused: &Cell<Option<Error>>) -> io::Result<()> {
    done.map_err(|error| {
        refused.set(Some(error));
        io::ErrorKind::Other.into()
    })
}

const HAND_OVER: &str = "hand a process over to the helper";

/// The helper, and what it will start: as process 1, or in its own place.
///
/// No child becomes the payload itself. Until its exec it is this program to whoever looks, and `/proc/self/exe` may be the
/// interpreter of the image's scripts: then this program would run inside, and the container could write to its file as
/// soon as nobody executes it any more (CVE-2019-5736). The helper's is sealed.
struct Helped {
    line: Line,
    payload: Prepared,
}

impl Helped {
    fn new(role: Role, spec: &ProcessSpec) -> Result<Self> {
        let payload = plan::payload(spec, role)?;
        let line = Line::new(role, &payload.blob).attempt(|| HAND_OVER)?;
        Ok(Self { line, payload })
    }

    /// Lets the payload begin, after `held` has been called; the line to an init.
    fn go_on(
        mut self,
        child: &Child,
        spec: &ProcessSpec,
        held: impl FnOnce(u32) -> Result<()>,
    ) -> Result<Option<OwnedFd>> {
        let held = outside::verify(child.pid, spec)
            .and_then(|()| outside::set_oom_score(child.pid, spec))
            .and_then(|()| held(child.pid));
        let begun =
            held.and_then(|()| self.line.go_on(&mut self.payload.blob).map_err(|failure| self.payload.error(failure)));
        if begun.is_err() {
            end(&child.pidfd);
        }
        begun
    }
}

/// Ends a process that nobody will ever hear of.
fn end(pidfd: &OwnedFd) {
    let _ = signal::send(pidfd, libc::SIGKILL);
    let _ = wait::reap(pidfd);
}

/// Starts a further process in a running container, in all of its namespaces.
///
/// It ends with the container, or with this program. What it leaves running in the background may go on writing to its
/// sinks after [`Process::wait`] has returned.
///
/// # Errors
/// As [`start`]; [`NotFound`](ErrorKind::NotFound) as well if the container has ended.
pub(crate) fn exec<'a>(target: impl Into<Target<'a>>, spec: &ProcessSpec, stdio: Stdio) -> Result<Process> {
    join(&target.into(), spec, stdio, None, Box::new(|_| ()))
}

/// The same, with a call at its end.
///
/// # Errors
/// As [`exec`].
pub(crate) fn exec_with(target: &Target<'_>, spec: &ProcessSpec, stdio: Stdio, on_exit: OnExit) -> Result<Process> {
    join(target, spec, stdio, None, on_exit)
}

/// The same with programs of the host, in a root directory of their own, where the container's is [`CONTAINER`](super::CONTAINER).
///
/// # Errors
/// As [`exec`].
pub(crate) fn enter(target: &Target<'_>, spec: &ProcessSpec, stdio: Stdio, tools: &Tools) -> Result<Process> {
    join(target, spec, stdio, Some(tools), Box::new(|_| ()))
}

fn join(
    target: &Target<'_>,
    spec: &ProcessSpec,
    stdio: Stdio,
    tools: Option<&Tools>,
    on_exit: OnExit,
) -> Result<Process> {
    // Where the container has no pid namespace of its own, nothing but its cgroup ends a process with it.
    if target.group().is_none() && target.namespaces() & namespace::PID == 0 {
        return Err(ended(target));
    }
    let supervisor = Supervisor::get()?;
    let Wired { streams, ours } = wire(stdio)?;
    let child = join_with(target, spec, streams, ours.wish(spec), tools)?;
    watch(&supervisor, child, target.namespaces(), Membership::default(), ours, true, on_exit)
}

/// The same with streams that are ready, for whoever watches the process.
pub(super) fn join_with(
    target: &Target<'_>,
    spec: &ProcessSpec,
    streams: [Stream; 3],
    wish: Option<Wish>,
    tools: Option<&Tools>,
) -> Result<Child> {
    let group = target.group();
    // Where memory is limited, it comes under the limit when it shares memory with the helper's program only: the kernel
    // would kill this program with it.
    let limited = group.filter(|group| cgroup::is_memory_limited(group));
    let helped = Helped::new(Role::Trampoline, spec)?;
    let handover = helped.line.handover().attempt(|| HAND_OVER)?;
    let mut prepared = plan::exec(target, spec, &streams, wish, tools, handover)?;
    let directory = open_group(if limited.is_some() { None } else { group })?;
    let cgroup = directory.as_ref().map(AsFd::as_fd);
    let gate = if group.is_some_and(Group::has_legacy) { Gate::Closed } else { Gate::Open };
    let options = Options { namespaces: 0, forks: true, visibility: Visibility::Hidden, cgroup, gate };
    let refused = Cell::new(None);
    let prepare = |pid, _: BorrowedFd<'_>| keep(group.map_or(Ok(()), |group| cgroup::join_early(group, pid)), &refused);
    let spawned = clone::spawn(&mut prepared.blob, options, prepare, |_, _| Ok(()));
    let child = spawned.map_err(|failure| match failure {
        Failure::Step { step, errno }
            if prepared.steps.is(step, JOIN) && [libc::ESRCH, libc::ENOMEM].contains(&errno) =>
        {
            ended(target)
        }
        // The kernel has killed it together with the container's first process.
        Failure::Killed if target.has_ended() => ended(target),
        failure => refused.take().unwrap_or_else(|| prepared.error(failure)),
    })?;
    drop(streams);
    let held = |pid| match limited.map_or(Ok(true), |group| cgroup::join_late(group, pid))? {
        true => Ok(()),
        false => Err(ended(target)),
    };
    helped.go_on(&child, spec, held)?;
    Ok(child)
}

fn ended(target: &Target<'_>) -> Error {
    let message = format!("start a process in the container of process {}: it has ended", target.pid());
    Error::new(ErrorKind::NotFound, message)
}

fn watch(
    supervisor: &Supervisor,
    child: Child,
    namespaces: u64,
    membership: Membership,
    ours: Ours,
    keeps_outputs: bool,
    on_exit: OnExit,
) -> Result<Process> {
    let give_up = |pidfd: &OwnedFd, error| {
        end(pidfd);
        Err(error)
    };
    let Ours { mut outputs, terminal, line } = ours;
    let membership = Membership { companion: child.companion, ..membership };
    let terminal = match terminal.map(Opening::receive).transpose() {
        Ok(received) => received.map(|(master, drained)| {
            outputs.extend(drained);
            master
        }),
        Err(error) => return give_up(&child.pidfd, error),
    };
    let process = Process::new(child.pid, child.pidfd, namespaces, terminal, line, membership);
    match supervisor.watch(&process, outputs, keeps_outputs, on_exit) {
        Ok(()) => Ok(process),
        Err(error) => give_up(process.pidfd(), error),
    }
}

/// Streams as the child gets them, and the ends that stay here.
struct Wired {
    streams: [Stream; 3],
    ours: Ours,
}

/// The ends that stay here.
struct Ours {
    outputs: Vec<(OwnedFd, Box<dyn Sink>)>,
    terminal: Option<Opening>,
    /// To an init.
    line: Option<OwnedFd>,
}

impl Ours {
    /// The terminal that this process shall have.
    fn wish(&self, spec: &ProcessSpec) -> Option<Wish> {
        self.terminal.as_ref().map(|terminal| Wish { size: terminal.size, owner: spec.user.uid })
    }
}

fn wire(stdio: Stdio) -> Result<Wired> {
    let stdin = match stdio.stdin {
        Input::Null => Stream::Null,
        Input::Inherit => Stream::Inherit,
        Input::Fd(fd) => Stream::Fd(beyond_standard(fd)?),
        Input::Terminal { size, output } => {
            let (socket, theirs) = tty::channel().attempt(|| "create a socket for a terminal")?;
            let ours = Ours { outputs: Vec::new(), terminal: Some(Opening { socket, size, output }), line: None };
            return Ok(Wired { streams: [Stream::Fd(beyond_standard(theirs)?), Stream::Null, Stream::Null], ours });
        }
    };
    let mut outputs = Vec::new();
    let mut output = |output: Output| -> Result<Stream> {
        Ok(match output {
            Output::Null => Stream::Null,
            Output::Inherit => Stream::Inherit,
            Output::Fd(fd) => Stream::Fd(beyond_standard(fd)?),
            Output::Sink(sink) => {
                let (reader, writer) =
                    pipe_with(PipeFlags::CLOEXEC).attempt(|| "create a pipe for container output")?;
                set_nonblocking(&reader)?;
                outputs.push((beyond_standard(reader)?, sink));
                Stream::Fd(beyond_standard(writer)?)
            }
        })
    };
    let (stdout, stderr) = (output(stdio.stdout)?, output(stdio.stderr)?);
    Ok(Wired { streams: [stdin, stdout, stderr], ours: Ours { outputs, terminal: None, line: None } })
}

fn set_nonblocking(fd: impl AsFd) -> Result<()> {
    rustix::io::ioctl_fionbio(fd, true).attempt(|| "set up a pipe for container output")
}
