//! A further process in a running container.

use std::sync::Arc;

use super::create::attempted;
use super::environment::Variable;
use super::handle::Handle;
use super::start::process_spec;
use super::stdio::{Output, Stdio, Streams, Tee};
use crate::error::{ErrorKind, Fault, Result};
use crate::logs::Stream;
use crate::runtime::{self, Process};
use crate::spec::exit_status::ExitStatus;

/// A command to be run in a running container; made by [`Container::exec`](super::Container::exec).
///
/// It sees what the container sees and may do what the container may, and it ends with the container. Default: the
/// environment, user and working directory of the container.
#[derive(Debug, Clone)]
#[must_use = "a command does nothing until `output` or `status` is called"]
pub struct Exec {
    handle: Arc<Handle>,
    argv: Vec<String>,
    env: Vec<Variable>,
    user: Option<String>,
    workdir: Option<String>,
    stdin: Option<Stdio>,
    stdout: Option<Stdio>,
    stderr: Option<Stdio>,
}

#[derive(Debug, thiserror::Error)]
enum ExecFault {
    #[error("it is not running")]
    NotRunning,
    #[error("another program runs it")]
    Foreign,
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
            Self::Foreign => ErrorKind::Unsupported,
            Self::NoLayer => ErrorKind::Corrupt,
            _ => ErrorKind::InvalidArgument,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Foreign => Some("run the command from the program that started the container".to_owned()),
            _ => None,
        }
    }
}

impl Exec {
    pub(crate) fn new(handle: Arc<Handle>, argv: Vec<String>) -> Self {
        Self { handle, argv, env: Vec::new(), user: None, workdir: None, stdin: None, stdout: None, stderr: None }
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push(Variable::Set(name.into(), value.into()));
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
        let (process, ends) = self.start(Stdio::null(), Stdio::captured())?;
        let status = process.wait();
        Ok(Output { status, stdout: ends.captured(Stream::Stdout), stderr: ends.captured(Stream::Stderr) })
    }

    /// Runs the command to its end, with the streams of the host program.
    ///
    /// # Errors
    /// As for [`output`](Self::output).
    pub fn status(&self) -> Result<ExitStatus> {
        let (process, mut ends) = self.start(Stdio::inherit(), Stdio::inherit())?;
        let status = process.wait();
        ends.take_tees().into_iter().for_each(Tee::join);
        Ok(status)
    }

    fn start(&self, stdin: Stdio, output: Stdio) -> Result<(Process, super::stdio::Ends)> {
        let streams = Streams::new([&self.stdin, &self.stdout, &self.stderr], stdin, output);
        self.try_start(&streams).map_err(|error| attempted(format!("exec in {}", self.handle.title()), error))
    }

    fn try_start(&self, streams: &Streams) -> Result<(Process, super::stdio::Ends)> {
        self.check()?;
        let handle = &self.handle;
        let Some(target) = handle.process().filter(Process::is_running) else {
            return Err(match handle.state()? {
                (state, _) if state.is_running() => ExecFault::Foreign.into(),
                _ => ExecFault::NotRunning.into(),
            });
        };
        let files = handle.files()?;
        let writable = handle.lock().writable.clone().ok_or(ExecFault::NoLayer)?;
        let (user, workdir) = (self.user.as_deref(), self.workdir.as_deref());
        let spec = process_spec(handle.store(), &files, &writable, self.argv.clone(), &self.env, user, workdir)?;
        let (stdio, ends) = streams.open(None)?;
        Ok((runtime::exec(&target, &spec, stdio)?, ends))
    }

    fn check(&self) -> Result<()> {
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
