//! A further process in a running container.

use std::sync::Arc;

use super::create::attempted;
use super::environment::{self, Variable};
use super::exec_process::ExecProcess;
use super::handle::Handle;
use super::pause::recorded;
use super::start::{Command, process_spec};
use super::state::State;
use super::stdio::{Ends, Output, Stdio, Streams};
use crate::error::{ErrorKind, Fault, Result};
use crate::layer::WritableLayer;
use crate::runtime::{self, Process, ProcessSpec, Target};
use crate::spec::container_path::ContainerPath;
use crate::spec::exit_status::ExitStatus;
use crate::sys::tty::WindowSize;

/// Where root is at home among programs of the host.
const HOME: &str = "/root";

/// A command to be run in a running container; made by [`Container::exec`](super::Container::exec).
///
/// It sees what the container sees and may do what the container may, and it ends with the container, or with this
/// program. Any program may run one, whichever started the container, if it belongs to the same user. Default: the
/// environment, user and working directory of the container.
#[derive(Debug, Clone)]
#[must_use = "a command does nothing until `start`, `output` or `status` is called"]
pub struct Exec {
    handle: Arc<Handle>,
    argv: Vec<String>,
    env: Vec<Variable>,
    user: Option<String>,
    workdir: Option<String>,
    /// Whether it is a program of the host.
    enters: bool,
    privileged: bool,
    stays: Stays,
    terminal: Option<WindowSize>,
    stdin: Option<Stdio>,
    stdout: Option<Stdio>,
    stderr: Option<Stdio>,
}

/// Whether it outlives this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stays {
    No,
    /// If this program leaves it to the container.
    WhenLeft,
    Always,
}

#[derive(Debug, thiserror::Error)]
enum ExecFault {
    #[error("it is not running")]
    NotRunning,
    #[error("it is paused")]
    Paused,
    #[error("use a stream of this program: a detached command has none")]
    Detached,
    #[error("there is nothing to run")]
    NoCommand,
    #[error("environment variable {name:?}: {why}")]
    Variable { name: String, why: &'static str },
    #[error("argument {0:?} contains a zero byte")]
    Argument(String),
    #[error("its writable layer is missing from the store")]
    NoLayer,
}

impl Fault for ExecFault {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoLayer => ErrorKind::Corrupt,
            _ => ErrorKind::InvalidArgument,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Paused => Some("resume it first".to_owned()),
            _ => None,
        }
    }
}

impl Exec {
    pub(crate) fn new(handle: Arc<Handle>, argv: Vec<String>) -> Self {
        Self {
            handle,
            argv,
            env: Vec::new(),
            user: None,
            workdir: None,
            enters: false,
            privileged: false,
            stays: Stays::No,
            terminal: None,
            stdin: None,
            stdout: None,
            stderr: None,
        }
    }

    /// A program of the host, with the container's user 0 and nothing of its environment.
    pub(crate) fn entering(handle: Arc<Handle>, argv: Vec<String>) -> Self {
        Self { enters: true, user: Some("0".to_owned()), ..Self::new(handle, argv) }
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push(Variable::Set(name.into(), value.into()));
        self
    }

    /// Removes an environment variable of the container.
    pub fn env_remove(mut self, name: impl Into<String>) -> Self {
        self.env.push(Variable::Remove(name.into()));
        self
    }

    /// Runs as this user: `name`, `uid`, `name:group` or `uid:gid`.
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// Starts in this directory, which must exist.
    pub fn workdir(mut self, path: impl Into<String>) -> Self {
        self.workdir = Some(path.into());
        self
    }

    /// Gives it all capabilities, even in a container that has not.
    #[doc(alias = "--privileged")]
    pub fn privileged(mut self) -> Self {
        self.privileged = true;
        self
    }

    /// Gives it a terminal in the place of its three streams, and sets `TERM=xterm`.
    ///
    /// What it shows, standard error included, goes where [`stdout`](Self::stdout) says. What
    /// [`ExecProcess::take_terminal`] gives types into it; nothing else does.
    #[doc(alias = "--tty")]
    #[doc(alias = "-t")]
    pub fn tty(mut self) -> Self {
        self.terminal.get_or_insert_default();
        self
    }

