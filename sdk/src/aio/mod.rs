//! The same verbs as futures and streams, for programs that run on tokio (feature `tokio`).
//!
//! `aio()` turns a value of this crate into its [`Async`] face, which has the verbs that may wait, by the same names:
//!
//! ```no_run
//! use plywood::{Base, Container, Engine, Layers};
//!
//! # async fn example() -> plywood::Result<()> {
//! let engine = Engine::open_default()?.aio();
//! let image = engine.build(&Layers::new().from(Base::host(["sh", "sleep"]))).await?;
//! let output = Container::of(&image).cmd(["echo", "hello"]).aio().output(&engine).await?;
//! assert_eq!(output.stdout, b"hello\n");
//!
//! let web = Container::of(&image).cmd(["sleep", "1000"]).aio().start(&engine).await?;
//! assert!(web.exec(["true"]).aio().status().await?.success());
//! let mut lines = web.logs().follow().aio().read().await?;
//! while let Some(line) = lines.next().await {
//!     println!("{line}");
//! }
//! # Ok(()) }
//! ```
//!
//! # How it waits
//!
//! The end of a process is awaited by its pidfd and a growing log by inotify(7): no thread waits for a container. What
//! the kernel only does in a blocking way, and that is all that makes, starts and removes something, is done on the
//! runtime's threads [for blocking work](tokio::task::spawn_blocking). Any runtime will do that has its I/O driver
//! enabled, with one thread or many; without one these calls panic, as tokio's own do.
//!
//! # When a future is dropped
//!
//! One that waits (`wait`, a stream's `next`) has lost nothing: it can be called again. One that does something lets that
//! go on to its end; a container that it would have given is removed then. A guard that is dropped kills and removes its
//! container there and then, as the blocking one does: that takes some milliseconds, and
//! [`kill_and_remove`](Async::kill_and_remove) takes them elsewhere.
//!
//! What has no future here ([`diff`](crate::Container::diff), for one) is a call of the blocking face: an [`Async`]
//! can be used as the value it was made of, and [`blocking`](Async::blocking) does such a call on another thread.

use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::panic::resume_unwind;
use std::sync::Arc;

use tokio::io::unix::AsyncFd;
use tokio::task::spawn_blocking;

use crate::error::{Attempt as _, Error, ErrorKind, Result};
use crate::sys::reactor;

mod container;
mod engine;
mod exec;
mod snapshots;
mod sockets;
mod streams;

pub use streams::{EventStream, Lines};

/// The asynchronous face of an [`Engine`](crate::Engine).
pub type Engine = Async<crate::engine::Engine>;
/// The asynchronous face of a [`Container`](crate::Container).
pub type Container<D = crate::image::Layers> = Async<crate::container::Container<D>>;
/// The asynchronous face of a further [process](crate::container::ExecProcess) in a container.
pub type ExecProcess = Async<crate::container::ExecProcess>;

/// The asynchronous face of a [`Snapshot`](crate::container::Snapshot).
pub type Snapshot<D = crate::image::Layers> = Async<crate::container::Snapshot<D>>;
/// The asynchronous face of a [`VolumeSnapshot`](crate::VolumeSnapshot).
pub type VolumeSnapshot = Async<crate::engine::VolumeSnapshot>;

/// The asynchronous face of a value, made by its method `aio`; clones share it.
///
/// It can be used as the value itself. The verbs below hide those of the same name that block.
#[derive(Debug)]
pub struct Async<T>(Arc<T>);

impl<T> Async<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Arc::new(value))
    }
}

impl<T: Send + Sync + 'static> Async<T> {
    /// Does something that may block with the value, on a thread of the runtime that is there for that.
    ///
    /// If this future is dropped the work goes on to its end.
    ///
    /// # Errors
    /// Those of the work, and [`Cancelled`](ErrorKind::Cancelled) if the runtime was shut down before it began.
    pub async fn blocking<R: Send + 'static>(&self, work: impl FnOnce(&T) -> Result<R> + Send + 'static) -> Result<R> {
        let value = Arc::clone(&self.0);
        elsewhere(move || work(&value)).await
    }
}

impl<T> Clone for Async<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Deref for Async<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// Does something on a thread that may block; a panic is passed on.
async fn elsewhere<R: Send + 'static>(work: impl FnOnce() -> Result<R> + Send + 'static) -> Result<R> {
    spawn_blocking(work).await.unwrap_or_else(|error| match error.try_into_panic() {
        Ok(panic) => resume_unwind(panic),
        Err(_) => Err(Error::new(ErrorKind::Cancelled, "wait for blocking work: the runtime was shut down")),
    })
}

/// A descriptor that the runtime watches for input.
fn watched(fd: OwnedFd) -> Result<AsyncFd<OwnedFd>> {
    reactor::watched(fd).attempt(|| "watch a descriptor in the runtime")
}

/// Waits until a descriptor that stays readable, as a pidfd does, is.
async fn readable(fd: OwnedFd) -> Result<()> {
    watched(fd)?.readable().await.attempt(|| "wait for a descriptor in the runtime").map(drop)
}
