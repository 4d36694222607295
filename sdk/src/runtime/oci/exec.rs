//! Starts further processes in a running container.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use super::Container;
use super::config::Process;
use super::create::{self, connect, give_pipes, write_pid};
use super::fault::Fault;
use super::lifecycle::reap;
use super::state::{Status, parse};
use crate::error::{Attempt, Result};
use crate::runtime::plan::Stream;
use crate::runtime::spawn::join_with;
use crate::runtime::target::Target;
use crate::runtime::terminal::Wish;
use crate::spec::ExitStatus;
use crate::sys::tty::WindowSize;

/// What is started, and how. What is not said is as for the container's own process.
#[derive(Debug, Clone, Default)]
pub struct Exec {
    process: Option<PathBuf>,
    args: Vec<String>,
    env: Vec<String>,
    cwd: Option<String>,
    user: Option<(u32, Option<u32>)>,
    groups: Vec<u32>,
    capabilities: Vec<String>,
    tty: bool,
    no_new_privileges: bool,
    console_socket: Option<PathBuf>,
    pid_file: Option<PathBuf>,
}

/// A process that was started in a container; it outlives this program.
#[derive(Debug)]
pub struct Started {
    pid: u32,
    process: OwnedFd,
}

impl Started {
    /// Its number.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// If somebody else has waited for it.
    pub fn wait(&self) -> Result<ExitStatus> {
        reap(&self.process).attempt(|| format!("wait for process {}", self.pid))
    }
}

impl Exec {
    /// This program with these arguments.
    pub fn command<A: Into<String>>(args: impl IntoIterator<Item = A>) -> Self {
        Self { args: args.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// What a file says: `process` of a configuration.
    #[doc(alias = "--process")]
    pub fn process(file: impl Into<PathBuf>) -> Self {
        Self { process: Some(file.into()), ..Self::default() }
    }

    /// One more variable, `NAME=value`.
    pub fn env(mut self, variable: impl Into<String>) -> Self {
        self.env.push(variable.into());
        self
    }

    /// The working directory.
    pub fn cwd(mut self, directory: impl Into<String>) -> Self {
        self.cwd = Some(directory.into());
        self
    }

    /// The number of the user, and of its group.
    pub fn user(mut self, uid: u32, gid: Option<u32>) -> Self {
        self.user = Some((uid, gid));
        self
    }

    /// One more supplementary group.
    pub fn group(mut self, gid: u32) -> Self {
        self.groups.push(gid);
        self
    }

    /// One more capability.
    pub fn capability(mut self, name: impl Into<String>) -> Self {
        self.capabilities.push(name.into());
        self
    }

    /// Gives it a terminal, which is sent over the console socket.
    pub fn tty(mut self, tty: bool) -> Self {
        self.tty = tty;
        self
    }

    /// Keeps it from raising its privileges.
    pub fn no_new_privileges(mut self, forbid: bool) -> Self {
        self.no_new_privileges = forbid;
        self
    }

    /// Sends its terminal over this socket, as `SCM_RIGHTS`.
    pub fn console_socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.console_socket = Some(path.into());
        self
    }

    /// Writes its number to this file.
    pub fn pid_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.pid_file = Some(path.into());
        self
    }

    /// What is started, for a container whose own process is `own`.
    fn resolve(&self, own: &Process) -> Result<Process> {
        let mut process = match &self.process {
            Some(file) => {
                let text = fs::read(file).attempt(|| format!("read {}", file.display()))?;
                parse::<Process>(file, &text)?
            }
            None => Process { args: self.args.clone(), terminal: self.tty, ..own.clone() },
        };
        process.env.extend(self.env.iter().cloned());
        if let Some(cwd) = &self.cwd {
            process.cwd.clone_from(cwd);
        }
        if let Some((uid, gid)) = self.user {
            (process.user.uid, process.user.gid) = (uid, gid.unwrap_or(process.user.gid));
        }
        process.user.additional_gids.extend(&self.groups);
        process.no_new_privileges |= self.no_new_privileges;
        process.terminal |= self.tty;
        if !self.capabilities.is_empty() {
            let sets = process.capabilities.get_or_insert_default();
            for set in [&mut sets.bounding, &mut sets.effective, &mut sets.permitted] {
                set.extend(self.capabilities.iter().cloned());
            }
        }
        Ok(process)
    }
}

impl Container {
    /// Starts a further process in it, and returns once its program runs. Its standard streams are those of this process,
    /// unless it has a terminal.
    ///
    /// # Errors
    /// If the container does not run, or the program cannot be executed.
    pub fn exec(&self, exec: &Exec) -> Result<Started> {
        let record = self.directory.load(&self.id)?;
        self.expect(&record, "exec in", &[Status::Running, Status::Created])?;
        let config = self.directory.load_config()?;
        let own = config.process.as_ref().ok_or(Fault::Missing { property: "process" })?;
        let process = exec.resolve(own)?;
        let spec = create::spec(&config, &process, &record)?;
        let not_running = || Fault::NotRunning { id: self.id.clone() };
        let first = self.process(&record).ok_or_else(not_running)?;
        let target = Target::foreign(record.pid, &first, record.group())?;
        let (streams, wish) = match (process.terminal, &exec.console_socket) {
            (false, _) => {
                give_pipes(&config, spec.user.uid);
                ([Stream::Inherit, Stream::Inherit, Stream::Inherit], None)
            }
            (true, None) => return Err(Fault::NoConsole.into()),
            (true, Some(socket)) => {
                let socket = connect(socket, LEAST)?;
                let size = process
                    .console_size
                    .map_or(WindowSize::default(), |size| WindowSize { rows: size.height, columns: size.width });
                let wish = Wish { size, owner: spec.user.uid };
                ([Stream::Fd(socket), Stream::Null, Stream::Null], Some(wish))
            }
        };
        let started = join_with(&target, &spec, streams, wish, None)?;
        write_pid(exec.pid_file.as_deref(), started.pid)?;
        Ok(Started { pid: started.pid, process: started.pidfd })
    }
}

/// Beyond the descriptors that a child overwrites.
const LEAST: u32 = 16;