    /// The size of the terminal at the start, in characters, and gives it [one](Self::tty). Default: unknown, 0 by 0.
    pub fn tty_size(mut self, rows: u16, columns: u16) -> Self {
        self.terminal = Some(WindowSize { rows, columns });
        self
    }

    /// Lets it outlive this program; the container still takes it along. Its streams are `/dev/null`, or files; its terminal,
    /// if it has one, is nobody's.
    #[doc(alias = "--detach")]
    pub fn detach(mut self) -> Self {
        self.stays = Stays::Always;
        self
    }

    /// Lets it outlive this program if [`ExecProcess::leave`] is called, as when somebody presses the detach keys.
    ///
    /// If this program ends before, it ends only if it has a terminal: that hangs up, and whoever does not handle `SIGHUP`
    /// ends.
    #[doc(alias = "--detach-keys")]
    pub fn detachable(mut self) -> Self {
        self.stays = Stays::WhenLeft;
        self
    }

    /// Where standard input comes from. Default: nowhere; for `status`, from the host program.
    pub fn stdin(mut self, stdin: Stdio) -> Self {
        self.stdin = Some(stdin);
        self
    }

    /// Where standard output goes. Default: for `status` to the host program's; for `output` to the caller.
    pub fn stdout(mut self, stdout: Stdio) -> Self {
        self.stdout = Some(stdout);
        self
    }

    /// Where standard error goes. Default: as for [`stdout`](Self::stdout).
    pub fn stderr(mut self, stderr: Stdio) -> Self {
        self.stderr = Some(stderr);
        self
    }

