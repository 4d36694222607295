//! What a container does, as futures.

use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::net::unix::pipe::{Receiver, Sender};

use super::{Async, elsewhere, readable};
use crate::container::remove::Force;
use crate::container::{Container, CopyOptions, Definition, Output, Ready, Signal, State, Stats};
use crate::engine::Engine;
use crate::error::{Attempt as _, Result};
use crate::image::Image;
use crate::spec::ExitStatus;

impl<D> Definition<D> {
    /// The same definition, with verbs that are awaited.
    pub fn aio(self) -> Async<Self> {
        Async::new(self)
    }
}

impl<D: 'static> Async<Definition<D>> {
    /// Creates the container, without starting it.
    ///
    /// # Errors
    /// As for [`Definition::create`].
    pub async fn create(&self, engine: &Engine) -> Result<Async<Container<D>>> {
        let engine = engine.clone();
        self.blocking(move |definition| definition.create(&engine)).await.map(Container::aio)
    }

    /// Creates and starts the container. If it is to be [ready](Definition::ready), that takes a thread as long as it lasts.
    ///
    /// # Errors
    /// As for [`Definition::start`].
    pub async fn start(&self, engine: &Engine) -> Result<Async<Container<D>>> {
        let engine = engine.clone();
        self.blocking(move |definition| definition.start(&engine)).await.map(Container::aio)
    }

    /// Runs the container to its end, gives what it wrote, and removes it; at once if this future is dropped.
    ///
    /// # Errors
    /// As for [`Definition::output`].
    pub async fn output(&self, engine: &Engine) -> Result<Output> {
        let engine = engine.clone();
        let container = self.blocking(move |definition| definition.begin_output(&engine)).await?;
        ended(&container).await?;
        elsewhere(move || container.into_output()).await
    }

    /// Runs the container to its end, with the streams of the host program, and removes it; at once if this future is
    /// dropped.
    ///
    /// # Errors
    /// As for [`Definition::status`].
    pub async fn status(&self, engine: &Engine) -> Result<ExitStatus> {
        let engine = engine.clone();
        let container = self.blocking(move |definition| definition.begin_status(&engine)).await?;
        ended(&container).await?;
        elsewhere(move || container.into_status()).await
    }
}

impl<D> Container<D> {
    /// The same container, with verbs that are awaited. It is a guard if this one is.
    pub fn aio(self) -> Async<Self> {
        Async::new(self)
    }
}

