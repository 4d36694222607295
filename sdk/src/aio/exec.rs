//! Further processes in a container, as futures.

use tokio::net::unix::pipe::{Receiver, Sender};

use super::container::{receiver, sender};
use super::{Async, elsewhere, readable};
use crate::container::{Exec, ExecProcess, Output};
use crate::error::Result;
use crate::spec::ExitStatus;

impl Exec {
    /// The same command, with verbs that are awaited.
    pub fn aio(self) -> Async<Self> {
        Async::new(self)
    }
}

impl Async<Exec> {
    /// Starts the command, and returns once it runs.
    ///
    /// # Errors
    /// As for [`Exec::start`].
    pub async fn start(&self) -> Result<Async<ExecProcess>> {
        self.blocking(Exec::start).await.map(Async::new)
    }

    /// Runs the command to its end and gives its output. If this future is dropped the command goes on.
    ///
    /// # Errors
    /// As for [`Exec::output`].
    pub async fn output(&self) -> Result<Output> {
        let process = self.blocking(Exec::begin_output).await?;
        readable(process.pidfd()?).await?;
        elsewhere(move || Ok(process.into_output())).await
    }

    /// Runs the command to its end, with the streams of the host program. If this future is dropped the command goes on.
    ///
    /// # Errors
    /// As for [`Exec::status`].
    pub async fn status(&self) -> Result<ExitStatus> {
        self.blocking(Exec::begin_status).await.map(Async::new)?.wait().await
    }
}

impl Async<ExecProcess> {
    /// Waits until it has ended.
    ///
    /// # Errors
    /// If the runtime cannot watch it, or was shut down.
    pub async fn wait(&self) -> Result<ExitStatus> {
        readable(self.pidfd()?).await?;
        self.blocking(|process| Ok(process.wait())).await
    }

    /// Our end of its standard input, as [`ExecProcess::take_stdin`] gives it.
    ///
    /// # Errors
    /// If the runtime cannot watch it.
    pub fn take_stdin(&self) -> Result<Option<Sender>> {
        self.0.take_stdin().map(|pipe| sender(pipe.into())).transpose()
    }

    /// Our end of its standard output, as [`ExecProcess::take_stdout`] gives it.
    ///
    /// # Errors
    /// If the runtime cannot watch it.
    pub fn take_stdout(&self) -> Result<Option<Receiver>> {
        self.0.take_stdout().map(|pipe| receiver(pipe.into())).transpose()
    }

    /// Our end of its standard error, as [`ExecProcess::take_stderr`] gives it.
    ///
    /// # Errors
    /// If the runtime cannot watch it.
    pub fn take_stderr(&self) -> Result<Option<Receiver>> {
        self.0.take_stderr().map(|pipe| receiver(pipe.into())).transpose()
    }
}