    /// Runs the command to its end and gives its output.
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) if the container is not running, `NotFound` or `PermissionDenied` if
    /// there is no such command or it cannot be executed; [`exit_code`](crate::Error::exit_code) is 127 or 126 then.
    pub fn output(&self) -> Result<Output> {
        Ok(self.begin_output()?.into_output())
    }

    /// Runs the command to its end, with the streams of the host program.
    ///
    /// # Errors
    /// As for [`output`](Self::output).
    pub fn status(&self) -> Result<ExitStatus> {
        Ok(self.begin_status()?.wait())
    }

    /// Starts what [`output`](Self::output) runs.
    pub(crate) fn begin_output(&self) -> Result<ExecProcess> {
        self.begin(Stdio::null(), Stdio::captured())
    }

    /// Starts what [`status`](Self::status) runs.
    pub(crate) fn begin_status(&self) -> Result<ExecProcess> {
        self.begin(Stdio::inherit(), Stdio::inherit())
    }

    /// Starts the command, and returns once it runs.
    ///
    /// Its streams are those asked for, else `/dev/null`: what it writes is not in the container's log.
    ///
    /// # Errors
    /// As for [`output`](Self::output); [`InvalidArgument`](ErrorKind::InvalidArgument) as well for a
    /// [detached](Self::detach) one whose streams are of this program.
    pub fn start(&self) -> Result<ExecProcess> {
        self.begin(Stdio::null(), Stdio::null())
    }

    fn begin(&self, stdin: Stdio, output: Stdio) -> Result<ExecProcess> {
        let streams = Streams::new([&self.stdin, &self.stdout, &self.stderr], stdin, output);
        let started = self.try_start(&streams);
        let (process, ends) = started.map_err(|error| attempted(format!("exec in {}", self.handle.title()), error))?;
        Ok(ExecProcess::new(Arc::clone(&self.handle), self.argv.clone(), process, ends, self.stays != Stays::No))
    }

    fn try_start(&self, streams: &Streams) -> Result<(Process, Ends)> {
        self.check(streams)?;
        self.with_target(|target, writable| self.join(target, writable, streams))
    }

    /// Starts it with these streams, and calls back at its end.
    pub(super) fn run_with(&self, stdio: runtime::Stdio, on_exit: runtime::OnExit) -> Result<Process> {
        self.with_target(|target, writable| runtime::exec_with(target, &self.spec(writable)?, stdio, on_exit))
    }

    fn with_target<T>(&self, work: impl FnOnce(&Target<'_>, &WritableLayer) -> Result<T>) -> Result<T> {
        let handle = &self.handle;
        if handle.state()?.0 == State::Paused {
            return Err(ExecFault::Paused.into());
        }
        if let Some(process) = handle.process().filter(Process::is_running) {
            return work(&Target::from(&process), &self.writable()?);
        }
        let files = handle.files()?;
        let group = runtime::cgroup::find(handle.id().as_str(), &recorded(&files));
        let run = files.record.and_then(|record| record.run).ok_or(ExecFault::NotRunning)?;
        let pidfd = run.open()?.ok_or(ExecFault::NotRunning)?;
        let target = Target::foreign(run.pid, &pidfd, group);
        // What was found under its number may have been another process, or none.
        if !run.is_alive() {
            return Err(ExecFault::NotRunning.into());
        }
        work(&target?, &self.writable()?)
    }

    /// What it was started with is not known any more once it is to stay.
    fn writable(&self) -> Result<WritableLayer> {
        let known = self.handle.lock().writable.clone();
        match known {
            Some(writable) => Ok(writable),
            None => {
                let found = self.handle.store().layers().writable(self.handle.id())?;
                Ok(found.ok_or(ExecFault::NoLayer)?)
            }
        }
    }

    fn join(&self, target: &Target<'_>, writable: &WritableLayer, streams: &Streams) -> Result<(Process, Ends)> {
        let spec = self.spec(writable)?;
        let (stdio, mut ends) = streams.open(None, self.terminal)?;
        let process = match self.enters {
            false => runtime::exec(target.clone(), &spec, stdio)?,
            true => self.enter(target, spec, stdio)?,
        };
        ends.connect(&process)?;
        if self.stays == Stays::Always {
            process.hold_terminal().inspect_err(|_| {
                // It has ended by itself if this fails.
                let _ = process.signal(libc::SIGKILL);
            })?;
        }
        Ok((process, ends))
    }

    fn enter(&self, target: &Target<'_>, mut spec: ProcessSpec, stdio: runtime::Stdio) -> Result<Process> {
        let (tools, path) = super::enter::tools(self.argv.first().map_or("", String::as_str))?;
        let mut variables = vec![Variable::Set("PATH".to_owned(), path)];
        variables.extend(self.env.iter().cloned());
        let hostname = &self.handle.files()?.config.config.hostname;
        let env = environment::merge(&[], &variables);
        spec.env = environment::complete(&env, hostname, HOME, self.terminal.is_some());
        let container = ContainerPath::root().join(runtime::CONTAINER)?;
        spec.cwd = match &self.workdir {
            Some(path) => container.join(path)?,
            None => container,
        };
        runtime::enter(target, &spec, stdio, &tools)
    }

    fn spec(&self, writable: &WritableLayer) -> Result<ProcessSpec> {
        let command = Command {
            argv: self.argv.clone(),
            variables: &self.env,
            user: self.user.as_deref(),
            workdir: self.workdir.as_deref(),
            tty: self.terminal.is_some(),
            privileged: self.privileged,
        };
        let mut spec = process_spec(self.handle.store(), &self.handle.files()?, writable, &command)?;
        spec.ends_with_program = self.stays == Stays::No;
        Ok(spec)
    }

    fn check(&self, streams: &Streams) -> Result<()> {
        let is_independent = match self.terminal {
            // This program writes what it shows to where that goes.
            Some(_) => self.stays != Stays::Always || streams.are_nobodys(),
            None => self.stays == Stays::No || streams.are_independent(),
        };
        if !is_independent {
            return Err(ExecFault::Detached.into());
        }
        if self.argv.first().is_none_or(String::is_empty) {
            return Err(ExecFault::NoCommand.into());
        }
        if let Some(argument) = self.argv.iter().find(|argument| argument.contains('\0')) {
            return Err(ExecFault::Argument(argument.clone()).into());
        }
        match self.env.iter().find_map(|variable| variable.fault().map(|why| (variable.name().to_owned(), why))) {
            Some((name, why)) => Err(ExecFault::Variable { name, why }.into()),
            None => Ok(()),
        }
    }
}
