//! A further process of a container, while it runs and after.

use std::process::{ChildStderr, ChildStdin, ChildStdout};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::handle::Handle;
use super::signal::Signal;
use super::stdio::{Ends, Output, Tee};
use super::terminal::Terminal;
use crate::error::{Error, ErrorKind, Result};
use crate::logs::Stream;
use crate::runtime::Process;
use crate::spec::exit_status::ExitStatus;

/// A process that [`Exec::start`](super::Exec::start) has begun in a container.
///
/// It ends with the container, and with this program unless it was [detached](super::Exec::detach); dropping this
/// leaves it running.
#[derive(Debug)]
pub struct ExecProcess {
    /// Keeps the container from being given up.
    handle: Arc<Handle>,
    argv: Vec<String>,
    process: Process,
    ends: Mutex<Ends>,
    is_detachable: bool,
}

impl ExecProcess {
    pub(super) fn new(
        handle: Arc<Handle>,
        argv: Vec<String>,
        process: Process,
        ends: Ends,
        is_detachable: bool,
    ) -> Self {
        Self { handle, argv, process, ends: Mutex::new(ends), is_detachable }
    }

    /// Its number on the host.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Program and arguments.
    pub fn argv(&self) -> &[String] {
        &self.argv
    }

    /// Whether it has a terminal.
    pub fn has_terminal(&self) -> bool {
        self.process.terminal().is_some()
    }

    /// Waits until it has ended.
    pub fn wait(&self) -> ExitStatus {
        self.joined(Some(self.process.wait())).unwrap_or(ExitStatus::exited(0))
    }

    /// Waits until it has ended, for this time at most; `None` if it still runs.
    pub fn wait_timeout(&self, timeout: Duration) -> Option<ExitStatus> {
        self.joined(self.process.wait_timeout(timeout))
    }

    /// How it ended, if it has.
    pub fn try_wait(&self) -> Option<ExitStatus> {
        self.wait_timeout(Duration::ZERO)
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) if it has ended.
    pub fn kill(&self, signal: Signal) -> Result<()> {
        match self.process.signal(signal.number()) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let title = self.handle.title();
                let program = self.argv.first().map_or("", String::as_str);
                let message = format!("send {program:?} in {title} a signal: it is not running");
                Err(Error::new(ErrorKind::InvalidArgument, message))
            }
            sent => sent,
        }
    }

    /// Leaves one that is [detachable](super::Exec::detachable) to the container: it goes on when this program has ended.
    ///
    /// A small process of plywood's holds its terminal then, if it has one, and reads what it shows; nobody gets back to it.
    /// As long as this program lives nothing changes.
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) if it is not detachable; else if the kernel refuses.
    pub fn leave(&self) -> Result<()> {
        if !self.is_detachable {
            let message = format!("leave {:?} in {}: it ends with this program", self.argv, self.handle.title());
            return Err(Error::new(ErrorKind::InvalidArgument, message).with_hint("start it with Exec::detachable()"));
        }
        self.process.hold_terminal()
    }

    /// Our end of its standard input, if that is a pipe and was not taken before. Dropping it ends the input.
    pub fn take_stdin(&self) -> Option<ChildStdin> {
        self.ends().stdin.take()
    }

    /// Our end of its standard output, if that is a pipe and was not taken before.
    pub fn take_stdout(&self) -> Option<ChildStdout> {
        self.ends().stdout.take()
    }

    /// Our end of its standard error, if that is a pipe and was not taken before.
    pub fn take_stderr(&self) -> Option<ChildStderr> {
        self.ends().stderr.take()
    }

    /// The host's end of its terminal, if it has one and it was not taken before.
    pub fn take_terminal(&self) -> Option<Terminal> {
        self.ends().terminal.take()
    }

    /// Waits for the end of one that was begun for its output.
    pub(crate) fn into_output(self) -> Output {
        let status = self.wait();
        let ends = self.ends();
        Output { status, stdout: ends.captured(Stream::Stdout), stderr: ends.captured(Stream::Stderr) }
    }

    /// Readable once it has ended.
    #[cfg(feature = "tokio")]
    pub(crate) fn pidfd(&self) -> Result<std::os::fd::OwnedFd> {
        let pidfd = self.process.pidfd().try_clone();
        pidfd.map_err(|error| Error::os(format_args!("watch process {}", self.pid()), error))
    }

    pub(super) fn ends(&self) -> MutexGuard<'_, Ends> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After the end, once the host program's own streams have everything.
    fn joined(&self, status: Option<ExitStatus>) -> Option<ExitStatus> {
        if status.is_some() {
            let tees = self.ends().take_tees();
            tees.into_iter().for_each(Tee::join);
        }
        status
    }
}
