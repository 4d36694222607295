//! Starts processes: the plan, the child, and who watches it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::pipe::{PipeFlags, pipe_with};

use super::OnExit;
use super::bundle::{Bundle, NetworkMode, ProcessSpec};
use super::plan::{self, JOIN, Prepared, Stream, beyond_standard};
use super::process::Process;
use super::stdio::{Input, Output, Sink, Stdio};
use super::supervisor::Supervisor;
use super::target::Target;
use super::terminal::{Opening, Wish};
use super::tools::Tools;
use crate::error::{Attempt, Error, ErrorKind, Result};
use crate::sys::clone::{self, Child, Failure, Options};
use crate::sys::helper::{Line, Role};
use crate::sys::probe::{Privilege, privilege};
use crate::sys::visible::Visibility;
use crate::sys::{namespace, signal, tty, wait};

/// What the caller does at certain points of a container's start.
#[derive(Default)]
pub(crate) struct Hooks<'a> {
    /// Called with the process while it waits, before anything of it is to be seen.
    pub created: Option<Hook<'a>>,
    /// Called once the process no longer shares memory with this program, and before the payload begins: the point for
    /// limits on memory, which could end this program earlier. It has the memory of the helper until then.
    pub held: Option<Hook<'a>>,
}

/// Is given the number and the pidfd of the process that a container begins with. An error ends that process.
pub(crate) type Hook<'a> = Box<dyn FnOnce(u32, BorrowedFd<'_>) -> Result<()> + 'a>;

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
    let user_namespace = privilege() == Privilege::User;
    let supervisor = Supervisor::get()?;
    let Wired { streams, ours } = wire(stdio)?;
    let wish = ours.wish(&bundle.process);
    let role = match (bundle.init, &hooks.held) {
        (true, _) => Some(Role::Init),
        (false, Some(_)) => Some(Role::Trampoline),
        (false, None) => None,
    };
    let helped = role.map(|role| Helped::new(role, &bundle.process)).transpose()?;
    let handover = helped.as_ref().map(|helped| helped.line.handover().attempt(|| HAND_OVER)).transpose()?;
    let mut prepared = plan::start(bundle, &streams, wish, user_namespace, handover)?;
    let mut namespaces = namespace::MOUNT | namespace::PID | namespace::IPC | namespace::UTS;
    if bundle.network != NetworkMode::Host {
        namespaces |= namespace::NETWORK;
    }
    let mut visibility = Visibility::Hidden;
    if user_namespace {
        namespaces |= namespace::USER;
        visibility = Visibility::Kept;
    }
    let options = Options { namespaces, forks: false, visibility };
    let user = &bundle.process.user;
    let mut refused = None;
    let spawned = clone::spawn(&mut prepared.blob, options, |pid, pidfd| {
        if let Some(created) = hooks.created {
            created(pid, pidfd).map_err(|error| {
                refused = Some(error);
                io::ErrorKind::Other
            })?;
        }
        match user_namespace {
            true => clone::map_single(pid, user.uid, user.gid),
            false => Ok(()),
        }
    });
    let child = spawned.map_err(|failure| refused.unwrap_or_else(|| prepared.error(failure)))?;
    // The container's ends of the pipes: their last copies here, so that a read sees the end.
    drop(streams);
    let line = match helped {
        Some(helped) => helped.go_on(&child, hooks.held)?,
        None => None,
    };
    watch(&supervisor, child, namespaces | namespace::CGROUP, ours, false, line, on_exit)
}

const HAND_OVER: &str = "hand a process over to the helper";

/// The helper that is to be process 1, and what it will start.
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

    /// Lets the payload begin; the line to an init.
    fn go_on(mut self, child: &Child, held: Option<Hook<'_>>) -> Result<Option<OwnedFd>> {
        let held = held.map_or(Ok(()), |held| held(child.pid, child.pidfd.as_fd()));
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
    join(&target.into(), spec, stdio, None)
}

/// The same with programs of the host, in a root directory of their own, where the container's is [`CONTAINER`](super::CONTAINER).
///
/// # Errors
/// As [`exec`].
pub(crate) fn enter(target: &Target<'_>, spec: &ProcessSpec, stdio: Stdio, tools: &Tools) -> Result<Process> {
    join(target, spec, stdio, Some(tools))
}

fn join(target: &Target<'_>, spec: &ProcessSpec, stdio: Stdio, tools: Option<&Tools>) -> Result<Process> {
    let supervisor = Supervisor::get()?;
    let Wired { streams, ours } = wire(stdio)?;
    let wish = ours.wish(spec);
    let mut prepared = plan::exec(target, spec, &streams, wish, tools)?;
    let options = Options { namespaces: 0, forks: true, visibility: Visibility::Hidden };
    let child = clone::spawn(&mut prepared.blob, options, |_, _| Ok(())).map_err(|failure| match failure {
        Failure::Step { step, errno }
            if prepared.steps.is(step, JOIN) && [libc::ESRCH, libc::ENOMEM].contains(&errno) =>
        {
            ended(target)
        }
        // The kernel has killed it together with the container's first process.
        Failure::Killed if target.has_ended() => ended(target),
        failure => prepared.error(failure),
    })?;
    drop(streams);
    watch(&supervisor, child, target.namespaces(), ours, true, None, Box::new(|_| ()))
}

fn ended(target: &Target<'_>) -> Error {
    let message = format!("start a process in the container of process {}: it has ended", target.pid());
    Error::new(ErrorKind::NotFound, message)
}

fn watch(
    supervisor: &Supervisor,
    child: Child,
    namespaces: u64,
    ours: Ours,
    keeps_outputs: bool,
    line: Option<OwnedFd>,
    on_exit: OnExit,
) -> Result<Process> {
    // Nobody but us frees its number, so the file is its own, even if it has ended already.
    let start_time = wait::start_time(child.pid).unwrap_or(0);
    let give_up = |pidfd: &OwnedFd, error| {
        end(pidfd);
        Err(error)
    };
    let Ours { mut outputs, terminal } = ours;
    let terminal = match terminal.map(Opening::receive).transpose() {
        Ok(received) => received.map(|(master, drained)| {
            outputs.extend(drained);
            master
        }),
        Err(error) => return give_up(&child.pidfd, error),
    };
    let process = Process::new(child.pid, start_time, child.pidfd, namespaces, terminal, line);
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
            let ours = Ours { outputs: Vec::new(), terminal: Some(Opening { socket, size, output }) };
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
    Ok(Wired { streams: [stdin, stdout, stderr], ours: Ours { outputs, terminal: None } })
}

fn set_nonblocking(fd: impl AsFd) -> Result<()> {
    rustix::io::ioctl_fionbio(fd, true).attempt(|| "set up a pipe for container output")
}