impl<D: 'static> Async<Container<D>> {
    /// What it is doing now.
    ///
    /// # Errors
    /// As for [`Container::state`].
    pub async fn state(&self) -> Result<State> {
        self.blocking(Container::state).await
    }

    /// Starts a container that was created or has exited.
    ///
    /// # Errors
    /// As for [`Container::start`].
    pub async fn start(&self) -> Result<()> {
        self.blocking(Container::start).await
    }

    /// Waits until its process has ended. For a limited time: `tokio::time::timeout(limit, container.wait())`.
    ///
    /// # Errors
    /// As for [`Container::wait`].
    pub async fn wait(&self) -> Result<ExitStatus> {
        ended(self).await?;
        // Its log is to be complete, and its end recorded.
        self.blocking(Container::wait).await
    }

    /// Waits until the running container is ready. It takes a thread as long as that lasts, and goes on to the end of its
    /// time if this future is dropped.
    ///
    /// # Errors
    /// As for [`Container::wait_ready`].
    pub async fn wait_ready(&self, ready: impl Into<Ready<D>>) -> Result<()> {
        let ready = ready.into();
        self.blocking(move |container| container.wait_ready(ready)).await
    }

    /// Waits until its health check says that it works. It takes a thread as long as that lasts, and goes on to the end of
    /// its time if this future is dropped.
    ///
    /// # Errors
    /// As for [`Container::wait_healthy`].
    pub async fn wait_healthy(&self, timeout: Duration) -> Result<()> {
        self.blocking(move |container| container.wait_healthy(timeout)).await
    }

    /// Sends its process a signal.
    ///
    /// # Errors
    /// As for [`Container::kill`].
    pub async fn kill(&self, signal: Signal) -> Result<()> {
        self.blocking(move |container| container.kill(signal)).await
    }

    /// Asks its process to end, kills it after `timeout`, and says how it ended. It takes a thread as long as that lasts.
    ///
    /// # Errors
    /// As for [`Container::stop`].
    pub async fn stop(&self, timeout: Duration) -> Result<ExitStatus> {
        self.blocking(move |container| container.stop(timeout)).await
    }

    /// Freezes all of its processes.
    ///
    /// # Errors
    /// As for [`Container::pause`].
    pub async fn pause(&self) -> Result<()> {
        self.blocking(Container::pause).await
    }

    /// Lets a paused container go on.
    ///
    /// # Errors
    /// As for [`Container::resume`].
    pub async fn resume(&self) -> Result<()> {
        self.blocking(Container::resume).await
    }

    /// What it has used up to now.
    ///
    /// # Errors
    /// As for [`Container::stats`].
    pub async fn stats(&self) -> Result<Stats> {
        self.blocking(Container::stats).await
    }

    /// Copies a file or directory of the host into the container.
    ///
    /// # Errors
    /// As for [`Container::copy_in`].
    pub async fn copy_in(&self, host: impl AsRef<std::path::Path>, path: impl AsRef<str>) -> Result<()> {
        let (host, path) = (host.as_ref().to_owned(), path.as_ref().to_owned());
        self.blocking(move |container| container.copy_in_with(host, path, CopyOptions::new())).await
    }

    /// Copies a file or directory of the container to the host.
    ///
    /// # Errors
    /// As for [`Container::copy_out`].
    pub async fn copy_out(&self, path: impl AsRef<str>, host: impl AsRef<std::path::Path>) -> Result<()> {
        let (host, path) = (host.as_ref().to_owned(), path.as_ref().to_owned());
        self.blocking(move |container| container.copy_out(path, host)).await
    }

    /// Makes an image of what it has become; [`Container::commit`] has options.
    ///
    /// # Errors
    /// As for [`Commit::run`](crate::container::Commit::run).
    pub async fn commit(&self, reference: &str) -> Result<Image> {
        let reference = reference.to_owned();
        self.blocking(move |container| container.commit().reference(reference).run()).await
    }

    /// Our end of its standard input, as [`Container::take_stdin`] gives it.
    ///
    /// # Errors
    /// If the runtime cannot watch it.
    pub fn take_stdin(&self) -> Result<Option<Sender>> {
        self.0.take_stdin().map(|pipe| sender(pipe.into())).transpose()
    }

    /// Our end of its standard output, as [`Container::take_stdout`] gives it.
    ///
    /// # Errors
    /// If the runtime cannot watch it.
    pub fn take_stdout(&self) -> Result<Option<Receiver>> {
        self.0.take_stdout().map(|pipe| receiver(pipe.into())).transpose()
    }

    /// Our end of its standard error, as [`Container::take_stderr`] gives it.
    ///
    /// # Errors
    /// If the runtime cannot watch it.
    pub fn take_stderr(&self) -> Result<Option<Receiver>> {
        self.0.take_stderr().map(|pipe| receiver(pipe.into())).transpose()
    }

    /// Removes the container, with its volumes that have no name.
    ///
    /// # Errors
    /// As for [`Container::remove`].
    pub async fn remove(self) -> Result<()> {
        self.blocking(|container| container.handle().remove(Force::No)).await
    }

    /// Kills its process if it runs, and removes the container.
    ///
    /// # Errors
    /// As for [`Container::kill_and_remove`].
    pub async fn kill_and_remove(self) -> Result<()> {
        self.blocking(|container| container.handle().remove(Force::Yes)).await
    }
}

/// Waits until a container's process has ended, if it has one.
async fn ended<D>(container: &Container<D>) -> Result<()> {
    match container.handle().pidfd()? {
        Some(pidfd) => readable(pidfd).await,
        None => Ok(()),
    }
}

pub(super) fn sender(pipe: OwnedFd) -> Result<Sender> {
    Sender::from_owned_fd(pipe).attempt(|| "watch a pipe in the runtime")
}

pub(super) fn receiver(pipe: OwnedFd) -> Result<Receiver> {
    Receiver::from_owned_fd(pipe).attempt(|| "watch a pipe in the runtime")
}
